"""tenacity 9: without a word it retries for ever, and at once.

Left out: `stop_after_delay` (our *max_duration*), callbacks, and waits that are chained.

Source: `tenacity.Retrying` 9.0.
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.retry import Retry
from .words import retries_of, retry_with


def retry(*, max_attempts: float | None = None, wait: Backoff | None = None, **own: Any) -> Retry:
    """Return its retry; *wait* is a `Backoff`."""
    return retry_with(Backoff("constant", 0.0) if wait is None else wait, own, max_retries=retries_of(max_attempts))
