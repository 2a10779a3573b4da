"""Rate limiter: let no more calls through than a rate allows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import simpy

from ..engine import Steps, at
from ..errors import RateLimitedError
from ..validation import Count, NonNegativeOrInfinite, Positive, non_negative, whole, word
from .base import LivePolicy, Place, Policy, short_repr
from .likeness import like
from .windows import TIE

KINDS = ("token_bucket", "cycle", "smooth", "bursty", "sliding_log")


@dataclass(frozen=True)
class RateLimiter(Policy["LiveRateLimiter"]):
    """Let *permits* calls through in each *period*.

    | kind | gives | as in |
    |---|---|---|
    | "token_bucket" | tokens continuously, up to *burst* of them | hyx, Envoy |
    | "cycle" | all permits each *period* from the limiter's start; later cycles can be reserved | resilience4j |
    | "bursty" | the same, in another library's word | Failsafe |
    | "smooth" | one permit at each multiple of period / permits | Failsafe |
    | "sliding_log" | a permit back *period* seconds after it was taken | - |

    Under Poisson arrivals a token bucket rejects as a queue with as many places and a
    fixed service time loses; a sliding log rejects by Erlang's B formula.

    Args:
        permits: Permits for each period, at least 1.
        period: Seconds, above 0.
        kind: One of the kinds above.
        burst: Tokens that a token bucket holds, full at first; None is *permits*.
        max_wait: Longest wait for a permit in seconds; 0 rejects at once. A waiting
            call has reserved its permit, and keeps it if it is cancelled. Without
            reservations ("token_bucket", "sliding_log") it must be 0.

    Raises:
        RateLimitedError: From `execute`, when no permit comes in time.

    Example:
        >>> RateLimiter(permits=10, period=1.0)
        RateLimiter(permits=10, period=1.0, kind='token_bucket')

    Source: the rate limiters of resilience4j, Failsafe and hyx.
    """

    permits: Count
    period: Positive = 1.0
    kind: Annotated[str, word(*KINDS)] = "token_bucket"
    burst: Count | None = None
    max_wait: NonNegativeOrInfinite = 0.0

    def __post_init__(self) -> None:
        if self.max_wait and self.kind in ("token_bucket", "sliding_log"):
            raise ValueError(f"max_wait must be 0 with kind={self.kind!r}, got {self.max_wait!r}")

    def __repr__(self) -> str:
        return short_repr(self, always=3)

    @classmethod
    def like(cls, library: str, **options: Any) -> RateLimiter:
        """Return a rate limiter with the meaning and the defaults of a library.

        | | resilience4j | polly | failsafe | bucket4j | envoy |
        |---|---|---|---|---|---|
        | kind | "cycle" | "bursty" | kind, told | "token_bucket" | "token_bucket" |
        | permits | limit_for_period 50 | permit_limit | max_executions | refill_tokens: capacity | tokens_per_fill 1 |
        | period | limit_refresh_period 500 ns | window | period | refill_period | fill_interval |
        | burst | - | - | - | capacity | max_tokens |
        | longest wait | timeout_duration 5 s | 0 | max_wait_time 0 | 0 | 0 |

        With its defaults resilience4j lets 50 calls through in 500 ns, which limits
        nothing. "polly" is the fixed window limiter of .NET, with nobody waiting: tell
        it the limit. Without one, Polly limits concurrency: `Bulkhead.like("polly")`.
        Failsafe takes *max_rate* too, the seconds between two calls ("smooth").
        bucket4j's bucket refills greedily.

        Not here, since no kind does the same: .NET's queue of waiting calls, its token
        bucket and sliding window, which refill in steps; bucket4j's other refills and
        its blocking bucket; resilience4j's draining after a result.

        Args:
            library: One of the libraries above.
            **options: Fields of `RateLimiter`, or the library's own parameters.

        Example:
            >>> RateLimiter.like("failsafe", max_rate=0.1, max_wait_time=1.0)
            RateLimiter(permits=1, period=0.1, kind='smooth', max_wait=1.0)
        """
        return like(cls, "rate_limiter", library, options)

    def live(self, place: Place) -> LiveRateLimiter:
        return LiveRateLimiter(self, place)


class LiveRateLimiter(LivePolicy):
    """A rate limiter in an environment.

    Attributes:
        spec: What it was made from.
        rejections: How many calls it has refused.
    """

    spec: RateLimiter

    def __init__(self, spec: RateLimiter, place: Place) -> None:
        super().__init__(spec, place)
        self.rejections = 0
        self._longest = spec.max_wait
        self._reserve: Callable[[int], float | None] = getattr(self, f"_reserve_{spec.kind}")
        self._start = self.env.now
        self._cycle = self._cycle_of(self.env.now)
        self._free = spec.permits  # of the cycle; less than 0 is reserved ahead
        self._tokens = float(spec.burst or spec.permits)
        self._filled = self.env.now
        self._next_slot = 0  # of "smooth": slot n begins n intervals after the start
        self._taken: deque[float] = deque()
        self._wake = simpy.Event(self.env)  # of the calls that wait longest
        self._wakes_at = -math.inf

    @property
    def available(self) -> int:
        """Permits that are free now; less than 0 counts those reserved ahead."""
        spec = self.spec
        if spec.kind == "token_bucket":
            return math.floor(self._refilled() + TIE)
        if spec.kind == "sliding_log":
            return spec.permits - sum(not self._is_back(time) for time in self._taken)
        if spec.kind == "smooth":
            return int(self._slot() >= self._next_slot)
        return self._free_now()[1]

    @property
    def next_free(self) -> float:
        """Seconds from the limiter's start to the next free permit of "smooth"."""
        return self._next_slot * self.spec.period / self.spec.permits

    def reserve(self, permits: int = 1, max_wait: float | None = None) -> float | None:
        """Take permits and return the seconds to wait for them; None if that is too long.

        Args:
            permits: How many, at least 1.
            max_wait: Longest wait in seconds; None is that of the spec.
        """
        if max_wait is not None:
            self._longest = non_negative("max_wait", max_wait, allow_infinite=True)
        try:
            when = self._take(whole("permits", permits, minimum=1))
        finally:
            self._longest = self.spec.max_wait
        return None if when is None else when - self.env.now

    def change(self, **changes: Any) -> None:
        """Change fields of its spec from now on, such as `permits`; what has been given stays given.

        More permits come with the next cycle; another *period* begins now.
        """
        spec = self.spec.replace(**changes)
        if spec.kind != self.spec.kind:
            raise ValueError(f"kind must stay {self.spec.kind!r}, got {spec.kind!r}")
        self._tokens, self._filled = min(self._refilled(), float(spec.burst or spec.permits)), self.env.now
        self._cycle, self._free = self._free_now()
        if (spec.period, spec.permits) != (self.spec.period, self.spec.permits):
            self._next_slot = max(0, self._next_slot - self._slot())
            if spec.period != self.spec.period or spec.kind == "smooth":
                self._start, self._cycle = self.env.now, 0
        self.spec, self._longest = spec, spec.max_wait

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        when = self._take(1)
        if when is None:
            self.note("rejected")
            raise RateLimitedError(f"no permit within {self.spec.max_wait} s")
        if when > self.env.now:
            yield self._at(when)
        return (yield from fn(*args))

    def _take(self, wanted: int) -> float | None:
        """Take permits and return when they are there; None if that is too late."""
        when = self._reserve(wanted)
        if when is None:
            self.rejections += 1
        return when

    def _at(self, when: float) -> simpy.Event:
        """Return the event of the time *when*: calls that wait for one cycle share it, and so keep their order."""
        if when != self._wakes_at:
            self._wake, self._wakes_at = at(self.env, when), when
        return self._wake

    def _is_too_late(self, when: float) -> bool:
        return when - self.env.now > self._longest * (1 + TIE)

    def _slot(self) -> int:
        """Return the slot of "smooth" that is now."""
        return math.floor((self.env.now - self._start) * self.spec.permits / self.spec.period + TIE)

    def _is_back(self, taken: float) -> bool:
        return self.env.now - taken >= self.spec.period * (1 - TIE)

    def _cycle_of(self, now: float) -> int:
        return math.floor((now - self._start) / self.spec.period + TIE)

    def _free_now(self) -> tuple[int, int]:
        """Return the cycle that is now, and its free permits."""
        cycle = self._cycle_of(self.env.now)
        return cycle, min(self.spec.permits, self._free + (cycle - self._cycle) * self.spec.permits)

    def _reserve_cycle(self, wanted: int) -> float | None:
        spec = self.spec
        cycle, free = self._free_now()
        when = self.env.now
        if wanted > free:
            cycles = -(-(wanted - free) // spec.permits)
            when = max(when, self._start + (cycle + cycles) * spec.period)
        if self._is_too_late(when):
            return None
        self._cycle, self._free = cycle, free - wanted
        return when

    _reserve_bursty = _reserve_cycle

    def _reserve_smooth(self, wanted: int) -> float | None:
        spec = self.spec
        slot = self._slot()
        last = max(self._next_slot, slot) + wanted - 1
        when = self.env.now
        if last > slot:
            when = max(when, self._start + last * spec.period / spec.permits)
        if self._is_too_late(when):
            return None
        self._next_slot = last + 1
        return when

    def _refilled(self) -> float:
        spec = self.spec
        tokens = self._tokens + (self.env.now - self._filled) * spec.permits / spec.period
        return min(tokens, float(spec.burst or spec.permits))

    def _reserve_token_bucket(self, wanted: int) -> float | None:
        tokens = self._refilled()
        if tokens < wanted - TIE:
            return None
        self._tokens, self._filled = tokens - wanted, self.env.now
        return self.env.now

    def _reserve_sliding_log(self, wanted: int) -> float | None:
        taken = self._taken
        while taken and self._is_back(taken[0]):
            taken.popleft()
        if len(taken) + wanted > self.spec.permits:
            return None
        taken.extend([self.env.now] * wanted)
        return self.env.now
