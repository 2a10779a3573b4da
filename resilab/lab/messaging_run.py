"""Play a messaging scenario: publish each event, handle each copy, and gather the rows."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import simpy

from ..communication.message import Delivery, Message
from ..communication.subscription import Consumer, Subscription
from ..engine import Request, Steps, schedule_at, start
from ..errors import NEVER_HANDLED, ConsumerCrashError, ResilienceError, ServiceError, UnfinishedRunError
from ..events import EventLog
from ..randomness import KeyedDraws, uniform
from .faults import CapacityLoss, Errors, Outage, Slowdown
from .messaging import TOPIC, Consumers, MessagingScenario
from .messaging_result import MessagingResult
from .records import ATTEMPT_FIELDS, DEGRADED, FAILURE, OPEN, OUTCOMES, SUCCESS, TIMEOUT, Causes
from .run import cause_of

_CODES = {word: code for code, word in enumerate(OUTCOMES)}


def play(scenario: MessagingScenario, seed: int, horizon: float | None, record: bool) -> MessagingResult:
    """Play *scenario*; see `rl.simulate`."""
    return _MessagingRun(scenario, seed, record).play(horizon)


class _Group:
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
        return math.prod(fault.factor for fault in self._active(Slowdown))

    def _failure_rate(self) -> float:
        rates = [self.spec.failure_rate, *(fault.rate for fault in self._active(Errors))]
        rates += [1.0 for fault in self._active(Outage) if fault.mode == "error"]
        return 1.0 - math.prod(1.0 - rate for rate in rates)

    def _wait_for_dependency(self) -> Steps:
        while hangs := [fault.end for fault in self._active(Outage) if fault.mode == "hang"]:
            end = max(hangs)
            yield self.env.event() if end == math.inf else self.env.timeout(end - self.env.now)


class _MessagingRun:
    def __init__(self, scenario: MessagingScenario, seed: int, record: bool) -> None:
        self.scenario = scenario
        self.seed = seed
        self.env = env = simpy.Environment()
        self.log = EventLog() if record else None
        self.causes = Causes()
        self.broker = scenario.broker.bind(env, seed=seed, log=self.log)
        self.policy = scenario.policy.bind(env, seed=seed, log=self.log)
        self.groups = [_Group(env, spec, seed) for spec in scenario.consumers]
        self.subscriptions = [self._subscribe(group) for group in self.groups]
        self.ends: dict[int, tuple[float, int, int]] = {}  # publications that were not stored
        self.arrivals = scenario.workload.arrivals(scenario.duration, seed)  # type: ignore[arg-type]
        self._keys = KeyedDraws(seed, "keys", uniform)
        self._is_over = False
        self._next = 0
        self._schedule_next()

    def _subscribe(self, group: _Group) -> Subscription:
        spec = group.spec
        subscription = self.broker.subscribe(
            TOPIC,
            group.handle,
            group=spec.name,
            concurrency=spec.count,
            acknowledge=spec.acknowledge,
            ordered=spec.ordered,
            ack_deadline=spec.ack_deadline,
            max_deliveries=spec.max_deliveries,
            redelivery_delay=spec.redelivery_delay,
        )
        for fault in spec.faults:
            if isinstance(fault, CapacityLoss):
                self._at(fault.start, lambda _, fault=fault: _lose(subscription.consumers, fault))
        return subscription

    def _at(self, time: float, act: Any) -> None:
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        event.callbacks.append(act)  # type: ignore[union-attr]
        schedule_at(self.env, event, time)

    def _schedule_next(self) -> None:
        if self._next < len(self.arrivals):
            self._at(float(self.arrivals[self._next]), self._arrive)

    def _arrive(self, _: Any) -> None:
        number = self._next
        self._next += 1
        self._schedule_next()
        request = Request(number, number)
        start(self.env, self._publish(number, request), request)

    def _publish(self, number: int, request: Request) -> Steps:
        keys = self.scenario.keys
        key = int(self._keys(number) * keys) if keys else None

        def publish() -> Steps:
            return (yield from self.broker.publish(TOPIC, number, key=key, event_id=number))

        try:
            yield from self.policy.run(publish)
        except NEVER_HANDLED:
            if not self._is_over:
                raise
        except Exception as error:
            outcome = _CODES[error.outcome] if isinstance(error, ResilienceError) else FAILURE
            self.ends[number] = (self.env.now, outcome, self.causes.code(cause_of(error)))
        else:
            if request.handled is not None:
                self.ends[number] = (self.env.now, DEGRADED, self.causes.code(cause_of(request.handled)))

    def play(self, horizon: float | None) -> MessagingResult:
        self.env.run(horizon)
        self._is_over = True
        waiting = sum(subscription.lag for subscription in self.subscriptions)
        if waiting and horizon is None:
            raise UnfinishedRunError(
                f"{waiting} messages are never done with: no consumer is left, or none can work."
                " Give simulate a horizon."
            )
        columns = self._request_columns()
        attempt_rows = None if self.log is None else self._attempt_rows()
        return MessagingResult(
            scenario=self.scenario,  # type: ignore[arg-type]
            seed=self.seed,
            horizon=horizon,
            columns=columns,
            causes=tuple(self.causes.words),
            services=tuple(group.spec.name for group in self.groups),
            attempt_rows=attempt_rows,
            event_rows=None if self.log is None else tuple(self._event_row(row) for row in self.log.rows),
            message_rows=tuple(self.broker.message_rows()),
            delivery_rows=tuple(self.broker.delivery_rows()),
            effects=self._effects(),
        )

    def _effects(self) -> np.ndarray:
        count = self._next
        return np.array([[group.effects[event] for group in self.groups] for event in range(count)], int).reshape(-1)

    def _request_columns(self) -> dict[str, np.ndarray]:
        """Return one row an event and group, in order of arrival."""
        events, width = self._next, len(self.groups)
        size = events * width
        columns = {
            "arrival": np.repeat(self.arrivals[:events], width),
            "end": np.full(size, np.nan),
            "outcome": np.full(size, OPEN, np.int8),
            "cause": np.zeros(size, np.int16),
            "attempts": np.zeros(size, np.int32),
            "client": np.zeros(size, np.int32),
            "operation": np.tile(np.arange(width, dtype=np.int16), events),
        }
        for number, (end, outcome, cause) in self.ends.items():
            rows = slice(number * width, (number + 1) * width)
            columns["end"][rows], columns["outcome"][rows], columns["cause"][rows] = end, outcome, cause
        for index, (group, subscription) in enumerate(zip(self.groups, self.subscriptions, strict=True)):
            for copy in subscription.copies:
                event = copy.message.payload
                row = event * width + index
                columns["attempts"][row] += copy.deliveries
                if event in group.first_effect:
                    columns["end"][row], columns["outcome"][row] = group.first_effect[event], SUCCESS
                    columns["cause"][row] = 0
                elif not copy.is_open:
                    word = "dead_letter" if copy.status == "dead_lettered" else "lost"
                    columns["end"][row], columns["outcome"][row] = copy.settled, FAILURE
                    columns["cause"][row] = self.causes.code(word)
        return columns

    def _attempt_rows(self) -> np.ndarray:
        width = len(self.groups)
        numbers: dict[int, int] = defaultdict(int)
        rows = []
        for index, subscription in enumerate(self.subscriptions):
            for delivery in subscription.deliveries:
                row = delivery.message.payload * width + index
                numbers[row] += 1
                rows.append((row, numbers[row], *self._attempt(delivery), index))
        array = np.array(rows, dtype=np.float64).reshape(-1, len(ATTEMPT_FIELDS))
        return array[np.lexsort((array[:, 1], array[:, 0]))]

    def _attempt(self, delivery: Delivery) -> tuple[float, ...]:
        """Return start, end, outcome, cause, work_start and work_end of a delivery."""
        end = self.env.now if math.isnan(delivery.end) else delivery.end
        if math.isnan(delivery.end):
            outcome, cause = OPEN, 0
        elif delivery.cause:
            outcome, cause = FAILURE, self.causes.code(delivery.cause)
        elif delivery.outcome in ("acknowledged", "open"):
            outcome, cause = SUCCESS, 0
        else:
            outcome, cause = TIMEOUT, self.causes.code("ack_deadline")
        return delivery.ready, end, outcome, cause, delivery.start, end

    def _event_row(self, row: tuple[float, str, str, int, str]) -> tuple[float, str, str, int, str]:
        """Let an event name the row of its group, not the number of the message."""
        time, source, type, number, detail = row
        if number < 0:
            return row
        names = [f"{self.scenario.broker.name}/{group.spec.name}" for group in self.groups]
        index = names.index(source) if source in names else 0
        return time, source, type, number * len(self.groups) + index, detail


def _lose(consumers: list[Consumer], fault: CapacityLoss) -> None:
    """Let as many consumers die as the fault says, those that live first."""
    alive = [consumer for consumer in consumers if consumer.is_up]
    for consumer in alive[: fault.workers]:
        consumer.crash(fault.duration)
