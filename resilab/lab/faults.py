"""Faults: what goes wrong with a dependency, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from ..validation import (
    Count,
    NonNegative,
    Positive,
    PositiveOrInfinite,
    Ratio,
    Spec,
    word,
)


@dataclass(frozen=True)
class Fault(Spec):
    """Something wrong with a service from *start* on, for *duration* seconds.

    The window contains its start and not its end.
    """

    start: NonNegative
    duration: PositiveOrInfinite

    @property
    def end(self) -> float:
        """The first moment after the fault, in seconds."""
        return self.start + self.duration


@dataclass(frozen=True)
class Outage(Fault):
    """The service is down.

    Args:
        start: Seconds from the start of the run.
        duration: Seconds; infinity is for ever.
        mode: "error" fails every call that starts work in the window, after the time
            the service's failures take. "hang" starts no work until the fault ends:
            work under way goes on, calls queue and wait. "freeze" is a stopped process:
            work under way stands still too, and so does the cancelling of it.

    Example:
        >>> Outage(start=20, duration=10, mode="hang").end
        30
    """

    mode: Annotated[str, word("error", "hang", "freeze")] = "error"

    def __post_init__(self) -> None:
        if self.mode == "freeze" and self.duration == math.inf:
            raise ValueError("duration of a freeze must be finite, got inf: work that has begun would never end")


@dataclass(frozen=True)
class Slowdown(Fault):
    """Calls that start work in the window take *factor* times as long.

    Args:
        start: Seconds from the start of the run.
        duration: Seconds; infinity is for ever.
        factor: Above 0; below 1 is a service that gets faster.

    Example:
        >>> Slowdown(start=20, duration=10, factor=3.0)
        Slowdown(start=20, duration=10, factor=3.0)
    """

    factor: Positive = 2.0


@dataclass(frozen=True)
class Errors(Fault):
    """Calls that start work in the window fail with probability *rate*.

    It comes on top of the service's own failure rate p, as one more independent
    cause: together a call fails with 1 - (1 - p)(1 - rate).

    Args:
        start: Seconds from the start of the run.
        duration: Seconds; infinity is for ever.
        rate: Probability from 0 to 1.

    Example:
        >>> Errors(start=20, duration=10, rate=0.2)
        Errors(start=20, duration=10, rate=0.2)
    """

    rate: Ratio = 0.5


@dataclass(frozen=True)
class CapacityLoss(Fault):
    """Some workers are missing; those that are busy finish their call first.

    Args:
        start: Seconds from the start of the run.
        duration: Seconds; infinity is for ever.
        workers: How many are missing, at least 1. As many as the service has stop it.

    Example:
        >>> CapacityLoss(start=20, duration=10, workers=3)
        CapacityLoss(start=20, duration=10, workers=3)
    """

    workers: Count = 1
