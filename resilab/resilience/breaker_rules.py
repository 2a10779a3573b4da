"""What a circuit breaker does while it is open, and how it probes: two groups of its options, as values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from ..validation import Count, Growth, PositiveOrInfinite, Ratio, Spec, non_negative, word
from .base import short_repr


@dataclass(frozen=True)
class OpenRule(Spec):
    """How long a breaker stays open, beyond its *timeout*, and how it leaves that state.

    Args:
        multiplier: Growth of the timeout from opening to opening while probes fail, at
            least 1.
        max_timeout: Longest time open in seconds.
        jitter: Share by which the timeout is drawn longer or shorter, evenly.
        open_for: Function of the error that opens it: seconds to stay open, such as a
            Retry-After, or None for the timeout.
        probes_at_timeout: False admits the first probe only after the timeout, not at
            exactly that time.
        automatic: True turns HALF_OPEN when the timeout has passed, without a call. With
            a `HalfOpenRule.max_wait`, a breaker that nobody calls goes on turning until
            nothing else is left to happen.
        shows_half_open: True says "half_open" when the timeout has passed, although it
            turns with the next call only.
        restarts: True lets `force` begin the time open anew where it is open already.

    Example:
        >>> OpenRule(multiplier=2.0, max_timeout=300.0).seconds(30.0, number=3)
        120.0
    """

    multiplier: Growth = 1.0
    max_timeout: PositiveOrInfinite = math.inf
    jitter: Ratio = 0.0
    open_for: Callable[[BaseException], float | None] | None = None
    probes_at_timeout: bool = True
    automatic: bool = False
    shows_half_open: bool = False
    restarts: bool = False

    def __repr__(self) -> str:
        return short_repr(self, always=0)

    def seconds(
        self,
        timeout: float | Callable[[int], float],
        number: int,
        error: BaseException | None = None,
        draw: float = 0.5,
    ) -> float:
        """Return how long an opening lasts.

        Args:
            timeout: That of the breaker.
            number: Openings since it was last closed, from 1.
            error: The error that opened it, if one did.
            draw: Uniform draw from 0 to 1, for the jitter.
        """
        given = self.open_for(error) if self.open_for is not None and error is not None else None
        if given is not None:
            return non_negative("the time returned by open_for", given, allow_infinite=True)
        if callable(timeout):
            seconds = non_negative("the time returned by timeout", timeout(number), allow_infinite=True)
        else:
            try:
                seconds = timeout * self.multiplier ** (number - 1)
            except OverflowError:
                seconds = math.inf
        return min(seconds * (1 + self.jitter * (2 * draw - 1)), self.max_timeout)


@dataclass(frozen=True)
class HalfOpenRule(Spec):
    """How a breaker decides in HALF_OPEN, beyond so many successes in a row.

    Args:
        calls: Decide by the rates of so many results (of *volume_threshold*, if that is
            fewer) instead. None counts successes.
        success_capacity: *success_threshold* successes of so many results close it;
            more failures than that allows open it. None is *success_threshold*: all.
        budget: What *half_open_max_calls* limits: "concurrent" probes, or the "total"
            of one stay in HALF_OPEN.
        probe_interval: Seconds after which one more probe may start although the
            budget is used up. None is never.
        max_wait: Longest stay in seconds; None is no limit.
        after_wait: The state after it, "open" or "closed".

    Example:
        >>> HalfOpenRule(calls=10, budget="total")
        HalfOpenRule(calls=10, budget='total')
    """

    calls: Count | None = None
    success_capacity: Count | None = None
    budget: Annotated[str, word("concurrent", "total")] = "concurrent"
    probe_interval: PositiveOrInfinite | None = None
    max_wait: PositiveOrInfinite | None = None
    after_wait: Annotated[str, word("open", "closed")] = "open"

    def __repr__(self) -> str:
        return short_repr(self, always=0)
