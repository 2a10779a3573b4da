"""Windows in which a sequence is not as usual: found by likelihood, with the uncertainty of their ends."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

_GRID = 400
_SLACK = 3.5
"""Loss of log-likelihood that an end may cost and still be possible: 95 % and a little more."""
SHORTEST = 8
"""Values that a window has at least."""


class Window(NamedTuple):
    """Values from *first* on and before *last* that differ from the others.

    Attributes:
        first, last: Places of its ends.
        first_range, last_range: Between which places each end may lie.
    """

    first: int
    last: int
    first_range: tuple[int, int]
    last_range: tuple[int, int]


Gain = Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]


def windows_of(values: np.ndarray, is_rate: bool) -> list[Window]:
    """Return the windows in which the mean of *values* differs, by much more than chance would.

    The best window of all is looked for, then the best on either side of it, as in
    circular binary segmentation.

    Args:
        values: Independent values in order: 0 and 1 if *is_rate*, else about normal.
        is_rate: Whether they are failures or not.
    """
    spread = 1.0 if is_rate else _spread(values)
    if len(values) < 4 * SHORTEST or not spread > 0:
        return []
    usual = float(np.mean(values)) if is_rate else float(np.median(values))
    centre = 0.0 if is_rate else usual
    sums = np.concatenate([[0.0], np.cumsum((values - centre) / spread)])
    gain = _rate_gain if is_rate else _mean_gain
    found = _search(sums, 0, len(values), gain, 4 * np.log(len(values)) + 10)
    joined = _joined(sorted(found), sums, gain)
    return [Window(first, last, *_ranges(sums, first, last, is_rate)) for first, last in joined]


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Return values of any law as values of the standard normal one, in the same order of size.

    Values that are equal to nine digits stay equal.

    Example:
        >>> normal_scores(np.array([7.0, 1e9, 8.0])).round(2).tolist()
        [-0.97, 0.97, 0.0]
    """
    law = NormalDist()
    shares = (np.arange(1000) + 0.5) / 1000
    quantiles = [law.inv_cdf(float(share)) for share in shares]
    _, which, counts = np.unique(np.round(values, 9), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(values)
    found: np.ndarray = np.interp(ranks, shares, quantiles)[which]
    return found


def _spread(values: np.ndarray) -> float:
    """Return a standard deviation that a window of other values does not change much, if most are not equal."""
    low, high = np.percentile(values, (25, 75))
    return float(high - low) / 1.349 or float(values.std())


def _search(sums: np.ndarray, start: int, end: int, gain: Gain, least: float) -> list[tuple[int, int]]:
    """Return the best window between two places and those beside it."""
    if end - start < 2 * SHORTEST:
        return []
    first, last, best = _best(sums, start, end, gain)
    if best < least:
        return []
    return [(first, last), *_search(sums, start, first, gain, least), *_search(sums, last, end, gain, least)]


def _best(sums: np.ndarray, start: int, end: int, gain: Gain) -> tuple[int, int, float]:
    """Return the window whose values differ most from the others: on a grid, then ever finer around the best."""
    step = max(1, (end - start) // _GRID)
    firsts = lasts = np.append(np.arange(start, end, step), end)
    while True:
        first, last, best = _best_of(sums, firsts, lasts, (start, end), gain)
        if step == 1:
            return first, last, best
        finer = max(1, step // 20)
        firsts = np.arange(max(start, first - step), min(end, first + step) + 1, finer)
        lasts = np.arange(max(start, last - step), min(end, last + step) + 1, finer)
        step = finer


def _best_of(
    sums: np.ndarray, firsts: np.ndarray, lasts: np.ndarray, whole: tuple[int, int], gain: Gain
) -> tuple[int, int, float]:
    sizes = lasts[None, :] - firsts[:, None]
    inside = sums[lasts][None, :] - sums[firsts][:, None]
    total, count = float(sums[whole[1]] - sums[whole[0]]), float(whole[1] - whole[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = gain(inside, sizes, total, count)
    is_window = (sizes >= SHORTEST) & (count - sizes >= SHORTEST)
    place = np.unravel_index(np.argmax(np.where(is_window, gains, -1.0)), gains.shape)
    return int(firsts[place[0]]), int(lasts[place[1]]), float(gains[place]) if is_window[place] else -1.0


def _mean_gain(inside: np.ndarray, sizes: np.ndarray, total: float, count: float) -> np.ndarray:
    """Return twice the gain of log-likelihood if a window of unit-variance values has a mean of its own."""
    found: np.ndarray = (inside - total * sizes / count) ** 2 / (sizes * (1 - sizes / count))
    return found


def _rate_gain(inside: np.ndarray, sizes: np.ndarray, total: float, count: float) -> np.ndarray:
    """Return twice the gain of log-likelihood if a window has a failure rate of its own, above the others'."""
    outside, rest = total - inside, count - sizes
    gains = 2 * (_log_likelihood(inside, sizes) + _log_likelihood(outside, rest))
    gains = gains - 2 * float(_log_likelihood(np.array(total), np.array(count)))
    found: np.ndarray = np.where(inside / sizes > outside / rest, gains, -1.0)
    return found


def _log_likelihood(failures: np.ndarray, calls: np.ndarray) -> np.ndarray:
    rate = np.clip(failures / calls, 1e-12, 1 - 1e-12)
    found: np.ndarray = failures * np.log(rate) + (calls - failures) * np.log1p(-rate)
    return found


def _joined(windows: list[tuple[int, int]], sums: np.ndarray, gain: Gain) -> list[tuple[int, int]]:
    """Join windows that are parts of one: what lies between is short, and no different from them."""
    joined: list[tuple[int, int]] = []
    for first, last in windows:
        if joined and first - joined[-1][1] < 0.2 * (last - joined[-1][0]):
            begin, middle = joined[-1]
            between = np.array(sums[first] - sums[middle]), np.array(float(max(first - middle, 1)))
            whole = float(sums[last] - sums[begin]), float(last - begin)
            if float(np.abs(gain(*between, *whole))) < 4 * np.log(len(sums)) + 10:
                joined[-1] = (begin, last)
                continue
        joined.append((first, last))
    return joined


def _ranges(sums: np.ndarray, first: int, last: int, is_rate: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return between which places each end of a window may lie."""
    inner = (sums[last] - sums[first]) / (last - first)
    outer = (sums[-1] - sums[last] + sums[first]) / max(len(sums) - 1 - last + first, 1)
    reach = last - first
    before = np.arange(max(0, first - reach), last)
    after = np.arange(first + 1, min(len(sums) - 1, last + reach) + 1)
    if is_rate:
        inner, outer = (float(np.clip(rate, 1e-4, 1 - 1e-4)) for rate in (inner, outer))
        slope, shift = np.log(inner * (1 - outer) / outer / (1 - inner)), np.log((1 - inner) / (1 - outer))
    else:
        slope, shift = inner - outer, (outer**2 - inner**2) / 2
    scores = slope * sums + shift * np.arange(len(sums))  # log-likelihood of "inside", added up
    first_range = before[scores[before] <= scores[before].min() + _SLACK]
    last_range = after[scores[after] >= scores[after].max() - _SLACK]
    return (int(first_range.min()), int(first_range.max())), (int(last_range.min()), int(last_range.max()))
