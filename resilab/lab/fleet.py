"""Fleet: replicas of one service behind a load balancer, watched by Kubernetes probes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import simpy

from ..distributions import duration as as_distribution
from ..events import EventLog
from ..health.pod import KubernetesPod
from ..health.probe import PROBES, KubernetesProbe
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import Spec, instance, one_of, positive, ratio, sequence, whole
from .faults import Fault
from .records import AttemptColumns, Causes
from .service import Service
from .workload import ClosedLoop, Replay, Workload

if TYPE_CHECKING:
    from .fleet_result import FleetResult
    from .live_fleet import LiveFleet

BALANCINGS = ("round_robin", "random", "least_loaded")
MODES = ("hang", "refuse", "crash")


@dataclass(frozen=True)
class ReplicaFault(Fault):
    """Something wrong with one replica.

    | mode | its calls | its probes |
    |---|---|---|
    | "hang" | start no work and wait; those under way go on | get no answer |
    | "refuse" | fail at once; those under way go on | fail at once |
    | "crash" | fail at once, those under way too | the container ends by itself |

    Args:
        start: Seconds from the start of the run.
        duration: Seconds; infinity lasts until a restart.
        replica: Which one, from 0.
        mode: "hang", "refuse" or "crash".
        cured_by_restart: Whether a new container is free of it. A crash that is not
            cured ends every container of the window as soon as it listens.
    """

    duration: float = math.inf
    replica: int = 0
    mode: str = "hang"
    cured_by_restart: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("replica", self.replica)
        one_of("mode", self.mode, MODES)
        if not self.cured_by_restart and self.duration == math.inf:
            raise ValueError("duration of a fault that no restart cures must be finite, got inf")


@dataclass(frozen=True)
class Dependency(Spec):
    """What all replicas share, a database for instance: a worker is held while its call runs.

    Args:
        service: The dependency and its faults.
        share: Share of requests that need it, from 0 to 1; the others are served without.
        checked_by: Kinds of probes that call it: "readiness", "liveness", "startup".
        critical: Whether its failure fails such a probe; otherwise the answer is
            "degraded", and the probe succeeds.
        check_timeout: Longest time of such a call in seconds.
        policy: Policies around the calls of requests, the same in every replica.
    """

    service: Service
    share: float = 1.0
    checked_by: tuple[str, ...] = ()
    critical: bool = True
    check_timeout: float = 0.5
    policy: Policy = field(default_factory=ResiliencePolicy)

    def __post_init__(self) -> None:
        instance("service", self.service, Service)
        ratio("share", self.share)
        kinds = (self.checked_by,) if isinstance(self.checked_by, str) else sequence("checked_by", self.checked_by)
        for kind in kinds:
            one_of("checked_by", kind, PROBES)
        object.__setattr__(self, "checked_by", kinds)
        positive("check_timeout", self.check_timeout)
        instance("policy", self.policy, Policy)


@dataclass(frozen=True)
class Fleet(Spec):
    """Replicas of one service behind a load balancer.

    The balancer sends to the replicas that are ready. A call whose caller has gone is
    taken from its worker or queue. A container that is killed loses its calls.

    Args:
        replicas: How many, at least 1.
        workers: Calls that each replica serves at once.
        latency: Distribution of the time of a call at its worker, or seconds.
        queue_limit: Places in the queue of each replica; None is no limit.
        failure_rate: Share of calls that fail, from 0 to 1.
        balancing: "round_robin", "random", or "least_loaded" (fewest calls inside; the
            first of equals).
        pod: The probes, the grace period and the back-off of each replica.
        startup_time: Distribution of the time until a new container listens, or
            seconds; until then it refuses.
        faults: `ReplicaFault`s, in any number.
        dependency: A `Dependency`, or None.
        probe_failure_rate: Share of probes that fail although nothing is wrong.
        probes_need_worker: True lets probes queue for a worker behind the requests, and
            hold it for one latency.
        is_warm: True begins with replicas that are ready.
        name: What frames and events call it; replicas are "name/0" and so on.

    Example:
        >>> Fleet(replicas=3, workers=10, latency=0.1).workers_in_all
        30
    """

    replicas: int
    workers: int
    latency: Any
    queue_limit: int | None = None
    failure_rate: float = 0.0
    balancing: str = "round_robin"
    pod: KubernetesPod = field(
        default_factory=lambda: KubernetesPod(liveness=KubernetesProbe(), readiness=KubernetesProbe())
    )
    startup_time: Any = 0.0
    faults: tuple[ReplicaFault, ...] = ()
    dependency: Dependency | None = None
    probe_failure_rate: float = 0.0
    probes_need_worker: bool = False
    is_warm: bool = True
    name: str = "fleet"

    def __post_init__(self) -> None:
        whole("replicas", self.replicas, minimum=1)
        whole("workers", self.workers, minimum=1)
        object.__setattr__(self, "latency", as_distribution("latency", self.latency))
        if self.queue_limit is not None:
            whole("queue_limit", self.queue_limit)
        ratio("failure_rate", self.failure_rate)
        one_of("balancing", self.balancing, BALANCINGS)
        instance("pod", self.pod, KubernetesPod)
        object.__setattr__(self, "startup_time", as_distribution("startup_time", self.startup_time))
        faults: tuple[Any, ...] = (self.faults,) if isinstance(self.faults, Fault) else sequence("faults", self.faults)
        for fault in faults:
            instance("faults", fault, ReplicaFault)
            if fault.replica >= self.replicas:
                raise ValueError(f"replica of a fault must be < {self.replicas}, got {fault.replica}")
        object.__setattr__(self, "faults", faults)
        instance("dependency", self.dependency, (Dependency, type(None)))
        ratio("probe_failure_rate", self.probe_failure_rate)
        instance("name", self.name, str)

    @property
    def workers_in_all(self) -> int:
        """The workers of all replicas."""
        return self.replicas * self.workers

    @property
    def capacity(self) -> float:
        """The calls per second that all replicas together can serve."""
        mean = self.latency.mean
        return self.workers_in_all / mean if mean else math.inf

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int = 0,
        attempts: AttemptColumns | None = None,
        causes: Causes | None = None,
        log: EventLog | None = None,
    ) -> LiveFleet:
        """Make the live fleet in *env*: `reply = yield from fleet.request()`.

        Its probes ask until the simulation ends, so give `env.run` an end.

        Args:
            env: Any `simpy.Environment`.
            seed: Seed of service times, failures, balancing and probes.
            attempts: Where to write a row for each call. None writes nothing.
            causes: Numbers for the words of the rows' causes.
            log: Where to write what happens to replicas. None writes nothing.
        """
        from .live_fleet import LiveFleet

        return LiveFleet(self, env, seed, attempts, causes or Causes(), log)


class _Part(NamedTuple):
    """The fleet as the one part of its scenario, in the words of `Operation`."""

    name: str
    workload: Workload | ClosedLoop
    service: Any
    policy: Policy


@dataclass(frozen=True)
class FleetScenario(Spec):
    """A workload, a fleet, and the policies between them; `rl.simulate` plays it.

    Args:
        workload: When requests arrive.
        fleet: The `Fleet` that they call.
        policy: The policies around each call; a retry goes through the balancer again.
        duration: Simulated seconds in which requests arrive. None is the duration of a
            `Replay`.
        clients: Independent clients, each with policies of its own.

    Example:
        >>> from resilab import Steady, simulate
        >>> fleet = Fleet(replicas=2, workers=1, latency=0.1, faults=ReplicaFault(start=3, mode="refuse"))
        >>> result = simulate(FleetScenario(Steady(rate=5), fleet, duration=60.0), seed=1)
        >>> result.counts()["success"] + result.counts()["failure"]
        300
    """

    workload: Workload | ClosedLoop
    fleet: Fleet
    policy: Policy = field(default_factory=ResiliencePolicy)
    duration: float | None = None
    clients: int = 1

    def __post_init__(self) -> None:
        instance("workload", self.workload, (Workload, ClosedLoop))
        instance("fleet", self.fleet, Fleet)
        instance("policy", self.policy, Policy)
        if self.duration is None and isinstance(self.workload, Replay):
            object.__setattr__(self, "duration", self.workload.duration)
        positive("duration", self.duration)
        whole("clients", self.clients, minimum=1)

    @property
    def operations(self) -> tuple[()]:
        """None: there is one kind of request."""
        return ()

    @property
    def service(self) -> Any:
        """The fleet as one service, with the workers of all replicas."""
        return _FleetAsService(self.fleet)

    @property
    def parts(self) -> tuple[_Part, ...]:
        """The fleet as the one part, as in `Scenario`."""
        return (_Part("", self.workload, self.service, ResiliencePolicy()),)

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> FleetResult:
        """Play it; see `rl.simulate`."""
        from .live_fleet import play

        return play(self, seed, horizon, record)


class _FleetAsService:
    """What a run and its metrics ask of a service, answered by a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.name = fleet.name
        self.workers = fleet.workers_in_all
        self.latency = fleet.latency
        below = () if fleet.dependency is None else fleet.dependency.service.faults
        self.faults = tuple(fault for fault in (*fleet.faults, *below) if fault.end < math.inf)
        self.bind = fleet.bind
