"""What helps to write consumers: marking methods, and making duplicates harmless."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator
from typing import Any

import simpy

from ..engine import Steps
from ..validation import instance
from .message import Message

_MARK = "__subscriptions__"


def subscribe(topic: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a method as the handler of a topic; `broker.register(consumer)` subscribes it.

    Args:
        topic: What to listen to.
        **options: Those of `LiveMessageBroker.subscribe`.

    Example:
        >>> class Mailer:
        ...     @subscribe("order.created", concurrency=2)
        ...     def on_order_created(self, message):
        ...         yield self.env.timeout(0.1)

    Source: `@Subscribe` of the reference document.
    """
    instance("topic", topic, str)

    def mark(handler: Callable[..., Any]) -> Callable[..., Any]:
        setattr(handler, _MARK, (*getattr(handler, _MARK, ()), (topic, options)))
        return handler

    return mark


def subscriptions_of(consumer: Any) -> Iterator[tuple[Callable[..., Any], str, dict[str, Any]]]:
    """Return the marked methods of an object with topic and options, in order of definition."""
    names = dict.fromkeys(name for kind in reversed(type(consumer).__mro__) for name in vars(kind))
    marked = [name for name in names if hasattr(getattr(type(consumer), name), _MARK)]
    if not marked:
        raise ValueError(f"consumer must have methods marked by subscribe, got {consumer!r}")
    for name in marked:
        handler = getattr(consumer, name)
        for topic, options in getattr(handler, _MARK):
            yield handler, topic, options


class IdempotentConsumer:
    """A handler that does its work once for each event, however often it is delivered.

    It remembers the event ids that were handled. A second delivery that comes while the
    first is at work waits for it: after a success it has nothing to do, after a failure
    or a crash it takes over. What a handler did before it crashed is done again, unless
    effect and memory are stored in one transaction.

    Args:
        env: The environment.
        handler: A generator function of a `Message`, or a plain one.
        identity: What makes two messages the same event; by default their `event_id`.

    Attributes:
        skipped: How many deliveries had nothing left to do.

    Example:
        >>> import simpy
        >>> env = simpy.Environment()
        >>> def charge(message):
        ...     yield env.timeout(1)
        ...     print("charged", message.payload)
        >>> from resilab import MessageBroker
        >>> broker = MessageBroker(ack_deadline=0.5).bind(env)
        >>> _ = broker.subscribe("payment", IdempotentConsumer(env, charge), concurrency=2)
        >>> def shop():
        ...     yield from broker.publish("payment", "order 7")
        >>> _ = env.process(shop())
        >>> env.run()
        charged order 7
    """

    def __init__(
        self,
        env: simpy.Environment,
        handler: Callable[[Message], Any],
        identity: Callable[[Message], Hashable] = lambda message: message.event_id,
    ) -> None:
        self.env = env
        self.skipped = 0
        self.__name__ = getattr(handler, "__name__", type(handler).__name__)
        self._handler = handler
        self._identity = identity
        self._handled: set[Hashable] = set()
        self._busy: dict[Hashable, list[simpy.Event]] = {}

    def __call__(self, message: Message) -> Steps:
        identity = self._identity(message)
        while identity in self._busy:
            turn = self.env.event()
            self._busy[identity].append(turn)
            yield turn
        if identity in self._handled:
            self.skipped += 1
            return
        self._busy[identity] = []
        try:
            answer = self._handler(message)
            if isinstance(answer, Generator):
                yield from answer
            self._handled.add(identity)
        finally:
            for turn in self._busy.pop(identity):
                turn.succeed()
