"""Workloads: when requests arrive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from ..distributions import Law
from ..randomness import BLOCK, KeyedDraws
from ..validation import Count, Positive, Rule, Spec, non_negative, numbers, positive, sequence, since_start

MOST_ARRIVALS = 100_000_000
"""A run of so many requests takes an hour and more memory than a laptop has: a larger number is a slip."""


@dataclass(frozen=True)
class Workload(Spec):
    """Requests that arrive whatever happens to those before (an open workload)."""

    def arrivals(self, duration: float, seed: int, stream: str = "arrivals") -> np.ndarray:
        """Return the arrival times in [0, *duration*), in seconds, in order.

        Request i arrives at the same time however long the run is.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Poisson(Workload):
    """Independent arrivals: users who do not know of one another.

    Args:
        rate: Requests per second on average, above 0.

    Example:
        >>> Poisson(rate=2).arrivals(2.0, seed=1).round(2).tolist()
        [0.24, 0.59, 1.01, 1.13, 1.59, 1.97]
    """

    rate: Positive

    def arrivals(self, duration: float, seed: int, stream: str = "arrivals") -> np.ndarray:
        return unit_poisson(self.rate * duration, seed, stream) / self.rate


@dataclass(frozen=True)
class Steady(Workload):
    """Evenly spaced arrivals, the first at 0: a load generator, a cron job.

    Args:
        rate: Requests per second, above 0.

    Example:
        >>> Steady(rate=2).arrivals(2.0, seed=0).tolist()
        [0.0, 0.5, 1.0, 1.5]
    """

    rate: Positive

    def arrivals(self, duration: float, seed: int, stream: str = "arrivals") -> np.ndarray:
        times = np.arange(math.ceil(_bearable(self.rate * duration))) / self.rate
        return times[times < duration]


@dataclass(frozen=True)
class Schedule(Workload):
    """Poisson arrivals whose rate changes at given times.

    Args:
        steps: Pairs (start in seconds, requests per second), in order of start; a
            rate holds until the next start, the last one for ever. Before the first
            start nothing arrives. A rate may be 0, not all of them.

    Example:
        >>> Schedule([(0, 80), (60, 200), (70, 80)]).steps[1]
        (60, 200)
    """

    steps: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        pairs = [sequence("steps", step) for step in sequence("steps", self.steps)]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"steps must be pairs (start, rate), got {self.steps!r}")
        steps = tuple((non_negative("start", start), non_negative("rate", rate)) for start, rate in pairs)
        if not any(rate for _, rate in steps):
            raise ValueError(f"steps must have a rate > 0, got {self.steps!r}")
        if any(later[0] <= earlier[0] for earlier, later in pairwise(steps)):
            raise ValueError(f"steps must be in order of start, got {self.steps!r}")
        object.__setattr__(self, "steps", steps)

    def arrivals(self, duration: float, seed: int, stream: str = "arrivals") -> np.ndarray:
        starts = np.array([start for start, _ in self.steps if start < duration])
        rates = np.array([rate for _, rate in self.steps])[: len(starts)]
        if not len(starts):
            return np.empty(0)
        expected = np.concatenate([[0.0], np.cumsum(rates * np.diff(np.append(starts, duration)))])
        units = unit_poisson(expected[-1], seed, stream)
        step = np.searchsorted(expected, units, "right") - 1
        found: np.ndarray = starts[step] + (units - expected[step]) / rates[step]
        return found


def _in_order(name: str, values: Any) -> tuple[float, ...]:
    return tuple(np.sort(since_start(name, numbers(name, values))).tolist())


@dataclass(frozen=True)
class Replay(Workload):
    """Arrivals at given times, for instance those of a trace.

    Args:
        times: Seconds from the start of the run, at least 0; they are sorted.

    Example:
        >>> Replay([2.0, 0.5]).arrivals(5.0, seed=0).tolist()
        [0.5, 2.0]
    """

    times: Annotated[tuple[float, ...], Rule(_in_order, "times >= 0, at least one")]

    def __repr__(self) -> str:
        return f"Replay({len(self.times)} times to {self.times[-1]:.6g} s)"

    @property
    def duration(self) -> float:
        """The shortest duration in which all requests arrive, in seconds."""
        return math.nextafter(self.times[-1], math.inf)

    def arrivals(self, duration: float, seed: int, stream: str = "arrivals") -> np.ndarray:
        times = np.array(self.times)
        return times[times < duration]


@dataclass(frozen=True)
class ClosedLoop(Spec):
    """Users who wait for each answer, think, and ask again.

    Each user thinks before the first request, too. A service that slows down is
    asked less: closed workloads hide overload that open ones show.

    Args:
        users: How many, at least 1.
        think_time: Distribution, or seconds, from an answer to the next request. Its
            mean must be above 0, since nothing else is sure to let time pass.

    Example:
        >>> ClosedLoop(users=50, think_time=1.0)
        ClosedLoop(users=50, think_time=Constant(value=1.0))
    """

    users: Count
    think_time: Law

    def __post_init__(self) -> None:
        if not self.think_time.mean > 0:
            raise ValueError(f"think_time must have a mean > 0, got {self.think_time!r}")


def duration_of(scenario: Any) -> None:
    """Give a scenario without a duration that of its `Replay`; refuse one without either."""
    if scenario.duration is None and isinstance(scenario.workload, Replay):
        object.__setattr__(scenario, "duration", scenario.workload.duration)
    positive("duration", scenario.duration)


def unit_poisson(expected: float, seed: int, stream: str) -> np.ndarray:
    """Return the points of a Poisson process of rate 1 in [0, *expected*)."""
    draws = KeyedDraws(seed, stream, lambda generator, size: generator.standard_exponential(size))
    blocks: list[np.ndarray] = []
    last = 0.0
    while last < _bearable(expected):
        gaps = draws.block(0, len(blocks))
        gaps[0] += last
        blocks.append(np.cumsum(gaps))
        last = blocks[-1][BLOCK - 1]
    points = np.concatenate(blocks) if blocks else np.empty(0)
    return points[: np.searchsorted(points, expected)]


def _bearable(expected: float) -> float:
    """Return the expected number of arrivals; refuse one that no machine can hold."""
    if expected > MOST_ARRIVALS:
        raise ValueError(f"rate * duration must be at most {MOST_ARRIVALS:,} requests, got {expected:.6g}")
    return expected
