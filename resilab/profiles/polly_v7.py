"""Polly 7: its two breakers, the consecutive and the advanced one.

Left out: all its other policies, which Polly 8 has with other defaults.

Source: `CircuitBreakerPolicy` and `AdvancedCircuitBreakerPolicy` of Polly 7.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..resilience.breaker_rules import HalfOpenRule, OpenRule
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.filters import ErrorFilter
from . import polly


def circuit_breaker(
    *,
    exceptions_allowed_before_breaking: int | None = None,
    duration_of_break: float = 5.0,
    failure_ratio: float = 0.1,
    minimum_throughput: int = 100,
    sampling_duration: float = 30.0,
    break_duration: float | None = None,
    handle: ErrorFilter | None = None,
    handle_result: Callable[[Any], bool] | None = None,
    **own: Any,
) -> CircuitBreaker:
    """Return the consecutive breaker if *exceptions_allowed_before_breaking* is given, or else the advanced one.

    One probe is let through, and another each *duration_of_break*, whatever became of
    the first. It turns with a call, and shows half-open from its time on.
    """
    duration = duration_of_break if break_duration is None else break_duration
    fields: dict[str, Any] = {
        "half_open": HalfOpenRule(budget="total", probe_interval=duration),
        "opening": OpenRule(shows_half_open=True),
        "cancelled_calls": "ignored",
        "other_errors": "ignored",
    }
    if exceptions_allowed_before_breaking is not None:
        fields |= {"window": None, "failure_rate_threshold": None, "volume_threshold": 0}
        fields["failure_threshold"] = exceptions_allowed_before_breaking
    return polly.circuit_breaker(
        failure_ratio=failure_ratio,
        minimum_throughput=minimum_throughput,
        sampling_duration=sampling_duration,
        break_duration=duration,
        handle=handle,
        handle_result=handle_result,
        **(fields | own),
    )
