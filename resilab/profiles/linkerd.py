"""Linkerd 2.19: retries with a budget, and the breaker of an endpoint.

Left out: that a breaker belongs to one endpoint of many, and time limits by annotation.
The longest penalty is reached a little later here, since it bounds what is drawn.

Source: `ServiceProfile` (`retryBudget`), and the annotations of failure accrual, of Linkerd 2.19.
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.breaker_rules import HalfOpenRule, OpenRule
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.retry import Retry
from ..resilience.retry_budget import RetryBudget
from .words import made, retry_with


def retry(
    *,
    limit: int | None = None,
    retry_ratio: float = 0.2,
    min_retries_per_second: float = 10.0,
    ttl: float = 10.0,
    **own: Any,
) -> Retry:
    """Return its retries: at once, and as many as the budget pays for unless *limit* is told."""
    return retry_with(
        Backoff("constant", 0.0),
        own,
        max_retries=limit,
        budget=RetryBudget.linkerd(retry_ratio, min_retries_per_second, ttl),
    )


def circuit_breaker(
    *,
    max_failures: int = 7,
    min_penalty: float = 1.0,
    max_penalty: float = 60.0,
    jitter_ratio: float = 0.5,
    **own: Any,
) -> CircuitBreaker:
    """Return its failure accrual: 7 in a row; 1 s, then twice as long each time, each up to half as long again."""
    middle = 1 + jitter_ratio / 2  # drawn from 1 to 1 + jitter_ratio times the penalty: around the middle
    return made(
        CircuitBreaker,
        own,
        failure_threshold=max_failures,
        volume_threshold=0,
        timeout=min_penalty * middle,
        opening=OpenRule(2.0, max_penalty * (1 + jitter_ratio), jitter_ratio / 2 / middle),
        success_threshold=1,
        half_open_max_calls=1,
        half_open=HalfOpenRule(budget="total"),
    )
