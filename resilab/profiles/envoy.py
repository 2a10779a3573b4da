"""Envoy 1.40: its filters and the settings of its routes and clusters.

Source: the API of Envoy 1.40, v3.
"""

from __future__ import annotations

from typing import Any

from ..resilience.rate_limiter import RateLimiter
from .words import made, told


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
