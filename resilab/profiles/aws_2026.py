"""The AWS SDKs since 10 November 2026: the mode "standard" with its new rules, the default since then.

As in botocore 1.44.0, JavaScript 3.1166, Go 1.48 and C++ 1.11.926; Java and Kotlin are
still to come. Earlier versions have them with AWS_NEW_RETRIES_2026=true. After throttling
the base is 1 s: `base=1.0`. For DynamoDB there are 4 attempts from 25 ms.

Left out: `x-amz-retry-after`, which is kept within 5 s of the own delay (*delay_from*).

Source: `botocore.retries.standard` of botocore 1.44.
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.retry import Retry
from ..resilience.retry_budget import RetryBudget
from .words import retries_of, retry_with


def retry(*, max_attempts: float | None = 3, base: float = 0.05, cap: float = 20.0, **own: Any) -> Retry:
    """Return the standard mode: delays up to 50 ms, 100 ms, ..., and a quota of 500 at 14 a retry."""
    law = Backoff("exponential", base, 2.0, max_delay=cap, jitter="full", cap="before")
    return retry_with(law, own, max_retries=retries_of(max_attempts), budget=RetryBudget.aws_2026())
