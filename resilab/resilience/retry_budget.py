"""Retry budgets: retries are paid for, so that they cannot multiply an overload."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from ..engine import Steps
from ..errors import RateLimitedError, ServiceOverloadedError, TimeoutExceededError
from ..validation import Finite, Natural, NonNegative, Positive, Ratio, Spec
from .filters import ErrorFilter, error_filter
from .windows import Recent

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
    | `aws_2026()` | 14, after throttling 5 | the same | 1/14 of the successes |
    | `grpc()` | - | 0.1 for a success, -1 for a failure | times with less than 1/11 failures |
    | `envoy()` | a place | - | 20 % of the active requests, but at least 3 |
    | `linkerd()` | 1 | 0.2 for each call, for 10 s | 20 % of the calls and 10 per second |

    The last two are no tokens: see `ActiveRetryBudget` and `RecentRetryBudget`.

    Args:
        max_tokens: Tokens that it holds.
        retry_cost: Tokens for a retry.
        timeout_cost: Tokens for a retry after a timeout; None is *retry_cost*.
        throttling_cost: Tokens for a retry after one of *throttling_errors*; None is
            *retry_cost*.
        throttling_errors: The errors that say so.
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
    throttling_cost: NonNegative | None = None
    throttling_errors: ErrorFilter = (RateLimitedError, ServiceOverloadedError)

    @classmethod
    def token_bucket(cls, ratio: float = 0.1, max_tokens: float = 10.0) -> RetryBudget:
        """Return a budget of *ratio* retries for each call."""
        return cls(max_tokens, call_income=ratio, success_income=0.0)

    @classmethod
    def aws(cls) -> RetryBudget:
        """Return the budget of the AWS SDKs' standard mode, as it was until November 2026."""
        return cls(500.0, 5.0, 10.0, success_income=1.0, refunds_success=True)

    @classmethod
    def aws_2026(cls) -> RetryBudget:
        """Return the budget of the AWS SDKs' standard mode since November 2026.

        With a cost of 14 the full quota is gone after 35 failing retries, not after 100.
        """
        return cls(500.0, 14.0, success_income=1.0, refunds_success=True, throttling_cost=5.0)

    @classmethod
    def grpc(cls, max_tokens: float = 10.0, token_ratio: float = 0.1) -> RetryBudget:
        """Return the retry throttling of gRPC."""
        return cls(max_tokens, 0.0, failure_cost=1.0, success_income=token_ratio, floor=max_tokens / 2)

    @staticmethod
    def envoy(budget_percent: float = 20.0, min_retry_concurrency: int = 3) -> ActiveRetryBudget:
        """Return the retry budget of Envoy and Istio; 0 percent is their `max_retries`."""
        return ActiveRetryBudget(budget_percent / 100, min_retry_concurrency)

    @staticmethod
    def linkerd(retry_ratio: float = 0.2, min_retries_per_second: float = 10.0, ttl: float = 10.0) -> RecentRetryBudget:
        """Return the retry budget of Linkerd and Finagle."""
        return RecentRetryBudget(retry_ratio, min_retries_per_second, ttl)

    def bind(self, env: simpy.Environment) -> LiveRetryBudget:
        """Make a full budget in *env*."""
        return LiveRetryBudget(self)


@dataclass(frozen=True)
class ActiveRetryBudget(Spec):
    """A limit of the retries at one time: a share of the active requests, but at least a minimum.

    A retry holds its place through its back-off and its attempt. A request is active
    while it is being tried, not while it waits to be tried again.

    Args:
        share: Share of the active requests that may be retries.
        minimum: Retries at one time that are always allowed.

    Example:
        >>> RetryBudget.envoy(budget_percent=25)
        ActiveRetryBudget(share=0.25, minimum=3)

    Source: `retry_budget` and `max_retries` of Envoy's circuit breakers; Istio's
    `retryBudget`. As measured on Envoy 1.40.
    """

    share: Ratio = 0.2
    minimum: Natural = 3

    def bind(self, env: simpy.Environment) -> LiveActiveRetryBudget:
        """Make a budget in *env*."""
        return LiveActiveRetryBudget(self)


