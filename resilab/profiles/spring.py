"""Spring Framework 7: `@Retryable` and `@ConcurrencyLimit`. For Spring Cloud see `spring_cloud`.

`maxRetries` counts retries, where resilience4j's `maxAttempts` counts attempts.

Left out: predicates by method, and reactive methods.

Source: `org.springframework.resilience.annotation` and `ExponentialBackOff` of Spring Framework 7.0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.bulkhead import Bulkhead
from ..resilience.filters import ErrorFilter
from ..resilience.retry import Retry
from .words import made, retry_with


@dataclass(frozen=True)
class Spread:
    """A delay drawn around another, in proportion to it, but never below the first delay or above the longest."""

    delay: float
    jitter: float
    max_delay: float

    def __call__(self, value: float, draw: float) -> float:
        reach = self.jitter * (value / self.delay if self.delay else 1.0)
        low, high = max(value - reach, self.delay), min(value + reach, self.max_delay)
        return low + draw * max(0.0, high - low)


def retry(
    *,
    includes: ErrorFilter | None = None,
    excludes: ErrorFilter | None = None,
    max_retries: int = 3,
    delay: float = 1.0,
    jitter: float = 0.0,
    multiplier: float = 1.0,
    max_delay: float = math.inf,
    timeout: float | None = None,
    **own: Any,
) -> Retry:
    """Return `@Retryable`: three retries, a second apart; *jitter* is seconds around the first delay."""
    law = Backoff(
        "exponential",
        delay,
        multiplier,
        max_delay=max_delay,
        jitter=Spread(delay, jitter, max_delay) if jitter else "none",
        cap="before",
    )
    return retry_with(
        law,
        own,
        max_retries=max_retries,
        retryable_errors=includes,
        ignored_errors=excludes,
        max_duration=timeout,
        near_max_duration="stop",
    )


def bulkhead(*, limit: int = 1, **own: Any) -> Bulkhead:
    """Return `@ConcurrencyLimit`: callers wait, however many and however long."""
    return made(Bulkhead, own, max_concurrent=limit)
