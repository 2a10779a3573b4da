"""MessageBroker: topics, consumer groups, at-least-once delivery, dead letters."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import simpy

from ..distributions import Law
from ..engine import Request, Steps, at, request_of
from ..errors import BrokerUnavailableError, UnknownTopicError
from ..events import EventLog
from ..randomness import KeyedDraws
from ..validation import (
    Count,
    NonNegative,
    PositiveOrInfinite,
    Rule,
    Spec,
    flag,
    function,
    instance,
    many,
    one_of,
    whole,
)
from .consumers import subscriptions_of
from .message import Copy, Message, Rows, deliveries_frame, delivery_rows, message_rows, messages_frame
from .subscription import Handler, Subscription

if TYPE_CHECKING:
    import pandas as pd


def _outages(name: str, value: Any) -> tuple[Any, ...]:
    faults = tuple(value) if isinstance(value, tuple | list) else (value,)
    for fault in faults:
        if not (hasattr(fault, "mode") and hasattr(fault, "end")):
            raise TypeError(f"{name} must be Outages, got {fault!r}")
    return faults


@dataclass(frozen=True)
class MessageBroker(Spec):
    """A broker that stores messages and delivers each at least once to every group.

    Each consumer group of a topic gets a copy of every message published after it has
    subscribed; inside a group each copy goes to one consumer. A copy that is not
    acknowledged within *ack_deadline* is delivered again, whatever has become of the
    consumer: a crash is not told apart from slowness. Messages with one key are handled
    in order of publication, one at a time in each group.

    If each delivery fails with probability p, a message is dead-lettered with
    probability p^max_deliveries and delivered (1 - p^max_deliveries) / (1 - p) times on
    average. An exponential handler is redelivered with probability e^(-deadline / mean).

    Args:
        topics: Names of the topics. None makes a topic when it is first used; with
            names, any other is an `UnknownTopicError`.
        ack_deadline: Seconds from delivery to acknowledgement. An acknowledgement at
            exactly the deadline is in time. Infinity never delivers again.
        max_deliveries: Deliveries of a copy before it is dead-lettered; None is no limit.
        redelivery_delay: Seconds before a message that a handler refused comes again.
        latency: Distribution of the time on the wire, or seconds: from publisher to
            broker, back with the confirmation, and from broker to consumer.
            Acknowledgements take no time.
        faults: Outages of the broker: `resilab.Outage` with mode "error" (publishing
            fails) or "hang" (it waits). Meanwhile nothing is delivered and
            acknowledgements are lost.
        durable: False keeps messages in memory: an outage loses what is not acknowledged.
        dead_letter_topic: Where dead letters are published, too. None is nowhere.
        name: What events call it.

    Example:
        >>> env = simpy.Environment()
        >>> broker = MessageBroker(ack_deadline=10).bind(env)
        >>> @broker.subscribe("order.created")
        ... def send_confirmation(message):
        ...     yield env.timeout(0.5)
        ...     print(env.now, message.payload)
        >>> def shop():
        ...     yield from broker.publish("order.created", {"order_id": 7})
        >>> _ = env.process(shop())
        >>> env.run()
        0.5 {'order_id': 7}

    Source: `messageBroker` of the reference document; the words are those of Google
    Pub/Sub, the meanings are shared by SQS (visibility timeout) and RabbitMQ.
    """

    topics: Annotated[tuple[str, ...], many(str)] | None = None
    ack_deadline: PositiveOrInfinite = 30.0
    max_deliveries: Count | None = 5
    redelivery_delay: NonNegative = 0.0
    latency: Law = 0.0
    faults: Annotated[tuple[Any, ...], Rule(_outages, "any number of Outage")] = ()
    durable: bool = True
    dead_letter_topic: str | None = None
    name: str = "broker"

    def bind(
        self, env: simpy.Environment, *, seed: int | None = None, log: EventLog | None = None
    ) -> LiveMessageBroker:
        """Make the live broker in *env*.

        Args:
            env: Any `simpy.Environment`.
            seed: Seed of its latencies. None draws a seed.
            log: Where to write redeliveries, dead letters, outages, losses, crashes.
        """
        return LiveMessageBroker(self, env, seed, log)


class LiveMessageBroker:
    """A message broker in an environment.

    Attributes:
        spec: What it was made from.
        env: The environment it lives in.
        subscriptions: The consumer groups, by topic and group.
        published: How many messages it has stored.
        refusals: How many it has refused because it was down.
    """

    def __init__(self, spec: MessageBroker, env: simpy.Environment, seed: int | None, log: EventLog | None) -> None:
        self.spec = spec
        self.env = env
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        self.published = 0
        self.refusals = 0
        self._log = log
        self._seed = random.getrandbits(32) if seed is None else seed
        self._has_latency = spec.latency.mean > 0
        self._wire = KeyedDraws(self._seed, f"{spec.name}/publish", spec.latency.sample)
        self._to_group: dict[str, KeyedDraws] = {}
        self._unrouted: list[Message] = []
        self._publications = 0
        for fault in spec.faults:
            self._at(fault.start, self._go_down)
            self._at(fault.end, self._come_up)

    @property
    def is_up(self) -> bool:
        """Whether the broker works now."""
        return not any(fault.start <= self.env.now < fault.end for fault in self.spec.faults)

    @property
    def dead_letters(self) -> list[Message]:
        """Messages that some group has given up, in order of publication."""
        letters = [letter for subscription in self.subscriptions.values() for letter in subscription.dead_letters]
        return sorted(letters, key=lambda message: message.id)

    @property
    def messages(self) -> pd.DataFrame:
        """One row a message and group, in order of publication.

        Columns: message_id, event_id, topic, group, key, published, handled_at (when a
        handler first did all its work), settled (when the broker was done with it),
        delay (from published to handled_at), status (waiting, in_flight, acknowledged,
        dead_lettered, lost, unrouted), deliveries, handled (how many times a handler
        did all its work: more than 1 is a duplicate, 0 of a settled one is a loss).
        """
        return messages_frame(self.message_rows())

    @property
    def deliveries(self) -> pd.DataFrame:
        """One row a delivery, in order of start.

        Columns: message_id, topic, group, consumer, delivery (from 1), ready (since when
        it waited), start, end (of the handler), outcome (what the broker saw: open,
        acknowledged, refused, expired, lost), cause, is_duplicate.
        """
        return deliveries_frame(self.delivery_rows())

    def message_rows(self) -> Rows:
        """Return what `messages` shows, as tuples."""
        return message_rows(list(self.subscriptions.values()), self._unrouted)

    def delivery_rows(self) -> Rows:
        """Return what `deliveries` shows, as tuples."""
        return delivery_rows(list(self.subscriptions.values()))

    def publish(self, topic: str, payload: Any = None, *, key: Hashable = None, event_id: Hashable = None) -> Steps:
        """Store a message: `message = yield from broker.publish("order.created", {...})`.

        The message is safe when this returns. A publisher that is cancelled while the
        confirmation is on its way cannot know whether it was stored: if it publishes
        again with the same *event_id*, an `IdempotentConsumer` sees one event.

        Args:
            topic: Where to.
            payload: What it says.
            key: Messages of one key are handled in order. None is no order.
            event_id: What it is about. None is the id of the message.

        Raises:
            UnknownTopicError: The broker has no such topic.
            BrokerUnavailableError: The broker is down.
        """
        self._check(topic)
        request = request_of(self.env.active_process)
        if request is None:
            request = Request(-1, self._publications)
            self._publications += 1
        send = request.sends
        request.sends += 1
        if self._has_latency:
            yield self.env.timeout(self._wire(request.key, 2 * send))
        while not self.is_up:
            yield from self._meet_outage()
        message = self._store(topic, payload, key, event_id, request)
        if self._has_latency:
            yield self.env.timeout(self._wire(request.key, 2 * send + 1))
        return message

    def subscribe(
        self,
        topic: str,
        handler: Handler | None = None,
        *,
        group: str | None = None,
        concurrency: int = 1,
        acknowledge: str = "after",
        ordered: bool = True,
        ack_deadline: float | None = None,
        max_deliveries: int | None = None,
        redelivery_delay: float | None = None,
    ) -> Any:
        """Let *handler* be called with each message of a topic; without one, be a decorator.

        Args:
            topic: What to listen to.
            handler: A generator function of a `Message`, or a plain function that
                returns None. An error gives the message back.
            group: Name of the consumer group. None is a group of its own, named after
                the handler. To join a group again adds consumers; its first member
                settles how it works.
            concurrency: Consumers, each of which handles one message at a time.
            acknowledge: "after" the handler is at least once: crashes make duplicates.
                "before" it is at most once: crashes make losses. "manual" hands the
                handler a `Delivery` to `ack` or `nack`.
            ordered: Whether messages of one key are handled in order.
            ack_deadline: Seconds; None is the broker's.
            max_deliveries: None is the broker's.
            redelivery_delay: Seconds; None is the broker's.

        Returns:
            The `Subscription`; as a decorator, the handler.

        Raises:
            UnknownTopicError: The broker has no such topic.
        """
        self._check(topic)
        whole("concurrency", concurrency, minimum=1)
        one_of("acknowledge", acknowledge, ("after", "before", "manual"))
        flag("ordered", ordered)
        if group is not None:
            instance("group", group, str)
        spec = self.spec
        options: dict[str, Any] = {
            "acknowledge": acknowledge,
            "ordered": ordered,
            "ack_deadline": spec.ack_deadline if ack_deadline is None else ack_deadline,
            "max_deliveries": spec.max_deliveries if max_deliveries is None else max_deliveries,
            "redelivery_delay": spec.redelivery_delay if redelivery_delay is None else redelivery_delay,
        }
        spec.replace(**{name: options[name] for name in ("ack_deadline", "max_deliveries", "redelivery_delay")})

        def join(handler: Handler) -> Subscription:
            function("handler", handler)
            name = group or self._free_name(topic, getattr(handler, "__name__", type(handler).__name__))
            subscription = self.subscriptions.get((topic, name))
            if subscription is None:
                subscription = self.subscriptions[topic, name] = Subscription(self, topic, name, **options)
            for _ in range(concurrency):
                subscription.join(handler)
            return subscription

        if handler is not None:
            return join(handler)

        def decorate(handler: Handler) -> Handler:
            join(handler)
            return handler

        return decorate

    def register(self, consumer: Any) -> None:
        """Subscribe the methods of an object that `resilab.subscribe` has marked."""
        for handler, topic, options in subscriptions_of(consumer):
            self.subscribe(topic, handler, **options)

    def delivery_latency(self, key: int, group: str, number: int) -> float:
        """Return the seconds from broker to consumer for a delivery."""
        if not self._has_latency:
            return 0.0
        if group not in self._to_group:
            stream = f"{self.spec.name}/{group}"
            self._to_group[group] = KeyedDraws(self._seed, stream, self.spec.latency.sample)
        return self._to_group[group](key, number - 1)

    def bury(self, message: Message) -> None:
        """Publish a dead letter where dead letters go."""
        topic = self.spec.dead_letter_topic
        if topic is not None and topic != message.topic:
            self._store(topic, message.payload, message.key, message.event_id, Request(-1, message.id))

    def write(self, type: str, request_id: int, detail: str, group: str = "") -> None:
        """Write an event, if there is a log."""
        if self._log is not None:
            source = f"{self.spec.name}/{group}" if group else self.spec.name
            self._log.append(self.env.now, source, type, request_id, detail)

    def _store(self, topic: str, payload: Any, key: Hashable, event_id: Hashable, request: Request) -> Message:
        number = self.published
        self.published += 1
        message = Message(number, topic, payload, key, number if event_id is None else event_id, self.env.now)
        groups = [subscription for (name, _), subscription in self.subscriptions.items() if name == topic]
        if not groups:
            self._unrouted.append(message)
        for subscription in groups:
            subscription.add(Copy(message, Request(request.id, request.key)))
        return message

    def _meet_outage(self) -> Steps:
        outages = [fault for fault in self.spec.faults if fault.start <= self.env.now < fault.end]
        if any(fault.mode == "error" for fault in outages):
            self.refusals += 1
            request = request_of(self.env.active_process)
            self.write("publish_failed", -1 if request is None else request.id, "broker is down")
            raise BrokerUnavailableError(f"{self.spec.name} is down")
        end = max(fault.end for fault in outages)
        yield self.env.event() if end == math.inf else self.env.timeout(end - self.env.now)

    def _check(self, topic: str) -> None:
        known = self.spec.topics
        if known is not None and topic not in known and topic != self.spec.dead_letter_topic:
            raise UnknownTopicError(f"topic must be one of {', '.join(map(repr, known))}, got {topic!r}")

    def _free_name(self, topic: str, name: str) -> str:
        names = [name, *(f"{name}_{number}" for number in range(2, len(self.subscriptions) + 3))]
        return next(each for each in names if (topic, each) not in self.subscriptions)

    def _at(self, time: float, act: Callable[[Any], None]) -> None:
        if self.env.now <= time < math.inf:
            at(self.env, time, act)

    def _go_down(self, _: Any) -> None:
        self.write("outage", -1, "starts")
        if not self.spec.durable:
            for subscription in self.subscriptions.values():
                subscription.forget()

    def _come_up(self, _: Any) -> None:
        if self.is_up:
            self.write("outage", -1, "ends")
            for subscription in self.subscriptions.values():
                subscription.dispatch()
