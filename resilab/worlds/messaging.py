"""MessagingScenario: publishers, a broker, groups of consumers, and the run that plays them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import numpy as np

from ..communication.broker import MessageBroker
from ..communication.message import Delivery
from ..communication.subscription import Consumer, Subscription
from ..engine import Steps, at, request_of
from ..errors import UnfinishedRunError
from ..events import Event
from ..lab.faults import CapacityLoss
from ..lab.records import ATTEMPT, FAILURE, OPEN, SUCCESS, TIMEOUT, in_order
from ..lab.run import Run, Stream
from ..lab.service import Service
from ..lab.workload import Workload, duration_of
from ..lab.world import World
from ..randomness import KeyedDraws, uniform
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import Natural, Positive, many
from .consumers import Consumers, Group
from .messaging_result import MessagingResult

TOPIC = "events"


@dataclass(frozen=True)
class MessagingScenario(World[MessagingResult]):
    """Events that are published to a broker and handled by groups of consumers.

    `rl.simulate` plays it. A request is an event for one group: it arrives when it is
    to be published, it ends when its effect has taken place for the first time. An
    attempt is a delivery. What is never handled is a failure whose cause says why:
    "dead_letter", "lost", or the error that publishing ended with.

    Args:
        workload: When events are to be published.
        broker: The `MessageBroker`.
        consumers: One group or several; each gets every event.
        policy: Policies around publishing.
        keys: How many different keys the events have; handling is in order within
            each. 0 gives them no key, and no order.
        duration: Simulated seconds in which events are published. None is the duration
            of a `Replay`.

    Example:
        >>> from resilab import Steady, simulate
        >>> result = simulate(MessagingScenario(Steady(rate=10), duration=1.0), seed=1)
        >>> result.counts()["success"], result.messages["status"].unique().tolist()
        (10, ['acknowledged'])
    """

    workload: Workload
    broker: MessageBroker = field(default_factory=MessageBroker)
    consumers: Annotated[tuple[Consumers, ...], many(Consumers)] = (Consumers(),)
    policy: Policy = field(default_factory=ResiliencePolicy)
    keys: Natural = 0
    duration: Positive | None = None

    def __post_init__(self) -> None:
        names = [group.name for group in self.consumers]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"consumers must be groups with different names, got {names}")
        if self.broker.topics is not None and TOPIC not in self.broker.topics:
            raise ValueError(f"topics of the broker must contain {TOPIC!r}, got {self.broker.topics!r}")
        duration_of(self)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the groups, if there are several."""
        return tuple(group.name for group in self.consumers) if len(self.consumers) > 1 else ()

    @property
    def services(self) -> tuple[Service, ...]:
        """The groups as services, each with the faults of the broker on top."""
        return tuple(group.as_service(self.broker.faults) for group in self.consumers)

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> MessagingResult:
        return _MessagingRun(self, seed, record).result_at(horizon)


class _MessagingRun(Run):
    """One run: a request is an event, until the result has a row for each event and group."""

    scenario: MessagingScenario

    def __init__(self, scenario: MessagingScenario, seed: int, record: bool) -> None:
        super().__init__(scenario, seed, record, [Stream("", scenario.workload)])
        self.broker = scenario.broker.bind(self.env, seed=seed, log=self.log)
        self.policy = scenario.policy.bind(self.env, seed=seed, log=self.log)
        self.groups = [Group(self.env, spec, seed) for spec in scenario.consumers]
        self.subscriptions = [self._subscribe(group) for group in self.groups]
        self._keys = KeyedDraws(seed, "keys", uniform)
        self.calls = [[self._publish]]

    def _subscribe(self, group: Group) -> Subscription:
        spec = group.spec
        subscription: Subscription = self.broker.subscribe(
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
                at(self.env, fault.start, partial(_lose, subscription.consumers, fault))
        return subscription

    def _publish(self) -> Steps:
        request: Any = request_of(self.env.active_process)
        number, keys = request.id, self.scenario.keys
        key = int(self._keys(number) * keys) if keys else None

        def publish() -> Steps:
            return (yield from self.broker.publish(TOPIC, number, key=key, event_id=number))

        return (yield from self.policy.run(publish))

    def result_at(self, horizon: float | None) -> MessagingResult:
        """Play to the end, or to the horizon."""
        self.play(horizon)
        waiting = sum(subscription.lag for subscription in self.subscriptions)
        if waiting and horizon is None:
            raise UnfinishedRunError(
                f"{waiting} messages are never done with: no consumer is left, or none can work."
                " Give simulate a horizon."
            )
        columns = self._group_columns()
        attempt_rows = None if self.log is None else self._attempt_rows()
        return self.result(
            MessagingResult,
            horizon,
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
        counts = [[group.effects[event] for group in self.groups] for event in range(self.count)]
        return np.array(counts, int).reshape(-1)

    def _group_columns(self) -> dict[str, np.ndarray]:
        """Return one row an event and group, in order of arrival."""
        width = len(self.groups)
        published = self.columns.first(self.count)
        columns = {name: np.repeat(values, width) for name, values in published.items()}
        is_stored = columns["outcome"] == SUCCESS  # what becomes of it is not known yet
        columns["outcome"][is_stored] = OPEN
        columns["end"][is_stored] = np.nan
        columns["attempts"][:] = 0
        columns["operation"] = np.tile(np.arange(width, dtype=np.int16), self.count)
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
        return in_order(np.array(rows, ATTEMPT))

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

    def _event_row(self, event: Event) -> Event:
        """Let an event name the row of its group, not the number of the message."""
        if event.request_id < 0:
            return event
        names = [f"{self.scenario.broker.name}/{group.spec.name}" for group in self.groups]
        index = names.index(event.source) if event.source in names else 0
        return event._replace(request_id=event.request_id * len(self.groups) + index)


def _lose(consumers: list[Consumer], fault: CapacityLoss, _: Any) -> None:
    """Let as many consumers die as the fault says, those that live first."""
    alive = [consumer for consumer in consumers if consumer.is_up]
    for consumer in alive[: fault.workers]:
        consumer.crash(fault.duration)
