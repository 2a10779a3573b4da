"""Play an outbox scenario."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable
from functools import partial
from typing import Any

import simpy

from ..communication.message import Message
from ..consistency.crash import crash, is_crash
from ..consistency.orders import DualWriteOrderService, OrderService
from ..consistency.outbox import Outbox
from ..engine import Request, Steps, interrupt, start
from ..errors import ResilienceError, UnfinishedRunError
from ..randomness import KeyedDraws, uniform
from .ordering import CODES, OrderRun
from .outbox_result import OutboxRunResult
from .outbox_scenario import OutboxScenario
from .records import SUCCESS, TIMEOUT, AttemptColumns
from .run import cause_of


class OrderCrashedError(ResilienceError):
    """The order service died before it could answer."""

    cause = "crashed"


class OutboxRun(OrderRun):
    """One run: the order service, the database, the processor, the broker, a consumer."""

    def __init__(self, scenario: OutboxScenario, seed: int, record: bool) -> None:
        super().__init__(scenario, seed, record)
        env = self.env
        if record:
            self.attempts[scenario.broker.name] = AttemptColumns()
        self._record = self.attempts[scenario.broker.name].append if record else None
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
            start(env, self._stop_processor())
        else:
            self.service = DualWriteOrderService(self.database, self, scenario.approach)

    def play(self, horizon: float | None) -> OutboxRunResult:
        """Play to the end, or to the horizon."""
        if horizon is None:
            self._refuse_endless()
        fields = self.run(horizon)
        if self.processor is not None and self.processor.actor.process.is_alive:
            self.processor.actor.process.defused = True
            interrupt(self.processor.actor.process, "horizon")
        stored: defaultdict[int, list[float]] = defaultdict(list)
        for copy in self.subscription.copies:
            stored[copy.message.event_id].append(copy.message.published)
        orders = {row["id"] - 1: row["created_at"] for row in self.database.rows("orders")}
        count = len(fields["columns"]["arrival"])
        fields["columns"]["attempts"][:] = [self._sent[number] for number in range(count)]
        fields["services"] = (self.scenario.broker.name,)
        tables = {name: self._table(name) for name in self.database.tables}
        rows = tuple(self._message_row(number, orders.get(number), stored[number]) for number in range(count))
        return OutboxRunResult(**fields, message_rows=rows, tables=tables, transactions=self.database.commits)

    def handle(self, request: Request) -> Steps:
        number = request.id
        order = {"id": number + 1, "customer_id": number % 100, "total": 10.0}
        rate = self.scenario.crash_rate
        if not rate or self._crashes(number) >= rate:
            yield from self.service.create_order(order)
            return
        work = start(self.env, self.service.create_order(order), request)
        killer = self.env.timeout(self._moments(number) * self.scenario.work_time)
        killer.callbacks.append(partial(_kill, work))  # type: ignore[union-attr]
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
            outcome, cause = CODES[error.outcome], self.causes.code(cause_of(error))
            raise
        finally:
            if self._record is not None:
                now = self.env.now
                self._record((number, send, began, now, outcome, cause, began, now))

    def _consume(self, message: Message) -> None:
        number = message.event_id
        if not (self.scenario.idempotent and self.effects[number]):
            self.effects[number] += 1

    def _stop_processor(self) -> Steps:
        yield self.all_ended
        assert self.processor is not None
        self.processor.stop()

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
