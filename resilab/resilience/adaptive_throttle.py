"""Adaptive throttle: a client that rejects its own calls while the dependency rejects them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..engine import Steps, request_of
from ..errors import NEVER_HANDLED, ThrottledError
from ..randomness import uniform
from ..validation import Growth, NonNegative, Positive, Ratio
from .base import LivePolicy, Place, Policy, short_repr
from .filters import ErrorFilter, error_filter
from .likeness import like
from .windows import Recent


@dataclass(frozen=True)
class AdaptiveThrottle(Policy["LiveAdaptiveThrottle"]):
    """Reject a call before it is sent, the more likely the fewer were accepted lately.

    With the calls of the last *window* seconds, those rejected here among them, the
    probability is max(0, (requests - multiplier * accepts) / (requests + 1)). While it
    throttles, it sends multiplier times as many calls as are accepted.

    It ends an overload that retries keep alive, but it comes back slowly. While nothing
    is accepted, it sends about one call in each window; then, with a multiplier of 2,
    its rate doubles each 0.43 windows. With the two minutes of the book it takes more
    than ten minutes to be at 80 calls a second again, with a window of 5 s some 20 s.

    Args:
        multiplier: Calls that it sends for each that is accepted, at least 1. The nearer
            to 1, the slower it comes back.
        window: Seconds that count.
        max_probability: The most it rejects, as a share of the calls.
        exponent: The probability is taken to the power of 1 / exponent, at least 1: a
            higher one rejects more at once.
        min_rate: Calls a second in the window below which it rejects none.
        counts_rejections: False leaves those rejected here out of the calls, and counts
            the others when they end, as Envoy does.
        refusals: Errors that mean "not accepted", as class, tuple of classes or
            predicate. None is every error, a timeout inside included. If timeouts are
            left out, it never notices a dependency that is too slow.

    Raises:
        ThrottledError: From `execute`, when the call is rejected here.

    Example:
        >>> AdaptiveThrottle()
        AdaptiveThrottle(multiplier=2.0, window=120.0, refusals=None)

    Source: "Handling Overload" in the book Site Reliability Engineering.
    """

    multiplier: Growth = 2.0
    window: Positive = 120.0
    refusals: ErrorFilter | None = None
    max_probability: Ratio = 1.0
    exponent: Growth = 1.0
    min_rate: NonNegative = 0.0
    counts_rejections: bool = True

    @classmethod
    def like(cls, library: str, **options: Any) -> AdaptiveThrottle:
        """Return a throttle with the meaning and the defaults of a library.

        Args:
            library: "envoy", whose filter is called admission control.
            **options: Fields of `AdaptiveThrottle`, or the library's own parameters; its
                module in `resilab.profiles` lists them.

        Example:
            >>> AdaptiveThrottle.like("envoy", sr_threshold=80).multiplier
            1.25
        """
        return like(cls, "adaptive_throttle", library, options)

    def __repr__(self) -> str:
        return short_repr(self, always=3)

    def probability(self, requests: int, accepts: int) -> float:
        """Return the probability with which it rejects: a pure function."""
        if requests < self.min_rate * self.window:
            return 0.0
        share: float = max(0.0, (requests - self.multiplier * accepts) / (requests + 1))
        return min(float(share ** (1 / self.exponent)), self.max_probability)

    def live(self, place: Place) -> LiveAdaptiveThrottle:
        return LiveAdaptiveThrottle(self, place)


class LiveAdaptiveThrottle(LivePolicy):
    """An adaptive throttle in an environment.

    Attributes:
        spec: What it was made from.
        calls: How many calls it was asked for.
        rejections: How many of them it has rejected.
    """

    spec: AdaptiveThrottle

    def __init__(self, spec: AdaptiveThrottle, place: Place) -> None:
        super().__init__(spec, place)
        self.calls = 0
        self.rejections = 0
        self._is_refusal = error_filter("refusals", spec.refusals)
        self._requests = Recent(spec.window)
        self._accepts = Recent(spec.window)
        self._draws = None if place.seed is None else place.draws("throttle", uniform)

    @property
    def reject_probability(self) -> float:
        """The probability with which it would reject a call now."""
        now = self.env.now
        return self.spec.probability(self._requests.count(now), self._accepts.count(now))

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        counts_all = self.spec.counts_rejections
        probability = self.reject_probability
        is_rejected = probability > 0 and self._draw() < probability
        self.calls += 1
        if counts_all:
            self._requests.add(self.env.now)
        if is_rejected:
            self.rejections += 1
            self.note("rejected")
            raise ThrottledError(f"rejected with probability {probability:.3g}")
        try:
            reply = yield from fn(*args)
        except NEVER_HANDLED:
            raise
        except Exception as error:
            self._ended(not self._is_refusal(error))
            raise
        self._ended(True)
        return reply

    def _ended(self, is_accepted: bool) -> None:
        now = self.env.now
        if not self.spec.counts_rejections:
            self._requests.add(now)
        if is_accepted:
            self._accepts.add(now)

    def _draw(self) -> float:
        """Draw for this call: the draw belongs to the request and its count of calls here."""
        if self._draws is None:
            return random.random()
        request = request_of(self.env.active_process)
        if request is None:
            return self._draws(self.calls)
        return self._draws(request.key, request.tally(f"{self.name}/calls"))
