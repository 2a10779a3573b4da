"""Subscriptions: a group of consumers, and the copies that wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Hashable
from typing import TYPE_CHECKING, Any

import simpy

from ..engine import Deadlines, Steps, interrupt, start
from ..errors import NEVER_HANDLED, ConsumerCrashError, NotAGeneratorError, ResilienceError, UnfinishedRunError
from ..validation import non_negative
from .message import ACKNOWLEDGED, DEAD_LETTERED, IN_FLIGHT, LOST, WAITING, Copy, Delivery, Message

if TYPE_CHECKING:
    from .broker import LiveMessageBroker

ENDLESS = 100_000
"""Deliveries of one copy after which a run is taken to be endless."""

Handler = Callable[[Any], Any]


class Subscription:
    """A consumer group on a topic: each message goes to one of its consumers.

    Attributes:
        topic: What it listens to.
        group: Its name.
        consumers: The consumers, in the order in which they came.
        copies: All copies it has got, in order of publication.
        deliveries: All deliveries, in order of start.
        dead_letters: Messages that were given up.
        lag: Copies that the broker still has to deliver or see acknowledged.
    """

    def __init__(
        self,
        broker: LiveMessageBroker,
        topic: str,
        group: str,
        *,
        acknowledge: str,
        ordered: bool,
        ack_deadline: float,
        max_deliveries: int | None,
        redelivery_delay: float,
    ) -> None:
        self.topic = topic
        self.group = group
        self.acknowledge = acknowledge
        self.ordered = ordered
        self.max_deliveries = max_deliveries
        self.redelivery_delay = redelivery_delay
        self.consumers: list[Consumer] = []
        self.copies: list[Copy] = []
        self.deliveries: list[Delivery] = []
        self.dead_letters: list[Message] = []
        self.lag = 0
        self._broker = broker
        self._env = broker.env
        self._ready: deque[tuple[float, Copy]] = deque()
        self._behind: dict[Hashable, deque[Copy]] = {}  # by key: copies behind the one that is out
        self._idle: deque[Consumer] = deque()
        self._deadlines = Deadlines(broker.env, ack_deadline, self._expire)
        self._is_dispatching = False

    def join(self, handler: Handler) -> Consumer:
        """Add a consumer that calls *handler* for each message it gets."""
        consumer = Consumer(self, f"{self.group}/{len(self.consumers)}", handler)
        self.consumers.append(consumer)
        self.is_free(consumer)
        return consumer

    def add(self, copy: Copy) -> None:
        """Take a message from the broker, behind those of its key."""
        self.copies.append(copy)
        self.lag += 1
        key = copy.message.key
        if self.ordered and key is not None:
            if key in self._behind:
                self._behind[key].append(copy)
                return
            self._behind[key] = deque()
        self._enqueue(copy)

    def _enqueue(self, copy: Copy) -> None:
        copy.status = WAITING
        self._ready.append((self._env.now, copy))
        self.dispatch()

    def dispatch(self) -> None:
        """Hand copies to free consumers while there are both and the broker is up."""
        if self._is_dispatching:
            return
        self._is_dispatching = True
        while self._ready and self._idle and self._broker.is_up:
            ready, copy = self._ready.popleft()
            if copy.status == WAITING:
                self._hand_out(copy, ready, self._idle.popleft())
        self._is_dispatching = False

    def _hand_out(self, copy: Copy, ready: float, consumer: Consumer) -> None:
        copy.status = IN_FLIGHT
        copy.deliveries += 1
        delivery = Delivery(copy, consumer, ready, self._env.now)
        delivery.limit = self._deadlines.arm(delivery)
        self.deliveries.append(delivery)
        latency = self._broker.delivery_latency(copy.request.key, self.group, copy.deliveries)
        consumer.take(delivery, latency)

    def is_free(self, consumer: Consumer) -> None:
        """Give a consumer its next message, or let it wait for one."""
        self._idle.append(consumer)
        self.dispatch()

    def is_down(self, consumer: Consumer) -> None:
        """Give a consumer nothing until it is free again."""
        if consumer in self._idle:
            self._idle.remove(consumer)

    def accept(self, delivery: Delivery) -> bool:
        """Take an acknowledgement, if it comes in time and the broker is up."""
        if not self._hears(delivery, "ack"):
            return False
        delivery.outcome = "acknowledged"
        self._settle(delivery.copy, ACKNOWLEDGED)
        return True

    def refuse(self, delivery: Delivery) -> bool:
        """Take a message back that a consumer could not handle."""
        if not self._hears(delivery, "nack"):
            return False
        delivery.outcome = "refused"
        self._again(delivery.copy, self.redelivery_delay)
        return True

    def _hears(self, delivery: Delivery, answer: str) -> bool:
        if delivery.outcome != "open":
            self._note(f"late_{answer}", delivery.copy)
            return False
        if not self._broker.is_up:
            self._note(f"{answer}_lost", delivery.copy)
            return False
        delivery.limit[1] = None
        return True

    def _expire(self, entry: list[Any]) -> bool:
        delivery = entry[1]
        delivery.outcome = "expired"
        self._again(delivery.copy, 0.0)
        return True

    def _again(self, copy: Copy, delay: float) -> None:
        if self.max_deliveries is not None and copy.deliveries >= self.max_deliveries:
            self._note("dead_letter", copy, f"after {copy.deliveries} deliveries")
            self.dead_letters.append(copy.message)
            self._settle(copy, DEAD_LETTERED)
            self._broker.bury(copy.message)
            return
        if copy.deliveries >= ENDLESS:
            raise UnfinishedRunError(f"message {copy.message.id} was delivered {ENDLESS} times: set max_deliveries")
        copy.status = WAITING
        self._note("redelivery", copy, f"number {copy.deliveries + 1}")
        if delay:
            self._env.timeout(delay).callbacks.append(lambda _: self._enqueue_again(copy))
        else:
            self._enqueue(copy)

    def _enqueue_again(self, copy: Copy) -> None:
        if copy.status == WAITING:
            self._enqueue(copy)

    def _settle(self, copy: Copy, status: str) -> None:
        copy.status = status
        copy.settled = self._env.now
        self.lag -= 1
        key = copy.message.key
        if self.ordered and key is not None:
            behind = self._behind[key]
            if behind:
                self._enqueue(behind.popleft())
            else:
                del self._behind[key]

    def forget(self) -> None:
        """Lose every copy that is not settled: the broker kept them in memory only."""
        for delivery in self.deliveries:
            if delivery.outcome == "open":
                delivery.limit[1] = None
                delivery.outcome = "lost"
        for copy in self.copies:
            if copy.is_open:
                self._note("lost", copy)
                copy.status = LOST
                copy.settled = self._env.now
        self.lag = 0
        self._ready.clear()
        self._behind.clear()

    def _note(self, type: str, copy: Copy, detail: str = "") -> None:
        text = f"message {copy.message.id}" + (f", {detail}" if detail else "")
        self._broker.write(type, copy.request.id, text, self.group)


class Consumer:
    """A member of a group: it handles one message at a time.

    Attributes:
        subscription: Its group.
        name: What frames and events call it.
        is_up: Whether it lives.
        delivery: What it works on, or None.
        crashes: How many times it has died.
    """

    def __init__(self, subscription: Subscription, name: str, handler: Handler) -> None:
        self.subscription = subscription
        self.name = name
        self.handler = handler
        self.is_up = True
        self.delivery: Delivery | None = None
        self.crashes = 0
        self._env = subscription._env
        self._process: Any = None

    def take(self, delivery: Delivery, latency: float) -> None:
        """Start to work on a message."""
        self.delivery = delivery
        self._process = start(self._env, self._handle(delivery, latency), delivery.copy.request)

    def crash(self, restart_after: float = 0.0) -> None:
        """Die now, and come back after that many seconds; infinity is never.

        Nobody tells the broker: a message in the consumer's hands comes again when its
        deadline has passed. A consumer that is down already stays as it is.
        """
        non_negative("restart_after", restart_after, allow_infinite=True)
        if not self.is_up:
            return
        if self.delivery is None:
            self._die(restart_after)
        elif self._process is self._env.active_process:
            raise RuntimeError("a handler cannot crash its own consumer: raise ConsumerCrashError")
        else:
            interrupt(self._process, ConsumerCrashError("consumer crashed", restart_after))

    def _handle(self, delivery: Delivery, latency: float) -> Steps:
        mode = self.subscription.acknowledge
        crash = None
        try:
            if latency:
                yield self._env.timeout(latency)
            if mode == "before":
                delivery.ack()
            yield from self._work(delivery if mode == "manual" else delivery.message)
        except simpy.Interrupt as signal:
            if not isinstance(signal.cause, ConsumerCrashError):
                raise
            crash = signal.cause
        except NEVER_HANDLED:
            raise
        except ConsumerCrashError as error:
            crash = error
        except Exception as error:
            delivery.cause = error.cause if isinstance(error, ResilienceError) else type(error).__name__
            self._end(delivery)
            if not delivery.is_answered:
                delivery.nack()
        else:
            self._end(delivery)
            if not delivery.is_refused:
                delivery.count_as_handled()
            if mode == "after":
                delivery.ack()
        if crash is None:
            self.subscription.is_free(self)
        else:
            delivery.cause = "crash"
            self._end(delivery)
            self._die(crash.restart_after)

    def _work(self, argument: Any) -> Steps:
        answer = self.handler(argument)
        if isinstance(answer, Generator):
            yield from answer
        elif answer is not None:
            raise NotAGeneratorError(f"a handler must be a generator function or return None, got {answer!r}")

    def _end(self, delivery: Delivery) -> None:
        delivery.end = self._env.now
        self.delivery = None

    def _die(self, restart_after: float) -> None:
        self.is_up = False
        self.crashes += 1
        self.subscription.is_down(self)
        self.subscription._broker.write("consumer_crash", -1, self.name, self.subscription.group)
        if restart_after < float("inf"):
            self._env.timeout(restart_after).callbacks.append(self._restart)

    def _restart(self, _: Any) -> None:
        self.is_up = True
        self.subscription._broker.write("consumer_restart", -1, self.name, self.subscription.group)
        self.subscription.is_free(self)
