"""Circuit breaker: stop calling a dependency that keeps failing, and probe whether it is back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import simpy

from ..engine import Steps
from ..errors import NEVER_HANDLED, CircuitOpenError
from ..events import EventLog
from ..validation import one_of, positive, whole
from .base import LivePolicy, Policy


class CircuitState(StrEnum):
    """The states of a circuit breaker."""

    CLOSED = "closed"
    """Normal operation: calls pass, results are counted."""
    OPEN = "open"
    """Failing: calls are rejected."""
    HALF_OPEN = "half_open"
    """Testing recovery: probes pass."""


@dataclass(frozen=True)
class CircuitBreaker(Policy):
    """Open after too many failures, reject while open, probe after a while.

    CLOSED counts consecutive failures; a success clears the count. It opens when the
    count reaches *failure_threshold* and at least *volume_threshold* calls were
    recorded since it closed. OPEN rejects until the first call at or after *timeout*
    seconds, which finds it HALF_OPEN. There *success_threshold* consecutive successes
    close it, and any failure opens it again.

    A call that is cancelled from outside counts as neither.

    Args:
        failure_threshold: Consecutive failures before it opens, at least 1.
        success_threshold: Consecutive successes that close it, at least 1.
        timeout: Seconds from opening to the first probe, above 0.
        volume_threshold: Fewest recorded calls since it closed before it may open.
        half_open_max_calls: Most probes in flight at once; None is no limit.
        late_results: "drop" ignores the result of a call that began before the last
            transition; "count" counts it.

    Raises:
        CircuitOpenError: From `execute`, when the call is rejected.

    Source: `CircuitBreaker` of the reference document.
    """

    failure_threshold: int = 5
    success_threshold: int = 3
    timeout: float = 30.0
    volume_threshold: int = 10
    half_open_max_calls: int | None = None
    late_results: str = "drop"

    def __post_init__(self) -> None:
        whole("failure_threshold", self.failure_threshold, minimum=1)
        whole("success_threshold", self.success_threshold, minimum=1)
        positive("timeout", self.timeout, allow_infinite=True)
        whole("volume_threshold", self.volume_threshold)
        if self.half_open_max_calls is not None:
            whole("half_open_max_calls", self.half_open_max_calls, minimum=1)
        one_of("late_results", self.late_results, ("drop", "count"))

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int | None = None,
        log: EventLog | None = None,
        name: str | None = None,
        depth: int = 0,
    ) -> LiveCircuitBreaker:
        return LiveCircuitBreaker(self, env, name or "circuit_breaker", log)


class LiveCircuitBreaker(LivePolicy):
    """A circuit breaker in an environment.

    Attributes:
        spec: What it was made from.
        rejections: How many calls it has refused.
    """

    def __init__(self, spec: CircuitBreaker, env: simpy.Environment, name: str, log: EventLog | None) -> None:
        super().__init__(env, name, log)
        self.spec = spec
        self.rejections = 0
        self._state = CircuitState.CLOSED
        self._generation = 0  # counts transitions, so that late results are known
        self._calls = 0  # recorded since the last transition
        self._failures = 0  # consecutive
        self._successes = 0  # consecutive
        self._probes = 0  # in flight in HALF_OPEN
        self._probe_at = 0.0

    @property
    def state(self) -> CircuitState:
        """The state now. An open breaker turns half-open with a call, not with time."""
        return self._state

    @property
    def failures(self) -> int:
        """Consecutive failures recorded in the present state."""
        return self._failures

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        if self._state is not CircuitState.CLOSED:
            self._admit()
        generation = self._generation
        try:
            reply = yield from fn(*args)
        except BaseException as error:
            self._ended_badly(error, generation)
            raise
        self._succeeded(generation)
        return reply

    def _admit(self) -> None:
        spec = self.spec
        if self._state is CircuitState.OPEN:
            if self.env.now < self._probe_at:
                raise self._rejected("circuit breaker is open")
            self._turn(CircuitState.HALF_OPEN)
        if spec.half_open_max_calls is not None and self._probes >= spec.half_open_max_calls:
            raise self._rejected("circuit breaker is half-open and has no place for another probe")
        self._probes += 1

    def _ended_badly(self, error: BaseException, generation: int) -> None:
        if isinstance(error, NEVER_HANDLED) or not isinstance(error, Exception):
            if generation == self._generation and self._state is CircuitState.HALF_OPEN:
                self._probes -= 1
        elif self._counts(generation):
            self._calls += 1
            self._failures += 1
            self._successes = 0
            spec = self.spec
            if self._state is CircuitState.HALF_OPEN:
                self._turn(CircuitState.OPEN)
            elif self._failures >= spec.failure_threshold and self._calls >= spec.volume_threshold:
                self._turn(CircuitState.OPEN)

    def _succeeded(self, generation: int) -> None:
        if self._counts(generation):
            self._calls += 1
            self._failures = 0
            if self._state is CircuitState.HALF_OPEN:
                self._successes += 1
                if self._successes >= self.spec.success_threshold:
                    self._turn(CircuitState.CLOSED)

    def _counts(self, generation: int) -> bool:
        if generation == self._generation:
            if self._state is CircuitState.HALF_OPEN:
                self._probes -= 1
            return True
        return self.spec.late_results == "count" and self._state is not CircuitState.OPEN

    def _turn(self, state: CircuitState) -> None:
        self.note("transition", f"{self._state} -> {state}")
        self._state = state
        self._generation += 1
        self._calls = self._failures = self._successes = self._probes = 0
        if state is CircuitState.OPEN:
            self._probe_at = self.env.now + self.spec.timeout

    def _rejected(self, reason: str) -> CircuitOpenError:
        self.rejections += 1
        self.note("rejected", reason)
        return CircuitOpenError(reason)
