"""Outbox: a database with transactions, messages that are written in them, and their relay."""

from .consistency.database import Database
from .consistency.order_saga import DualWriteOrderService, OrderService
from .consistency.outbox import Outbox
from .consistency.outbox_processor import OutboxProcessor
from .theory import mean_deliveries
from .worlds.outbox import OutboxScenario
from .worlds.outbox_result import OutboxRunResult

__all__ = [
    "Database",
    "DualWriteOrderService",
    "OrderService",
    "Outbox",
    "OutboxProcessor",
    "OutboxRunResult",
    "OutboxScenario",
    "mean_deliveries",
]
