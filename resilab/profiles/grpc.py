"""gRPC: its service config, as grpcio 1.85 reads it.

A deadline spans all attempts: put a `Deadline` or a `Timeout` around. Left out: pushback of
the server (*delay_from*), transparent retries, and that only retryable codes cost a token.
gRPC has no breaker and no bulkhead; the core in C++ and Python does not hedge.

Source: gRPC proposal A6, "gRPC Retry Design".
"""

from __future__ import annotations

from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.filters import ErrorFilter
from ..resilience.hedge import Hedge
from ..resilience.retry import Retry
from ..resilience.retry_budget import RetryBudget
from ..validation import whole
from .words import made, retry_with, told

_MOST_ATTEMPTS = 5  # more are read as so many


def retry(
    *,
    max_attempts: int | None = None,
    initial_backoff: float | None = None,
    max_backoff: float | None = None,
    backoff_multiplier: float | None = None,
    retryable_status_codes: ErrorFilter | None = None,
    max_tokens: float | None = None,
    token_ratio: float = 0.1,
    **own: Any,
) -> Retry:
    """Return its retry policy: all words but the codes must be told; more than 5 attempts are 5.

    Delays have a jitter of 20 %, as measured (not 0 to 1 times, as the proposal said at
    first). *max_tokens* and *token_ratio* are its retry throttling, off unless told.
    """
    attempts = whole("max_attempts", told(own, "max_retries", "max_attempts", max_attempts), minimum=2)
    law = Backoff(
        "exponential",
        told(own, "initial_delay", "initial_backoff", initial_backoff),
        told(own, "multiplier", "backoff_multiplier", backoff_multiplier),
        max_delay=told(own, "max_delay", "max_backoff", max_backoff),
        jitter="plus_minus",
        amount=0.2,
        cap="before",
    )
    return retry_with(
        law,
        own,
        max_retries=min(attempts, _MOST_ATTEMPTS) - 1,
        retryable_errors=retryable_status_codes,
        budget=None if max_tokens is None else RetryBudget.grpc(max_tokens, token_ratio),
    )


def hedge(
    *,
    max_attempts: int | None = None,
    hedging_delay: float = 0.0,
    non_fatal_status_codes: ErrorFilter = (),
    **own: Any,
) -> Hedge:
    """Return its hedging policy; if all copies fail, the first one's error stands here."""
    hedges = own.pop("max_hedges", None)
    if hedges is None:
        attempts = whole("max_attempts", told(own, "max_hedges", "max_attempts", max_attempts), minimum=2)
        hedges = min(attempts, _MOST_ATTEMPTS) - 1
    fields = {"delay": hedging_delay, "max_hedges": hedges, "handled_errors": non_fatal_status_codes}
    return made(Hedge, own, **fields)