@dataclass(frozen=True)
class RecentRetryBudget(Spec):
    """A limit of the retries of the last seconds: a share of the calls in them, and a floor per second.

    In each time of *ttl* seconds there are at most ratio * calls + per_second * ttl retries.

    Args:
        ratio: Retries for each call.
        per_second: Retries a second that are allowed beside.
        ttl: Seconds for which a call and a retry count.

    Example:
        >>> RetryBudget.linkerd()
        RecentRetryBudget(ratio=0.2, per_second=10.0, ttl=10.0)

    Source: `RetryBudget` of Finagle, `retryBudget` of Linkerd's service profiles, which
    keep ten slices of the time to live; here it is exact.
    """

    ratio: NonNegative = 0.2
    per_second: NonNegative = 10.0
    ttl: Positive = 10.0

    def bind(self, env: simpy.Environment) -> LiveRecentRetryBudget:
        """Make a budget in *env*."""
        return LiveRecentRetryBudget(self, env)


class LiveBudget:
    """What a retry asks of its budget; this one counts nothing."""

    def begin(self) -> None:
        """Take note of a new call."""

    def attempt(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        """Make one attempt of a call."""
        return fn(*args)

    def succeed(self, paid: float | None = None) -> None:
        """Earn what a success earns; *paid* is what its last retry cost, None if it had none."""

    def fail(self) -> None:
        """Lose what a failed attempt loses."""

    def pay(self, error: object = None, paid: float | None = None) -> float | None:
        """Pay for a retry after *error* and return the cost; None if there is no retry.

        *paid* is what the retry that has just failed had paid, if it was one.
        """
        raise NotImplementedError

    def end(self, paid: float | None) -> None:
        """Take note that a call has ended; *paid* is what its last retry cost."""


class LiveRetryBudget(LiveBudget):
    """A retry budget with its tokens.

    Attributes:
        spec: What it was made from.
        tokens: Tokens that it holds now.
    """

    def __init__(self, spec: RetryBudget) -> None:
        self.spec = spec
        self.tokens = float(spec.max_tokens)
        self._is_throttling = error_filter("throttling_errors", spec.throttling_errors)

    def allows(self, cost: float = 0.0) -> bool:
        """Return whether it can pay *cost* for a retry."""
        return self.tokens >= cost and self.tokens > self.spec.floor

    def begin(self) -> None:
        self._add(self.spec.call_income)

    def succeed(self, paid: float | None = None) -> None:
        spec = self.spec
        self._add(paid if spec.refunds_success and paid is not None else spec.success_income)

    def fail(self) -> None:
        self._add(-self.spec.failure_cost)

    def pay(self, error: object = None, paid: float | None = None) -> float | None:
        cost = self._cost(error)
        if not self.allows(cost):
            return None
        self._add(-cost)
        return cost

    def _cost(self, error: object) -> float:
        spec = self.spec
        if spec.timeout_cost is not None and isinstance(error, TimeoutError | TimeoutExceededError):
            return spec.timeout_cost
        if spec.throttling_cost is not None and isinstance(error, Exception) and self._is_throttling(error):
            return spec.throttling_cost
        return spec.retry_cost

    def _add(self, tokens: float) -> None:
        self.tokens = min(max(0.0, round(self.tokens + tokens, _PLACES)), self.spec.max_tokens)


class LiveActiveRetryBudget(LiveBudget):
    """A limit of the retries at one time.

    Attributes:
        spec: What it was made from.
        active: Requests that are being tried now.
        retrying: Retries that hold a place now.
    """

    def __init__(self, spec: ActiveRetryBudget) -> None:
        self.spec = spec
        self.active = 0
        self.retrying = 0

    @property
    def limit(self) -> int:
        """Retries that may hold a place now."""
        return max(self.spec.minimum, math.floor(self.spec.share * self.active))

    def attempt(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        self.active += 1
        try:
            return (yield from fn(*args))
        finally:
            self.active -= 1

    def pay(self, error: object = None, paid: float | None = None) -> float | None:
        self.end(paid)
        if self.retrying >= self.limit:
            return None
        self.retrying += 1
        return 1.0

    def end(self, paid: float | None) -> None:
        if paid is not None:
            self.retrying -= 1


class LiveRecentRetryBudget(LiveBudget):
    """A limit of the retries of the last seconds.

    Attributes:
        spec: What it was made from.
    """

    def __init__(self, spec: RecentRetryBudget, env: simpy.Environment) -> None:
        self.spec = spec
        self._env = env
        self._calls = Recent(spec.ttl)
        self._retries = Recent(spec.ttl)

    @property
    def balance(self) -> float:
        """Retries that are allowed now."""
        spec, now = self.spec, self._env.now
        earned = spec.ratio * self._calls.count(now) + spec.per_second * spec.ttl
        return round(earned - self._retries.count(now), _PLACES)

    def begin(self) -> None:
        self._calls.add(self._env.now)

    def pay(self, error: object = None, paid: float | None = None) -> float | None:
        if self.balance < 1:
            return None
        self._retries.add(self._env.now)
        return 1.0
