"""One replica of a fleet: workers and a queue inside a container that can hang, refuse and end."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import simpy

from ..engine import Gone, Request, Steps, caller_has_gone, interrupt, start
from ..errors import (
    NEVER_HANDLED,
    ReplicaLostError,
    ReplicaRefusedError,
    ServiceError,
    ServiceOverloadedError,
    cause_of,
)
from ..health.probe import PROBES
from ..health.registry import HealthCheck, HealthCheckRegistry
from ..lab.faults import Fault
from ..lab.records import FAILURE, OPEN, REJECTED, SUCCESS, TIMEOUT
from ..lab.service import Service
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import (
    Natural,
    Positive,
    PositiveOrInfinite,
    Ratio,
    Rule,
    Spec,
    one_of,
    sequence,
    word,
)

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

    duration: PositiveOrInfinite = math.inf
    replica: Natural = 0
    mode: Annotated[str, word(*MODES)] = "hang"
    cured_by_restart: bool = True

    def __post_init__(self) -> None:
        if not self.cured_by_restart and self.duration == math.inf:
            raise ValueError("duration of a fault that no restart cures must be finite, got inf")


def _probes(name: str, value: Any) -> tuple[str, ...]:
    kinds = (value,) if isinstance(value, str) else sequence(name, value)
    return tuple(one_of(name, kind, PROBES) for kind in kinds)


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
    share: Ratio = 1.0
    checked_by: Annotated[tuple[str, ...], Rule(_probes, "kinds of probes")] = ()
    critical: bool = True
    check_timeout: Positive = 0.5
    policy: Policy = field(default_factory=ResiliencePolicy)


class Host(Protocol):
    """What a replica asks the fleet that it belongs to."""

    spec: Any
    env: simpy.Environment
    seed: int
    log: Any
    has_closed: bool
    dependency: Any
    latency: Any
    startup_time: Any

    def fails(self, request: Request, send: int) -> bool: ...
    def needs_dependency(self, request: Request) -> bool: ...
    def probe_fails(self, number: int, probe: int) -> bool: ...
    def probe_latency(self, number: int, probe: int) -> float: ...
    def record(
        self, number: int, call: Call, end: float, outcome: int, cause: str, work_start: float, work_end: float
    ) -> None: ...


class Call:
    """One call at a replica."""

    __slots__ = (
        "below",
        "done",
        "is_inside",
        "is_unwanted",
        "needs_dependency",
        "process",
        "request",
        "send",
        "started",
        "submitted",
        "work",
    )

    def __init__(self, env: simpy.Environment, request: Request | None, work: float) -> None:
        self.request = request
        self.send = 0 if request is None else request.sends
        self.submitted = env.now
        self.started = math.nan
        self.process = env.active_process
        self.work = work
        self.needs_dependency = False
        self.done = env.event()
        self.done.defused = True  # the caller may have gone when the container ends
        self.below: Any = None
        self.is_inside = True
        self.is_unwanted = False  # another copy of it has answered


class Replica:
    """A replica: the `Container` that its pod starts, probes and stops.

    Attributes:
        number: Which one it is, from 0.
        name: What the events call it.
        inside: The calls that wait or are served.
        pod: Its live pod.
    """

    def __init__(self, fleet: Host, number: int) -> None:
        spec = fleet.spec
        self.fleet = fleet
        self.env = fleet.env
        self.number = number
        self.name = f"{spec.name}/{number}"
        self.inside: dict[Call, None] = {}
        self.busy = 0
        self.pod: Any = None
        self._queue: deque[Call] = deque()
        self._limit = math.inf if spec.queue_limit is None else spec.queue_limit
        self._faults = [fault for fault in spec.faults if fault.replica == number]
        self._cured: set[int] = set()
        self._containers = 0
        self._probes = 0
        self._listens_from = math.inf
        self._is_stopping = False
        self._drained: simpy.Event | None = None
        self._checks: dict[str, Any] = {}
        self._policy: Any = None
        if spec.dependency is not None:
            self._bind_dependency(spec.dependency)
        for fault in self._faults:
            start(self.env, self._happen(fault))

    def _bind_dependency(self, spec: Dependency) -> None:
        fleet = self.fleet
        policy = ResiliencePolicy(spec.policy).bind(self.env, seed=fleet.seed, log=fleet.log, name=self.name)
        self._policy = policy.around(fleet.dependency.request)
        check = HealthCheck("dependency", fleet.dependency.request, spec.check_timeout, spec.critical)
        for kind in spec.checked_by:
            self._checks[kind] = HealthCheckRegistry((check,)).bind(self.env)

    # Calls

    def serve(self, request: Request) -> Steps:
        """Serve one call of the balancer."""
        request.sends += 1
        send = request.sends - 1
        call = Call(self.env, request, self.fleet.latency(request.key, send))
        call.needs_dependency = self.fleet.needs_dependency(request)
        return (yield from self._enter(call))

    def _enter(self, call: Call) -> Steps:
        if not self.listens:
            self._record(call, FAILURE, ReplicaRefusedError.cause)
            raise ReplicaRefusedError(f"{self.name} refused the connection")
        is_free = self.busy < self.fleet.spec.workers and not self.has_fault("hang")
        if not is_free and len(self._queue) >= self._limit:
            self._record(call, REJECTED, ServiceOverloadedError.cause)
            raise ServiceOverloadedError(f"{self.name} is overloaded: {len(self._queue)} calls in its queue")
        self.inside[call] = None
        if is_free:
            self._start(call)
        else:
            self._queue.append(call)
        try:
            return (yield call.done)
        except BaseException as reason:
            if call.is_inside:  # the caller has gone
                call.is_unwanted = isinstance(getattr(reason, "cause", None), Gone)
                outcome, cause = (OPEN, "") if self.fleet.has_closed else (TIMEOUT, "timeout")
                self._leave(call, outcome, cause)
            raise

    def _start(self, call: Call) -> None:
        self.busy += 1
        call.started = self.env.now
        timer = self.env.timeout(call.work, call)
        timer.callbacks.append(self._worked)

    def _worked(self, timer: simpy.Event) -> None:
        call: Any = timer.value
        if not call.is_inside:
            return
        if call.request is not None and self.fleet.fails(call.request, call.send - 1):
            self._end(call, ServiceError(f"{self.name} failed"))
        elif call.request is not None and call.needs_dependency:
            below = Request(call.request.id, call.request.key)
            below.sends = call.send - 1  # so that each send has a draw of its own
            call.below = start(self.env, self._ask_dependency(call, below), below)
        else:
            self._end(call, None)

    def _ask_dependency(self, call: Call, below: Request) -> Steps:
        try:
            yield from self._policy()
        except NEVER_HANDLED:
            raise
        except Exception as error:
            reason: Exception | None = error
        else:
            reason = None
            request = call.request
            if below.handled is not None and request is not None and caller_has_gone(call.process) < 0:
                request.handled = below.handled
        call.below = None
        self._end(call, reason)

    def _end(self, call: Call, error: Exception | None) -> None:
        if error is None:
            self._leave(call, SUCCESS, "")
            call.done.succeed()
            return
        self._leave(call, FAILURE, cause_of(error))
        call.done.fail(error)

    def _leave(self, call: Call, outcome: int, cause: str) -> None:
        """Take *call* out, free its worker, and start what waits."""
        del self.inside[call]
        if math.isnan(call.started):
            self._queue.remove(call)
        else:
            self.busy -= 1
        self._close(call, outcome, cause)
        self._start_queued()
        if self._drained is not None and not self.inside and not self._drained.triggered:
            self._drained.succeed()

    def _close(self, call: Call, outcome: int, cause: str) -> None:
        """Record *call* and end what it has started."""
        call.is_inside = False
        if call.below is not None:
            call.below.defused = True
            interrupt(call.below, "the call above has ended")
        self._record(call, outcome, cause)

    def close(self) -> None:
        """Record the calls inside when the run is stopped."""
        for call in list(self.inside):
            self._close(call, OPEN, "")

    def _start_queued(self) -> None:
        if not self.has_fault("hang"):
            while self._queue and self.busy < self.fleet.spec.workers:
                self._start(self._queue.popleft())

    def _record(self, call: Call, outcome: int, cause: str) -> None:
        if call.request is None:
            return
        now = end = self.env.now
        if call.request.has_abandoned and (left := caller_has_gone(call.process)) >= 0:
            outcome, cause, end = TIMEOUT, "timeout", max(left, call.submitted)
        work_start = now if math.isnan(call.started) else call.started
        self.fleet.record(self.number, call, end, outcome, cause, work_start, now)

    # Faults

    @property
    def listens(self) -> bool:
        """Whether it takes calls now."""
        return self.env.now >= self._listens_from and not self._is_stopping and not self.has_fault("refuse")

    def has_fault(self, mode: str) -> bool:
        """Whether a fault of that mode is on now."""
        if not self._faults:
            return False
        now = self.env.now
        return any(
            fault.mode == mode and fault.start <= now < fault.end and index not in self._cured
            for index, fault in enumerate(self._faults)
        )

    def _happen(self, fault: Any) -> Steps:
        if fault.start > self.env.now:
            yield self.env.timeout(fault.start - self.env.now)
        if fault.mode == "crash":
            self._crash()
        elif fault.mode == "hang" and fault.end < math.inf:
            yield self.env.timeout(fault.end - self.env.now)
            self._start_queued()

    def _crash(self) -> None:
        if self.listens:
            self.pod.exited()

    # The container, for its pod

    def start(self) -> None:
        """A new container starts now."""
        spec = self.fleet.spec
        is_warm = spec.is_warm and not self._containers
        delay = 0.0 if is_warm else self.fleet.startup_time(self.number, self._containers)
        self._containers += 1
        self._listens_from = self.env.now + delay
        self._is_stopping = False
        if any(fault.mode == "crash" and not fault.cured_by_restart for fault in self._faults):
            start(self.env, self._crash_again(self._containers, delay))

    def _crash_again(self, container: int, delay: float) -> Steps:
        yield self.env.timeout(delay)
        if container == self._containers and self.has_fault("crash"):
            self._crash()

    def terminate(self) -> Steps:
        """Take no more calls and finish those inside; a container that hangs does not listen."""
        self._is_stopping = True
        if self.has_fault("hang"):
            yield self.env.event()
        if self.inside:
            self._drained = self.env.event()
            try:
                yield self._drained
            finally:
                self._drained = None

    def kill(self) -> None:
        """The container is gone: its calls are lost, and a restart cures its faults."""
        self._listens_from = math.inf
        now = self.env.now
        for index, fault in enumerate(self._faults):
            if fault.cured_by_restart and fault.start <= now:
                self._cured.add(index)
        lost = list(self.inside)
        self.inside.clear()
        self._queue.clear()
        self.busy = 0
        for call in lost:
            self._close(call, FAILURE, ReplicaLostError.cause)
            call.done.fail(ReplicaLostError(f"{self.name} was lost during the call"))

    def startup(self) -> Steps:
        """Answer a startup probe."""
        return (yield from self._answer("startup"))

    def liveness(self) -> Steps:
        """Answer a liveness probe."""
        return (yield from self._answer("liveness"))

    def readiness(self) -> Steps:
        """Answer a readiness probe."""
        return (yield from self._answer("readiness"))

    def _answer(self, kind: str) -> Steps:
        if not self.listens:
            raise ReplicaRefusedError("connection refused")
        if self.has_fault("hang"):
            yield self.env.event()
        probe, self._probes = self._probes, self._probes + 1
        if self.fleet.probe_fails(self.number, probe):
            raise ServiceError("the answer was lost")
        if self.fleet.spec.probes_need_worker:
            yield from self._enter(Call(self.env, None, self.fleet.probe_latency(self.number, probe)))
        if kind in self._checks:
            return (yield from self._checks[kind].check_all())
        return None
