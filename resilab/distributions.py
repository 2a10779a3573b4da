"""Distributions of durations: values that can be sampled with any numpy generator.

Write your own as a frozen dataclass with `sample(generator, size)` and `mean`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from .validation import (
    Finite,
    NonNegative,
    Positive,
    Rule,
    Spec,
    at_least,
    finite,
    non_negative,
    numbers,
    positive,
    sequence,
)


@dataclass(frozen=True)
class Distribution(Spec):
    """A law for durations in seconds; every draw is at least 0."""

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        """Return *size* independent draws, in seconds."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same duration.

    Args:
        value: Seconds, at least 0.

    Example:
        >>> Constant(0.1).sample(np.random.default_rng(0), 3).tolist()
        [0.1, 0.1, 0.1]
    """

    value: NonNegative

    @property
    def mean(self) -> float:
        """The mean, in seconds."""
        return self.value

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        return np.full(size, float(self.value))


@dataclass(frozen=True)
class Uniform(Distribution):
    """Equally likely anywhere from *low* to *high*.

    Args:
        low: Shortest duration in seconds, at least 0.
        high: Longest duration in seconds, at least *low*.

    Example:
        >>> Uniform(low=0.1, high=0.3).mean
        0.2
    """

    low: NonNegative
    high: Finite

    def __post_init__(self) -> None:
        at_least("high", self.high, self.low)

    @property
    def mean(self) -> float:
        """The mean, in seconds."""
        return (self.low + self.high) / 2

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        return self.low + (self.high - self.low) * generator.random(size)


@dataclass(frozen=True)
class Exponential(Distribution):
    """Memoryless durations, the law of queueing theory's M.

    Args:
        mean: Mean in seconds, above 0. The coefficient of variation is 1.

    Example:
        >>> Exponential(mean=0.1).sample(np.random.default_rng(0), 3).round(3).tolist()
        [0.068, 0.102, 0.002]
    """

    mean: Positive

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        return generator.standard_exponential(size) * self.mean


@dataclass(frozen=True)
class LogNormal(Distribution):
    """The usual shape of service latencies: most are short, a few are long.

    Args:
        median: Median in seconds, above 0.
        sigma: Standard deviation of the logarithm, at least 0. Measured services
            often lie from 0.3 to 1.0; p99 / median is exp(2.33 sigma).

    Example:
        >>> round(LogNormal(median=0.1, sigma=0.5).mean, 4)
        0.1133
        >>> round(LogNormal.from_mean(0.1, cv=1.0).median, 4)
        0.0707
    """

    median: Positive
    sigma: NonNegative

    @property
    def mean(self) -> float:
        """The mean, in seconds: median * exp(sigma^2 / 2); infinite if that is above 1.8e308."""
        try:
            return self.median * math.exp(self.sigma * self.sigma / 2)
        except OverflowError:
            return math.inf

    @classmethod
    def from_mean(cls, mean: float, cv: float) -> LogNormal:
        """Make the law from its mean in seconds and its coefficient of variation."""
        square = non_negative("cv", cv) * cv
        if math.isinf(square):
            raise ValueError(f"cv must be <= 1e154, got {cv!r}")
        variance = math.log1p(square)
        return cls(positive("mean", mean) * math.exp(-variance / 2), math.sqrt(variance))

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        return self.median * np.exp(self.sigma * generator.standard_normal(size))


_SMALLEST_CV = 1e-100  # its square, and that of its inverse, are floats


@dataclass(frozen=True)
class Gamma(Distribution):
    """Durations between constant (*cv* near 0), exponential (1) and burstier (above 1).

    Args:
        mean: Mean in seconds, above 0.
        cv: Coefficient of variation, above 0: standard deviation / mean.
            1 / sqrt(k) gives the Erlang law of k stages.

    Example:
        >>> Gamma(mean=0.1, cv=0.5).mean
        0.1
    """

    mean: Positive
    cv: Positive

    def __post_init__(self) -> None:
        if not _SMALLEST_CV <= self.cv <= 1 / _SMALLEST_CV:
            raise ValueError(f"cv must be from {_SMALLEST_CV} to {1 / _SMALLEST_CV:.0e}, got {self.cv!r}")

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        shape = self.cv**-2
        return generator.standard_gamma(shape, size) * (self.mean / shape)


@dataclass(frozen=True)
class Pareto(Distribution):
    """Heavy tail: P(X > x) = (minimum / x) ** alpha.

    Args:
        minimum: Smallest duration in seconds, above 0.
        alpha: Tail index, above 0. The mean is infinite up to 1, the variance up to 2.

    Example:
        >>> round(Pareto(minimum=0.1, alpha=2.5).mean, 4), Pareto(minimum=0.1, alpha=1.0).mean
        (0.1667, inf)
    """

    minimum: Positive
    alpha: Positive

    @property
    def mean(self) -> float:
        """The mean, in seconds; infinite for alpha <= 1."""
        return self.minimum * self.alpha / (self.alpha - 1) if self.alpha > 1 else math.inf

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        return self.minimum * (1.0 - generator.random(size)) ** (-1 / self.alpha)


@dataclass(frozen=True, init=False)
class Mixture(Distribution):
    """One of several laws, chosen anew for each draw.

    Args:
        *parts: Pairs (weight, distribution); weights are above 0 and need not add up to 1.

    Example:
        >>> Mixture((0.95, Constant(0.02)), (0.05, Constant(1.0))).mean
        0.069
    """

    parts: tuple[tuple[float, Distribution], ...]

    def __init__(self, *parts: tuple[float, Any]) -> None:
        if not parts:
            raise ValueError("parts must not be empty, got ()")
        for part in parts:
            if not (isinstance(part, tuple) and len(part) == 2):
                raise TypeError(f"parts must be pairs (weight, distribution), got {part!r}")
            positive("weight", part[0])
            duration("parts", part[1])
        pairs = tuple((float(weight), duration("parts", law)) for weight, law in parts)
        object.__setattr__(self, "parts", pairs)

    def replace(self, **changes: Any) -> Mixture:
        return Mixture(*sequence("parts", changes.pop("parts", self.parts)), **changes)

    @property
    def mean(self) -> float:
        """The mean, in seconds."""
        total = sum(weight for weight, _ in self.parts)
        return sum(weight * mean_of(law) for weight, law in self.parts) / total

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        weights = np.array([weight for weight, _ in self.parts])
        which = np.searchsorted(np.cumsum(weights)[:-1] / weights.sum(), generator.random(size), "right")
        draws = np.stack([law.sample(generator, size) for _, law in self.parts])
        return draws[which, np.arange(size)]


def _as_tuple(name: str, values: Any) -> tuple[float, ...]:
    return tuple(numbers(name, values).tolist())


@dataclass(frozen=True)
class Empirical(Distribution):
    """Draws from measured durations, each equally likely.

    Args:
        values: Seconds, at least 0, at least one of them. Durations of a trace are
            service time plus queueing: take them from a phase without queueing.

    Example:
        >>> Empirical([0.1, 0.2, 0.4])
        Empirical(3 values, mean=0.2333)
    """

    values: Annotated[tuple[float, ...], Rule(_as_tuple, "numbers >= 0, at least one")]

    def __repr__(self) -> str:
        return f"Empirical({len(self.values)} values, mean={self.mean:.4g})"

    @property
    def mean(self) -> float:
        """The mean, in seconds."""
        return math.fsum(self.values) / len(self.values)

    def sample(self, generator: np.random.Generator, size: int) -> np.ndarray:
        values = np.array(self.values)
        return values[(generator.random(size) * len(values)).astype(np.intp)]


def duration(name: str, value: Any) -> Any:
    """Return *value* as a distribution: a plain number of seconds is a `Constant`."""
    if hasattr(value, "sample"):
        return value
    return Constant(non_negative(name, value))


Law = Annotated[Any, Rule(duration, "a distribution, or seconds >= 0")]
"""A field that holds a distribution; a number of seconds becomes a `Constant`."""


def mean_of(law: Any) -> float:
    """Return the mean of a distribution, in seconds."""
    return finite("mean", law.mean) if not math.isinf(law.mean) else math.inf
