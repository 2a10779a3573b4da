"""gRPC: its service config.

Source: gRPC proposal A6, "gRPC Retry Design".
"""

from __future__ import annotations

from typing import Any

from ..resilience.filters import ErrorFilter
from ..resilience.hedge import Hedge
from ..validation import whole
from .words import made, told

_MOST_ATTEMPTS = 5  # more are read as so many


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
