"""Sagas: steps with compensations, their log, crashes, and a shop that uses them."""

from .consistency.crash import Actor, CrashCause, crash, every_crash
from .consistency.order_saga import CreateOrderSaga, Inventory, OrderRepository, Payment
from .consistency.participant import Participant
from .consistency.saga import Saga
from .consistency.saga_log import SagaLog
from .consistency.saga_steps import SagaResult, SagaStep, nothing_to_undo
from .theory import expected_saga
from .worlds.saga import SagaScenario
from .worlds.saga_result import SagaRunResult

__all__ = [
    "Actor",
    "CrashCause",
    "CreateOrderSaga",
    "Inventory",
    "OrderRepository",
    "Participant",
    "Payment",
    "Saga",
    "SagaLog",
    "SagaResult",
    "SagaRunResult",
    "SagaScenario",
    "SagaStep",
    "crash",
    "every_crash",
    "expected_saga",
    "nothing_to_undo",
]
