"""Fleet: replicas of one service behind a load balancer, watched by Kubernetes probes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import simpy

from ..distributions import Law
from ..engine import Request, Steps, request_of
from ..errors import NoReplicaError
from ..events import EventLog
from ..health.pod import KubernetesPod
from ..health.probe import KubernetesProbe
from ..lab.records import OPEN, SUCCESS, AttemptColumns, Causes
from ..randomness import KeyedDraws, uniform
from ..validation import Count, Natural, Ratio, Spec, many, word
from .ejection import LiveEjection, OutlierEjection
from .replica import Call, Dependency, Replica, ReplicaFault

BALANCINGS = ("round_robin", "random", "least_loaded")


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
        ejection: An `OutlierEjection`: the balancer turns away replicas that fail; None
            leaves that to the probes.

    Example:
        >>> Fleet(replicas=3, workers=10, latency=0.1).workers_in_all
        30
    """

    replicas: Count
    workers: Count
    latency: Law
    queue_limit: Natural | None = None
    failure_rate: Ratio = 0.0
    balancing: Annotated[str, word(*BALANCINGS)] = "round_robin"
    pod: KubernetesPod = field(
        default_factory=lambda: KubernetesPod(liveness=KubernetesProbe(), readiness=KubernetesProbe())
    )
    startup_time: Law = 0.0
    faults: Annotated[tuple[ReplicaFault, ...], many(ReplicaFault)] = ()
    dependency: Dependency | None = None
    probe_failure_rate: Ratio = 0.0
    probes_need_worker: bool = False
    is_warm: bool = True
    name: str = "fleet"
    ejection: OutlierEjection | None = None

    def __post_init__(self) -> None:
        for fault in self.faults:
            if fault.replica >= self.replicas:
                raise ValueError(f"replica of a fault must be < {self.replicas}, got {fault.replica}")

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
        return LiveFleet(self, env, seed, attempts, causes or Causes(), log)


