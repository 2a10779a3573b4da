"""Envoy 1.40: its filters and the settings of its routes and clusters.

Source: the API of Envoy 1.40, v3.
"""

from __future__ import annotations

from typing import Any

from ..resilience.adaptive_throttle import AdaptiveThrottle
from ..resilience.filters import ErrorFilter
from ..resilience.rate_limiter import RateLimiter
from .words import made, told


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
