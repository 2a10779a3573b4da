"""The live circuit breaker: its state machine, and what models may do with it by hand."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import simpy

from ..engine import Idle, Steps, at, is_idle
from ..errors import NEVER_HANDLED, CircuitOpenError
from ..events import Transition
from ..randomness import uniform
from ..validation import non_negative
from .base import LivePolicy, Place
from .circuit_state import BreakerMetrics, CircuitState
from .filters import error_filter
from .windows import TIE, Counts, CountWindow

if TYPE_CHECKING:
    from .circuit_breaker import CircuitBreaker

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
FORCED_OPEN, METRICS_ONLY = CircuitState.FORCED_OPEN, CircuitState.METRICS_ONLY


class LiveCircuitBreaker(LivePolicy):
    """A circuit breaker in an environment.

    Use `execute` where you can. Where a call is not one generator function, ask with
    `try_acquire` or `acquire` and say what came of it with `record_success`,
    `record_failure`, `record_error` or `release`.

    Attributes:
        spec: What it was made from.
        rejections: How many calls it has refused.
    """

    spec: CircuitBreaker

    def __init__(self, spec: CircuitBreaker, place: Place) -> None:
        super().__init__(spec, place)
        self.rejections = 0
        self._is_recorded = error_filter("recorded_errors", spec.recorded_errors)
        self._is_ignored = error_filter("ignored_errors", spec.ignored_errors or ())
        self._slow_call_duration = math.inf if spec.slow_call_duration is None else spec.slow_call_duration * (1 + TIE)
        self._generation = 0  # counts transitions, so that late results are known
        self._openings = 0  # since it was last closed
        self._probe_at = 0.0
        self._tie = 0.0  # seconds by which a call may miss that time in rounding
        self._idle_turns = 0  # since it was last called
        self._drawn = 0  # openings of its life: each has a draw of its own
        self._draws = place.draws("timeout", uniform) if spec.opening.jitter else None
        self._reached = operator.gt if spec.opens_above else operator.ge
        self._state = CLOSED
        self._enter(CircuitState(spec.initial_state))
        if spec.window is not None or spec.recorded_results is not None or spec.turns_on is not None:
            self.run = self._run_timed  # type: ignore[method-assign]

    def _begin(self, state: CircuitState) -> None:
        """Enter *state*. An open breaker keeps the counts that opened it."""
        self._state = state
        self._failures = 0  # consecutive
        self._probes = 0  # places of the half-open budget that are taken
        self._since = self._last_probe = self.env.now
        if state is OPEN and self._generation > 1:
            return
        spec = self.spec
        self._calls = self._failed = self._slow = self._refused = 0
        self._exceeded: set[str] = set()
        is_counting = spec.window is not None and state in (CLOSED, METRICS_ONLY)
        self._window = spec.window.bind(self.env) if is_counting else None  # type: ignore[union-attr]

    @property
    def state(self) -> CircuitState:
        """The state now. An open breaker turns half-open with a call, not with time."""
        if self._state is OPEN and self.spec.opening.shows_half_open and self._is_due():
            return HALF_OPEN
        return self._state

    @property
    def failures(self) -> int:
        """Consecutive failures recorded in the present state."""
        return self._failures

    @property
    def retry_after(self) -> float:
        """Seconds until an open breaker lets a probe through; infinity if nothing but force will.

        0 means that it would let one through now. In HALF_OPEN it is what is left of
        one more period, should the probe that runs fail at once.
        """
        if self._state is FORCED_OPEN:
            return math.inf
        if self._state is HALF_OPEN:
            return max(0.0, self._since + self._time_open(None) - self.env.now)
        return max(0.0, self._probe_at - self.env.now) if self._state is OPEN else 0.0

    @property
    def metrics(self) -> BreakerMetrics:
        """What it counts now: the window, or all results since the last transition."""
        calls, failed, slow, _ = self._counts()
        has_enough = calls >= max(1, self._fewest_calls())
        return BreakerMetrics(
            state=self.state,
            buffered=calls,
            failed=failed,
            successful=calls - failed,
            slow=slow,
            failure_rate=failed / calls if has_enough else None,
            slow_call_rate=slow / calls if has_enough else None,
            not_permitted=self._refused,
        )

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        if self._state is not CLOSED:
            self.acquire()
        generation = self._generation
        try:
            reply = yield from fn(*args)
        except BaseException as error:
            self._ended_badly(error, 0.0, generation)
            raise
        if generation == self._generation and self._state is CLOSED:
            self._calls += 1
            self._failures = 0
        else:
            self._ended(False, 0.0, generation)
        return reply

    def _run_timed(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        """Do what `run` does, with an eye on the duration and the value."""
        self.acquire()
        generation = self._generation
        started = self.env.now
        try:
            reply = yield from fn(*args)
        except BaseException as error:
            self._ended_badly(error, self.env.now - started, generation)
            raise
        self._ended_well(reply, self.env.now - started, generation)
        return reply

    def try_acquire(self) -> bool:
        """Ask for permission to call, and say whether it was given.

        Each permission must be followed by one record or by `release`.
        """
        try:
            self.acquire()
        except CircuitOpenError:
            return False
        return True

    def acquire(self) -> None:
        """Take permission to call.

        Raises:
            CircuitOpenError: The breaker is open, or HALF_OPEN without a place.
        """
        state = self._state
        self._idle_turns = 0
        if state is FORCED_OPEN:
            raise self._rejected("circuit breaker is forced open")
        if state is OPEN:
            if not self._is_due():
                raise self._rejected("circuit breaker is open")
            self._turn(HALF_OPEN)
        elif state is not HALF_OPEN:
            return
        self._take_place()

    def _is_due(self) -> bool:
        """Return whether an open breaker may probe."""
        left = self._probe_at - self.env.now
        return left <= self._tie if self.spec.opening.probes_at_timeout else left < -self._tie

    def _take_place(self) -> None:
        spec = self.spec
        if spec.half_open_max_calls is not None and self._probes >= spec.half_open_max_calls:
            interval = spec.half_open.probe_interval
            is_due = interval is not None and self.env.now - self._last_probe >= interval
            if not is_due:
                raise self._rejected("circuit breaker is half-open and has no place for another probe")
        self._probes += 1
        self._last_probe = self.env.now

    def release(self) -> None:
        """Give back a permission whose call came to nothing: it counts as neither."""
        if self._state is HALF_OPEN and self._probes:
            self._probes -= 1

    def record_success(self, duration: float = 0.0) -> None:
        """Record a call that succeeded after *duration* seconds."""
        self._ended(False, duration, self._generation)

    def record_failure(self, duration: float = 0.0, error: BaseException | None = None) -> None:
        """Record a call that failed after *duration* seconds."""
        self._ended(True, duration, self._generation, error)

    def record_error(self, error: BaseException, duration: float = 0.0) -> None:
        """Record a call that ended with *error*, as the spec classes it."""
        self._ended_badly(error, duration, self._generation)

    def record_result(self, value: Any, duration: float = 0.0) -> None:
        """Record a call that returned *value*, as the spec classes it."""
        self._ended_well(value, duration, self._generation)

    def force(self, state: CircuitState, wait: float | None = None) -> None:
        """Turn to *state* whatever the counts are.

        Args:
            state: The state. To open one that is open changes nothing, unless *wait* is
                given or its rule says that it `restarts`. FORCED_OPEN, DISABLED and METRICS_ONLY last until the
                next `force` or `reset`.
            wait: Seconds to stay OPEN; None is as the spec says.
        """
        state = CircuitState(state)
        is_restarted = state is OPEN and self.spec.opening.restarts
        if self._state is not state or wait is not None or is_restarted:
            self.note("forced", state)
            self._turn(state, wait)

    def reset(self) -> None:
        """Close it and forget all counts."""
        if self._state is CLOSED:
            self._generation += 1
            self._begin(CLOSED)
        else:
            self._turn(CLOSED)

    def _ended_well(self, value: Any, duration: float, generation: int) -> None:
        is_bad = self.spec.recorded_results
        has_failed = is_bad is not None and bool(is_bad(value))
        self._ended(has_failed, duration, generation)
        if not has_failed:
            self._turn_on(value)

    def _ended_badly(self, error: BaseException, duration: float, generation: int) -> None:
        if isinstance(error, NEVER_HANDLED) or not isinstance(error, Exception):
            if isinstance(error, simpy.Interrupt) and self.spec.cancelled_calls == "success":
                self._ended(False, duration, generation)
            else:
                self._returned(generation)
            return
        if self._is_ignored(error):
            self._returned(generation)
            return
        if self._is_recorded(error):
            self._ended(True, duration, generation, error)
        elif self.spec.other_errors == "success":
            self._ended(False, duration, generation)
        else:
            self._returned(generation)
        self._turn_on(error)

    def _turn_on(self, outcome: Any) -> None:
        """Turn as the spec says for the value or the error of a call."""
        state = None if self.spec.turns_on is None else self.spec.turns_on(outcome)
        if state is not None:
            self.force(CircuitState(state))

    def _returned(self, generation: int) -> None:
        if generation == self._generation:
            self.release()

    def _ended(self, has_failed: bool, duration: float, generation: int, error: BaseException | None = None) -> None:
        """Count one result in the present state, and see what follows from it."""
        spec = self.spec
        if generation != self._generation:
            if spec.late_results == "drop":
                return
        elif self._state is HALF_OPEN and spec.half_open.budget == "concurrent":
            self.release()
        if self._state in (CLOSED, METRICS_ONLY):
            self._count(has_failed, duration)
            if self._window is not None:
                if has_failed or spec.opens_on == "result":
                    self._look(error)
            elif self._failures >= spec.failure_threshold:
                self._look(error)
        elif self._state is HALF_OPEN:
            self._count(has_failed, duration)
            self._look_half_open(error)
        elif self._state is OPEN and (self._window is not None or spec.late_results == "count"):
            self._count(has_failed, duration)

    def _count(self, has_failed: bool, duration: float) -> None:
        is_slow = duration > self._slow_call_duration
        self._failures = self._failures + 1 if has_failed else 0
        if self._window is not None:
            self._window.record(self.env.now, has_failed, is_slow)
        else:
            self._calls += 1
            self._failed += has_failed
            self._slow += is_slow

    def _counts(self) -> Counts:
        if self._window is not None:
            return self._window.counts(self.env.now)
        return Counts(self._calls, self._failed, self._slow)

    def _fewest_calls(self) -> int:
        """Return how many results the rates of the present state need."""
        spec = self.spec
        if self._state is HALF_OPEN or (self._state is OPEN and self._window is None):
            places = spec.half_open.calls
        else:
            places = spec.window.size if isinstance(spec.window, CountWindow) else None
        return spec.volume_threshold if places is None else min(places, spec.volume_threshold)

    def _reasons(self, counts: Counts) -> dict[str, str]:
        """Return which thresholds *counts* reaches, each with what reached it."""
        spec, reached = self.spec, self._reached
        if counts.calls < max(1, self._fewest_calls()):
            return {}
        reasons = {}
        failed, slow = f"{counts.failed} of {counts.calls} failed", f"{counts.slow} of {counts.calls} were slow"
        if spec.failure_rate_threshold is not None:
            if reached(counts.failed / counts.calls, spec.failure_rate_threshold):
                reasons["failure_rate_exceeded"] = failed
        elif spec.window is not None and reached(counts.failed, spec.failure_threshold):
            reasons["failures_exceeded"] = failed
        elif spec.window is None and reached(self._failures, spec.failure_threshold):
            reasons["failures_exceeded"] = f"{self._failures} in a row failed"
        if spec.slow_call_duration is not None and reached(counts.slow / counts.calls, spec.slow_call_rate_threshold):
            reasons["slow_call_rate_exceeded"] = slow
        return reasons

    def _look(self, error: BaseException | None) -> None:
        reasons = self._reasons(self._counts())
        for reason, detail in reasons.items():
            if reason not in self._exceeded:  # METRICS_ONLY says it once
                self._exceeded.add(reason)
                self.note(reason, detail)
        if reasons and self._state is CLOSED:
            self._turn(OPEN, error=error)

    def _look_half_open(self, error: BaseException | None) -> None:
        rule, needed = self.spec.half_open, self.spec.success_threshold
        counts = self._counts()
        if rule.calls is not None:
            if counts.calls < max(1, self._fewest_calls()):
                return
            reasons = list(self._reasons(counts).values())
        elif counts.calls - counts.failed >= needed:
            reasons = []
        elif counts.failed > (rule.success_capacity or needed) - needed:
            reasons = [f"{counts.failed} of {counts.calls} failed"]
        else:
            return
        if reasons:
            self.note("probes_failed", ", ".join(reasons))
        self._turn(OPEN if reasons else CLOSED, error=error)

    def _turn(self, state: CircuitState, wait: float | None = None, error: BaseException | None = None) -> None:
        if state is not self._state:
            self.note("transition", Transition(self._state, state))
        self._enter(state, wait, error)

    def _enter(self, state: CircuitState, wait: float | None = None, error: BaseException | None = None) -> None:
        self._generation += 1
        self._begin(state)
        if state is OPEN:
            self._openings += 1
            self._drawn += 1
            seconds = self._time_open(error) if wait is None else non_negative("wait", wait, allow_infinite=True)
            self._probe_at = self.env.now + seconds
            self._tie = seconds * TIE if seconds < math.inf else 0.0
            if self.spec.opening.automatic:
                self._turn_after(seconds, HALF_OPEN, "open_long_enough")
        elif state is HALF_OPEN:
            rule = self.spec.half_open
            if rule.max_wait is not None:
                self._turn_after(rule.max_wait, CircuitState(rule.after_wait), "half_open_too_long")
        else:
            self._openings = 0

    def _turn_after(self, seconds: float, state: CircuitState, reason: str) -> None:
        """Turn to *state* in so many seconds, unless something else turns it before."""
        if seconds == math.inf or (self._idle_turns > 1 and is_idle(self.env)):
            return  # nobody is left to call: turning on would keep the run from its end
        generation = self._generation

        def turn(_: Any) -> None:
            if generation == self._generation:
                self.note(reason, f"after {seconds:.6g} s")
                self._idle_turns += 1
                self._turn(state)

        at(self.env, self.env.now + seconds, turn, kind=Idle)

    def _time_open(self, error: BaseException | None) -> float:
        """Return how long this opening lasts; in HALF_OPEN, how long another one would last on average."""
        rule = self.spec.opening
        draw = 0.5 if self._state is HALF_OPEN or self._draws is None else self._draws(self._drawn)
        return rule.seconds(self.spec.timeout, max(1, self._openings), error, draw)

    def _rejected(self, reason: str) -> CircuitOpenError:
        self.rejections += 1
        self._refused += 1
        self.note("rejected", reason)
        return CircuitOpenError(reason)
