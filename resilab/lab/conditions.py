"""What faults make of a service: its workers, speed and failures, and when work stands still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .faults import CapacityLoss, Errors, Fault, Outage, Slowdown


@dataclass(frozen=True)
class Condition:
    """What faults make of the service until the next change."""

    until: float
    capacity: int
    factor: float
    failure_rate: float


def conditions_of(workers: int, failure_rate: float, faults: Sequence[Fault]) -> tuple[list[float], list[Condition]]:
    """Return the times at which something changes, and the condition from each on."""
    changes = sorted({0.0} | {t for fault in faults for t in (fault.start, fault.end)} - {math.inf})
    conditions = []
    for time, until in zip(changes, [*changes[1:], math.inf], strict=True):
        capacity, factor, success_rate = workers, 1.0, 1.0 - failure_rate
        for fault in faults:
            if not fault.start <= time < fault.end:
                continue
            if isinstance(fault, CapacityLoss):
                capacity = max(0, capacity - fault.workers)
            elif isinstance(fault, Slowdown):
                factor *= fault.factor
            elif isinstance(fault, Errors):
                success_rate *= 1.0 - fault.rate
            elif isinstance(fault, Outage) and fault.mode == "error":
                success_rate = 0.0
            elif isinstance(fault, Outage):
                capacity = 0
        conditions.append(Condition(until, capacity, factor, 1.0 - success_rate))
    return changes, conditions


def freezes_of(faults: Sequence[Fault]) -> list[tuple[float, float]]:
    """Return the spans in which running work stands still, in order, those that touch as one."""
    spans: list[tuple[float, float]] = []
    for start, end in sorted(
        (each.start, each.end) for each in faults if isinstance(each, Outage) and each.mode == "freeze"
    ):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def stretched(seconds: float, now: float, freezes: Sequence[tuple[float, float]]) -> float:
    """Return how long work of some seconds takes from *now* on, the time that it stands still included."""
    end = now + seconds
    for start, thaw in freezes:
        if start < end and thaw > now:
            still = thaw - max(start, now)
            seconds += still
            end += still
    return seconds
