"""The reference's order publisher and consumer, translated line by line."""

from __future__ import annotations

import simpy

import resilab as rl


class NotificationService:
    def __init__(self, env):
        self.env = env
        self.sent = []

    def send_order_confirmation(self, event):
        yield self.env.timeout(0.2)
        self.sent.append((self.env.now, event.payload))


def test_the_orders_of_the_reference_are_published_and_confirmed():
    env = simpy.Environment()
    message_broker = rl.MessageBroker(topics=("order.created",)).bind(env)
    notification_service = NotificationService(env)
    publisher = rl.OrderEventPublisher(message_broker)
    message_broker.register(rl.OrderEventsConsumer(notification_service))

    def shop():
        yield env.timeout(5)
        yield from publisher.publish_order_created(rl.Order(id=7, customer_id="ann", items=("book",), total=12.5))

    env.process(shop())
    env.run()
    event = {"order_id": 7, "customer_id": "ann", "items": ("book",), "total": 12.5, "timestamp": 5}
    assert notification_service.sent == [(5.2, event)]


class OrderEventPublisher:
    """The reference's class, written anew with `publish` alone."""

    def __init__(self, message_broker):
        self.message_broker = message_broker

    def publish_order_created(self, order):
        yield from self.message_broker.publish("order.created", {"order_id": order.id, "total": order.total})


class OrderEventsConsumer:
    """The reference's class, with its decorator."""

    def __init__(self, notification_service):
        self.notification_service = notification_service

    @rl.subscribe("order.created", concurrency=2, group="mail")
    def on_order_created(self, event):
        yield from self.notification_service.send_order_confirmation(event)


def test_a_class_of_ones_own_subscribes_its_marked_methods():
    env = simpy.Environment()
    message_broker = rl.MessageBroker().bind(env)
    notification_service = NotificationService(env)
    publisher = OrderEventPublisher(message_broker)
    message_broker.register(OrderEventsConsumer(notification_service))
    for number in range(3):
        env.process(publisher.publish_order_created(rl.Order(number, "ann")))
    env.run()
    assert [time for time, _ in notification_service.sent] == [0.2, 0.2, 0.4]
    assert list(message_broker.deliveries["consumer"]) == ["mail/0", "mail/1", "mail/0"]
