"""gobreaker for Go: it trips at more than five failures in a row.

Left out: an `Interval` above 0, which clears the counts of CLOSED at fixed times, and the
rolling buckets of newer versions.

Source: `Settings` of sony/gobreaker 1.0.
"""

from __future__ import annotations

from typing import Any

from ..resilience.breaker_rules import HalfOpenRule, OpenRule
from ..resilience.circuit_breaker import CircuitBreaker
from .words import made


def circuit_breaker(
    *, max_requests: int = 1, timeout: float = 60.0, consecutive_failures: int = 5, **own: Any
) -> CircuitBreaker:
    """Return its breaker; *consecutive_failures* is what `ReadyToTrip` compares with: more than so many open it."""
    return made(
        CircuitBreaker,
        own,
        failure_threshold=consecutive_failures,
        opens_above=True,
        volume_threshold=0,
        timeout=timeout,
        success_threshold=max_requests,
        half_open_max_calls=max_requests,
        half_open=HalfOpenRule(budget="total"),
        opening=OpenRule(probes_at_timeout=False),
    )
