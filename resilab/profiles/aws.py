"""The laws of the AWS article "Exponential Backoff and Jitter"; no SDK, see `aws_2026` and `aws_2025`.

Source: Marc Brooker, "Exponential Backoff and Jitter", and its simulator.
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.retry import Retry
from ..validation import one_of
from .words import retries_of, retry_with


def retry(
    *, max_attempts: float | None = 3, base: float = 0.1, cap: float = 20.0, jitter: str = "full", **own: Any
) -> Retry:
    """Return a retry of the article; *jitter* is "none", "full", "equal" or "decorrelated"."""
    one_of("jitter", jitter, ("none", "full", "equal", "decorrelated"))
    if jitter == "decorrelated":
        law = Backoff("decorrelated", base, 3.0, max_delay=cap)
    else:
        # The article's first ceiling is base * 2: its exponent counts attempts from 1.
        law = Backoff("exponential", 2 * base, max_delay=cap, jitter=jitter, cap="before")
    return retry_with(law, own, max_retries=retries_of(max_attempts))
