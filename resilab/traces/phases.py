"""The phases of a log: healthy ones, faults, and who waited for a worker in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..distributions import Empirical
from ..lab.faults import Errors, Fault, Outage, Slowdown
from .finding import Found, FoundFault, find_errors, find_hangs, find_refused, find_slow_phases
from .reconstruction import Calls
from .text import TraceError
from .trace import Trace
from .workers import NOTHING, FoundWorkers, find_workers, possible_workers, rough_workers, workers_by_throughput

LEAST_FREE = 300
"""Calls that met few others, for the law of the service to be taken from them."""
_MOST_HAUNTED = 0.7
"""Share of calls that came while others left at a limit above which who waited cannot be told."""
_TREND = 5.0
"""Standard deviations from 0 of the correlation of durations with the calls met, for the calls to have waited."""
_GOOD_FIT = 0.12
"""Relative misfit of the law of calls that waited above which they were not served in order."""


class Phases(NamedTuple):
    """What a log shows of its service and of what was wrong with it.

    Attributes:
        workers: How many, and the overhead.
        faults: What was wrong.
        begun: When each call began to be served.
        is_healthy: Which calls no fault has touched.
        is_free: Which of them waited for nobody.
        refused: Which requests a full queue refused.
        queue_limit: Its places; None if none is seen.
    """

    workers: FoundWorkers
    faults: tuple[FoundFault, ...]
    begun: np.ndarray
    is_healthy: np.ndarray
    is_free: np.ndarray
    refused: np.ndarray
    queue_limit: int | None


def usual_time(calls: Calls, alone: Empirical | None) -> float:
    """Return the median time of service."""
    if alone is not None:
        return float(np.median(alone.values))
    return float(np.median(calls.duration[met_few(calls, np.ones(len(calls.arrival), dtype=np.bool_))]))


def met_few(calls: Calls, healthy: np.ndarray) -> np.ndarray:
    """Return which calls met so few others that hardly one can have waited."""
    met = np.sort(calls.met[healthy])
    least = int(met[min(len(met) - 1, max(LEAST_FREE, len(met) // 20))]) if len(met) else 0
    found: np.ndarray = healthy & (calls.met <= least)
    return found


def find_phases(
    trace: Trace,
    calls: Calls,
    usual: float,
    alone: Empirical | None,
    workers: int | None,
    known: tuple[Fault, ...] | None,
) -> Phases:
    """Find what was wrong and how many workers there are; each helps to find the other."""
    refused, most = find_refused(trace)
    is_in_order = float(calls.is_haunted.mean()) <= _MOST_HAUNTED
    count = workers if workers is not None or not is_in_order else rough_workers(calls, usual)
    found = NOTHING
    for attempt in range(5):
        supposed = count if is_in_order else None
        faults, begun, keep = _look(trace, calls, usual, supposed, known, refused)
        healthy = keep & _outside(begun, faults if attempt else [each for each in faults if _is_strong(each)])
        if workers is not None or count is None or (not is_in_order and found.is_in_order):
            break
        surely_free = met_few(calls, healthy) | (healthy & (calls.met <= 0.7 * count))
        times = np.array(alone.values) if alone is not None else calls.duration[surely_free & ~calls.is_bound]
        if not is_in_order:
            found = workers_by_throughput(calls, count, times, healthy)
            break
        before, found = found, find_workers(calls, count, times, healthy)
        if not found.is_in_order:
            is_in_order = False  # once more, without who waited
        elif found.value is None and before.value == count:  # too few waited outside of the faults found since
            found = before
            break
        elif found.value is None or found.misfit > _GOOD_FIT:
            found, count = NOTHING, None
        elif found.value == count and attempt:
            break
        else:
            count = found.value
    if count is not None and is_in_order:
        free = healthy & (begun <= calls.arrival)
    else:
        free = met_few(calls, healthy)
        if workers is not None:  # half of them, for work whose caller has left may go on unseen
            free |= healthy & (calls.met <= workers / 2)
    if found.value is None and workers is None and alone is None:
        _refuse_queues(calls, free)
        if found.is_in_order and is_in_order:
            found = possible_workers(calls, calls.duration[free & ~calls.is_bound], healthy)
            if known is None and found.is_in_order:  # who met fewer has not waited: once more, with all that they show
                supposed = None if found.high is None else found.likely
                faults, begun, keep = _look(trace, calls, usual, supposed, known, refused, found.low or 0)
                healthy = keep & _outside(begun, faults)
                free = met_few(calls, healthy)
                found = possible_workers(calls, calls.duration[free & ~calls.is_bound], healthy)
    limit = None if most is None or count is None else max(0, most - count)
    return Phases(found, faults, begun, healthy, free, refused, limit)


def _look(
    trace: Trace,
    calls: Calls,
    usual: float,
    workers: int | None,
    known: tuple[Fault, ...] | None,
    refused: np.ndarray,
    least: int = 0,
) -> tuple[tuple[FoundFault, ...], np.ndarray, np.ndarray]:
    """Return the faults, when each call began, and which calls no hang has touched, for so many workers.

    Without workers, durations are times of service only where hardly one waited: those
    who met fewer than the *least* number of workers, if that is known.
    """
    begun = calls.arrival if workers is None else calls.starts(workers)
    if known is not None:
        begun, keep = _after_hangs(calls, begun, [fault for fault in known if _is_hang(fault)])
        return tuple(_given(fault) for fault in known), begun, keep
    hangs = find_hangs(trace, calls, usual, workers)
    begun, keep = _after_hangs(calls, begun, [each.fault for each in hangs])
    if workers is not None:
        keep &= ~calls.is_haunted
    few = keep if workers is not None else (keep & (calls.met < least)) if least else met_few(calls, keep)
    is_seen = workers is not None or float(calls.is_haunted.mean()) <= _MOST_HAUNTED
    slow = find_slow_phases(calls, begun, few, workers) if is_seen else []
    faults = (*find_errors(trace, refused), *hangs, *slow)
    return tuple(sorted(faults, key=lambda each: each.fault.start)), begun, keep


def _refuse_queues(calls: Calls, free: np.ndarray) -> None:
    """Refuse a log in which even the calls that met the fewest others waited: nothing shows the work itself."""
    met, logs = calls.met[free].astype(float), np.log(np.maximum(calls.duration[free], 1e-9))
    if len(met) > 10 and met.std() > 0 and logs.std() > 0:
        trend = float(np.corrcoef(met, logs)[0, 1]) * np.sqrt(len(met))
        if trend > _TREND:
            raise TraceError(
                "even the calls that met the fewest others took longer the more they met: all of them waited, and"
                " nothing shows the work itself. Measure some alone (alone=...), or say workers="
            )


def _is_strong(found: FoundFault) -> bool:
    """Say whether a fault is no work of a number of workers that is a little wrong."""
    return not isinstance(found.fault, Slowdown) or not 0.7 < found.fault.factor < 1.4


def _is_hang(fault: Fault) -> bool:
    return isinstance(fault, Outage) and fault.mode != "error"


def _after_hangs(calls: Calls, begun: np.ndarray, hangs: list[Fault]) -> tuple[np.ndarray, np.ndarray]:
    """Return when calls began, none of them while the service hung, and which were not cut in two by a hang."""
    begun, keep = begun.copy(), np.ones(len(begun), dtype=np.bool_)
    for hang in hangs:
        keep &= ~((begun < hang.start) & (calls.end >= hang.end))
        hung = (begun >= hang.start) & (begun < hang.end)
        keep &= ~hung
        begun[hung] = np.minimum(hang.end, calls.end[hung])
    return begun, keep


def _outside(begun: np.ndarray, faults: Iterable[FoundFault]) -> np.ndarray:
    keep = np.ones(len(begun), dtype=np.bool_)
    for found in faults:
        if not isinstance(found.fault, Errors) and not _is_hang(found.fault):
            keep &= ~((begun >= found.start.low) & (begun < found.end.high))
    return keep


def _given(fault: Fault) -> FoundFault:
    start, end = Found(fault.start, fault.start, fault.start), Found(fault.end, fault.end, fault.end)
    size = getattr(fault, "rate", None) or getattr(fault, "factor", None) or getattr(fault, "workers", None)
    return FoundFault(fault, start, end, None if size is None else Found(size, size, size), "given")
