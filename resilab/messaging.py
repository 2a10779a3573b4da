"""Messaging: a broker, its consumers and what is published, as parts and as a scenario."""

from .communication.broker import MessageBroker
from .communication.consumers import IdempotentConsumer, subscribe
from .communication.message import Delivery, Message
from .communication.order_events import Order, OrderEventPublisher, OrderEventsConsumer
from .worlds.consumers import Consumers
from .worlds.messaging import MessagingScenario
from .worlds.messaging_result import MessagingResult

__all__ = [
    "Consumers",
    "Delivery",
    "IdempotentConsumer",
    "Message",
    "MessageBroker",
    "MessagingResult",
    "MessagingScenario",
    "Order",
    "OrderEventPublisher",
    "OrderEventsConsumer",
    "subscribe",
]
