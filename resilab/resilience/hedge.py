"""Hedge: send a second copy of a slow call, and take whichever answers first."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import simpy

from ..engine import Branch, Deadlines, Gone, Steps, branch_of, interrupt, limit_at, start
from ..errors import NEVER_HANDLED
from ..validation import Count, Rule, non_negative, word
from .base import LivePolicy, Place, Policy
from .filters import ErrorFilter, error_filter
from .likeness import like

_REMEMBERED = 1_000  # durations that a computed delay may look at


def _delay(name: str, value: Any) -> Any:
    if not callable(value):
        return non_negative(name, value, allow_infinite=True)
    try:
        seconds = value(1, ())
    except Exception as error:
        raise TypeError(f"{name} must be a function that takes 1, (), got {value!r}: {error}") from error
    non_negative(f"the seconds returned by {name}", seconds, allow_infinite=True)
    return value


@dataclass(frozen=True)
class Hedge(Policy["LiveHedge"]):
    """Send another copy of a call each *delay* seconds until one answers; cancel the rest.

    With one hedge and latencies X that do not depend on each other, the latency Z has
    P(Z > t) = P(X > t) before the delay and P(X > t) P(X > t - delay) after it, at the
    price of P(X > delay) more calls.

    Args:
        delay: Seconds before each further copy. 0 sends all at once, infinity sends
            them after failures only. A function (number of the copy from 1, durations)
            computes it: the durations of the last 1,000 copies that succeeded, the
            newest last; none at first.
        max_hedges: Further copies, at least 1.
        wins: "success": a failure sends the next copy at once, the first success wins,
            and if all fail the first copy's error stands (Polly). "completion": the
            first copy that ends wins, even with an error (resilience4j).
        handled_errors: Errors that are failures, as class, tuple of classes or
            predicate; any other error wins like a success. None is every error.

    Example:
        >>> Hedge(0.1)
        Hedge(delay=0.1, max_hedges=1, wins='success', handled_errors=None)

    Source: Dean and Barroso, "The Tail at Scale"; the hedging of Polly and resilience4j.
    """

    delay: Annotated[float | Callable[[int, Sequence[float]], float], Rule(_delay, "seconds >= 0, or a function")]
    max_hedges: Count = 1
    wins: Annotated[str, word("success", "completion")] = "success"
    handled_errors: ErrorFilter | None = None

    @classmethod
    def like(cls, library: str, **options: Any) -> Hedge:
        """Return a hedge with the meaning and the defaults of a library.

        | | polly | resilience4j | failsafe | grpc |
        |---|---|---|---|---|
        | delay | delay 2 s | preconfigured_duration | delay | hedging_delay 0 |
        | further copies | max_hedged_attempts 1 | 1 | max_hedges 1 | max_attempts - 1, at most 4 |
        | wins | "success" | "completion" | "completion" | "success" |
        | failures | handle: every error | - | - | non_fatal_status_codes: none |

        "failsafe" is the edition for Go; the one for Java has no hedge. The losers in
        resilience4j run on: add `on_cancel="ignore"` to the service. If all copies of
        a gRPC call fail, the first one's error stands here.

        resilience4j's average_plus_percentage and Polly's delay_generator compute the
        delay. Not here, since a `Hedge` cannot say it: Failsafe's conditions for a
        winner, and gRPC's throttling and pushback. Envoy's hedging is a part of its retry:
        `Retry(hedge_after=...)`.

        Args:
            library: One of the libraries above; its module in `resilab.profiles` says of
                which version it is.
            **options: Fields of `Hedge`, or the library's own parameters.

        Example:
            >>> Hedge.like("polly")
            Hedge(delay=2.0, max_hedges=1, wins='success', handled_errors=None)
        """
        return like(cls, "hedge", library, options)

    def live(self, place: Place) -> LiveHedge:
        return LiveHedge(self, place)


class LiveHedge(LivePolicy):
    """A hedge in an environment.

    Attributes:
        spec: What it was made from.
        hedges: How many further copies it has sent.
        hedge_wins: How many calls a further copy has answered.
    """

    spec: Hedge

    def __init__(self, spec: Hedge, place: Place) -> None:
        super().__init__(spec, place)
        self.hedges = 0
        self.hedge_wins = 0
        self._is_handled = error_filter("handled_errors", spec.handled_errors)
        self._depth = place.depth
        self._durations: deque[float] = deque(maxlen=_REMEMBERED)
        is_fixed = not callable(spec.delay)
        self._deadlines = Deadlines(self.env, spec.delay, _wake, place.depth) if is_fixed and spec.delay else None  # type: ignore[arg-type]

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        race = _Race(self, fn, args)
        cause: Any = Gone("hedge")
        try:
            winner = yield from race.play()
        except simpy.Interrupt as signal:
            cause = signal.cause
            raise
        finally:
            race.cancel(cause)
        self.hedge_wins += winner > 0
        is_ok, outcome = race.ends[winner]
        if is_ok:
            race.let_win(winner)
            return outcome
        raise outcome

    def delay(self, number: int) -> float:
        """Return the seconds before a copy."""
        delay = self.spec.delay
        if not callable(delay):
            return delay
        return non_negative("the seconds returned by delay", delay(number, self._durations), allow_infinite=True)

    def arm(self, wake: simpy.Event, seconds: float) -> list[Any]:
        """Set the time at which the next copy is sent."""
        if self._deadlines is not None:
            return self._deadlines.arm(wake)
        return limit_at(self.env, self.env.now + seconds, wake, _wake, self._depth)

    def remember(self, seconds: float) -> None:
        """Keep how long a copy took that has succeeded."""
        if callable(self.spec.delay):
            self._durations.append(seconds)

    def is_failure(self, error: BaseException) -> bool:
        """Return whether *error* leaves the race open."""
        return self.spec.wins == "success" and not isinstance(error, NEVER_HANDLED) and self._is_handled(error)


class _Race:
    """The copies of one call."""

    def __init__(self, live: LiveHedge, fn: Callable[..., Steps], args: tuple[Any, ...]) -> None:
        self._live = live
        self._call = (fn, args)
        self._caller = live.env.active_process
        self._copies: list[Any] = []
        self._branches: list[Branch | None] = []
        self._wake: simpy.Event | None = None
        self.ends: dict[int, tuple[bool, Any]] = {}

    def play(self) -> Steps:
        """Send copies until one wins, and return its number."""
        spec, env = self._live.spec, self._live.env
        self._send()
        seen = 0
        while True:
            for number in list(self.ends)[seen:]:
                seen += 1
                is_ok, outcome = self.ends[number]
                if is_ok or not self._live.is_failure(outcome):
                    return number
                if len(self._copies) <= spec.max_hedges:
                    self._send()
            if seen < len(self.ends):
                continue
            has_more = len(self._copies) <= spec.max_hedges
            if not has_more and len(self.ends) == len(self._copies):
                return 0
            seconds = self._live.delay(len(self._copies)) if has_more else math.inf
            if seconds == 0:
                self._send()
                continue
            self._wake = env.event()
            entry = self._live.arm(self._wake, seconds) if has_more else [0.0, None]
            try:
                is_late = yield self._wake
            finally:
                entry[1] = None
                self._wake = None
            if is_late:
                self._send()

    def _send(self) -> None:
        number = len(self._copies)
        self._copies.append(None)
        if number:
            self._live.hedges += 1
            self._live.note("hedge", f"copy {number}")
        branch = branch_of(self._caller)
        self._branches.append(branch)
        self._copies[number] = start(self._live.env, self._copy(number), branch, self._caller)

    def let_win(self, number: int) -> None:
        """Let the request know of a fallback only if it has answered the copy that wins."""
        branch = self._branches[number]
        if branch is not None:
            branch.win()

    def _copy(self, number: int) -> Steps:
        fn, args = self._call
        began = self._live.env.now
        try:
            self.ends[number] = True, (yield from fn(*args))
            self._live.remember(self._live.env.now - began)
        except simpy.Interrupt:
            return
        except Exception as error:
            self.ends[number] = False, error
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed(False)

    def cancel(self, cause: Any) -> None:
        """Interrupt the copies that still run."""
        for copy in self._copies:
            if copy is not None and copy.is_alive:
                copy.defused = True
                interrupt(copy, cause)


def _wake(entry: list[Any]) -> bool:
    if not entry[1].triggered:
        entry[1].succeed(True)
    return True
