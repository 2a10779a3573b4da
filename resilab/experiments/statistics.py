"""Student's t, without scipy: quantiles, intervals, and how many replications it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..validation import whole

if TYPE_CHECKING:
    import pandas as pd

POWER = 0.8
"""Chance with which the suggested number of replications tells, if the true difference is the seen one."""
MOST_REPLICATIONS = 1_000_000


@dataclass(frozen=True)
class Interval:
    """A mean and the limits of its confidence interval.

    Attributes:
        mean: Mean of the finite values, NaN if there are none.
        low: Lower limit; NaN for less than two values.
        high: Upper limit.
        count: How many finite values there were.
        deviation: Their standard deviation; NaN for less than two.
    """

    mean: float
    low: float
    high: float
    count: int
    deviation: float


def column(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of a frame as numbers; refuse what is none."""
    try:
        values: np.ndarray = frame[name].to_numpy(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"column {name!r} must hold numbers, got {frame[name].iloc[0]!r}") from None
    return values


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the mean of independent *values* and its interval by t.

    mean +- t s / sqrt(n), with s the standard deviation and t the quantile of Student's
    t with n - 1 degrees of freedom. Values that are NaN are left out. If all values
    are equal the interval has no width: the runs saw no variation, which is not proof
    that there is none.

    Example:
        >>> interval = mean_interval(np.array([1.0, 2.0, 3.0]))
        >>> print(f"{interval.mean:.3f} from {interval.low:.3f} to {interval.high:.3f}")
        2.000 from -0.484 to 4.484
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    count = len(values)
    if not count:
        return Interval(math.nan, math.nan, math.nan, 0, math.nan)
    mean = float(values[0]) if np.all(values == values[0]) else float(values.mean())
    if count < 2:
        return Interval(mean, math.nan, math.nan, count, math.nan)
    deviation = 0.0 if np.all(values == values[0]) else float(values.std(ddof=1))
    half = t_quantile(0.5 + confidence / 2, count - 1) * deviation / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count, deviation)


def replications_needed(difference: float, deviation: float, confidence: float = 0.95) -> float:
    """Return how many pairs tell a true *difference* from 0 in 4 of 5 experiments.

    The smallest n with sqrt(n) |difference| / deviation >= t(1 - alpha/2) + t(0.8), both
    with n - 1 degrees of freedom; infinity if it is above a million.

    Args:
        difference: The mean of the paired differences.
        deviation: Their standard deviation.
        confidence: Of the interval that must not contain 0.
    """

    def tells(count: int) -> bool:
        asked = t_quantile(0.5 + confidence / 2, count - 1) + t_quantile(POWER, count - 1)
        return math.sqrt(count) * abs(difference) >= asked * deviation

    if not tells(MOST_REPLICATIONS):
        return math.inf
    low, high = 1, 2
    while not tells(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle, high)
    return high


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t with *freedom* degrees of freedom.

    The distribution function is summed exactly for a whole number of degrees of
    freedom, and inverted by bisection.

    Example:
        >>> round(t_quantile(0.975, 19), 4)
        2.093

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4;
    above 2000 degrees of freedom the expansion 26.7.5.
    """
    whole("freedom", freedom, minimum=1)
    if not 0 < probability < 1:
        raise ValueError(f"probability must be between 0 and 1, got {probability!r}")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    if freedom > 2000:
        return _t_from_normal(probability, freedom)
    low, high = 0.0, 1.0
    while _t_within(high, freedom) < 2 * probability - 1:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if _t_within(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return middle


def _t_within(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies between -t and t."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = freedom % 2
    term = cosine if is_odd else 1.0
    total = 0.0
    for k in range(2 + is_odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    if is_odd:
        return 2 / math.pi * (angle + sine * total)
    return sine * total


def _t_from_normal(probability: float, freedom: int) -> float:
    from statistics import NormalDist

    x = NormalDist().inv_cdf(probability)
    return x + (x**3 + x) / (4 * freedom) + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * freedom**2)
