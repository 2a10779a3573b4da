"""tenacity 9: without a word it retries for ever, and at once.

Its `wait_exponential(multiplier, max, exp_base, min)` is `Backoff("exponential",
multiplier, exp_base, max_delay=max, min_delay=min)`.

Left out: callbacks, and waits that are chained.

Source: `tenacity.Retrying` 9.0.
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.retry import Retry
from .words import retries_of, retry_with


def retry(
    *,
    max_attempts: float | None = None,
    stop_after_delay: float | None = None,
    stop_before_delay: float | None = None,
    wait: Backoff | None = None,
    **own: Any,
) -> Retry:
    """Return its retry; *wait* is a `Backoff`."""
    return retry_with(
        Backoff("constant", 0.0) if wait is None else wait,
        own,
        max_retries=retries_of(max_attempts),
        max_duration=stop_after_delay if stop_before_delay is None else stop_before_delay,
        near_max_duration="wait" if stop_before_delay is None else "stop",
    )
