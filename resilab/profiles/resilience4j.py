"""resilience4j 2.3: the settings of its builders; a bare number of a duration is seconds here.

Left out: thread-pool bulkheads, caches, the draining of a rate limiter after a result, and
events other than those of `EventLog`. The losers of
its hedge run on: add `on_cancel="ignore"` to the service.

Source: the builders `CircuitBreakerConfig`, `RetryConfig`, `BulkheadConfig`,
`TimeLimiterConfig`, `RateLimiterConfig` and `HedgeConfig` of resilience4j 2.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.breaker_rules import HalfOpenRule, OpenRule
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.filters import ErrorFilter
from ..resilience.hedge import Hedge
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..resilience.windows import CountWindow, TimeWindow
from ..validation import one_of, whole
from .words import made, retries_of, retry_with, told


def circuit_breaker(
    *,
    sliding_window_type: str = "COUNT_BASED",
    sliding_window_size: int = 100,
    minimum_number_of_calls: int = 100,
    failure_rate_threshold: float = 50,
    slow_call_rate_threshold: float = 100,
    slow_call_duration_threshold: float = 60.0,
    wait_duration_in_open_state: float = 60.0,
    wait_interval_function_in_open_state: Callable[[int], float] | None = None,
    enable_exponential_backoff: bool = False,
    exponential_backoff_multiplier: float = 1.5,
    exponential_max_wait_duration_in_open_state: float = math.inf,
    enable_randomized_wait: bool = False,
    randomized_wait_factor: float = 0.5,
    permitted_number_of_calls_in_half_open_state: int = 10,
    max_wait_duration_in_half_open_state: float = 0.0,
    transition_to_state_after_wait_duration: str = "OPEN",
    automatic_transition_from_open_to_half_open_enabled: bool = False,
    record_exceptions: ErrorFilter | None = None,
    ignore_exceptions: ErrorFilter | None = None,
    record_result: Callable[[Any], bool] | None = None,
    transition_on_result: Callable[[Any], str | None] | None = None,
    initial_state: str = "CLOSED",
    **own: Any,
) -> CircuitBreaker:
    """Return its breaker: 50 % of the last 100 calls, or 100 % slow ones; thresholds in percent."""
    size = whole("sliding_window_size", sliding_window_size, minimum=1)
    kind = sliding_window_type.lower()
    one_of("sliding_window_type", kind, ("count_based", "time_based", "count", "time"))
    return made(
        CircuitBreaker,
        own,
        window=TimeWindow(float(size), buckets=size) if kind.startswith("time") else CountWindow(size),
        failure_rate_threshold=failure_rate_threshold / 100,
        slow_call_duration=slow_call_duration_threshold,
        slow_call_rate_threshold=slow_call_rate_threshold / 100,
        volume_threshold=minimum_number_of_calls,
        timeout=wait_interval_function_in_open_state or wait_duration_in_open_state,
        half_open_max_calls=permitted_number_of_calls_in_half_open_state,
        half_open=HalfOpenRule(
            permitted_number_of_calls_in_half_open_state,
            budget="total",
            max_wait=max_wait_duration_in_half_open_state or None,
            after_wait=transition_to_state_after_wait_duration.lower(),
        ),
        opening=OpenRule(
            exponential_backoff_multiplier if enable_exponential_backoff else 1.0,
            exponential_max_wait_duration_in_open_state,
            randomized_wait_factor if enable_randomized_wait else 0.0,
            probes_at_timeout=False,
            automatic=automatic_transition_from_open_to_half_open_enabled,
            restarts=True,
        ),
        initial_state=initial_state.lower(),
        turns_on=transition_on_result,
        recorded_errors=record_exceptions,
        ignored_errors=ignore_exceptions,
        recorded_results=record_result,
        late_results="count",
    )


def retry(
    *,
    max_attempts: int = 3,
    wait_duration: float = 0.5,
    interval_function: str = "constant",
    multiplier: float = 1.5,
    randomization_factor: float = 0.5,
    max_interval: float = math.inf,
    interval_bi_function: Callable[[int, Any], float | None] | None = None,
    retry_exceptions: ErrorFilter | None = None,
    ignore_exceptions: ErrorFilter | None = None,
    retry_on_result: Callable[[Any], bool] | None = None,
    **own: Any,
) -> Retry:
    """Return its retry; *interval_function* is "constant", "random", "exponential" or "exponential_random"."""
    one_of("interval_function", interval_function, ("constant", "random", "exponential", "exponential_random"))
    is_random = interval_function.endswith("random")
    law = Backoff(
        "exponential" if interval_function.startswith("exponential") else "constant",
        wait_duration,
        multiplier,
        max_delay=max_interval,
        jitter="plus_minus" if is_random else "none",
        amount=randomization_factor if is_random else 0.0,
    )
    return retry_with(
        law,
        own,
        max_retries=retries_of(max_attempts),
        retryable_errors=retry_exceptions,
        ignored_errors=ignore_exceptions,
        retryable_results=retry_on_result,
        delay_from=interval_bi_function,
    )


def bulkhead(*, max_concurrent_calls: int = 25, max_wait_duration: float = 0.0, **own: Any) -> Bulkhead:
    """Return its semaphore bulkhead."""
    return made(Bulkhead, own, max_concurrent=max_concurrent_calls, max_wait=max_wait_duration)


def timeout(*, timeout_duration: float = 1.0, cancel_running_future: bool = True, **own: Any) -> Timeout:
    """Return its time limiter."""
    return made(Timeout, own, seconds=timeout_duration, cancel=cancel_running_future)


def rate_limiter(
    *,
    limit_for_period: int = 50,
    limit_refresh_period: float = 500e-9,
    timeout_duration: float = 5.0,
    **own: Any,
) -> RateLimiter:
    """Return its rate limiter; the default of 50 calls in 500 ns limits nothing."""
    return made(
        RateLimiter,
        own,
        permits=limit_for_period,
        period=limit_refresh_period,
        max_wait=timeout_duration,
        kind="cycle",
    )


@dataclass(frozen=True)
class AveragePlus:
    """The mean of the last durations, and so many percent and seconds more; *first* before there are any."""

    percent: float
    seconds: float
    window: int
    first: float

    def __call__(self, number: int, durations: Sequence[float]) -> float:
        recent = list(durations)[-self.window :]
        mean = sum(recent) / len(recent) if recent else self.first
        return mean * (1 + self.percent / 100) + self.seconds


def hedge(
    *,
    preconfigured_duration: float | None = None,
    average_plus_percentage: float = 0.0,
    average_plus_amount: float = 0.0,
    window_size: int = 100,
    **own: Any,
) -> Hedge:
    """Return its hedge with a delay that is told, or with the average of the last calls and some more.

    The average takes *preconfigured_duration* before any call has succeeded.
    """
    delay = told(own, "delay", "preconfigured_duration", preconfigured_duration)
    if average_plus_percentage or average_plus_amount:
        delay = AveragePlus(average_plus_percentage, average_plus_amount, window_size, delay)
    return made(Hedge, own, delay=delay, wins="completion")
