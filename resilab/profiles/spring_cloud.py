"""Spring Cloud CircuitBreaker 5 over resilience4j: a breaker, and a time limit that nobody asked for.

Left out: bulkheads, which are off unless a property says so.

Source: `Resilience4JCircuitBreakerFactory` of Spring Cloud CircuitBreaker 5.0.
"""

from __future__ import annotations

from typing import Any

from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.policy import ResiliencePolicy
from ..resilience.timeout import Timeout
from . import resilience4j


def circuit_breaker(**options: Any) -> CircuitBreaker:
    """Return the breaker of resilience4j, whose words it takes."""
    return resilience4j.circuit_breaker(**options)


def timeout(*, timeout_duration: float = 1.0, cancel_running_future: bool = True, **own: Any) -> Timeout:
    """Return the time limit of 1 s that every breaker has."""
    return resilience4j.timeout(timeout_duration=timeout_duration, cancel_running_future=cancel_running_future, **own)


def policy(*, timeout_duration: float = 1.0, **options: Any) -> ResiliencePolicy:
    """Return what `circuitBreakerFactory.create(...)` makes: a breaker with a time limit inside.

    Args:
        timeout_duration: Of the time limit.
        **options: Those of the breaker.
    """
    return ResiliencePolicy(circuit_breaker(**options), timeout(timeout_duration=timeout_duration))
