"""What was wrong with a service, and when: errors, hangs and slow phases found in its log."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..lab.faults import CapacityLoss, Errors, Fault, Outage, Slowdown
from .reconstruction import Calls
from .segments import SHORTEST, Window, normal_scores, windows_of
from .trace import Trace


class Found(NamedTuple):
    """A number that was found, and between which it may lie."""

    value: float
    low: float
    high: float


class FoundFault(NamedTuple):
    """A fault, and how well it is known.

    Attributes:
        fault: What to simulate.
        start, end: When it began and ended, in seconds.
        size: Its rate, factor or workers; None for a hang.
        found_by: What shows it.
        is_mode_sure: Whether a hang is surely no process that stood still: with few
            workers, too little work was under way to tell.
    """

    fault: Fault
    start: Found
    end: Found
    size: Found | None
    found_by: str
    is_mode_sure: bool = True


_LEAST_HAZARD = 45.0
"""Answers that were due in a gap without any, for the gap to be a hang."""
_LEAST_REFUSED = 20
"""Requests that a full queue must have refused to be known by it."""
_LEAST_CHANGE = 0.02
"""Change of the logarithm of work below which it is none."""
_MOST_FINISHED = 3
"""Calls answered before others that came earlier, that show that running work stood still; none, if it could finish."""
_TELLING = 16
"""Workers from which on a freeze was never taken for a hang, in 24 logs; with 4 to 12 it was in 9 of 32."""
_LEAST_GAP = 4.0
"""Length of a hang, in usual times of service."""


def find_refused(trace: Trace) -> tuple[np.ndarray, int | None]:
    """Return which requests a full queue refused, and how many calls were under way at most.

    They fail at once, and only when no more calls are under way than ever.
    """
    nothing = np.zeros(len(trace), dtype=np.bool_)
    if trace.failed is None or not trace.failed.any():
        return nothing, None
    usual = float(np.nanmedian(trace.duration[~trace.failed])) if (~trace.failed).any() else 0.0
    at_once = trace.failed & (trace.duration < usual / 5)
    others = trace.where(~at_once & ~np.isnan(trace.duration)) if not at_once.all() else None
    if at_once.sum() < _LEAST_REFUSED or others is None:
        return nothing, None
    ends = np.sort(others.start + others.duration)
    met = np.searchsorted(others.start, trace.start, side="left") - np.searchsorted(ends, trace.start, side="right")
    most = int(met[~at_once].max()) + 1
    is_full = bool((met[at_once] >= most - 1).mean() > 0.98 and (met[~at_once] >= most - 1).mean() < 0.5)
    return (at_once, most) if is_full else (nothing, None)


def find_errors(trace: Trace, refused: np.ndarray) -> list[FoundFault]:
    """Return the windows in which more requests fail than usual, those that a full queue refused left out."""
    if trace.failed is None or not trace.failed.any():
        return []
    failed = trace.failed.astype(float)
    if trace.timed_out is not None:
        failed[trace.timed_out] = 0.0  # the service did not say so
    failed[refused] = 0.0
    windows = windows_of(failed, is_rate=True)
    outside = np.ones(len(failed), dtype=np.bool_)
    for window in windows:
        outside[window.first : window.last] = False
    usual = float(failed[outside].mean()) if outside.any() else 0.0
    found = []
    for window in windows:
        start, end = _times(trace.start, window)
        part = failed[window.first : window.last]
        rates = (block_means(part) - usual) / (1 - usual)
        rate = float((part.mean() - usual) / (1 - usual))
        size = Found(rate, *_percentiles(np.clip(rates, 0.0, 1.0)))
        fault: Fault = Errors(start.value, end.value - start.value, rate=max(rate, 1e-6))
        if part.mean() > 0.99:
            fault = Outage(start.value, end.value - start.value)
        found.append(FoundFault(fault, start, end, size, "failures per request"))
    return found


def find_hangs(trace: Trace, calls: Calls, usual: float, workers: int | None) -> list[FoundFault]:
    """Return the gaps without an answer while calls were under way, too long for chance."""
    ends = calls.answers
    gaps = np.diff(ends)
    middle = (ends[:-1] + ends[1:]) / 2
    under_way = np.searchsorted(calls.arrival, middle) - np.searchsorted(calls.freed, middle)
    busy = np.minimum(under_way, workers or 1) * (1 - float(calls.is_bound.mean()))  # others leave without an answer
    least = max(_LEAST_GAP * usual, 3 * trace.tick)
    is_hang = (gaps > least) & (busy * gaps / usual > _LEAST_HAZARD) & (under_way > 0)
    bounds: list[tuple[float, float]] = []
    for place in np.flatnonzero(is_hang).tolist():
        last_answer, first_answer = float(ends[place]), float(ends[place + 1])
        if bounds and last_answer - bounds[-1][1] < _LEAST_GAP * usual:  # one hang, in which running work ended
            last_answer = bounds.pop()[0]
        bounds.append((last_answer, first_answer))
    return [_hang(calls, last_answer, first_answer, usual, workers) for last_answer, first_answer in bounds]


def _hang(calls: Calls, last_answer: float, first_answer: float, usual: float, workers: int | None) -> FoundFault:
    """Return one hang: its end from the calls that were served first after it, its start from those that were not."""
    still_there = (calls.end >= first_answer) | (calls.is_bound & (calls.end > last_answer))
    left = np.flatnonzero((calls.arrival < first_answer) & still_there)
    queued = left[~calls.is_bound[left]]
    served = calls.arrival[(calls.arrival < last_answer) & (calls.end <= last_answer) & ~calls.is_bound]
    last_served = float(served.max()) if len(served) else 0.0
    not_served = float(calls.arrival[left[0]]) if len(left) else last_answer
    overtaken = np.count_nonzero(served > not_served)  # by calls that came later and were answered
    if overtaken >= max(1, min(_MOST_FINISHED, (workers or 1) // 3)) and len(queued) == len(left):
        return _freeze(calls, last_answer, first_answer, usual, workers)
    start = (last_served + not_served) / 2 if not_served > last_served else last_answer
    gap = float(calls.arrival[-1]) / len(calls.arrival)
    slack = max(abs(not_served - last_served), usual / 4, 2 * gap)
    begin = Found(start, start - slack, start + slack)
    if len(queued) < len(left):  # whatever was left behind may have been worked off first, unseen
        end = Found(first_answer - usual, last_answer, first_answer)
        by = "no answers while calls wait; its end is hidden by work of callers that left"
    else:
        count = max(1, min(len(queued), workers or 1))
        value = float(np.clip(calls.end[queued[:count]].mean() - usual, last_answer, first_answer))
        end = Found(value, value - 2 * usual / np.sqrt(count), value + 2 * usual / np.sqrt(count))
        by = "no answers while calls wait"
    fault = Outage(start, max(end.value - start, 1e-6), mode="hang")
    return FoundFault(fault, begin, end, None, by, is_mode_sure=(workers or 0) >= _TELLING)


def _freeze(calls: Calls, last_answer: float, first_answer: float, usual: float, workers: int | None) -> FoundFault:
    """Return a hang in which running work stood still: its ends are those of the answers."""
    busy = np.count_nonzero((calls.arrival < last_answer) & (calls.end >= first_answer))
    wait = usual / max(1, min(busy, workers or busy))  # from its start to the next answer that was due, and back
    start, end = last_answer + wait / 2, first_answer - wait / 2
    begin, finish = Found(start, last_answer, last_answer + 4 * wait), Found(end, first_answer - 4 * wait, first_answer)
    fault = Outage(start, max(end - start, 1e-6), mode="freeze")
    return FoundFault(fault, begin, finish, None, "no answers, not even of work that was under way")


def find_slow_phases(calls: Calls, begun: np.ndarray, keep: np.ndarray, workers: int | None) -> list[FoundFault]:
    """Return the windows in which work takes longer or shorter than usual.

    Args:
        calls: The calls of the log.
        begun: When each began to be served.
        keep: Which to look at: not those that began while the service hung.
        workers: Workers, to tell missing workers from slow ones. None cannot tell.
    """
    chosen = np.flatnonzero(keep & ~calls.is_bound & (calls.end > begun))
    chosen = chosen[np.argsort(begun[chosen], kind="stable")]
    times = begun[chosen]
    logs = np.log(calls.end[chosen] - times)
    windows = _slower_ones(windows_of(normal_scores(logs), is_rate=False), logs)
    outside = np.ones(len(logs), dtype=np.bool_)
    for window in windows:
        outside[window.first : window.last] = False
    usual = float(logs[outside].mean()) if outside.any() else 0.0
    deviation = float(logs[outside].std()) / np.sqrt(max(int(outside.sum()), 1)) if outside.any() else 0.0
    found = []
    for window in windows:
        part = logs[window.first : window.last]
        start, end = _times(times, window)
        factor = float(np.exp(part.mean() - usual))
        if abs(part.mean() - usual) < _LEAST_CHANGE:
            continue
        low, high = np.exp(np.array(_percentiles(block_means(part))) - usual)
        wider = np.exp(2 * deviation)
        size = Found(factor, float(low) / wider, float(high) * wider)
        fault: Fault = Slowdown(start.value, end.value - start.value, factor=factor)
        by = "time of service"
        if workers is not None and factor > 1 and (lost := _lost(calls, chosen, window, logs[outside], workers)):
            fault = CapacityLoss(start.value, end.value - start.value, workers=lost)
            size, by = Found(lost, lost, lost), "throughput, at the usual time of service"
        found.append(FoundFault(fault, start, end, size, by))
    return found


def _slower_ones(windows: list[Window], logs: np.ndarray) -> list[Window]:
    """Return the slow windows where a long fast one was found: the rest of the log is what is not as usual."""
    if len(windows) != 1:
        return windows
    (window,) = windows
    inside = logs[window.first : window.last]
    is_fast = inside.mean() < np.delete(logs, np.s_[window.first : window.last]).mean()
    if not is_fast or len(inside) < len(logs) / 4:
        return windows
    count = len(logs)
    before = Window(0, window.first, (0, 0), window.first_range)
    after = Window(window.last, count, window.last_range, (count, count))
    return [each for each in (before, after) if each.last - each.first >= SHORTEST]


def _lost(calls: Calls, chosen: np.ndarray, window: Window, usual: np.ndarray, workers: int) -> int:
    """Return how many workers were missing, if that explains a slow window better than slow work; else 0."""
    part = chosen[window.first : window.last]
    grid = np.linspace(0.05, 0.95, 19)
    aim = np.quantile(usual, grid)
    now = np.quantile(np.log(calls.end[part] - calls.starts(workers)[part]), grid)
    best, lost = float(np.abs(now - (now.mean() - aim.mean()) - aim).mean()), 0
    for missing in range(1, workers):
        work = calls.end[part] - calls.starts(workers - missing)[part]
        if (work <= 0).mean() > 0.02:
            break
        shape = np.quantile(np.log(np.maximum(work, 1e-9)), grid)
        misfit = float(np.abs(shape - aim).mean())
        if misfit < 0.5 * best:
            best, lost = misfit, missing
    return lost


def _times(times: np.ndarray, window: Window) -> tuple[Found, Found]:
    """Return the ends of a window in seconds: half-way between the values on either side."""

    def at(place: int) -> float:
        place = min(max(place, 0), len(times))
        before = times[place - 1] if place else times[0]
        after = times[place] if place < len(times) else times[-1]
        return float(before + after) / 2

    def found(place: int, places: tuple[int, int]) -> Found:
        low, high = (float(times[min(max(each, 0), len(times) - 1)]) for each in (places[0] - 1, places[1]))
        return Found(at(place), low, high)

    return found(window.first, window.first_range), found(window.last, window.last_range)


def block_means(values: np.ndarray, *, blocks: int = 40, replicas: int = 400) -> np.ndarray:
    """Return means of *values* over blocks drawn anew: a block bootstrap, for values that may depend on neighbours."""
    parts = np.array_split(values, max(2, min(blocks, len(values) // 25)))
    sums, sizes = np.array([part.sum() for part in parts]), np.array([len(part) for part in parts])
    drawn = np.random.default_rng(0).integers(len(parts), size=(replicas, len(parts)))
    means: np.ndarray = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    centre = sums.sum() / sizes.sum()
    wider = 1.06 + 1.5 / (len(parts) - 1)  # percentiles of few blocks lie too close, as normal ones for Student's
    return np.asarray(centre + wider * (means - centre))


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
