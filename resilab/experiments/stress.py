"""Situations that are a bit worse than those one has thought of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..lab.workload import ClosedLoop, Poisson, Replay, Schedule, Steady
from ..validation import Growth, Spec


@dataclass(frozen=True)
class Stress(Spec):
    """By how much things may be worse before a recommendation fails.

    Args:
        load: Factor of the traffic.
        faults: Factor of the duration of every fault.
    """

    load: Growth = 1.1
    faults: Growth = 1.25

    def of(self, situations: Mapping[str, Any]) -> dict[str, Any]:
        """Return the situations with more load, and those with faults with longer faults."""
        found = {}
        for name, scenario in situations.items():
            if self.load > 1 and (worse := with_load(scenario, self.load)) is not None:
                found[f"{name}, {self.load:.3g} x load"] = worse
            if self.faults > 1 and (worse := with_faults(scenario, self.faults)) is not None:
                found[f"{name}, faults {self.faults:.3g} x as long"] = worse
        return found


def with_load(scenario: Any, factor: float) -> Any:
    """Return a scenario with *factor* times the traffic, or None if that cannot be said of it."""
    workload = getattr(scenario, "workload", None)
    match workload:
        case Poisson() | Steady():
            return scenario.replace(workload=workload.replace(rate=workload.rate * factor))
        case Schedule():
            steps = [(start, rate * factor) for start, rate in workload.steps]
            return scenario.replace(workload=workload.replace(steps=steps))
        case Replay():
            return scenario.replace(workload=_denser(workload, factor, scenario.duration))
        case ClosedLoop():
            return scenario.replace(
                workload=workload.replace(users=max(workload.users, round(workload.users * factor)))
            )
    return None


def _denser(replay: Replay, factor: float, duration: float) -> Replay:
    """Return the same time with more arrivals: the times are repeated, and shared out in turn.

    Faults stay where they are, so time is not compressed: arrival k of the repeated ones is
    left out or taken so that every stretch gets its share, halfway to the next arrival.
    """
    times = np.asarray(replay.times)
    whole, part = int(factor), factor - int(factor)
    gaps = np.diff(times, append=max(float(duration), float(times[-1])))
    is_taken = np.floor(np.arange(1, len(times) + 1) * part) > np.floor(np.arange(len(times)) * part)
    more = [times + gaps * copy / (whole + 1) for copy in range(whole)]
    return Replay(tuple(np.concatenate([*more, (times + gaps * whole / (whole + 1))[is_taken]]).tolist()))


def with_faults(scenario: Any, factor: float) -> Any:
    """Return a scenario whose faults last *factor* times as long, or None if it has none."""
    service = getattr(scenario, "service", None)
    if service is None or not getattr(service, "faults", ()):
        return None
    faults = tuple(replace(fault, duration=fault.duration * factor) for fault in service.faults)
    return scenario.replace(service=service.replace(faults=faults))


def with_workers(scenario: Any, change: int) -> Any:
    """Return a scenario with more or fewer workers, or None if none would be left or it has none."""
    service: Any = getattr(scenario, "service", None)
    workers = getattr(service, "workers", 0)
    if not workers or workers + change < 1:
        return None
    return scenario.replace(service=service.replace(workers=workers + change))


def with_clients(scenario: Any, factor: int) -> Any:
    """Return a scenario whose traffic comes from *factor* times as many clients, or None."""
    clients = getattr(scenario, "clients", None)
    return None if clients is None else scenario.replace(clients=clients * factor)
