"""Polly 8: the options of its strategies.

Left out: manual control and state providers (use `force`), chaos strategies, telemetry,
and of .NET's limiters the queue of a rate limiter, the token bucket and the sliding
window, which refill in steps.

Source: the options of Polly 8.5 (`CircuitBreakerStrategyOptions` and its siblings).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.breaker_rules import HalfOpenRule
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.filters import ErrorFilter
from ..resilience.hedge import Hedge
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..resilience.windows import TimeWindow
from ..validation import one_of
from .words import made, retry_with, told


@dataclass(frozen=True)
class FromZero:
    """A function of the openings so far, from 0, as a function of their number, from 1."""

    function: Callable[[int], float]

    def __call__(self, number: int) -> float:
        return self.function(number - 1)


_RESOLUTION = 0.02  # Polly keeps 10 sub-windows of at least so many seconds, or a single one


def circuit_breaker(
    *,
    failure_ratio: float = 0.1,
    minimum_throughput: int = 100,
    sampling_duration: float = 30.0,
    break_duration: float = 5.0,
    break_duration_generator: Callable[[int], float] | None = None,
    handle: ErrorFilter | None = None,
    handle_result: Callable[[Any], bool] | None = None,
    **own: Any,
) -> CircuitBreaker:
    """Return its breaker: 10 % of the calls of 30 s, at least 100, and one probe.

    *break_duration_generator* gets the half-open attempts: 0, 1, 2, ... A call that an
    outer timeout cancels is an outcome that is not handled, and so a success.
    """
    buckets = 1 if sampling_duration < 10 * _RESOLUTION else 10
    return made(
        CircuitBreaker,
        own,
        window=TimeWindow(sampling_duration, buckets=buckets, start="event"),
        failure_rate_threshold=failure_ratio,
        volume_threshold=minimum_throughput,
        timeout=break_duration if break_duration_generator is None else FromZero(break_duration_generator),
        success_threshold=1,
        half_open_max_calls=1,
        half_open=HalfOpenRule(budget="total"),
        opens_on="failure",
        cancelled_calls="success",
        recorded_errors=handle,
        recorded_results=handle_result,
        late_results="count",
    )


def retry(
    *,
    max_retry_attempts: float = 3,
    delay: float = 2.0,
    backoff_type: str = "constant",
    use_jitter: bool = False,
    max_delay: float | None = None,
    delay_generator: Callable[[int, Any], float | None] | None = None,
    handle: ErrorFilter | None = None,
    handle_result: Callable[[Any], bool] | None = None,
    **own: Any,
) -> Retry:
    """Return its retry; *max_retry_attempts* counts retries, infinity is no limit."""
    one_of("backoff_type", backoff_type, ("constant", "linear", "exponential"))
    is_smooth = use_jitter and backoff_type == "exponential"
    has_spread = use_jitter and not is_smooth
    law = Backoff(
        "smooth" if is_smooth else backoff_type,
        delay,
        max_delay=math.inf if max_delay is None else max_delay,
        jitter="plus_minus" if has_spread else "none",
        amount=0.25 if has_spread else 0.0,
    )
    return retry_with(
        law,
        own,
        max_retries=None if max_retry_attempts == math.inf else max_retry_attempts,
        retryable_errors=handle,
        retryable_results=handle_result,
        delay_from=delay_generator,
    )


def bulkhead(*, permit_limit: int = 1000, queue_limit: int = 0, **own: Any) -> Bulkhead:
    """Return its concurrency limiter, the default of `AddRateLimiter`."""
    return made(Bulkhead, own, max_concurrent=permit_limit, max_queue=queue_limit)


def timeout(*, timeout: float = 30.0, timeout_generator: Callable[[float], float] | None = None, **own: Any) -> Timeout:
    """Return its time limit; a generator gets the time at which the call begins."""
    return made(Timeout, own, seconds=timeout if timeout_generator is None else timeout_generator)


def rate_limiter(
    *, permit_limit: int | None = None, window: float | None = None, queue_limit: int = 0, **own: Any
) -> RateLimiter:
    """Return .NET's fixed window limiter, with nobody waiting; tell it the limit and the window."""
    if queue_limit != 0:
        raise ValueError(f"queue_limit must be 0, got {queue_limit!r}")
    permits = told(own, "permits", "permit_limit", permit_limit)
    period = told(own, "period", "window", window)
    return made(RateLimiter, own, permits=permits, period=period, kind="bursty")


def hedge(
    *,
    delay: float = 2.0,
    delay_generator: Callable[[int, Sequence[float]], float] | None = None,
    max_hedged_attempts: int = 1,
    handle: ErrorFilter | None = None,
    **own: Any,
) -> Hedge:
    """Return its hedging; a generator gets the number of the copy and the durations of those that succeeded."""
    delays = delay if delay_generator is None else delay_generator
    return made(Hedge, own, delay=delays, max_hedges=max_hedged_attempts, handled_errors=handle)
