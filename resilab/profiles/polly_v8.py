"""Polly 8 under its full name, beside `polly_v7`."""

from .polly import bulkhead, circuit_breaker, hedge, rate_limiter, retry, timeout

__all__ = ["bulkhead", "circuit_breaker", "hedge", "rate_limiter", "retry", "timeout"]
