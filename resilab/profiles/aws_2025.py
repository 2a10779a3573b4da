"""The AWS SDKs until November 2026: the retry mode "standard", as botocore 1.43 has it.

The default mode was "legacy" then; of the settings below users could change the attempts only.
Left out: the modes "legacy" and "adaptive", and waits that a service asks for.

Source: `botocore.retries.standard` of botocore 1.43.
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.retry import Retry
from ..resilience.retry_budget import RetryBudget
from .words import retries_of, retry_with


def retry(*, max_attempts: float | None = 3, base: float = 1.0, cap: float = 20.0, **own: Any) -> Retry:
    """Return the standard mode: delays up to 1 s, 2 s, 4 s, ..., and a quota of 500."""
    law = Backoff("exponential", base, 2.0, max_delay=cap, jitter="full", cap="after")
    return retry_with(law, own, max_retries=retries_of(max_attempts), budget=RetryBudget.aws())
