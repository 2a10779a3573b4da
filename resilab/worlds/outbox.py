"""OutboxScenario: orders in a database and messages about them in a broker, and the run that plays them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import simpy

from ..communication.broker import MessageBroker
from ..communication.message import Message
from ..consistency.crash import crash, is_crash
from ..consistency.database import Database
from ..consistency.order_saga import DualWriteOrderService, OrderService
from ..consistency.outbox import Outbox
from ..consistency.outbox_processor import OutboxProcessor
from ..engine import Gone, Steps, interrupt, request_of, start
from ..errors import ResilienceError, UnfinishedRunError
from ..lab.records import SUCCESS, TIMEOUT
from ..lab.run import Run, Stream
from ..lab.workload import Poisson, Workload
from ..lab.world import World
from ..randomness import KeyedDraws, uniform
from ..validation import Positive, Ratio, word
from .outbox_result import OutboxRunResult

APPROACHES = ("outbox", "commit_first", "publish_first", "publish_inside")


@dataclass(frozen=True)
class OutboxScenario(World[OutboxRunResult]):
    """Create orders and tell the world about them, while things crash.

    Every order is a row in a database and a message in a broker. `rl.simulate` plays
    it: a request is an order, a success is one whose creator got an answer; an attempt
    is a publish of its message.

    Args:
        workload: When orders arrive.
        approach: "outbox" writes the message into the transaction of the order, and a
            processor publishes it. The others write twice: "commit_first" publishes
            after the commit, "publish_first" before the transaction, "publish_inside"
            before its commit.
        database: Where the orders are, and what its statements and commits cost.
        processor: What publishes the outbox.
        broker: Where messages go; its latency and its outages.
        crash_rate: Share of the orders whose service dies within the first `work_time`
            seconds, from 0 to 1. The moments are the same in every approach; who has
            answered by then is not hurt.
        idempotent: Whether the consumer heeds the event id, so that duplicates do nothing.
        duration: Simulated seconds in which orders arrive.

    Example:
        >>> from resilab import simulate
        >>> scenario = OutboxScenario(crash_rate=0.5, duration=10.0)
        >>> simulate(scenario, seed=1).flow()["lost"]
        0
        >>> simulate(scenario.replace(approach="commit_first"), seed=1).flow()["lost"] > 0
        True
    """

    workload: Workload = field(default_factory=lambda: Poisson(rate=10))
    approach: Annotated[str, word(*APPROACHES)] = "outbox"
    database: Database = field(default_factory=lambda: Database(statement_time=0.002, commit_time=0.01))
    processor: OutboxProcessor = field(default_factory=OutboxProcessor)
    broker: MessageBroker = field(default_factory=lambda: MessageBroker(latency=0.005))
    crash_rate: Ratio = 0.0
    idempotent: bool = True
    duration: Positive = 60.0

    @property
    def faults(self) -> tuple[Any, ...]:
        """The outages of the broker."""
        return self.broker.faults

    @property
    def work_time(self) -> float:
        """Seconds that the order service works on an order when it waits for nothing."""
        database = self.database
        return float(2 * database.statement_time + database.commit_time + 2 * self.broker.latency.mean)

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> OutboxRunResult:
        return _OutboxRun(self, seed, record).result_at(horizon)


class OrderCrashedError(ResilienceError):
    """The order service died before it could answer."""

    cause = "crashed"


class _OutboxRun(Run):
    """One run: the order service, the database, the processor, the broker, a consumer."""

    scenario: OutboxScenario

    def __init__(self, scenario: OutboxScenario, seed: int, record: bool) -> None:
        super().__init__(scenario, seed, record, [Stream("", scenario.workload)])
        env = self.env
        columns = self.columns_of(scenario.broker.name)
        self._record = None if columns is None else columns.append
        self.broker = scenario.broker.bind(env, seed=seed, log=self.log)
        self.subscription = self.broker.subscribe("OrderCreated", self._consume, group="consumer")
        self.database = scenario.database.bind(env)
        self.effects: Counter[Hashable] = Counter()
        self._sent: Counter[int] = Counter()
        self._crashes = KeyedDraws(seed, "order_service/crash", uniform)
        self._moments = KeyedDraws(seed, "order_service/moment", uniform)
        self.processor = None
        self.outbox = None
        if scenario.approach == "outbox":
            self.outbox = Outbox().bind(self.database)
            self.processor = scenario.processor.bind(self.outbox, self, seed=seed, log=self.log)
            self.service: Any = OrderService(self.database, self.outbox)
            self.on_all_ended = self.processor.stop
        else:
            self.service = DualWriteOrderService(self.database, self, scenario.approach)
        self.calls = [[self._order]]

    def result_at(self, horizon: float | None) -> OutboxRunResult:
        """Play to the end, or to the horizon."""
        if horizon is None:
            self._refuse_endless()
        self.play(horizon)
        if self.processor is not None and self.processor.actor.process.is_alive:
            self.processor.actor.process.defused = True
            interrupt(self.processor.actor.process, Gone("horizon"))
        stored: defaultdict[int, list[float]] = defaultdict(list)
        for copy in self.subscription.copies:
            stored[copy.message.event_id].append(copy.message.published)
        orders = {row["id"] - 1: row["created_at"] for row in self.database.rows("orders")}
        for number in range(self.count):
            self.columns.attempts[number] = self._sent[number]
        return self.result(
            OutboxRunResult,
            horizon,
            services=(self.scenario.broker.name,),
            message_rows=tuple(
                self._message_row(number, orders.get(number), stored[number]) for number in range(self.count)
            ),
            tables={name: self._table(name) for name in self.database.tables},
            transactions=self.database.commits,
        )

    def _order(self) -> Steps:
        request: Any = request_of(self.env.active_process)
        number = request.id
        order = {"id": number + 1, "customer_id": number % 100, "total": 10.0}
        rate = self.scenario.crash_rate
        if not rate or self._crashes(number) >= rate:
            yield from self.service.create_order(order)
            return
        work = start(self.env, self.service.create_order(order), request)
        killer = self.env.timeout(self._moments(number) * self.scenario.work_time)
        killer.callbacks.append(partial(_kill, work))
        try:
            yield work
        except simpy.Interrupt as signal:
            if is_crash(signal):
                raise OrderCrashedError(f"the order service died with order {number + 1}") from None
            work.defused = True
            if work.is_alive:
                interrupt(work, signal.cause)
            raise

    def publish(self, topic: str, payload: Any, *, key: Hashable = None) -> Steps:
        """Publish to the broker, and write down what came of it."""
        number = payload["id"] - 1
        began = self.env.now
        outcome, cause = SUCCESS, 0
        self._sent[number] += 1
        send = self._sent[number]
        try:
            yield from self.broker.publish(topic, payload, key=key, event_id=number)
        except simpy.Interrupt:
            outcome, cause = TIMEOUT, self.causes.code("crashed")
            raise
        except ResilienceError as error:
            outcome, cause = self.causes.of(error)
            raise
        finally:
            if self._record is not None:
                now = self.env.now
                self._record((number, send, began, now, outcome, cause, began, now))

    def _consume(self, message: Message) -> None:
        number = message.event_id
        if not (self.scenario.idempotent and self.effects[number]):
            self.effects[number] += 1

    def _refuse_endless(self) -> None:
        endless = [fault for fault in self.scenario.broker.faults if fault.end == math.inf]
        if endless and self.processor is not None:
            raise UnfinishedRunError(
                f"the outbox would never be empty: {endless[0]} of the broker has no end. Give simulate a horizon."
            )

    def _table(self, name: str) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
        rows = self.database.rows(name)
        columns = tuple(rows[0]) if rows else ()
        return columns, tuple(tuple(row.values()) for row in rows)

    def _message_row(self, number: int, created: float | None, published: list[float]) -> tuple[Any, ...]:
        first = published[0] if published else math.nan
        if created is None:
            status = "phantom" if published else "neither"
        elif published:
            status = "published"
        else:
            status = "waiting" if self.processor is not None else "lost"
        at = math.nan if created is None else created
        return (number, number + 1, at, first, first - at, len(published), self.effects[number], status)


def _kill(process: Any, _: Any) -> None:
    crash(process)
