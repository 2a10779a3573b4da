"""OutboxScenario: orders in a database, and messages about them in a broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..communication.broker import MessageBroker
from ..consistency.database import Database
from ..consistency.outbox_processor import OutboxProcessor
from ..validation import Spec, instance, one_of, positive, ratio
from .outbox_result import OutboxRunResult
from .scenario import Operation
from .workload import Poisson, Workload

APPROACHES = ("outbox", "commit_first", "publish_first", "publish_inside")


@dataclass(frozen=True)
class OutboxScenario(Spec):
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
    approach: str = "outbox"
    database: Database = field(default_factory=lambda: Database(statement_time=0.002, commit_time=0.01))
    processor: OutboxProcessor = field(default_factory=OutboxProcessor)
    broker: MessageBroker = field(default_factory=lambda: MessageBroker(latency=0.005))
    crash_rate: float = 0.0
    idempotent: bool = True
    duration: float = 60.0

    def __post_init__(self) -> None:
        instance("workload", self.workload, Workload)
        one_of("approach", self.approach, APPROACHES)
        instance("database", self.database, Database)
        instance("processor", self.processor, OutboxProcessor)
        instance("broker", self.broker, MessageBroker)
        ratio("crash_rate", self.crash_rate)
        positive("duration", self.duration)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """None: every request is an order."""
        return ()

    @property
    def parts(self) -> tuple[Operation, ...]:
        """None: there is no service whose workers could be counted."""
        return ()

    @property
    def faults(self) -> tuple[Any, ...]:
        """The outages of the broker."""
        return self.broker.faults

    @property
    def work_time(self) -> float:
        """Seconds that the order service works on an order when it waits for nothing."""
        database = self.database
        return 2 * database.statement_time + database.commit_time + 2 * self.broker.latency.mean

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> OutboxRunResult:
        """Play it; call `rl.simulate(scenario, seed)` instead."""
        from .outbox_run import OutboxRun

        return OutboxRun(self, seed, record).play(horizon)
