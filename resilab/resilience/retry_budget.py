"""Retry budget: retries are paid for, so that they cannot multiply an overload."""

from __future__ import annotations

from dataclasses import dataclass

import simpy

from ..errors import TimeoutExceededError
from ..validation import Finite, NonNegative, Positive, Spec

_PLACES = 9  # tokens are rounded to so many places: ten times 0.1 is 1


@dataclass(frozen=True)
class RetryBudget(Spec):
    """Tokens that retries of all calls of one client share.

    A retry is made only if tokens - cost >= 0 and tokens > *floor*; otherwise the error
    of the attempt stands. The budget is full at first.

    | rule | retry costs | earns | limits retries to |
    |---|---|---|---|
    | `token_bucket(0.1)` | 1 | 0.1 for each call | 10 % of the calls |
    | `aws()` | 5, after a timeout 10 | 1 for a success; a retried one its last cost | 1/5 of the successes |
    | `grpc()` | - | 0.1 for a success, -1 for a failure | times with less than 1/11 failures |

    Args:
        max_tokens: Tokens that it holds.
        retry_cost: Tokens for a retry.
        timeout_cost: Tokens for a retry after a timeout; None is *retry_cost*.
        failure_cost: Tokens that each failed attempt loses.
        call_income: Tokens that each call earns when it begins.
        success_income: Tokens that a success earns.
        refunds_success: True gives a success after retries its last cost back, instead
            of *success_income*.
        floor: At or below so many tokens there are no retries.

    Example:
        >>> RetryBudget.grpc().floor
        5.0

    Source: botocore's standard retry mode; gRPC proposal A6; Marc Brooker, "Fixing
    retries with token buckets and circuit breakers".
    """

    max_tokens: Positive = 10.0
    retry_cost: NonNegative = 1.0
    timeout_cost: NonNegative | None = None
    failure_cost: NonNegative = 0.0
    call_income: NonNegative = 0.0
    success_income: NonNegative = 0.1
    refunds_success: bool = False
    floor: Finite = -1.0

    @classmethod
    def token_bucket(cls, ratio: float = 0.1, max_tokens: float = 10.0) -> RetryBudget:
        """Return a budget of *ratio* retries for each call."""
        return cls(max_tokens, call_income=ratio, success_income=0.0)

    @classmethod
    def aws(cls) -> RetryBudget:
        """Return the budget of the AWS SDKs' standard mode."""
        return cls(500.0, 5.0, 10.0, success_income=1.0, refunds_success=True)

    @classmethod
    def grpc(cls, max_tokens: float = 10.0, token_ratio: float = 0.1) -> RetryBudget:
        """Return the retry throttling of gRPC."""
        return cls(max_tokens, 0.0, failure_cost=1.0, success_income=token_ratio, floor=max_tokens / 2)

    def bind(self, env: simpy.Environment) -> LiveRetryBudget:
        """Make a full budget in *env*."""
        return LiveRetryBudget(self)


class LiveRetryBudget:
    """A retry budget with its tokens.

    Attributes:
        spec: What it was made from.
        tokens: Tokens that it holds now.
    """

    def __init__(self, spec: RetryBudget) -> None:
        self.spec = spec
        self.tokens = float(spec.max_tokens)

    def allows(self, cost: float = 0.0) -> bool:
        """Return whether it can pay *cost* for a retry."""
        return self.tokens >= cost and self.tokens > self.spec.floor

    def begin(self) -> None:
        """Earn what a new call earns."""
        self._add(self.spec.call_income)

    def succeed(self, paid: float | None = None) -> None:
        """Earn what a success earns; *paid* is what its last retry cost, None if it had none."""
        spec = self.spec
        self._add(paid if spec.refunds_success and paid is not None else spec.success_income)

    def fail(self) -> None:
        """Lose what a failed attempt loses."""
        self._add(-self.spec.failure_cost)

    def pay(self, error: object = None) -> float | None:
        """Pay for a retry after *error* and return the cost; None if there is no retry."""
        spec = self.spec
        is_timeout = isinstance(error, TimeoutError | TimeoutExceededError)
        cost = spec.timeout_cost if is_timeout and spec.timeout_cost is not None else spec.retry_cost
        if not self.allows(cost):
            return None
        self._add(-cost)
        return cost

    def _add(self, tokens: float) -> None:
        self.tokens = min(max(0.0, round(self.tokens + tokens, _PLACES)), self.spec.max_tokens)
