"""Envoy 1.40: its filters and the settings of its routes and clusters.

Its "circuit breakers" are bulkheads and a limit of retries; what turns a host away is
outlier detection: `rl.fleet.OutlierEjection.like("envoy")`, for a `Fleet`. Left out:
adaptive concurrency, the back-off after a rate limit, and the priorities.

Source: the API of Envoy 1.40, v3.
"""

from __future__ import annotations

from typing import Any

from ..errors import BulkheadFullError
from ..resilience.adaptive_throttle import AdaptiveThrottle
from ..resilience.backoff import Backoff
from ..resilience.bulkhead import Bulkhead
from ..resilience.filters import ErrorFilter
from ..resilience.policy import ResiliencePolicy
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.retry_budget import RetryBudget
from ..resilience.timeout import Timeout
from .words import made, retry_with, told

NO_LIMIT = 2**32 - 1


def retry(
    *,
    num_retries: int = 1,
    base_interval: float = 0.025,
    max_interval: float | None = None,
    retry_on: ErrorFilter | None = None,
    max_retries: int = 3,
    budget_percent: float | None = None,
    min_retry_concurrency: int = 3,
    **own: Any,
) -> Retry:
    """Return the retry policy of a route with the limit of its cluster; what overflows is not retried.

    Back-offs are drawn up to base, 2 base, 4 base, ..., at most *max_interval* (ten times
    the base), as measured. *max_retries* limits the retries of the cluster at one time,
    or *budget_percent* of the active requests does. *retry_on* is nothing in Envoy
    until it is told, and every error here. 2**32 - 1 retries at one time are no limit.
    """
    longest = 10 * base_interval if max_interval is None else max_interval
    limited = budget_percent is not None
    budget = RetryBudget.envoy(budget_percent or 0.0, min_retry_concurrency if limited else max_retries)
    return retry_with(
        Backoff("exponential", base_interval, 2.0, max_delay=longest, jitter="full", cap="before"),
        own,
        max_retries=num_retries,
        retryable_errors=retry_on,
        ignored_errors=BulkheadFullError,
        budget=None if not limited and max_retries >= NO_LIMIT else budget,
    )


def bulkhead(*, max_requests: int = 1024, **own: Any) -> Bulkhead:
    """Return the limit of requests of a cluster: on HTTP/1.1, too, nobody waits."""
    return made(Bulkhead, own, max_concurrent=max_requests, max_queue=0)


def timeout(*, timeout: float = 15.0, **own: Any) -> Timeout:
    """Return the time limit of a route."""
    return made(Timeout, own, seconds=timeout)


def policy(
    *,
    timeout: float = 15.0,
    per_try_timeout: float | None = None,
    hedge_on_per_try_timeout: bool = False,
    max_requests: int = 1024,
    **options: Any,
) -> ResiliencePolicy:
    """Return a route with its cluster: time limit, retries, limit of requests, and time limit of each try.

    Args:
        timeout: Of the route, all tries together.
        per_try_timeout: Of each try; None is none.
        hedge_on_per_try_timeout: Whether a late try goes on beside its retry.
        max_requests: Of the cluster.
        **options: Those of `retry`.
    """
    if hedge_on_per_try_timeout:
        options["hedge_after"] = per_try_timeout
    tries = [] if per_try_timeout is None or hedge_on_per_try_timeout else [Timeout(per_try_timeout)]
    return ResiliencePolicy(Timeout(timeout), retry(**options), Bulkhead(max_requests, max_queue=0), *tries)


def adaptive_throttle(
    *,
    sampling_window: float = 30.0,
    sr_threshold: float = 95.0,
    aggression: float = 1.0,
    rps_threshold: float = 0.0,
    max_rejection_probability: float = 80.0,
    success_criteria: ErrorFilter | None = None,
    **own: Any,
) -> AdaptiveThrottle:
    """Return its admission control; percentages are percent, an *aggression* below 1 is 1.

    *success_criteria* says which errors are no successes: every error by default.
    """
    return made(
        AdaptiveThrottle,
        own,
        multiplier=100 / sr_threshold,
        window=sampling_window,
        refusals=success_criteria,
        max_probability=max_rejection_probability / 100,
        exponent=max(aggression, 1.0),
        min_rate=rps_threshold,
        counts_rejections=False,
    )


def rate_limiter(
    *,
    max_tokens: int | None = None,
    tokens_per_fill: int = 1,
    fill_interval: float | None = None,
    **own: Any,
) -> RateLimiter:
    """Return a local rate limit."""
    burst = told(own, "burst", "max_tokens", max_tokens)
    period = told(own, "period", "fill_interval", fill_interval)
    return made(RateLimiter, own, permits=tokens_per_fill, period=period, burst=burst, kind="token_bucket")
