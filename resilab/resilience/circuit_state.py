"""The states of a circuit breaker, and the numbers it shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CircuitState(StrEnum):
    """The states of a circuit breaker."""

    CLOSED = "closed"
    """Normal operation: calls pass, results are counted."""
    OPEN = "open"
    """Failing: calls are rejected."""
    HALF_OPEN = "half_open"
    """Testing recovery: probes pass."""
    FORCED_OPEN = "forced_open"
    """Rejects every call until it is forced into another state."""
    DISABLED = "disabled"
    """Passes every call and counts nothing."""
    METRICS_ONLY = "metrics_only"
    """Passes every call, counts, and says when it would have opened."""


@dataclass(frozen=True)
class BreakerMetrics:
    """What a circuit breaker counts now.

    Attributes:
        state: The state.
        buffered: Results that count.
        failed: Those that are failures.
        successful: Those that are not.
        slow: Those that took longer than `slow_call_duration`, failed or not.
        failure_rate: failed / buffered; None below the fewest calls that count.
        slow_call_rate: slow / buffered; None below the fewest calls that count.
        not_permitted: Calls rejected since the counts began.
    """

    state: CircuitState
    buffered: int
    failed: int
    successful: int
    slow: int
    failure_rate: float | None
    slow_call_rate: float | None
    not_permitted: int
