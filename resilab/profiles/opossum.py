"""opossum 10 for Node: a breaker that opens above its threshold, not at it.

Left out: its cache and coalescing, `allowWarmUp`, and that its window is not cleared when it
closes, nor counts rejected calls here as it does there.

Source: `CircuitBreaker` of opossum 10.0.0.
"""

from __future__ import annotations

from typing import Any

from ..resilience.breaker_rules import HalfOpenRule, OpenRule
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.filters import ErrorFilter
from ..resilience.timeout import Timeout
from ..resilience.windows import TimeWindow
from .words import made, told


def circuit_breaker(
    *,
    error_threshold_percentage: float = 50,
    volume_threshold: int = 0,
    reset_timeout: float = 30.0,
    rolling_count_timeout: float = 10.0,
    rolling_count_buckets: int = 10,
    error_filter: ErrorFilter | None = None,
    **own: Any,
) -> CircuitBreaker:
    """Return its breaker: more than 50 % of the calls of 10 s, looked at after failures, and one probe.

    An *error_filter* says which errors are no failures.
    """
    return made(
        CircuitBreaker,
        own,
        window=TimeWindow(rolling_count_timeout, buckets=rolling_count_buckets),
        failure_rate_threshold=error_threshold_percentage / 100,
        volume_threshold=volume_threshold,
        opens_above=True,
        opens_on="failure",
        timeout=reset_timeout,
        success_threshold=1,
        half_open_max_calls=1,
        half_open=HalfOpenRule(budget="total"),
        opening=OpenRule(automatic=True),
        recorded_errors=None,
        ignored_errors=error_filter,
        late_results="count",
    )


def timeout(*, timeout: float = 10.0, **own: Any) -> Timeout:
    """Return its time limit, which leaves the work running."""
    return made(Timeout, own, seconds=timeout, cancel=False)


def bulkhead(*, capacity: int | None = None, **own: Any) -> Bulkhead:
    """Return its semaphore, which must be told."""
    return made(Bulkhead, own, max_concurrent=told(own, "max_concurrent", "capacity", capacity), max_queue=0)
