"""Circuit breaker: stop calling a dependency that keeps failing, and probe whether it is back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from ..events import EventLog
from ..validation import at_least, instance, non_negative, one_of, positive, ratio, try_seconds, whole
from .base import Policy, short_repr
from .circuit_state import BreakerMetrics, CircuitState
from .live_circuit_breaker import LiveCircuitBreaker
from .retry import ErrorFilter, error_filter
from .windows import CountWindow, TimeWindow, Window

__all__ = ["BreakerMetrics", "CircuitBreaker", "CircuitState", "LiveCircuitBreaker"]


@dataclass(frozen=True)
class CircuitBreaker(Policy):
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

    A call that is cancelled from outside counts as neither.

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
        success_capacity: *success_threshold* successes of so many results close it;
            more failures than that allows open it. None is *success_threshold*: all.
        half_open_calls: HALF_OPEN decides by the rates of so many results (of
            *volume_threshold*, if that is fewer) instead. None counts successes.
        half_open_budget: What *half_open_max_calls* limits: "concurrent" probes, or
            the "total" of one stay in HALF_OPEN.
        probe_interval: Seconds after which one more probe may start although the
            budget is used up. None is never.
        max_half_open_wait: Longest stay in HALF_OPEN in seconds; None is no limit.
        after_half_open_wait: The state after it, "open" or "closed".
        timeout_multiplier: Growth of *timeout* from opening to opening while probes
            fail, at least 1.
        max_timeout: Longest time open in seconds.
        open_for: Function of the error that opens it: seconds to stay open, such as a
            Retry-After, or None for *timeout*.
        probes_at_timeout: False admits the first probe only after *timeout*, not at
            exactly that time.
        automatic_half_open: True turns HALF_OPEN when *timeout* has passed, without a
            call. *max_half_open_wait* then counts from the first probe.

    Raises:
        CircuitOpenError: From `execute`, when the call is rejected.

    Example:
        >>> CircuitBreaker(window=CountWindow(20), failure_rate_threshold=0.5, volume_threshold=20).bind(
        ...     simpy.Environment()
        ... ).state
        <CircuitState.CLOSED: 'closed'>

    Source: `CircuitBreaker` of the reference document; windows, slow calls, budgets and
    forced states are those of resilience4j, Polly and Failsafe.
    """

    failure_threshold: int = 5
    success_threshold: int = 3
    timeout: float | Callable[[int], float] = 30.0
    volume_threshold: int = 10
    half_open_max_calls: int | None = None
    late_results: str = "drop"
    window: Window | None = None
    failure_rate_threshold: float | None = None
    slow_call_duration: float | None = None
    slow_call_rate_threshold: float = 1.0
    opens_on: str = "result"
    recorded_errors: ErrorFilter | None = None
    ignored_errors: ErrorFilter | None = None
    recorded_results: Callable[[Any], bool] | None = None
    other_errors: str = "success"
    success_capacity: int | None = None
    half_open_calls: int | None = None
    half_open_budget: str = "concurrent"
    probe_interval: float | None = None
    max_half_open_wait: float | None = None
    after_half_open_wait: str = "open"
    timeout_multiplier: float = 1.0
    max_timeout: float = math.inf
    open_for: Callable[[BaseException], float | None] | None = None
    probes_at_timeout: bool = True
    automatic_half_open: bool = False

    def __post_init__(self) -> None:
        whole("failure_threshold", self.failure_threshold, minimum=1)
        whole("success_threshold", self.success_threshold, minimum=1)
        if callable(self.timeout):
            try_seconds("timeout", self.timeout, 1)
        else:
            positive("timeout", self.timeout, allow_infinite=True)
        whole("volume_threshold", self.volume_threshold)
        one_of("late_results", self.late_results, ("drop", "count"))
        self._check_window()
        self._check_errors()
        self._check_half_open()
        at_least("timeout_multiplier", self.timeout_multiplier, 1)
        positive("max_timeout", self.max_timeout, allow_infinite=True)

    def _check_window(self) -> None:
        one_of("opens_on", self.opens_on, ("result", "failure"))
        positive("slow_call_rate_threshold", ratio("slow_call_rate_threshold", self.slow_call_rate_threshold))
        if self.failure_rate_threshold is not None:
            positive("failure_rate_threshold", ratio("failure_rate_threshold", self.failure_rate_threshold))
        if self.slow_call_duration is not None:
            non_negative("slow_call_duration", self.slow_call_duration, allow_infinite=True)
        if self.window is not None:
            instance("window", self.window, (CountWindow, TimeWindow))
            return
        for name in ("failure_rate_threshold", "slow_call_duration"):
            if getattr(self, name) is not None:
                raise ValueError(f"window must be given with {name}, got None")

    def _check_errors(self) -> None:
        error_filter("recorded_errors", self.recorded_errors)
        error_filter("ignored_errors", self.ignored_errors)
        one_of("other_errors", self.other_errors, ("success", "ignored"))
        for name in ("recorded_results", "open_for"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")

    def _check_half_open(self) -> None:
        for name in ("half_open_max_calls", "half_open_calls"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), minimum=1)
        if self.half_open_calls is not None and self.failure_rate_threshold is None:
            raise ValueError(
                f"failure_rate_threshold must be given with half_open_calls={self.half_open_calls}, got None"
            )
        if self.success_capacity is not None:
            whole("success_capacity", self.success_capacity, minimum=self.success_threshold)
        one_of("half_open_budget", self.half_open_budget, ("concurrent", "total"))
        one_of("after_half_open_wait", self.after_half_open_wait, ("open", "closed"))
        for name in ("probe_interval", "max_half_open_wait"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name), allow_infinite=True)

    @classmethod
    def like(cls, library: str, **options: Any) -> CircuitBreaker:
        """Return a breaker with the meaning and the defaults of a library.

        Args:
            library: "resilience4j", "polly" (version 8), "polly_v7", "failsafe" or "hyx".
            **options: Fields of `CircuitBreaker`, or the library's own parameters in
                Python spelling, in seconds; `resilab.resilience.profiles` lists them.
                Percentages stay percentages where the library has them.

        Example:
            >>> CircuitBreaker.like("resilience4j", failure_rate_threshold=30).failure_rate_threshold
            0.3
            >>> CircuitBreaker.like("polly", break_duration=10.0).timeout
            10.0
        """
        from .profiles import circuit_breaker_like

        return circuit_breaker_like(library, options)

    def __repr__(self) -> str:
        return short_repr(self, always=6)

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int | None = None,
        log: EventLog | None = None,
        name: str | None = None,
        depth: int = 0,
    ) -> LiveCircuitBreaker:
        return LiveCircuitBreaker(self, env, name or "circuit_breaker", log)
