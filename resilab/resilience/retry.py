"""Retry: try a failed call again, after a delay that grows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Annotated, Any

import simpy

from ..engine import Gone, Steps, request_of
from ..errors import NEVER_HANDLED, TimeoutExceededError, UnfinishedRunError
from ..randomness import uniform
from ..validation import (
    Growth,
    Natural,
    NonNegative,
    NonNegativeOrInfinite,
    PositiveOrInfinite,
    Rule,
    one_of,
    positive,
    try_seconds,
    warn_of_milliseconds,
    warn_user,
    word,
)
from .backoff import Backoff
from .base import LivePolicy, Place, Policy, short_repr
from .filters import ErrorFilter, error_filter
from .likeness import like
from .retry_budget import ActiveRetryBudget, RecentRetryBudget, RetryBudget
from .tries import FAILED, LATE, Tries, deadlines_of
from .windows import TIE

JITTERS = ("reference", "none", "full", "equal", "decorrelated")
_REPLACED = ("initial_delay", "max_delay", "backoff_multiplier", "jitter")
ENDLESS = 100_000
"""Retries of one call after which a run is taken to be endless."""


def _jitter(name: str, value: Any) -> Any:
    if callable(value):
        try_seconds(name, value, 0, 0.5)
        return value
    return one_of(name, value, JITTERS)


Jitter = Annotated[str | Callable[[int, float], float], Rule(_jitter, "the name of a jitter, or a function")]


@dataclass(frozen=True)
class Retry(Policy["LiveRetry"]):
    """Try a failed call again, with exponential backoff and jitter.

    With v = min(initial_delay * backoff_multiplier^k, max_delay) before retry k + 1
    (k = 0, 1, ...) and U uniform on 0..1, the delay is

    | jitter | delay |
    |---|---|
    | "reference" | min(initial_delay * backoff_multiplier^k * (1 + 0.1 U), max_delay) |
    | "none" | v |
    | "full" | v U |
    | "equal" | v / 2 + U v / 2 |
    | "decorrelated" | min(max_delay, initial_delay + U (3 previous - initial_delay)) |

    where previous is the last delay, at first initial_delay. "reference" caps outside
    the jitter, as the document writes it: at the cap, all clients wait equally long.

    Args:
        max_retries: Retries after the first attempt; 3 is at most 4 attempts. None is
            no limit.
        initial_delay: Seconds before the first retry.
        max_delay: Longest delay in seconds; infinity is no cap.
        backoff_multiplier: Growth of the delay from retry to retry, at least 1.
        jitter: One of the names above, or a function (attempt, draw) -> seconds of the
            index of the failed attempt, from 0, and a uniform draw.
        retryable_errors: Error class, tuple of classes, or predicate of the error. None
            retries every error, `CircuitOpenError` too.
        retryable_results: Predicate of the value: True retries the call. If all
            attempts return such values, the last one is the value of the call.
        delay_from: Function (retry number from 1, error or value) -> seconds before
            that retry, such as a Retry-After; None or less than 0 is the delay above.
        max_duration: Seconds since the call began after which it is not retried.
        near_max_duration: What becomes of a delay that would pass *max_duration*: "wait"
            (it is waited, and one more attempt made), "cut" (to what is left; Failsafe),
            or "stop" (no more attempt; tenacity's `stop_before_delay`).
        ignored_errors: Errors that are not retried although *retryable_errors* names
            them, in the same form.
        jitter_given: True applies the jitter to what *delay_from* returns, too.
        backoff: A `Backoff`, which replaces initial_delay, max_delay,
            backoff_multiplier and jitter; None is the table above.
        budget: A budget for all calls of one live retry, such as `RetryBudget.grpc()`;
            None is no limit.
        hedge_after: Seconds after which a try is late: it goes on, and a retry is sent
            beside it, after its delay. The first answer that is not to be retried wins,
            and the other tries are cancelled; if all fail, the last one's error stands.
            A late try that fails has had its retry. None waits for each try to end; a
            `Timeout` inside the retry cancels a late one. (Envoy's
            `hedge_on_per_try_timeout`)

    | | this | resilience4j | Polly 8 | Failsafe | hyx | tenacity | stamina |
    |---|---|---|---|---|---|---|---|
    | retries | 3 | 2 | 3 | 2 | 2 | no limit | 9 |
    | delay | 1 s x 2 | 0.5 s | 2 s | 0 s | 0.5 s | 0 s | 0.1 s x 2 |
    | longest | 30 s | - | - | - | - | - | 5 s |
    | jitter | + 10 % | - | - | - | - | - | + 1 s |

    `Retry.like` gives the columns on the right.

    Example:
        >>> [Retry(max_delay=3.0, jitter="none").delay(k) for k in range(4)]
        [1.0, 2.0, 3.0, 3.0]

    Source: `RetryPolicy` of the reference document; the jitters are those of the AWS
    article "Exponential Backoff and Jitter".
    """

    max_retries: Natural | None = 3
    initial_delay: NonNegative = 1.0
    max_delay: NonNegativeOrInfinite = 30.0
    backoff_multiplier: Growth = 2.0
    jitter: Jitter = "reference"
    retryable_errors: ErrorFilter | None = None
    retryable_results: Callable[[Any], bool] | None = None
    delay_from: Callable[[int, Any], float | None] | None = None
    max_duration: PositiveOrInfinite | None = None
    backoff: Backoff | None = None
    budget: RetryBudget | ActiveRetryBudget | RecentRetryBudget | None = None
    near_max_duration: Annotated[str, word("wait", "cut", "stop")] = "wait"
    ignored_errors: ErrorFilter | None = None
    jitter_given: bool = False
    hedge_after: PositiveOrInfinite | None = None

    def __post_init__(self) -> None:
        warn_of_milliseconds("initial_delay", self.initial_delay)
        if self.initial_delay > self.max_delay:
            warn_user(f"initial_delay of {self.initial_delay} is above max_delay of {self.max_delay}, which is waited")
        if self.max_retries is None and self.backoff is None:
            positive("initial_delay with max_retries=None", self.initial_delay)
            positive("max_delay with max_retries=None", self.max_delay, allow_infinite=True)
        for field in fields(self) if self.backoff is not None else ():
            if field.name in _REPLACED and getattr(self, field.name) != field.default:
                raise ValueError(f"{field.name} must be left out with backoff, got {getattr(self, field.name)!r}")

    @classmethod
    def like(cls, library: str, **options: Any) -> Retry:
        """Return a retry with the meaning and the defaults of a library.

        Args:
            library: "resilience4j", "polly", "failsafe", "hyx", "tenacity", "stamina",
                "spring" (`@Retryable`), "envoy", "istio", "linkerd", "grpc", "aws_2025"
                and "aws_2026" (the SDKs before and since November 2026), or "aws" (the
                jitters of the article, and no SDK).
            **options: Fields of `Retry` and `Backoff`, or the library's own parameters
                in Python spelling, in seconds. max_attempts counts as the library
                counts: Polly's counts retries. The library's module in
                `resilab.profiles` lists them, and says of which version it is and what
                it leaves out.

        Example:
            >>> Retry.like("polly", max_retry_attempts=4, delay=1.0, backoff_type="linear").backoff.delays_of(4)
            [1.0, 2.0, 3.0, 4.0]
        """
        return like(cls, "retry", library, options, Backoff)

    def __repr__(self) -> str:
        return short_repr(self, always=6 if self.backoff is None else 1)

    def delay(self, attempt: int, draw: float = 0.0, previous: float | None = None) -> float:
        """Return the seconds to wait after a failed attempt: a pure function.

        Args:
            attempt: Index of the attempt that failed, from 0.
            draw: Uniform draw from 0 to 1.
            previous: The state that the law's `step` returned for the last delay of this
                call; for "decorrelated" that delay itself.
        """
        return self.law.step(attempt, draw, previous)[0]

    @property
    def law(self) -> Backoff:
        """The delays as a `Backoff`: the one that was given, or that of the fields above."""
        if self.backoff is not None:
            return self.backoff
        if callable(self.jitter):
            return Backoff(self.jitter)
        if self.jitter == "decorrelated":
            return Backoff("decorrelated", self.initial_delay, 3.0, max_delay=self.max_delay)
        is_reference = self.jitter == "reference"
        return Backoff(
            "exponential",
            self.initial_delay,
            self.backoff_multiplier,
            max_delay=self.max_delay,
            jitter="plus" if is_reference else self.jitter,
            amount=0.1 if is_reference else 0.0,
            cap="after" if is_reference else "before",
        )

    def live(self, place: Place) -> LiveRetry:
        return LiveRetry(self, place)


class _Call:
    """What a retry keeps of one call: nothing is shared between calls but counts and budget."""

    __slots__ = ("attempt", "is_cut", "paid", "state", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.attempt = 0
        self.is_cut = False  # the last delay ended with the time for the call
        self.paid: float | None = None
        self.state: float | None = None


class LiveRetry(LivePolicy):
    """A retry in an environment. It keeps nothing between calls but its counts and its budget.

    Attributes:
        spec: What it was made from.
        retries: How many retries it has made.
        budget: Its live `RetryBudget`, or None.
    """

    spec: Retry

    def __init__(self, spec: Retry, place: Place) -> None:
        super().__init__(spec, place)
        self.retries = 0
        self.budget = None if spec.budget is None else spec.budget.bind(self.env)
        self._last = ENDLESS if spec.max_retries is None else min(spec.max_retries, ENDLESS)
        self._longest = math.inf if spec.max_duration is None else spec.max_duration
        if spec.near_max_duration != "cut":
            self._longest *= 1 - TIE
        self._law = spec.law
        self._is_retryable = error_filter("retryable_errors", spec.retryable_errors)
        self._is_ignored = error_filter("ignored_errors", spec.ignored_errors or ())
        self._draws = None if place.seed is None else place.draws("jitter", uniform)
        late = spec.hedge_after
        self._deadlines = None if late is None else deadlines_of(self.env, late, place.depth)

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        is_bad, budget = self.spec.retryable_results, self.budget
        call = _Call(self.env.now + self._longest)
        if budget is not None:
            budget.begin()
            fn = partial(budget.attempt, fn)
        try:
            if self._deadlines is not None:
                return (yield from self._side_by_side(call, Tries(self._deadlines, fn, args)))
            while True:
                try:
                    outcome = yield from fn(*args)
                    if is_bad is None or not is_bad(outcome):
                        if budget is not None:
                            budget.succeed(call.paid)
                        return outcome
                    if (delay := self._next(call, outcome, None)) is None:
                        return outcome
                except NEVER_HANDLED:
                    raise
                except Exception as error:
                    if (delay := self._next(call, error, error)) is None:
                        raise
                self._count(call, delay)
                if delay > 0:
                    yield self.env.timeout(delay)
        finally:
            if budget is not None:
                budget.end(call.paid)

    def _side_by_side(self, call: _Call, tries: Tries) -> Steps:
        """Send a retry beside each try that is late, and after each that has failed in time."""
        is_bad, late = self.spec.retryable_results, set()
        cause: Any = Gone("hedge")
        try:
            tries.send()
            while True:
                number, what, outcome = yield from tries.next()
                error = outcome if what == FAILED else None
                if what not in (FAILED, LATE) and (is_bad is None or not is_bad(outcome)):
                    if self.budget is not None:
                        self.budget.succeed(call.paid)
                    tries.let_win(number)
                    return outcome
                if isinstance(error, NEVER_HANDLED):
                    raise error
                delay = None
                if number not in late:
                    if what == LATE:
                        late.add(number)
                        outcome = TimeoutExceededError(f"no answer after {self.spec.hedge_after:g} s")
                    delay = self._next(call, outcome, error)
                if error is not None and not self._handles(error):
                    raise error
                if delay is not None:
                    self._count(call, delay)
                    tries.send(delay)
                elif not tries.open:
                    if error is not None:
                        raise error
                    tries.let_win(number)
                    return outcome
        except simpy.Interrupt as signal:
            cause = signal.cause
            raise
        finally:
            tries.cancel(cause)

    def _count(self, call: _Call, delay: float) -> None:
        self.retries += 1
        if self._log is not None:
            self.note("retry", f"{call.attempt} after {delay:.6g} s")

    def _next(self, call: _Call, outcome: Any, error: Exception | None) -> float | None:
        """Return the delay before the next attempt of a call; None if this was the last."""
        if self.budget is not None:
            self.budget.fail()
        if call.attempt >= self._last or (error is not None and not self._handles(error)):
            if call.attempt == ENDLESS:
                raise UnfinishedRunError(
                    f"{self.name} has tried {ENDLESS} times: {outcome!r}. Give it fewer max_retries, a max_duration,"
                    " or longer delays, or simulate a horizon"
                ) from error
            return None
        left = call.until - self.env.now
        if left < 0 or (left == 0 and (self.spec.near_max_duration != "cut" or call.is_cut)):
            return None
        if self.budget is not None:
            call.paid = self.budget.pay(error, call.paid)
            if call.paid is None:
                self.note("no_budget")
                return None
        delay = self._delay(call, outcome)
        if self.spec.near_max_duration == "stop" and delay >= left:
            return None
        call.attempt += 1
        if self.spec.near_max_duration == "cut":
            call.is_cut = delay >= left
            return min(delay, left)
        return delay

    def _handles(self, error: Exception) -> bool:
        return self._is_retryable(error) and not self._is_ignored(error)

    def _delay(self, call: _Call, outcome: Any) -> float:
        """Return the delay after an attempt that ended with *outcome*."""
        draw = self._draw()
        delay, call.state = self._law.step(call.attempt, draw, call.state)
        given = None if self.spec.delay_from is None else self.spec.delay_from(call.attempt + 1, outcome)
        if given is None or given < 0:
            return delay
        return self._law.jittered(given, draw) if self.spec.jitter_given else given

    def _draw(self) -> float:
        """Draw for this backoff: it belongs to the request and its count of backoffs."""
        if self._draws is None:
            return random.random()
        request = request_of(self.env.active_process)
        if request is None:
            return self._draws(self.retries)
        request.handled = None
        request.backoffs += 1
        return self._draws(request.key, request.backoffs - 1)
