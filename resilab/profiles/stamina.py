"""stamina 24: tenacity with defaults to live by.

Left out: instrumentation, and `set_testing`.

Source: `stamina.retry` 24.3.
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.filters import ErrorFilter
from ..resilience.retry import Retry
from .words import retries_of, retry_with


def retry(
    *,
    on: ErrorFilter | None = None,
    attempts: float | None = 10,
    timeout: float | None = 45.0,
    wait_initial: float = 0.1,
    wait_max: float = 5.0,
    wait_jitter: float = 1.0,
    wait_exp_base: float = 2.0,
    **own: Any,
) -> Retry:
    """Return its retry."""
    law = Backoff("exponential", wait_initial, wait_exp_base, max_delay=wait_max, jitter="add", amount=wait_jitter)
    return retry_with(law, own, max_retries=retries_of(attempts), retryable_errors=on, max_duration=timeout)
