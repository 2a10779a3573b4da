"""The live fleet: a load balancer over replicas, and the run that plays it."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import simpy

from ..engine import Request, Steps, request_of
from ..errors import NoReplicaError
from ..events import EventLog
from ..randomness import KeyedDraws, uniform
from .fleet import Fleet, FleetScenario
from .fleet_result import FleetResult
from .records import AttemptColumns, Causes
from .replica import Call, Replica
from .result import Result
from .run import _Run

PATIENCE = 3600.0
"""Seconds after the last arrival at which probes end, so that a run with requests that
stay open for ever ends, and says so."""


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
        env.process(self._begin())  # at this instant, before any arrival

    def _begin(self) -> Steps:
        self.replicas = [Replica(self, number) for number in range(self.spec.replicas)]
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
        self._ready = [replica for replica in self.replicas if replica.pod is not None and replica.pod.is_ready]
        self._ready_numbers = [replica.number for replica in self._ready]
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


class _FleetRun(_Run):
    """A run whose probes end when every request has ended."""

    fleet: LiveFleet

    def __init__(self, scenario: FleetScenario, seed: int, record: bool) -> None:
        super().__init__(scenario, seed, record)  # type: ignore[arg-type]
        self.fleet = self.services[scenario.fleet.name]  # type: ignore[assignment]
        self.fleet.log = self.log
        self.fleet.is_over = self._has_ended

    def _has_ended(self) -> bool:
        now, last = self.env.now, self.scenario.duration
        assert last is not None
        return now >= last and (not self.open or now >= last + PATIENCE)


def play(scenario: FleetScenario, seed: int, horizon: float | None, record: bool) -> FleetResult:
    """Play *scenario* and return what happened, replicas and probes included."""
    run = _FleetRun(scenario, seed, record)
    result = run.play(horizon)
    values = {field.name: getattr(result, field.name) for field in dataclasses.fields(Result)}
    fleet = run.fleet
    return FleetResult(
        **values,
        end=run.env.now,
        routes=tuple(fleet.routes),
        state_rows=tuple(fleet.states),
        probe_rows=tuple(fleet.probes),
    )
