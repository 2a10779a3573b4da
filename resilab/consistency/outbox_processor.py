"""OutboxProcessor: the separate process that publishes what the outbox holds."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import simpy

from ..engine import Steps
from ..errors import NEVER_HANDLED
from ..events import EventLog
from ..randomness import KeyedDraws, uniform
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import (
    Count,
    NonNegative,
    Positive,
    Ratio,
    Spec,
    word,
)
from .crash import Actor, crashed
from .outbox import LiveOutbox, OutboxMessage


@dataclass(frozen=True)
class OutboxProcessor(Spec):
    """Publish the messages of an outbox, each at least once, and mark them.

    It polls: find what has no mark, publish it, mark it. If it dies between publish
    and mark, the message goes out again after the restart; nothing is ever lost.
    With a crash probability e after each publish, a message goes out 1 / (1 - e) times
    on average if each is marked on its own, and ((1 - e)^-b - 1) / (e b) times if
    batches of b are.

    Args:
        poll_interval: Seconds, above 0: see *mode*.
        batch_size: Messages that one poll takes at most. None takes all. It caps the
            throughput at batch_size / (poll_interval + batch_size * publish time).
        mode: "gated" publishes what the poll has found, then sleeps for
            *poll_interval*. "exhaustive" polls on until it finds nothing, then sleeps.
            "ticker" polls at multiples of *poll_interval*, late ones at once.
        mark: "each" marks a message right after its publish, "batch" all of a poll at
            its end: fewer statements, more duplicates after a crash.
        order: "aggregate" holds the later messages of an aggregate back when one
            cannot be published, "none" lets them overtake.
        policy: Policies around each publish.
        crash_rate: Probability to crash right after a publish, before the mark, from 0
            to 1 (not 1 itself).
        restart_delay: Seconds from a crash to the restart.
        name: What the events call it.

    Example:
        >>> OutboxProcessor(poll_interval=0.5, batch_size=10).poll_interval
        0.5

    Source: `OutboxProcessor` of the reference document.
    """

    poll_interval: Positive = 1.0
    batch_size: Count | None = 100
    mode: Annotated[str, word("gated", "exhaustive", "ticker")] = "gated"
    mark: Annotated[str, word("each", "batch")] = "each"
    order: Annotated[str, word("aggregate", "none")] = "aggregate"
    policy: Policy = field(default_factory=ResiliencePolicy)
    crash_rate: Ratio = 0.0
    restart_delay: NonNegative = 0.0
    name: str = "outbox_processor"

    def __post_init__(self) -> None:
        if self.crash_rate == 1:
            raise ValueError("crash_rate must be < 1, got 1: nothing would ever be marked")

    def bind(
        self, outbox: LiveOutbox, broker: Any, *, seed: int = 0, log: EventLog | None = None
    ) -> LiveOutboxProcessor:
        """Start the processor on *outbox*, in the environment of its database.

        Args:
            outbox: Where the messages are.
            broker: Anything with a method `publish(topic, payload)`, a generator or a
                plain function; a live `MessageBroker`, for instance. If it has
                parameters *key* and *event_id* it gets these too: the aggregate, and
                the id of the message, by which consumers know duplicates.
            seed: Seed of its crashes and of its policy.
            log: Where to write crashes and failed publishes. None writes nothing.
        """
        return LiveOutboxProcessor(self, outbox, broker, seed, log)


class LiveOutboxProcessor:
    """An outbox processor at work.

    Attributes:
        spec: What it was made from.
        outbox: What it reads.
        actor: Its process: `actor.crash()` kills it, and it starts again.
        deliveries: One row a publish that was answered: time, message id, number of
            the delivery of this message from 1, seconds since the message was written.
    """

    def __init__(self, spec: OutboxProcessor, outbox: LiveOutbox, broker: Any, seed: int, log: EventLog | None) -> None:
        env = outbox.database.env
        self.spec = spec
        self.env = env
        self.outbox = outbox
        self.deliveries: list[tuple[float, int, int, float]] = []
        self._seen: Counter[int] = Counter()
        self._publish = publisher(broker)
        policy = ResiliencePolicy(spec.policy).bind(env, seed=seed, log=log, name=spec.name)
        self._send = policy.around(self._publish)
        self._crash = KeyedDraws(seed, f"{spec.name}/crash", uniform)
        self._log = log
        self._stops = False
        self._has_started = False
        self._begun_at = env.now
        self._tick = 0
        self.actor = Actor(env, self._run, restart_delay=spec.restart_delay, name=spec.name, log=log)

    def stop(self) -> Any:
        """End when a poll finds nothing; returns the process that ends then.

        Without it the processor polls for ever, and `env.run()` needs an end.
        """
        self._stops = True
        return self.actor.process

    def process_outbox(self) -> Steps:
        """Do one poll; its value is (found, published)."""
        spec = self.spec
        messages = yield from self.outbox.find_unpublished(spec.batch_size)
        held: set[str] = set()
        unmarked: list[int] = []
        published = 0
        for message in messages:
            if message.key in held:
                continue
            try:
                yield from self._send(message)
            except NEVER_HANDLED:
                raise
            except Exception as error:
                self._note("publish_failed", f"message {message.id}: {error}")
                if spec.order == "aggregate":
                    held.add(message.key)
                continue
            published += 1
            self._deliver(message)
            if spec.mark == "each":
                yield from self.outbox.mark_published(message.id)
            else:
                unmarked.append(message.id)
        if unmarked:
            yield from self.outbox.mark_published(*unmarked)
        return len(messages), published

    def _deliver(self, message: OutboxMessage) -> None:
        now, number = self.env.now, self._seen[message.id] + 1
        self._seen[message.id] = number
        self.deliveries.append((now, message.id, number, now - message.created_at))
        if self.spec.crash_rate and self._crash(message.id, number - 1) < self.spec.crash_rate:
            raise crashed(f"after the publish of message {message.id}, before its mark")

    def _run(self) -> Steps:
        """Poll again and again; after a restart at once."""
        spec = self.spec
        if not self._has_started:
            self._has_started = True
            yield self._sleep()
        while True:
            found, published = yield from self.process_outbox()
            if spec.mode == "exhaustive" and published:
                continue
            if self._stops and not found:
                return
            yield self._sleep()

    def _sleep(self) -> simpy.Timeout:
        interval = self.spec.poll_interval
        if self.spec.mode != "ticker":
            return self.env.timeout(interval)
        self._tick += 1
        when = self._begun_at + self._tick * interval
        return self.env.timeout(max(0.0, when - self.env.now))

    def _note(self, type: str, detail: str) -> None:
        if self._log is not None:
            self._log.append(self.env.now, self.spec.name, type, -1, detail)


def publisher(broker: Any) -> Callable[[OutboxMessage], Steps]:
    """Return a generator function that publishes a message to *broker*."""
    publish = getattr(broker, "publish", broker)
    if not callable(publish):
        raise TypeError(f"broker must have a method publish(topic, payload), got {broker!r}")
    taken = {"key", "event_id"} & set(inspect.signature(publish).parameters)

    def send(message: OutboxMessage) -> Steps:
        words = {"key": message.key, "event_id": message.id}
        answer = publish(message.event_type, message.payload, **{name: words[name] for name in taken})
        if hasattr(answer, "throw"):
            answer = yield from answer
        return answer

    return send