class LiveFleet:
    """A fleet in an environment.

    Attributes:
        spec: What it was made from.
        replicas: The live replicas.
        calls: How many calls have reached the balancer.
        has_closed: Whether the run was stopped.
    """

    def __init__(
        self,
        spec: Fleet,
        env: simpy.Environment,
        seed: int,
        attempts: AttemptColumns | None,
        causes: Causes,
        log: EventLog | None,
    ) -> None:
        self.spec = spec
        self.env = env
        self.seed = seed
        self.log = log
        self.is_over: Callable[[], bool] | None = None
        self.calls = 0
        self.has_closed = False
        self.routes: list[tuple[int, int, int]] = []
        self.states: list[tuple[float, int, str, bool]] = []
        self.probes: list[tuple[int, str, float, float, bool, str]] = []
        self._causes = causes
        self._attempts = attempts
        self._next = 0
        name = spec.name
        self.latency = KeyedDraws(seed, f"{name}/latency", spec.latency.sample)
        self.startup_time = KeyedDraws(seed, f"{name}/startup", spec.startup_time.sample)
        self._failure = KeyedDraws(seed, f"{name}/failure", uniform)
        self._balance = KeyedDraws(seed, f"{name}/balance", uniform)
        self._needs = KeyedDraws(seed, f"{name}/needs_dependency", uniform)
        numbers = range(spec.replicas)
        self._probe_failure = [KeyedDraws(seed, f"{name}/{number}/probe_failure", uniform) for number in numbers]
        self._probe_latency = [
            KeyedDraws(seed, f"{name}/{number}/probe_latency", spec.latency.sample) for number in numbers
        ]
        self.dependency: Any = None if spec.dependency is None else spec.dependency.service.bind(env, seed=seed)
        self.replicas: list[Replica] = []
        self._ready: list[Replica] = []
        self._ready_numbers: list[int] = []
        self.ejection: LiveEjection | None = None
        env.process(self._begin())  # at this instant, before any arrival

    def _begin(self) -> Steps:
        self.replicas = [Replica(self, number) for number in range(self.spec.replicas)]
        if self.spec.ejection is not None:
            draws = KeyedDraws(self.seed, f"{self.spec.name}/ejection", uniform)
            self.ejection = LiveEjection(self.spec.ejection, self.env, self, self.is_over, draws)
        for replica in self.replicas:
            replica.pod = self.spec.pod.bind(
                self.env,
                replica,
                seed=self.seed,
                log=self.log,
                name=replica.name,
                on_probe=self._note_probe(replica.number),
                on_change=self._changed,
                is_over=self.is_over,
                is_warm=self.spec.is_warm,
            )
        self._changed()
        return
        yield

    def request(self) -> Steps:
        """Send one call through the balancer: `yield from fleet.request()`.

        Raises:
            NoReplicaError: No replica is ready.
            ReplicaRefusedError: The replica took no calls.
            ReplicaLostError: Its container ended during the call.
            ServiceError: The call failed.
            ServiceOverloadedError: The queue of the replica was full.
        """
        self.calls += 1
        request = request_of(self.env.active_process) or Request(self.calls - 1, self.calls - 1)
        replica = self._choose(request)
        return (yield from replica.serve(request))

    def _choose(self, request: Request) -> Replica:
        ready = self._ready
        if not ready:
            if self.log is not None:
                self.log.append(self.env.now, self.spec.name, "rejected", request.id, "no replica is ready")
            raise NoReplicaError(f"{self.spec.name} has no replica that is ready")
        if self.spec.balancing == "least_loaded":
            return min(ready, key=lambda replica: len(replica.inside))
        if self.spec.balancing == "random":
            return ready[int(self._balance(request.key, request.sends) * len(ready))]
        replica = ready[bisect_left(self._ready_numbers, self._next) % len(ready)]
        self._next = replica.number + 1
        return replica

    def _changed(self) -> None:
        members = self.member_numbers()
        if self.ejection is not None:
            for number in set(range(self.spec.replicas)).difference(members):
                self.ejection.forget(number)
            members = self.ejection.choose_from(members)
        self._ready = [self.replicas[number] for number in members]
        self._ready_numbers = members
        for replica in self.replicas:
            if replica.pod is not None:
                self._note_state(replica.number, str(replica.pod.state), replica.pod.is_ready)

    def _note_state(self, number: int, state: str, is_ready: bool) -> None:
        for row in reversed(self.states):
            if row[1] == number:
                if row[2:] == (state, is_ready):
                    return
                break
        self.states.append((self.env.now, number, state, is_ready))

    def _note_probe(self, number: int) -> Callable[[str, float, bool, str], None]:
        def note(kind: str, begun: float, is_success: bool, reason: str) -> None:
            self.probes.append((number, kind, begun, self.env.now, is_success, reason))

        return note

    def close(self) -> None:
        """Write the rows of calls that are inside when the run is stopped and that nobody waits for."""
        for replica in self.replicas:
            replica.close()

    # What ejections ask

    def member_numbers(self) -> list[int]:
        """Return the replicas that are ready, in order."""
        return [each.number for each in self.replicas if each.pod is not None and each.pod.is_ready]

    def ejections_changed(self, replica: int, what: str) -> None:
        """Send to those that are left; *what* happened to a replica."""
        if self.log is not None and what:
            self.log.append(self.env.now, self.replicas[replica].name, "ejection", -1, what)
        self._changed()

    # What replicas ask

    def fails(self, request: Request, send: int) -> bool:
        """Whether that send of *request* fails."""
        rate = self.spec.failure_rate
        return rate > 0 and self._failure(request.key, send) < rate

    def needs_dependency(self, request: Request) -> bool:
        """Whether *request* needs the dependency."""
        spec = self.spec.dependency
        return spec is not None and self._needs(request.key) < spec.share

    def probe_fails(self, number: int, probe: int) -> bool:
        """Whether a probe of a replica fails although nothing is wrong."""
        rate = self.spec.probe_failure_rate
        return rate > 0 and self._probe_failure[number](probe) < rate

    def probe_latency(self, number: int, probe: int) -> float:
        """How long a probe of a replica holds its worker."""
        return self._probe_latency[number](probe)

    def record(
        self, number: int, call: Call, end: float, outcome: int, cause: str, work_start: float, work_end: float
    ) -> None:
        """Write the row of a call that has ended at a replica."""
        if self._attempts is not None and call.request is not None:
            id = call.request.id
            code = self._causes.code(cause)
            self._attempts.append((id, call.send, call.submitted, end, outcome, code, work_start, work_end))
            self.routes.append((id, call.send, number))
        if self.ejection is not None and outcome != OPEN and not call.is_unwanted:
            self.ejection.note(number, outcome == SUCCESS)
