"""Consumers: a group that handles messages, takes time, fails, dies, and takes effect."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated, Any

import simpy

from ..communication.message import Message
from ..distributions import Law
from ..engine import Steps
from ..errors import ConsumerCrashError, ServiceError
from ..lab.faults import Errors, Fault, Outage, Slowdown
from ..lab.service import Service
from ..randomness import KeyedDraws, uniform
from ..validation import (
    Count,
    NonNegative,
    NonNegativeOrInfinite,
    PositiveOrInfinite,
    Ratio,
    Spec,
    many,
    word,
)


@dataclass(frozen=True)
class Consumers(Spec):
    """A consumer group: how many, how long they take, and how they fail.

    The effect of a message, say an e-mail, takes place *effect_at* of the way through
    its handling. A consumer that dies later has done it, and has not said so.

    Args:
        count: Consumers, each handles one message at a time. Their capacity is count /
            mean handling time.
        handling_time: Distribution, or seconds.
        failure_rate: Share of handlings that fail before the effect, from 0 to 1.
        poison_rate: Share of messages whose every handling fails.
        crash_rate: Share of handlings in which the consumer dies, at any moment of it.
        restart_time: Seconds until a dead consumer is back.
        effect_at: From 0 (at the start) to 1 (at the end).
        idempotent: True remembers the effect in one transaction with it, so that no
            event takes effect twice; a known event is done with at once.
        acknowledge: "after" the handling (at least once) or "before" it (at most once).
        ack_deadline: Seconds; None is the broker's.
        max_deliveries: None is the broker's.
        redelivery_delay: Seconds; None is the broker's.
        ordered: Whether messages of one key are handled in order.
        faults: `Slowdown`, `Errors`, `Outage` (of what the handler calls) and
            `CapacityLoss` (consumers that die, and come back when it ends).
        name: Name of the group.

    Example:
        >>> Consumers(count=4, handling_time=0.1).capacity
        40.0
    """

    count: Count = 1
    handling_time: Law = 0.05
    failure_rate: Ratio = 0.0
    poison_rate: Ratio = 0.0
    crash_rate: Ratio = 0.0
    restart_time: NonNegativeOrInfinite = 1.0
    effect_at: Ratio = 0.5
    idempotent: bool = False
    acknowledge: Annotated[str, word("after", "before")] = "after"
    ack_deadline: PositiveOrInfinite | None = None
    max_deliveries: Count | None = None
    redelivery_delay: NonNegative | None = None
    ordered: bool = True
    faults: Annotated[tuple[Fault, ...], many(Fault)] = ()
    name: str = "consumers"

    @property
    def capacity(self) -> float:
        """The messages per second that the group can handle without faults."""
        return self.as_service().capacity

    def as_service(self, faults: tuple[Fault, ...] = ()) -> Service:
        """Return the group as metrics and pictures see it: a service with workers."""
        return Service(self.count, self.handling_time, faults=(*self.faults, *faults), name=self.name)


class Group:
    """The handler of one group: takes time, fails, crashes, takes effect."""

    def __init__(self, env: simpy.Environment, spec: Consumers, seed: int) -> None:
        self.env = env
        self.spec = spec
        self.effects: dict[int, int] = defaultdict(int)
        self.first_effect: dict[int, float] = {}
        self._tries: dict[int, int] = defaultdict(int)
        self._duration = KeyedDraws(seed, f"{spec.name}/handling", spec.handling_time.sample)
        names = ("failure", "crash", "moment", "poison")
        self._draw = {name: KeyedDraws(seed, f"{spec.name}/{name}", uniform) for name in names}

    def handle(self, message: Message) -> Steps:
        spec, env, draw = self.spec, self.env, self._draw
        event: int = message.payload
        if spec.idempotent and self.effects[event]:
            return
        number = self._tries[event]
        self._tries[event] += 1
        yield from self._wait_for_dependency()
        seconds = self._duration(event, number) * self._factor()
        crash = draw["moment"](event, number) if draw["crash"](event, number) < spec.crash_rate else 1.0
        fails = draw["poison"](event) < spec.poison_rate or draw["failure"](event, number) < self._failure_rate()
        before = min(crash, spec.effect_at) * seconds
        if before:
            yield env.timeout(before)
        if crash < spec.effect_at or (crash < 1 and fails):
            raise ConsumerCrashError("consumer crashed", spec.restart_time)
        if fails:
            raise ServiceError("the handler failed")
        self._take_effect(event)
        rest = min(crash, 1.0) * seconds - before
        if rest > 0:
            yield env.timeout(rest)
        if crash < 1:
            raise ConsumerCrashError("consumer crashed", spec.restart_time)

    def _take_effect(self, event: int) -> None:
        if self.effects[event] and self.spec.idempotent:
            return
        self.effects[event] += 1
        self.first_effect.setdefault(event, self.env.now)

    def _active(self, kind: type) -> list[Any]:
        return [f for f in self.spec.faults if isinstance(f, kind) and f.start <= self.env.now < f.end]

    def _factor(self) -> float:
        return float(math.prod(fault.factor for fault in self._active(Slowdown)))

    def _failure_rate(self) -> float:
        rates = [self.spec.failure_rate, *(fault.rate for fault in self._active(Errors))]
        rates += [1.0 for fault in self._active(Outage) if fault.mode == "error"]
        return float(1.0 - math.prod(1.0 - rate for rate in rates))

    def _wait_for_dependency(self) -> Steps:
        while hangs := [fault.end for fault in self._active(Outage) if fault.mode == "hang"]:
            end = max(hangs)
            yield self.env.event() if end == math.inf else self.env.timeout(end - self.env.now)
