"""resilab: an interactive lab for resilience patterns on a simulated clock."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from .communication.broker import MessageBroker
from .communication.connection_pool import ConnectionPool
from .communication.consumers import IdempotentConsumer, subscribe
from .communication.deadline import Deadline
from .communication.message import Delivery, Message
from .communication.orders import Order, OrderEventPublisher, OrderEventsConsumer
from .communication.service_client import ServiceClient
from .communication.status import Response
from .consistency.crash import Actor, Crash, crash, every_crash
from .consistency.database import Database
from .consistency.orders import (
    CreateOrderSaga,
    DualWriteOrderService,
    Inventory,
    OrderRepository,
    OrderService,
    Payment,
)
from .consistency.outbox import Outbox
from .consistency.outbox_processor import OutboxProcessor, mean_deliveries
from .consistency.participant import Participant
from .consistency.saga import Saga, SagaResult, SagaStep, expected_saga, nothing_to_undo
from .consistency.saga_log import SagaLog
from .distributions import Constant, Empirical, Exponential, Gamma, LogNormal, Mixture, Pareto, Uniform
from .errors import (
    AcknowledgementError,
    BrokerUnavailableError,
    BulkheadFullError,
    CallRejectedError,
    CircuitOpenError,
    ConsumerCrashError,
    DeclinedError,
    DownstreamError,
    NestedTransactionError,
    NoReplicaError,
    NotAGeneratorError,
    PoolClosedError,
    PoolTimeoutError,
    RateLimitedError,
    ReplicaLostError,
    ReplicaRefusedError,
    ResilienceError,
    ServiceError,
    ServiceOverloadedError,
    StatusError,
    ThrottledError,
    TimeoutExceededError,
    UnfinishedRunError,
    UnknownTopicError,
    UnwantedResultError,
)
from .events import EventLog
from .experiments import compare, intervals, pareto, replicate, sweep
from .health.kubernetes import KubernetesHealthChecks
from .health.pod import KubernetesPod, PodState, RestartBackoff
from .health.probe import KubernetesProbe
from .health.registry import HealthCheck, HealthCheckRegistry
from .health.status import Health, HealthStatus, SystemHealth
from .lab.faults import CapacityLoss, Errors, Outage, Slowdown
from .lab.result import Result
from .lab.run import simulate
from .lab.scenario import Operation, Scenario
from .lab.service import Service
from .lab.tiers import Downstream, Tier, chain
from .lab.trace import BadRow, Trace
from .lab.trace_file import read_trace
from .lab.trace_text import TraceError
from .lab.workload import ClosedLoop, Poisson, Replay, Schedule, Steady
from .resilience.adaptive_throttle import AdaptiveThrottle
from .resilience.backoff import Backoff
from .resilience.base import LivePolicy, Policy
from .resilience.breaker_rules import HalfOpenRule, OpenRule
from .resilience.bulkhead import Bulkhead
from .resilience.circuit_breaker import CircuitBreaker, CircuitState
from .resilience.fallback import Fallback
from .resilience.hedge import Hedge
from .resilience.policy import ResiliencePolicy, compose
from .resilience.rate_limiter import RateLimiter
from .resilience.resilient_service import ResilientService
from .resilience.retry import Retry
from .resilience.retry_budget import RetryBudget
from .resilience.timeout import Timeout
from .resilience.windows import CountWindow, TimeWindow
from .selection import pattern_table, scorecard, when_to_use
from .worlds.consumers import Consumers
from .worlds.fleet import Fleet
from .worlds.fleet_result import FleetResult
from .worlds.fleet_scenario import FleetScenario
from .worlds.messaging import MessagingScenario
from .worlds.messaging_result import MessagingResult
from .worlds.outbox import OutboxScenario
from .worlds.replica import Dependency, ReplicaFault
from .worlds.saga import SagaScenario

__all__ = [
    "AcknowledgementError",
    "Actor",
    "AdaptiveThrottle",
    "Backoff",
    "BadRow",
    "BrokerUnavailableError",
    "Bulkhead",
    "BulkheadFullError",
    "CallRejectedError",
    "CapacityLoss",
    "CircuitBreaker",
    "CircuitOpenError",
    "CircuitState",
    "ClosedLoop",
    "ConnectionPool",
    "Constant",
    "ConsumerCrashError",
    "Consumers",
    "CountWindow",
    "Crash",
    "CreateOrderSaga",
    "Database",
    "Deadline",
    "DeclinedError",
    "Delivery",
    "Dependency",
    "Downstream",
    "DownstreamError",
    "DualWriteOrderService",
    "Empirical",
    "Errors",
    "EventLog",
    "Explorer",
    "Exponential",
    "Fallback",
    "Fleet",
    "FleetResult",
    "FleetScenario",
    "Gamma",
    "HalfOpenRule",
    "Health",
    "HealthCheck",
    "HealthCheckRegistry",
    "HealthStatus",
    "Hedge",
    "IdempotentConsumer",
    "Inventory",
    "KubernetesHealthChecks",
    "KubernetesPod",
    "KubernetesProbe",
    "LivePolicy",
    "LogNormal",
    "Message",
    "MessageBroker",
    "MessagingResult",
    "MessagingScenario",
    "Mixture",
    "NestedTransactionError",
    "NoReplicaError",
    "NotAGeneratorError",
    "OpenRule",
    "Operation",
    "Order",
    "OrderEventPublisher",
    "OrderEventsConsumer",
    "OrderRepository",
    "OrderService",
    "Outage",
    "Outbox",
    "OutboxProcessor",
    "OutboxScenario",
    "Pareto",
    "Participant",
    "Payment",
    "PodState",
    "Poisson",
    "Policy",
    "PoolClosedError",
    "PoolTimeoutError",
    "RateLimitedError",
    "RateLimiter",
    "Replay",
    "ReplicaFault",
    "ReplicaLostError",
    "ReplicaRefusedError",
    "ResilienceError",
    "ResiliencePolicy",
    "ResilientService",
    "Response",
    "RestartBackoff",
    "Result",
    "Retry",
    "RetryBudget",
    "Saga",
    "SagaLog",
    "SagaResult",
    "SagaScenario",
    "SagaStep",
    "Scenario",
    "Schedule",
    "Service",
    "ServiceClient",
    "ServiceError",
    "ServiceOverloadedError",
    "Slider",
    "Slowdown",
    "StatusError",
    "Steady",
    "SystemHealth",
    "ThrottledError",
    "Tier",
    "TimeWindow",
    "Timeout",
    "TimeoutExceededError",
    "Trace",
    "TraceError",
    "UnfinishedRunError",
    "Uniform",
    "UnknownTopicError",
    "UnwantedResultError",
    "chain",
    "compare",
    "compose",
    "crash",
    "every_crash",
    "expected_saga",
    "explore",
    "intervals",
    "mean_deliveries",
    "nothing_to_undo",
    "pareto",
    "pattern_table",
    "plots",
    "read_trace",
    "replicate",
    "scorecard",
    "simulate",
    "subscribe",
    "sweep",
    "theory",
    "when_to_use",
    "widgets",
]

_LAZY = {
    "Explorer": "widgets",
    "Slider": "widgets",
    "explore": "widgets",
    "plots": "plots",
    "theory": "theory",
    "widgets": "widgets",
}


if TYPE_CHECKING:
    from . import plots, theory, widgets
    from .widgets import Explorer, Slider, explore
else:

    def __getattr__(name: str) -> object:
        """Load what is not needed in every model, matplotlib and ipywidgets among it, when it is first used."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = _import_module(f".{_LAZY[name]}", __name__)
        return module if name == _LAZY[name] else getattr(module, name)


def __dir__() -> list[str]:
    """Offer the public names, and not the folders that they come from, to whoever presses Tab."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
