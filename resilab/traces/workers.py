"""How many workers a service has: found from the calls that waited for one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .reconstruction import Calls

_SHARES = np.linspace(0.05, 0.95, 19)
_LEAST_WAITED = 150
"""Calls that must have waited for workers to be identified."""
_REPLICAS = 200
_MOST_OVERTAKEN = 0.005
"""Share of calls that may be answered before they could begin: more are not served in order of arrival."""
_MOST_OVERHEAD = 0.08
"""Overhead that is looked for, as a share of the median time of service: more would be a worker too few."""
_PRICE = 0.25
"""Misfit that each second of overhead costs: one worker less with some overhead looks much like one more without."""
_BLOCKS = 60
_FEWEST = 8
"""Calls that would have waited for a number of workers to be doubted."""
_LONG = 0.99
"""Share of the times without a wait below which all but few should lie."""
_SURELY = 4.0
"""Standard errors by which their work differs from that of the others if the number is wrong."""


class FoundWorkers(NamedTuple):
    """Workers, and the time of a call that holds none.

    Attributes:
        value, low, high: Workers; None where nothing shows them.
        overhead: Seconds by which calls that wait for no worker take longer than the
            work of those that do: value, low, high.
        misfit: Relative difference of the law of waiting calls from that of the others.
        waited: Calls that waited.
        is_in_order: Whether calls are served in order of arrival.
        likely: Where there is no value, the number between low and high that fits best.
    """

    value: int | None
    low: int | None
    high: int | None
    overhead: tuple[float, float, float]
    misfit: float
    waited: int
    is_in_order: bool = True
    likely: int | None = None


NOTHING = FoundWorkers(None, None, None, (0.0, 0.0, 0.0), float("nan"), 0)


def rough_workers(calls: Calls, usual: float) -> int | None:
    """Return about how many workers there are; faults in a lesser part of the log do not count.

    With too few workers supposed, calls seem to be served too fast; with too many, too
    slowly. The median over parts of the log is right where it matches calls that wait for nobody.
    """
    most = int(calls.met.max(initial=0)) + 1
    best: tuple[float, int] | None = None
    for workers in candidates(most):
        begun = calls.starts(workers)
        waited = (begun > calls.arrival) & ~calls.is_bound
        if waited.sum() < _LEAST_WAITED:
            break
        work = (calls.end - begun)[waited]  # in order of arrival, which is that of the start
        medians = [float(np.median(piece)) for piece in np.array_split(work, min(50, len(work) // 30))]
        misfit = abs(np.log(max(float(np.median(medians)), 1e-9) / usual))
        if best is None or misfit < best[0]:
            best = (misfit, workers)
    return None if best is None or best[0] > 0.5 else best[1]


def candidates(most: int) -> list[int]:
    """Return numbers of workers to try: all up to 64, then by steps of 2 %.

    Example:
        >>> candidates(4)
        [1, 2, 3, 4]
    """
    found = [1]
    while found[-1] < most:
        found.append(max(found[-1] + 1, int(found[-1] * 1.02)))
    return found


def find_workers(calls: Calls, near: int, free: np.ndarray, healthy: np.ndarray) -> FoundWorkers:
    """Return the number of workers with which calls that waited did the same work as those that did not.

    Args:
        calls: The calls of the log.
        near: About how many there are.
        free: Times of service without any wait, in seconds.
        healthy: Which calls to look at: those of no fault.
    """
    reach = max(3, round(0.25 * near))
    tried = list(range(max(1, near - reach), near + reach + 1))
    samples = [_waited(calls, workers, healthy) for workers in tried]
    enough = [len(work) >= _LEAST_WAITED for work, _ in samples]
    if not any(enough) or not enough[tried.index(near)]:
        return NOTHING
    tried = [workers for workers, is_enough in zip(tried, enough, strict=True) if is_enough]
    samples = [sample for sample, is_enough in zip(samples, enough, strict=True) if is_enough]
    generator = np.random.default_rng(0)
    free = np.sort(free)
    picks = []
    for replica in range(_REPLICAS + 1):
        drawn = generator.integers(_BLOCKS, size=_BLOCKS) if replica else np.arange(_BLOCKS)
        weights = np.bincount(drawn, minlength=_BLOCKS)
        aim = np.quantile(free if not replica else generator.choice(free, len(free)), _SHARES)
        fits = [_misfit(work, weights[block], aim) for work, block in samples]
        best = int(np.argmin([misfit for misfit, _ in fits]))
        picks.append((tried[best], *fits[best]))
    value = picks[0][0]
    is_edge = not all(enough) and np.mean([pick[0] == tried[-1] for pick in picks]) > 0.02
    is_in_order = float(np.mean(samples[tried.index(value)][0] < 0)) < _MOST_OVERTAKEN
    if not is_in_order and all(enough):  # else there may be more workers, with which none is too early
        return NOTHING._replace(is_in_order=False)
    if not is_in_order or is_edge or not _have_waited(calls, value, free, healthy):
        return NOTHING
    (value, misfit, overhead), replicas = picks[0], np.array([(pick[0], pick[2]) for pick in picks[1:]])
    low, high = np.percentile(replicas[:, 0], (2.5, 97.5))
    spread = np.percentile(replicas[:, 1], (2.5, 97.5))
    waited = len(samples[tried.index(value)][0])
    return FoundWorkers(
        value,
        int(min(np.floor(low), value)),
        int(max(np.ceil(high), value)),
        (overhead, float(min(spread[0], overhead)), float(max(spread[1], overhead))),
        misfit,
        waited,
    )


def possible_workers(calls: Calls, free: np.ndarray, healthy: np.ndarray) -> FoundWorkers:
    """Return between how many workers there may be where too few calls waited to tell, and which number fits best.

    With too few workers supposed, the calls that would have waited are done too soon; with
    too many they took longer than calls that wait for nobody. What tells is where their
    work stands among that of the others: evenly, if the number is right.

    Args:
        calls: The calls of the log.
        free: Times of service without any wait, in seconds.
        healthy: Which calls to look at: those of no fault.

    Returns:
        Without a value, and perhaps without a highest number; what is likely is as many as
        were under way where no call would have waited.
    """
    most = int(calls.met[healthy].max(initial=0)) + 1
    free = np.sort(free.round(9))  # ties are ties, however the seconds were added
    low, high, best = 1, None, (np.inf, most)
    waited = 0
    for workers in candidates(most):
        begun = calls.starts(workers)
        chosen = (begun > calls.arrival) & healthy & ~calls.is_bound
        count = int(chosen.sum())
        if count < _FEWEST:
            break
        work = (calls.end - begun)[chosen].round(9)
        places = (np.searchsorted(free, work, "left") + np.searchsorted(free, work, "right")) / (2 * len(free))
        distance = (float(places.mean()) - 0.5) / np.sqrt((1 / count + 1 / len(free)) / 12)
        is_too_soon = np.sum(work < 0) > max(1, _MOST_OVERTAKEN * count)
        if is_too_soon and count >= _LEAST_WAITED and np.mean(places > _LONG) > 3 * (1 - _LONG):
            return NOTHING._replace(is_in_order=False)  # some too early and some too late: no number explains both
        if distance > _SURELY:
            high = max(low, workers - 1)
            break
        if distance < -_SURELY or is_too_soon:
            low = workers + 1
        elif abs(distance) < best[0]:
            best, waited = (abs(distance), workers), count
    likely = max(low, min(best[1], high or most))
    return NOTHING._replace(low=low, high=high, waited=waited, likely=likely)


def workers_by_throughput(calls: Calls, near: int, free: np.ndarray, healthy: np.ndarray) -> FoundWorkers:
    """Return the workers from the answers per second while surely all are busy, whatever the order of service.

    Args:
        calls: The calls of the log.
        near: About how many there are.
        free: Times of service without any wait, in seconds.
        healthy: Which calls to look at: those of no fault.
    """
    nothing = NOTHING._replace(is_in_order=False)
    order = np.argsort(calls.end, kind="stable")
    ends, is_well = calls.end[order], healthy[order]
    under_way = np.searchsorted(calls.arrival, ends, side="right") - np.arange(1, len(ends) + 1)
    is_busy = (under_way[:-1] >= 2 * near + 2) & is_well[:-1] & is_well[1:]  # from an answer to the next
    gaps = np.diff(ends)[is_busy]
    if len(gaps) < _LEAST_WAITED:
        return nothing
    generator = np.random.default_rng(0)
    parts = np.array_split(gaps, _BLOCKS)
    sums, sizes = np.array([part.sum() for part in parts]), np.array([len(part) for part in parts])
    drawn = generator.integers(_BLOCKS, size=(_REPLICAS, _BLOCKS))
    works = free[generator.integers(len(free), size=(_REPLICAS, len(free)))].mean(axis=1)
    replicas = works * sizes[drawn].sum(axis=1) / sums[drawn].sum(axis=1)
    value = float(free.mean() * len(gaps) / gaps.sum())
    if not 0.7 < value / near < 1.4:
        return nothing
    low, high = np.percentile(replicas, (2.5, 97.5))
    whole = max(1, round(value))
    bounds = min(int(np.floor(low)), whole), max(int(np.ceil(high)), whole)
    return FoundWorkers(whole, *bounds, (0.0, 0.0, 0.0), float("nan"), len(gaps), is_in_order=False)


def _have_waited(calls: Calls, workers: int, free: np.ndarray, healthy: np.ndarray) -> bool:
    """Say whether calls that would have waited did take longer: else any larger number would do as well."""
    chosen = (calls.starts(workers) > calls.arrival) & healthy & ~calls.is_bound
    longer, usual = np.log(np.maximum(calls.duration[chosen], 1e-9)), np.log(np.maximum(free, 1e-9))
    error = np.sqrt(longer.var() / max(len(longer) / 5, 1) + usual.var() / len(usual))  # neighbours share their queue
    return bool(longer.mean() - usual.mean() > 4 * error)


def _waited(calls: Calls, workers: int, healthy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the work of calls that waited, sorted, and the block of time of each."""
    begun = calls.starts(workers)
    chosen = np.flatnonzero((begun > calls.arrival) & healthy & ~calls.is_bound)
    work = (calls.end - begun)[chosen]
    block = (np.arange(len(chosen)) * _BLOCKS) // max(len(chosen), 1)
    order = np.argsort(work, kind="stable")
    return work[order], block[order]


def _misfit(work: np.ndarray, weights: np.ndarray, aim: np.ndarray) -> tuple[float, float]:
    """Return how far the law of some work is from the usual one, and by how much it is shorter."""
    shares = np.cumsum(weights)
    if shares[-1] <= 0:
        return np.inf, 0.0
    found = work[np.minimum(np.searchsorted(shares, _SHARES * shares[-1]), len(work) - 1)]
    overhead = float(np.clip(np.median(aim - found), 0.0, _MOST_OVERHEAD * aim[9]))
    misfit = np.mean(np.abs(found + overhead - aim)) + _PRICE * overhead
    return float(misfit / np.mean(aim)), overhead
