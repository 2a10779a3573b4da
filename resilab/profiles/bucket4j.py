"""bucket4j 8: a bucket that refills greedily.

Left out: its other refills, its blocking bucket, and buckets of several limits.

Source: `Bandwidth` of bucket4j 8.
"""

from __future__ import annotations

from typing import Any

from ..resilience.rate_limiter import RateLimiter
from .words import made, told


def rate_limiter(
    *,
    capacity: int | None = None,
    refill_tokens: int | None = None,
    refill_period: float | None = None,
    **own: Any,
) -> RateLimiter:
    """Return its bucket; *refill_tokens* are those of the capacity unless told."""
    burst = told(own, "burst", "capacity", capacity)
    period = told(own, "period", "refill_period", refill_period)
    permits = burst if refill_tokens is None else refill_tokens
    return made(RateLimiter, own, permits=permits, period=period, burst=burst, kind="token_bucket")
