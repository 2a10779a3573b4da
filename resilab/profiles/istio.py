"""Istio 1.28: `VirtualService` and `DestinationRule`, which set Envoy's fields with other defaults.

Outlier detection is `rl.fleet.OutlierEjection.like("istio")`, for a `Fleet`. Left out:
`retryIgnorePreviousHosts`, which needs replicas.

Source: the API of Istio, July 2026.
"""

from __future__ import annotations

from typing import Any

from ..resilience.bulkhead import Bulkhead
from ..resilience.filters import ErrorFilter
from ..resilience.retry import Retry
from . import envoy
from .words import made

_NO_LIMIT = envoy.NO_LIMIT


def retry(
    *,
    attempts: int = 2,
    backoff: float = 0.025,
    retry_on: ErrorFilter | None = None,
    max_retries: int = _NO_LIMIT,
    percent: float | None = None,
    min_retry_concurrency: int = 3,
    **own: Any,
) -> Retry:
    """Return its retries: *attempts* counts retries; *percent* is that of a retry budget.

    By default Istio retries connect-failure, refused-stream, unavailable and cancelled,
    and no 5xx; tell *retry_on* the errors that stand for them.
    """
    return envoy.retry(
        num_retries=attempts,
        base_interval=backoff,
        retry_on=retry_on,
        max_retries=max_retries,
        budget_percent=percent,
        min_retry_concurrency=min_retry_concurrency,
        **own,
    )


def bulkhead(*, http2_max_requests: int = _NO_LIMIT, **own: Any) -> Bulkhead:
    """Return the limit of requests of a destination: none by default, where Envoy has 1024."""
    return made(Bulkhead, own, max_concurrent=http2_max_requests, max_queue=0)
