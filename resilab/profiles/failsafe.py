"""Failsafe 3 for Java, its hedge from the edition for Go.

Left out: asynchronous execution, fallbacks (`Fallback`), and of the hedge the conditions
for a winner.

Source: the builders of Failsafe 3.3 and of failsafe-go 0.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
from ..validation import one_of
from .words import made, retries_of, retry_with, told

AT_ONCE = math.ulp(0.0)
"""The shortest time there is: a breaker that stays open so long is half-open at the next call."""


def circuit_breaker(
    *,
    failure_threshold: int = 1,
    failure_thresholding_capacity: int | None = None,
    failure_rate_threshold: float | None = None,
    failure_execution_threshold: int | None = None,
    failure_thresholding_period: float | None = None,
    success_threshold: int | None = None,
    success_thresholding_capacity: int | None = None,
    delay: float = 60.0,
    delay_fn: Callable[[BaseException], float | None] | None = None,
    handle: ErrorFilter | None = None,
    handle_result: Callable[[Any], bool] | None = None,
    **own: Any,
) -> CircuitBreaker:
    """Return its breaker: so many failures of a capacity or of a period, or a rate in percent."""
    failures, period = failure_threshold, failure_thresholding_period
    capacity = failures if failure_thresholding_capacity is None else failure_thresholding_capacity
    executions = failure_execution_threshold
    if executions is None and period is not None:
        executions = failures
    places = success_threshold if success_thresholding_capacity is None else success_thresholding_capacity
    fields: dict[str, Any] = {
        "window": CountWindow(capacity) if period is None else TimeWindow(period, buckets=10, start="opening"),
        "failure_threshold": failures,
        "volume_threshold": executions or 0,
        "timeout": delay or AT_ONCE,
        "opening": OpenRule(open_for=delay_fn),
        "recorded_errors": handle,
        "recorded_results": handle_result,
        "half_open_max_calls": places or executions or capacity,
        "late_results": "count",
    }
    if failure_rate_threshold is not None:
        # The rate is compared after rounding to whole percent.
        fields["failure_rate_threshold"] = (failure_rate_threshold - 0.5) / 100
    if success_threshold is not None:
        fields |= {"success_threshold": success_threshold, "half_open": HalfOpenRule(success_capacity=places)}
    elif failure_rate_threshold is not None:
        fields["half_open"] = HalfOpenRule(executions)
    else:
        fields |= {
            "success_threshold": capacity - failures + 1,
            "half_open": HalfOpenRule(success_capacity=capacity),
        }
    return made(CircuitBreaker, own, **fields)


def retry(
    *,
    max_attempts: float | None = 3,
    max_retries: int | None = None,
    delay: float = 0.0,
    delay_factor: float = 2.0,
    max_delay: float | None = None,
    delay_min: float | None = None,
    delay_max: float | None = None,
    jitter_factor: float = 0.0,
    jitter: float = 0.0,
    delay_fn: Callable[[int, Any], float | None] | None = None,
    max_duration: float | None = None,
    abort_on: ErrorFilter | None = None,
    handle: ErrorFilter | None = None,
    handle_result: Callable[[Any], bool] | None = None,
    **own: Any,
) -> Retry:
    """Return its retry; *max_retries* or *max_attempts* of -1 is no limit, *jitter* is seconds.

    With *max_delay* the delay grows by *delay_factor*; *delay_min* and *delay_max*
    draw it between them. A delay that would pass *max_duration* is cut, and computed
    delays have the jitter, too.
    """
    if max_retries is None:
        retries = None if max_attempts == -1 else retries_of(max_attempts)
    else:
        retries = None if max_retries == -1 else max_retries
    kind, amount = (
        ("minus_plus", jitter_factor) if jitter_factor else ("add_minus", jitter) if jitter else ("none", 0.0)
    )
    if delay_min is not None and delay_max is not None:
        delay, kind, amount = delay_min, "range", delay_max
    law = Backoff(
        "constant" if max_delay is None else "exponential",
        delay,
        delay_factor,
        max_delay=math.inf if max_delay is None else max_delay,
        jitter=kind,
        amount=amount,
        cap="before",
    )
    return retry_with(
        law,
        own,
        max_retries=retries,
        retryable_errors=handle,
        retryable_results=handle_result,
        delay_from=delay_fn,
        max_duration=max_duration,
        near_max_duration="cut",
        ignored_errors=abort_on,
        jitter_given=True,
    )


def bulkhead(*, max_concurrency: int | None = None, max_wait_time: float = 0.0, **own: Any) -> Bulkhead:
    """Return its bulkhead of *max_concurrency*, which must be told."""
    limit = told(own, "max_concurrent", "max_concurrency", max_concurrency)
    return made(Bulkhead, own, max_concurrent=limit, max_wait=max_wait_time)


def timeout(*, timeout: float | None = None, **own: Any) -> Timeout:
    """Return its time limit, which must be told."""
    return Timeout(told(own, "seconds", "timeout", timeout), **own)


def rate_limiter(
    *,
    kind: str | None = None,
    max_executions: int | None = None,
    period: float | None = None,
    max_rate: float | None = None,
    max_wait_time: float = 0.0,
    **own: Any,
) -> RateLimiter:
    """Return its limiter: "smooth" or "bursty", or *max_rate* seconds between two calls, which is smooth."""
    if max_rate is not None:
        one_of("kind", kind or "smooth", ("smooth",))
        fields: dict[str, Any] = {"permits": 1, "period": max_rate, "kind": "smooth"}
    else:
        one_of("kind", told(own, "kind", "kind", kind), ("smooth", "bursty"))
        permits = told(own, "permits", "max_executions", max_executions)
        fields = {"permits": permits, "period": told(own, "period", "period", period), "kind": kind}
    return made(RateLimiter, own, max_wait=max_wait_time, **fields)


def hedge(*, delay: float | None = None, max_hedges: int = 1, **own: Any) -> Hedge:
    """Return the hedge of the edition for Go; the one for Java has none."""
    seconds = told(own, "delay", "delay", delay)
    return made(Hedge, own, delay=seconds, max_hedges=max_hedges, wins="completion")
