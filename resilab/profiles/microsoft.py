"""The standard handler of Microsoft.Extensions.Http.Resilience 9: five strategies of Polly in a fixed order.

Its validator asks that the attempts' limit is at most the total, that the sampling time is
at least twice the attempts' limit, and that the delays of all retries fit into the total.

Left out: Retry-After (*delay_from* of a retry of your own), and the standard hedging handler.

Source: `HttpStandardResilienceOptions`, August 2026.
"""

from __future__ import annotations

from ..errors import CircuitOpenError
from ..resilience.policy import ResiliencePolicy
from ..resilience.timeout import Timeout
from . import polly


def policy(
    *,
    permit_limit: int = 1000,
    queue_limit: int = 0,
    total_request_timeout: float = 30.0,
    max_retry_attempts: int = 3,
    delay: float = 2.0,
    backoff_type: str = "exponential",
    use_jitter: bool = True,
    failure_ratio: float = 0.1,
    minimum_throughput: int = 100,
    sampling_duration: float = 30.0,
    break_duration: float = 5.0,
    attempt_timeout: float = 10.0,
) -> ResiliencePolicy:
    """Return limiter, total time limit, retry, breaker, and the time limit of each attempt.

    The refusal of an open breaker is not transient: it is not retried.
    """
    retry = polly.retry(
        max_retry_attempts=max_retry_attempts, delay=delay, backoff_type=backoff_type, use_jitter=use_jitter
    )
    breaker = polly.circuit_breaker(
        failure_ratio=failure_ratio,
        minimum_throughput=minimum_throughput,
        sampling_duration=sampling_duration,
        break_duration=break_duration,
    )
    return ResiliencePolicy(
        polly.bulkhead(permit_limit=permit_limit, queue_limit=queue_limit),
        Timeout(total_request_timeout),
        retry.replace(ignored_errors=CircuitOpenError),
        breaker,
        Timeout(attempt_timeout),
    )
