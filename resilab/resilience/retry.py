"""Retry: try a failed call again, after a delay that grows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from ..engine import Steps, request_of
from ..errors import NEVER_HANDLED, UnfinishedRunError
from ..events import EventLog
from ..randomness import KeyedDraws, uniform
from ..validation import at_least, non_negative, one_of, positive, whole
from .base import LivePolicy, Policy

JITTERS = ("reference", "none", "full", "equal", "decorrelated")
ENDLESS = 100_000
"""Retries of one call after which a run is taken to be endless."""

ErrorFilter = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]


@dataclass(frozen=True)
class Retry(Policy):
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

    Example:
        >>> [Retry(max_delay=3.0, jitter="none").delay(k) for k in range(4)]
        [1.0, 2.0, 3.0, 3.0]

    Source: `RetryPolicy` of the reference document; the jitters are those of the AWS
    article "Exponential Backoff and Jitter".
    """

    max_retries: int | None = 3
    initial_delay: float = 1.0
    max_delay: float = 30.0
    backoff_multiplier: float = 2.0
    jitter: str | Callable[[int, float], float] = "reference"
    retryable_errors: ErrorFilter | None = None

    def __post_init__(self) -> None:
        if self.max_retries is not None:
            whole("max_retries", self.max_retries)
        non_negative("initial_delay", self.initial_delay)
        non_negative("max_delay", self.max_delay, allow_infinite=True)
        at_least("backoff_multiplier", self.backoff_multiplier, 1)
        if not callable(self.jitter):
            one_of("jitter", self.jitter, JITTERS)
        if self.max_retries is None:
            positive("initial_delay with max_retries=None", self.initial_delay)
            positive("max_delay with max_retries=None", self.max_delay, allow_infinite=True)
        error_filter("retryable_errors", self.retryable_errors)

    def delay(self, attempt: int, draw: float = 0.0, previous: float | None = None) -> float:
        """Return the seconds to wait after a failed attempt: a pure function.

        Args:
            attempt: Index of the attempt that failed, from 0.
            draw: Uniform draw from 0 to 1.
            previous: The last delay of this call, for "decorrelated".
        """
        jitter = self.jitter
        if callable(jitter):
            return non_negative("the delay returned by jitter", jitter(attempt, draw))
        if jitter == "decorrelated":
            low = self.initial_delay
            return min(self.max_delay, low + draw * (3 * (low if previous is None else previous) - low))
        try:
            value = self.initial_delay * self.backoff_multiplier**attempt
        except OverflowError:
            value = float("inf") if self.initial_delay else 0.0
        if jitter == "reference":
            return min(value * (1 + 0.1 * draw), self.max_delay)
        value = min(value, self.max_delay)
        if jitter == "full":
            return value * draw
        if jitter == "equal":
            return value / 2 + value / 2 * draw
        return value

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int | None = None,
        log: EventLog | None = None,
        name: str | None = None,
        depth: int = 0,
    ) -> LiveRetry:
        return LiveRetry(self, env, name or "retry", log, seed)


class LiveRetry(LivePolicy):
    """A retry in an environment. It keeps nothing between calls but its counts.

    Attributes:
        spec: What it was made from.
        retries: How many retries it has made.
    """

    def __init__(self, spec: Retry, env: simpy.Environment, name: str, log: EventLog | None, seed: int | None) -> None:
        super().__init__(env, name, log)
        self.spec = spec
        self.retries = 0
        self._is_retryable = error_filter("retryable_errors", spec.retryable_errors)
        self._draws = None if seed is None else KeyedDraws(seed, f"{name}/jitter", uniform)

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        spec = self.spec
        last = ENDLESS if spec.max_retries is None else spec.max_retries
        attempt = 0
        delay = None
        while True:
            try:
                return (yield from fn(*args))
            except NEVER_HANDLED:
                raise
            except Exception as error:
                if attempt >= last or not self._is_retryable(error):
                    if attempt == ENDLESS:
                        raise UnfinishedRunError(f"{self.name} has tried {ENDLESS} times: {error}") from error
                    raise
            delay = spec.delay(attempt, self._draw(), delay)
            attempt += 1
            self.retries += 1
            self.note("retry", f"{attempt} after {delay:.6g} s")
            if delay > 0:
                yield self.env.timeout(delay)

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


def error_filter(name: str, errors: Any) -> Callable[[BaseException], bool]:
    """Return *errors* as a predicate: None is every error."""
    if errors is None:
        return lambda error: True
    kinds = errors if isinstance(errors, tuple) else (errors,)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return lambda error: isinstance(error, kinds)
    if callable(errors):
        return errors
    raise TypeError(f"{name} must be an error class, a tuple of them, or a predicate, got {errors!r}")
