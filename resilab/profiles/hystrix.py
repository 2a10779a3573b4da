"""Hystrix 1.5, which is not developed any more but still runs in many places.

Left out: the snapshots of its health counts (each 0.5 s; here the window is looked at after
each result), collapsers, and caches.

Source: `HystrixCommandProperties` and `HystrixThreadPoolProperties` of Hystrix 1.5.18.
"""

from __future__ import annotations

from typing import Any

from ..resilience.breaker_rules import HalfOpenRule
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.timeout import Timeout
from ..resilience.windows import TimeWindow
from .words import made


def circuit_breaker(
    *,
    request_volume_threshold: int = 20,
    error_threshold_percentage: float = 50,
    sleep_window: float = 5.0,
    rolling_stats_time: float = 10.0,
    rolling_stats_num_buckets: int = 10,
    **own: Any,
) -> CircuitBreaker:
    """Return its breaker: 50 % of at least 20 calls in 10 s, and one probe after 5 s."""
    return made(
        CircuitBreaker,
        own,
        window=TimeWindow(rolling_stats_time, buckets=rolling_stats_num_buckets),
        failure_rate_threshold=error_threshold_percentage / 100,
        volume_threshold=request_volume_threshold,
        timeout=sleep_window,
        success_threshold=1,
        half_open_max_calls=1,
        half_open=HalfOpenRule(budget="total"),
        late_results="count",
    )


def timeout(*, execution_timeout: float = 1.0, **own: Any) -> Timeout:
    """Return the time limit of a command."""
    return made(Timeout, own, seconds=execution_timeout)


def bulkhead(
    *, core_size: int = 10, max_queue_size: int = -1, queue_size_rejection_threshold: int = 5, **own: Any
) -> Bulkhead:
    """Return its thread pool: no queue at -1, or else at most *queue_size_rejection_threshold* calls of it.

    The semaphore is the same with `core_size=10` and no queue.
    """
    queue = 0 if max_queue_size == -1 else min(max_queue_size, queue_size_rejection_threshold)
    return made(Bulkhead, own, max_concurrent=core_size, max_queue=queue)
