"""Circuit breaker: stop calling a dependency that keeps failing, and probe whether it is back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from ..validation import (
    Count,
    Natural,
    NonNegativeOrInfinite,
    PositiveOrInfinite,
    Share,
    number_or_function,
    warn_of_milliseconds,
    whole,
    word,
)
from .base import Place, Policy, short_repr
from .breaker_rules import HalfOpenRule, OpenRule
from .circuit_state import BreakerMetrics, CircuitState
from .filters import ErrorFilter
from .likeness import like
from .live_circuit_breaker import LiveCircuitBreaker
from .windows import CountWindow, TimeWindow

__all__ = ["BreakerMetrics", "CircuitBreaker", "CircuitState", "LiveCircuitBreaker"]


@dataclass(frozen=True)
class CircuitBreaker(Policy["LiveCircuitBreaker"]):
    """Open after too many failures, reject while open, probe after a while.

    CLOSED counts consecutive failures; a success clears the count. It opens when the
    count reaches *failure_threshold* and at least *volume_threshold* calls were
    recorded since it closed. OPEN rejects until the first call at or after *timeout*
    seconds, which finds it HALF_OPEN. There *success_threshold* consecutive successes
    close it, and any failure opens it again.

    With a *window*, CLOSED looks at the results in it instead, once they are at least
    *volume_threshold*: it opens when failed / calls >= *failure_rate_threshold* (or,
    without that, when *failure_threshold* of them failed), or when slow / calls >=
    *slow_call_rate_threshold*.

    A call that is cancelled from outside counts as neither. The log says why it turns:
    failures_exceeded, failure_rate_exceeded, slow_call_rate_exceeded, probes_failed,
    half_open_too_long, open_long_enough (without a call) or forced.

    | | this | resilience4j | Polly 8 | Failsafe | hyx |
    |---|---|---|---|---|---|
    | opens at | 5 in a row | 50 % of 100 calls | 10 % in 30 s | 1 in a row | 5 in a row |
    | fewest calls | 10 | 100 | 100 | - | - |
    | stays open | 30 s | 60 s | 5 s | 60 s | 30 s |
    | probes | all | 10 in all | 1 | 1 at once | all |
    | closes after | 3 in a row | < 50 % of 10 failed | 1 | 1 | 3 in a row |
    | looks after | a failure | each result | a failure | each result | a failure |
    | late results | ignored | counted | counted | counted | counted |

    `CircuitBreaker.like` gives the columns on the right.

    Args:
        failure_threshold: Failures before it opens, at least 1: consecutive, or within
            the window.
        success_threshold: Successes that close it, at least 1.
        timeout: Seconds from opening to the first probe, above 0, or a function of the
            number of openings since it was last closed (1, 2, ...).
        volume_threshold: Fewest recorded calls since it closed, or in the window,
            before it may open. A `CountWindow` of fewer places needs only those.
        half_open_max_calls: Most probes in HALF_OPEN; None is no limit.
        late_results: "drop" ignores the result of a call that began before the last
            transition; "count" counts it in the present state.
        window: `CountWindow` or `TimeWindow`; None counts consecutive failures.
        failure_rate_threshold: Share of failures in the window that opens it, above 0.
        slow_call_duration: A call that takes longer is slow. Needs a window.
        slow_call_rate_threshold: Share of slow calls in the window that opens it.
        opens_on: "result" looks at the window after each result, "failure" after
            failures only.
        recorded_errors: Errors that are failures: class, tuple of classes or predicate.
            None is every error.
        ignored_errors: Errors that count as neither, in the same form.
        recorded_results: Predicate of the value: True makes it a failure.
        other_errors: What an error that is not recorded counts as: "success" (the
            dependency has answered) or "ignored".
        cancelled_calls: What a call that is cancelled from outside counts as: "ignored" or
            "success".
        opens_above: True opens above the thresholds only, not at them.
        initial_state: The state that it begins in.
        turns_on: Function of the value or the error of each call that is not ignored and
            no failure by its value: the state to turn to, or None.
        opening: How long it stays open, beyond *timeout*: growth, jitter, Retry-After.
        half_open: How it decides in HALF_OPEN, and how many probes there are.

    Raises:
        CircuitOpenError: From `execute`, when the call is rejected.

    Example:
        >>> import simpy
        >>> CircuitBreaker(window=CountWindow(20), failure_rate_threshold=0.5, volume_threshold=20).bind(
        ...     simpy.Environment()
        ... ).state
        <CircuitState.CLOSED: 'closed'>

    Source: `CircuitBreaker` of the reference document; windows, slow calls, budgets and
    forced states are those of resilience4j, Polly and Failsafe.
    """

    failure_threshold: Count = 5
    success_threshold: Count = 3
    timeout: Annotated[float | Callable[[int], float], number_or_function(PositiveOrInfinite, 1)] = 30.0
    volume_threshold: Natural = 10
    half_open_max_calls: Count | None = None
    late_results: Annotated[str, word("drop", "count")] = "drop"
    window: CountWindow | TimeWindow | None = None
    failure_rate_threshold: Share | None = None
    slow_call_duration: NonNegativeOrInfinite | None = None
    slow_call_rate_threshold: Share = 1.0
    opens_on: Annotated[str, word("result", "failure")] = "result"
    recorded_errors: ErrorFilter | None = None
    ignored_errors: ErrorFilter | None = None
    recorded_results: Callable[[Any], bool] | None = None
    other_errors: Annotated[str, word("success", "ignored")] = "success"
    cancelled_calls: Annotated[str, word("ignored", "success")] = "ignored"
    opens_above: bool = False
    initial_state: Annotated[str, word(*CircuitState)] = CircuitState.CLOSED
    turns_on: Callable[[Any], str | None] | None = None
    opening: OpenRule = field(default_factory=OpenRule)
    half_open: HalfOpenRule = field(default_factory=HalfOpenRule)

    def __post_init__(self) -> None:
        warn_of_milliseconds("timeout", self.timeout)
        for name in ("failure_rate_threshold", "slow_call_duration"):
            if self.window is None and getattr(self, name) is not None:
                raise ValueError(f"window must be given with {name}, got None")
        if self.half_open.calls is not None and self.failure_rate_threshold is None:
            raise ValueError(
                f"failure_rate_threshold must be given with half_open.calls={self.half_open.calls}, got None"
            )
        if self.half_open.success_capacity is not None:
            whole("half_open.success_capacity", self.half_open.success_capacity, minimum=self.success_threshold)

    @classmethod
    def like(cls, library: str, **options: Any) -> CircuitBreaker:
        """Return a breaker with the meaning and the defaults of a library.

        Args:
            library: "resilience4j", "spring_cloud", "polly" (version 8), "polly_v7",
                "failsafe", "hyx", "hystrix", "opossum", "gobreaker" or "linkerd".
            **options: Fields of `CircuitBreaker`, or the library's own parameters in
                Python spelling, in seconds. Percentages stay percentages where the
                library has them. The library's module in `resilab.profiles` lists them,
                and says of which version it is and what it leaves out.

        Example:
            >>> CircuitBreaker.like("resilience4j", failure_rate_threshold=30).failure_rate_threshold
            0.3
            >>> CircuitBreaker.like("polly", break_duration=10.0).timeout
            10.0
        """
        return like(cls, "circuit_breaker", library, options, OpenRule, HalfOpenRule)

    def __repr__(self) -> str:
        return short_repr(self, always=6)

    def live(self, place: Place) -> LiveCircuitBreaker:
        return LiveCircuitBreaker(self, place)
