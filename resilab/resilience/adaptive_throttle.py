"""Adaptive throttle: a client that rejects its own calls while the dependency rejects them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..engine import Steps, request_of
from ..errors import NEVER_HANDLED, ThrottledError
from ..randomness import uniform
from ..validation import Growth, Positive
from .base import LivePolicy, Place, Policy
from .filters import ErrorFilter, error_filter
from .windows import TIE


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

    def probability(self, requests: int, accepts: int) -> float:
        """Return the probability with which it rejects: a pure function."""
        return max(0.0, (requests - self.multiplier * accepts) / (requests + 1))

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
        self._requests = _Recent(spec.window)
        self._accepts = _Recent(spec.window)
        self._draws = None if place.seed is None else place.draws("throttle", uniform)

    @property
    def reject_probability(self) -> float:
        """The probability with which it would reject a call now."""
        now = self.env.now
        return self.spec.probability(self._requests.count(now), self._accepts.count(now))

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        probability = self.reject_probability
        draw = self._draw() if probability > 0 else 1.0
        self.calls += 1
        self._requests.add(self.env.now)
        if draw < probability:
            self.rejections += 1
            self.note("rejected")
            raise ThrottledError(f"rejected with probability {probability:.3g}")
        try:
            reply = yield from fn(*args)
        except NEVER_HANDLED:
            raise
        except Exception as error:
            if not self._is_refusal(error):
                self._accepts.add(self.env.now)
            raise
        self._accepts.add(self.env.now)
        return reply

    def _draw(self) -> float:
        """Draw for this call: the draw belongs to the request and its count of sends and calls here."""
        if self._draws is None:
            return random.random()
        request = request_of(self.env.active_process)
        return self._draws(self.calls) if request is None else self._draws(request.key, request.backoffs)


class _Recent:
    """Counts the calls of the last *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds * (1 - TIE)
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        self._times.append(now)

    def count(self, now: float) -> int:
        """Return how many there are, and forget those that are too old for good."""
        times = self._times
        while times and now - times[0] >= self._seconds:
            times.popleft()
        return len(times)
