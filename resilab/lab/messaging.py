"""A messaging scenario: publishers, a broker, groups of consumers, and what goes wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..communication.broker import MessageBroker
from ..distributions import duration as as_distribution
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import Spec, instance, non_negative, one_of, positive, ratio, sequence, whole
from .faults import Fault
from .scenario import Operation
from .service import Service
from .workload import Replay, Workload

if TYPE_CHECKING:
    from .messaging_result import MessagingResult

TOPIC = "events"


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

    count: int = 1
    handling_time: Any = 0.05
    failure_rate: float = 0.0
    poison_rate: float = 0.0
    crash_rate: float = 0.0
    restart_time: float = 1.0
    effect_at: float = 0.5
    idempotent: bool = False
    acknowledge: str = "after"
    ack_deadline: float | None = None
    max_deliveries: int | None = None
    redelivery_delay: float | None = None
    ordered: bool = True
    faults: tuple[Fault, ...] = ()
    name: str = "consumers"

    def __post_init__(self) -> None:
        whole("count", self.count, minimum=1)
        object.__setattr__(self, "handling_time", as_distribution("handling_time", self.handling_time))
        for name in ("failure_rate", "poison_rate", "crash_rate", "effect_at"):
            ratio(name, getattr(self, name))
        non_negative("restart_time", self.restart_time, allow_infinite=True)
        one_of("acknowledge", self.acknowledge, ("after", "before"))
        if self.ack_deadline is not None:
            positive("ack_deadline", self.ack_deadline, allow_infinite=True)
        if self.max_deliveries is not None:
            whole("max_deliveries", self.max_deliveries, minimum=1)
        if self.redelivery_delay is not None:
            non_negative("redelivery_delay", self.redelivery_delay)
        faults = (self.faults,) if isinstance(self.faults, Fault) else sequence("faults", self.faults)
        for fault in faults:
            instance("faults", fault, Fault)
        object.__setattr__(self, "faults", faults)
        instance("name", self.name, str)

    @property
    def capacity(self) -> float:
        """The messages per second that the group can handle without faults."""
        return self.as_service().capacity

    def as_service(self, faults: tuple[Fault, ...] = ()) -> Service:
        """Return the group as metrics and pictures see it: a service with workers."""
        return Service(self.count, self.handling_time, faults=(*self.faults, *faults), name=self.name)


@dataclass(frozen=True)
class MessagingScenario(Spec):
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
    consumers: tuple[Consumers, ...] = (Consumers(),)
    policy: Policy = field(default_factory=ResiliencePolicy)
    keys: int = 0
    duration: float | None = None

    def __post_init__(self) -> None:
        instance("workload", self.workload, Workload)
        instance("broker", self.broker, MessageBroker)
        groups = (self.consumers,) if isinstance(self.consumers, Consumers) else sequence("consumers", self.consumers)
        for group in groups:
            instance("consumers", group, Consumers)
        names = [group.name for group in groups]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"consumers must be groups with different names, got {names}")
        object.__setattr__(self, "consumers", groups)
        instance("policy", self.policy, Policy)
        whole("keys", self.keys)
        if self.broker.topics is not None and TOPIC not in self.broker.topics:
            raise ValueError(f"topics of the broker must contain {TOPIC!r}, got {self.broker.topics!r}")
        if self.duration is None and isinstance(self.workload, Replay):
            object.__setattr__(self, "duration", self.workload.duration)
        positive("duration", self.duration)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The groups as operations, if there are several."""
        return self.parts if len(self.consumers) > 1 else ()

    @property
    def parts(self) -> tuple[Operation, ...]:
        """The groups as operations: each is a service with the faults of the broker on top."""
        faults = self.broker.faults
        return tuple(Operation(group.name, self.workload, group.as_service(faults)) for group in self.consumers)

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> MessagingResult:
        """Play it; see `rl.simulate`."""
        from .messaging_run import play

        return play(self, seed, horizon, record)
