"""Intervals from replications that are few and skewed, and how many it takes. Student's t without scipy."""

from __future__ import annotations

import dataclasses
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
SKEW_WEIGHT = 1.25
"""Weight of the skewness of the values: a small sample shows less of it than there is. See `coverage`."""


@dataclass(frozen=True)
class Interval:
    """A mean and the limits of an interval around it.

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
    """Return the mean of independent *values* and an interval that holds the true mean.

    Student's t, mean -+ t s / sqrt(n), with s the standard deviation, holds the mean of
    normal values. Those of queues are skewed: most runs are a bit below the mean, a few
    far above it, and an experiment that met none of these few ends too low. On the side
    of the long tail the limit is therefore moved out as far as the skewness of the
    values asks for (Hall's transformation); on the other it stays that of t. `coverage`
    measures how often the interval holds.

    Values that are NaN are left out. Two values have no skewness: t alone. If all values
    are equal the interval has no width: the runs saw no variation, which is not proof
    that there is none.

    Example:
        >>> interval = mean_interval(np.array([1.0, 2.0, 3.0]))
        >>> print(f"{interval.mean:.3f} from {interval.low:.3f} to {interval.high:.3f}")
        2.000 from -0.484 to 4.484
        >>> interval = mean_interval(np.array([1.0, 1.1, 1.2, 1.3, 2.4]))
        >>> print(f"{interval.mean:.3f} from {interval.low:.3f} to {interval.high:.3f}")
        1.400 from 0.692 to 2.975

    Source: P. Hall, On the removal of skewness by transformation, J. R. Statist. Soc. B 54
    (1992); t for the limits as in N. J. Johnson, J. Am. Statist. Ass. 73 (1978).
    """
    values, found = _spread(values)
    if not found.deviation > 0:
        return found
    t = t_quantile(0.5 + confidence / 2, found.count - 1)
    error = found.deviation / math.sqrt(found.count)
    skewness = SKEW_WEIGHT * _skewness(values, found) / math.sqrt(found.count)
    low = found.mean - error * max(t, _unskewed(t, skewness))
    high = found.mean + error * max(t, _unskewed(t, -skewness))
    return dataclasses.replace(found, low=low, high=high)


def run_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Return the mean of independent *values* and an interval that holds one more value like them.

    mean -+ t s sqrt(1 + 1/n), and on the side of the long tail further out by the first
    term of Cornish and Fisher for skewness g: s sqrt(1 + 1/n) |g| (t^2 - 1) / 6.

    Example:
        >>> interval = run_interval(np.array([1.0, 2.0, 3.0]))
        >>> print(f"{interval.mean:.3f} from {interval.low:.3f} to {interval.high:.3f}")
        2.000 from -2.968 to 6.968
    """
    values, found = _spread(values)
    if not found.deviation > 0:
        return found
    t = t_quantile(0.5 + confidence / 2, found.count - 1)
    width = found.deviation * math.sqrt(1 + 1 / found.count)
    tail = _skewness(values, found) * (t * t - 1) / 6
    low, high = found.mean - width * (t + max(-tail, 0.0)), found.mean + width * (t + max(tail, 0.0))
    return dataclasses.replace(found, low=low, high=high)


def _spread(values: np.ndarray) -> tuple[np.ndarray, Interval]:
    """Return the finite values, and their mean and deviation as an interval without width."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    count = len(values)
    if not count:
        return values, Interval(math.nan, math.nan, math.nan, 0, math.nan)
    if count < 2:
        return values, Interval(float(values[0]), math.nan, math.nan, count, math.nan)
    if np.all(values == values[0]):
        return values, Interval(float(values[0]), float(values[0]), float(values[0]), count, 0.0)
    mean = float(values.mean())
    return values, Interval(mean, mean, mean, count, float(values.std(ddof=1)))


def _skewness(values: np.ndarray, found: Interval) -> float:
    """Return the third central moment, unbiased, over the third power of the deviation."""
    count = found.count
    if count < 3:
        return 0.0
    third = float(np.mean(((values - found.mean) / found.deviation) ** 3))
    return third * count**2 / ((count - 1) * (count - 2))


def _unskewed(t: float, skewness: float) -> float:
    """Return the T with T + g T^2 / 3 + g^2 T^3 / 27 + g / 6 = t, for the *skewness* g of the mean."""
    if abs(skewness) < 1e-6:
        return t
    return 3 / skewness * (math.cbrt(1 + skewness * (t - skewness / 6)) - 1)


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
