"""The order events of the reference document, as an example to use and to copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..engine import Steps
from .broker import LiveMessageBroker
from .consumers import subscribe
from .message import Message


@dataclass(frozen=True)
class Order:
    """What a customer wants.

    Args:
        id: Number or name of the order.
        customer_id: Who wants it.
        items: What.
        total: What it costs.
    """

    id: Any
    customer_id: Any
    items: tuple[Any, ...] = ()
    total: float = 0.0


class NotificationService(Protocol):
    """Whoever tells the customer."""

    def send_order_confirmation(self, event: Message) -> Steps:
        """Tell the customer that the order was created."""
        ...


class OrderEventPublisher:
    """Publish what happens to orders; the customer is the key, so that events stay in order.

    Source: `OrderEventPublisher` of the reference document.
    """

    def __init__(self, message_broker: LiveMessageBroker) -> None:
        self.message_broker = message_broker

    def publish_order_created(self, order: Order) -> Steps:
        """Publish "order.created": `message = yield from publisher.publish_order_created(order)`."""
        event = {
            "order_id": order.id,
            "customer_id": order.customer_id,
            "items": order.items,
            "total": order.total,
            "timestamp": self.message_broker.env.now,
        }
        return (
            yield from self.message_broker.publish(
                "order.created", event, key=order.customer_id, event_id=("order.created", order.id)
            )
        )


class OrderEventsConsumer:
    """Confirm each order to its customer: `broker.register(OrderEventsConsumer(notification_service))`.

    Source: `OrderEventsConsumer` of the reference document.
    """

    def __init__(self, notification_service: NotificationService) -> None:
        self.notification_service = notification_service

    @subscribe("order.created")
    def on_order_created(self, event: Message) -> Steps:
        """Send the confirmation."""
        yield from self.notification_service.send_order_confirmation(event)
