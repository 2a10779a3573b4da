"""hyx 0.0.2: the arguments of its decorators.

Left out: events and listeners, and its adaptive concurrency limit.

Source: the managers of hyx.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.filters import ErrorFilter
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from .words import made, retry_with, told


def circuit_breaker(
    *,
    exceptions: ErrorFilter | None = None,
    failure_threshold: int = 5,
    recovery_time: float = 30.0,
    recovery_threshold: int = 3,
    **own: Any,
) -> CircuitBreaker:
    """Return its consecutive breaker."""
    return made(
        CircuitBreaker,
        own,
        failure_threshold=failure_threshold,
        timeout=recovery_time,
        success_threshold=recovery_threshold,
        recorded_errors=exceptions,
        other_errors="ignored",
        volume_threshold=0,
        late_results="count",
    )


def retry(
    *,
    on: ErrorFilter | None = None,
    attempts: int | None = 3,
    backoff: float | Iterable[float] | Backoff = 0.5,
    **own: Any,
) -> Retry:
    """Return its retry; *backoff* is seconds, a list of them, or a `Backoff`.

    *attempts* counts retries, whatever the name says: 3 are four calls, as measured.
    """
    if isinstance(backoff, int | float):
        law = Backoff("constant", backoff, cap="before")
    elif isinstance(backoff, Backoff):
        law = backoff
    else:
        law = Backoff("cycle", delays=tuple(backoff), cap="before")
    return retry_with(law, own, max_retries=attempts, retryable_errors=on)


def bulkhead(*, max_concurrency: int | None = None, max_capacity: int | None = None, **own: Any) -> Bulkhead:
    """Return its bulkhead; *max_capacity* counts calls that run and those that wait."""
    limit = told(own, "max_concurrent", "max_concurrency", max_concurrency)
    queue = None if max_capacity is None else max_capacity - limit
    return made(Bulkhead, own, max_concurrent=limit, max_queue=queue)


def rate_limiter(
    *,
    max_executions: int | None = None,
    time_period: float | None = None,
    bucket_size: int | None = None,
    **own: Any,
) -> RateLimiter:
    """Return its token bucket; a *bucket_size* that is not told is *max_executions*."""
    permits = told(own, "permits", "max_executions", max_executions)
    period = told(own, "period", "time_period", time_period)
    return made(RateLimiter, own, permits=permits, period=period, burst=bucket_size, kind="token_bucket")


def timeout(*, timeout: float | None = None, **own: Any) -> Timeout:
    """Return its time limit, which must be told."""
    return Timeout(told(own, "seconds", "timeout", timeout), **own)
