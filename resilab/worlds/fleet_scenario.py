"""FleetScenario: a workload, a fleet, and the policies between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..lab.run import Run, Stream
from ..lab.scenario import client_policy
from ..lab.workload import ClosedLoop, Workload, duration_of
from ..lab.world import Station, World
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import Count, Positive
from .fleet import Fleet
from .fleet_result import FleetResult

PATIENCE = 3600.0
"""Seconds after the last arrival at which probes end, so that a run with requests that
stay open for ever ends, and says so."""


@dataclass(frozen=True)
class FleetScenario(World[FleetResult]):
    """A workload, a fleet, and the policies between them; `rl.simulate` plays it.

    Args:
        workload: When requests arrive.
        fleet: The `Fleet` that they call.
        policy: The policies around each call; a retry goes through the balancer again.
        duration: Simulated seconds in which requests arrive. None is the duration of a
            `Replay`.
        clients: Independent clients, each with policies of its own.

    Example:
        >>> from resilab import ReplicaFault, Steady, simulate
        >>> fleet = Fleet(replicas=2, workers=1, latency=0.1, faults=ReplicaFault(start=3, mode="refuse"))
        >>> result = simulate(FleetScenario(Steady(rate=5), fleet, duration=60.0), seed=1)
        >>> result.counts()["success"] + result.counts()["failure"]
        300
    """

    workload: Workload | ClosedLoop
    fleet: Fleet
    policy: Policy = field(default_factory=ResiliencePolicy)
    duration: Positive | None = None
    clients: Count = 1

    def __post_init__(self) -> None:
        duration_of(self)

    @property
    def services(self) -> tuple[Station, ...]:
        """The fleet as one station, with the workers of all replicas and the faults of what it calls."""
        fleet = self.fleet
        below = () if fleet.dependency is None else fleet.dependency.service.faults
        faults = tuple(fault for fault in (*fleet.faults, *below) if fault.end < math.inf)
        return (Station(fleet.name, fleet.workers_in_all, faults),)

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> FleetResult:
        run = Run(self, seed, record, [Stream("", self.workload)], self.clients)

        def is_over() -> bool:
            now, last = run.env.now, self.duration
            assert last is not None
            return now >= last and (not run.open or now >= last + PATIENCE)

        fleet = self.fleet.bind(
            run.env, seed=seed, attempts=run.columns_of(self.fleet.name), causes=run.causes, log=run.log
        )
        fleet.is_over = is_over
        run.services[self.fleet.name] = fleet
        run.calls = [[client_policy(run, self.policy, client).around(fleet.request)] for client in range(self.clients)]
        run.play(horizon)
        return run.result(
            FleetResult,
            horizon,
            end=run.env.now,
            routes=tuple(fleet.routes),
            state_rows=tuple(fleet.states),
            probe_rows=tuple(fleet.probes),
            ejection_rows=() if fleet.ejection is None else tuple(fleet.ejection.rows),
        )
