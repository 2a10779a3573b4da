"""The law of durations of which some are only lower bounds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class CensoredLaw(NamedTuple):
    """A law of durations, as equally likely values, and how far it is known.

    Attributes:
        values: Seconds.
        known_until: The time up to which the log says something; infinity if all ended.
        beyond: Share of the durations beyond it.
    """

    values: np.ndarray
    known_until: float
    beyond: float


def survival(durations: np.ndarray, is_bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share that lasts longer than each time, by Kaplan and Meier.

    Args:
        durations: Seconds.
        is_bound: Whether each is only a lower bound.

    Returns:
        The times at which a duration ended, in order, and the share beyond each.

    Source: Kaplan, Meier (1958), Nonparametric estimation from incomplete observations.

    Example:
        >>> times, beyond = survival(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, False]))
        >>> times.tolist(), beyond.tolist()
        ([1.0, 2.0, 3.0], [0.75, 0.5, 0.0])
    """
    times, counts = np.unique(durations[~is_bound], return_counts=True)
    at_risk = len(durations) - np.searchsorted(np.sort(durations), times, side="left")
    return times, np.cumprod(1 - counts / at_risk)


def censored_law(durations: np.ndarray, is_bound: np.ndarray) -> CensoredLaw:
    """Return the law of durations of which some ended at a limit.

    Up to the last end it is that of Kaplan and Meier; beyond, a lognormal law that fits
    what is known: an assumption, not a measurement.
    """
    times, beyond = survival(durations, is_bound)
    if not is_bound.any() or not len(times) or beyond[-1] < 1e-9:
        return CensoredLaw(durations[~is_bound], math.inf, 0.0)
    size = len(durations)
    shares = (np.arange(size) + 0.5) / size
    known = shares < 1 - beyond[-1]
    values = np.empty(size)
    values[known] = times[np.minimum(np.searchsorted(1 - beyond, shares[known], side="left"), len(times) - 1)]
    limit = max(float(times[-1]), float(durations[is_bound].min()))
    values[~known] = np.maximum(limit, _lognormal_quantiles(times, beyond, shares[~known]))
    return CensoredLaw(values, limit, float(beyond[-1]))


def _lognormal_quantiles(times: np.ndarray, beyond: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return quantiles of the lognormal law through the upper half of what is known."""
    known = 1 - beyond
    grid = np.linspace(known[-1] * 0.3, known[-1] * 0.98, 25)
    logs = np.log(np.maximum(times[np.minimum(np.searchsorted(known, grid), len(times) - 1)], 1e-9))
    sigma, centre = np.polyfit(_normal_quantiles(grid), logs, 1)
    found: np.ndarray = np.exp(centre + max(sigma, 1e-6) * _normal_quantiles(shares))
    return found


def _normal_quantiles(shares: np.ndarray) -> np.ndarray:
    from statistics import NormalDist

    law = NormalDist()
    return np.array([law.inv_cdf(float(share)) for share in shares])
