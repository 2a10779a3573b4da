"""trips: when a circuit breaker opens, how soon, and how often wrongly, at a rate."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from ..distributions import duration
from ..errors import ResilienceError, ServiceError
from ..events import EventLog, Transition
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.windows import TimeWindow
from ..theory import calls_until_failures, poisson_tail
from ..validation import instance, positive, ratio, whole
from .statistics import Interval, mean_interval

HEALTHY_RUNS = 10
"""Runs without a fault."""


@dataclass(frozen=True)
class Trips:
    """What a breaker does at a rate.

    Attributes:
        rate: Calls per second.
        opens: Share of faults in which it opens within *patience*.
        patience: Seconds after which a fault counts as not noticed.
        time_to_open: Mean seconds from the start of a fault to its opening, of those
            that it notices; NaN if none.
        p95_to_open: The time within which it opens in 95 % of all faults; infinite if it
            notices fewer.
        false_trips: Openings an hour without a fault, with limits for one hour on average.
        rejected: Share of the calls without a fault that it refuses.
        enough_calls: Chance that its time window holds as many calls as it needs to
            judge; 1 without a time window.
        is_exact: Whether the numbers without a fault are from theory.
    """

    rate: float
    opens: float
    patience: float
    time_to_open: float
    p95_to_open: float
    false_trips: Interval
    rejected: float
    enough_calls: float
    is_exact: bool

    def __str__(self) -> str:
        if not self.opens:
            text = f"does not open at {self.rate:.4g} calls/s within {self.patience:.4g} s of a fault"
        else:
            text = f"notices {self.opens:.0%} of faults within {self.patience:.4g} s,"
            text += f" after {self.time_to_open:.3g} s on average"
        if self.enough_calls < 0.99:
            text += f"; its window holds enough calls {self.enough_calls:.1%} of the time"
        if math.isnan(self.false_trips.mean):
            return text
        times = f"opens {self.false_trips.mean:.3g} times an hour without a fault"
        return f"{text}; {times}, and refuses {self.rejected:.2%} of the calls"


def trips(
    breaker: CircuitBreaker,
    rate: float,
    failure_rate: float = 0.0,
    *,
    fault_rate: float = 1.0,
    latency: Any = 0.0,
    fault_latency: Any = None,
    patience: float = 60.0,
    faults: int = 100,
    calls: int = 50_000,
    seed: int = 0,
) -> Trips:
    """Say whether, when and how often wrongly a circuit breaker opens.

    Calls arrive as a Poisson process and fail independently. Without a fault a breaker
    that counts consecutive failures is a Markov chain, whose numbers are exact; others are
    simulated, and so are faults: each begins after the breaker has seen healthy traffic.

    Args:
        breaker: The breaker.
        rate: Calls per second.
        failure_rate: Share of calls that fail without a fault.
        fault_rate: Share of calls that fail in a fault.
        latency: Seconds of a call, or their distribution.
        fault_latency: The same in a fault; None is *latency*. For rules on slow calls.
        patience: Seconds after which a fault counts as not noticed.
        faults: Faults that are simulated.
        calls: Calls that are simulated without a fault, where there is no formula; more, if the
            breaker stays open for longer than that.
        seed: Of the random numbers.

    Example:
        >>> trips(CircuitBreaker(failure_threshold=5, volume_threshold=0), rate=10, failure_rate=0.1).is_exact
        True
        >>> rare = CircuitBreaker(window=TimeWindow(60), failure_rate_threshold=0.5, volume_threshold=100)
        >>> print(trips(rare, rate=10 / 60, calls=1000, faults=20))
        does not open at 0.1667 calls/s within 60 s of a fault; its window holds enough calls 0.0% of the time; ...
    """
    instance("breaker", breaker, CircuitBreaker)
    positive("rate", rate)
    for name, share in (("failure_rate", failure_rate), ("fault_rate", fault_rate)):
        ratio(name, share)
    positive("patience", patience)
    whole("faults", faults, minimum=1)
    whole("calls", calls, minimum=HEALTHY_RUNS)
    healthy = duration("latency", latency)
    broken = healthy if fault_latency is None else duration("fault_latency", fault_latency)
    warm_up = _warm_up(breaker, rate)
    times = []
    for number in range(faults):
        drive = _Drive(breaker, rate, (seed, number))
        drive.go(warm_up, failure_rate, healthy)
        times.append(drive.until_open(patience, fault_rate, broken))
    found = np.array(times)
    seen = found[np.isfinite(found)]
    false_trips, share, is_exact = _without_fault(breaker, rate, failure_rate, healthy, calls, seed)
    return Trips(
        rate=rate,
        opens=len(seen) / faults,
        patience=patience,
        time_to_open=float(seen.mean()) if len(seen) else math.nan,
        p95_to_open=float(np.sort(found)[math.ceil(0.95 * faults) - 1]),
        false_trips=false_trips,
        rejected=share,
        enough_calls=_enough_calls(breaker, rate),
        is_exact=is_exact,
    )


def _warm_up(breaker: CircuitBreaker, rate: float) -> float:
    """Return seconds in which the breaker's memory fills with healthy calls."""
    if isinstance(breaker.window, TimeWindow):
        return 1.5 * breaker.window.seconds
    size = 0 if breaker.window is None else breaker.window.size
    return 1.5 * max(size, breaker.volume_threshold) / rate


def _enough_calls(breaker: CircuitBreaker, rate: float) -> float:
    """Return the chance that a Poisson number of calls in the time window reaches the minimum."""
    if not isinstance(breaker.window, TimeWindow):
        return 1.0
    return poisson_tail(rate * breaker.window.seconds, breaker.volume_threshold)


def _without_fault(
    breaker: CircuitBreaker, rate: float, failure_rate: float, latency: Any, calls: int, seed: int
) -> tuple[Interval, float, bool]:
    """Return openings an hour, the share of calls refused, and whether both are exact."""
    if not failure_rate and breaker.slow_call_duration is None:
        return Interval(0.0, 0.0, 0.0, HEALTHY_RUNS, 0.0), 0.0, True
    is_plain = breaker == CircuitBreaker(
        breaker.failure_threshold, breaker.success_threshold, breaker.timeout, breaker.volume_threshold
    )
    if is_plain and latency.mean == 0 and not callable(breaker.timeout) and failure_rate < 1:
        per_hour, share = _cycle(breaker, breaker.timeout, rate, failure_rate)
        return Interval(per_hour, per_hour, per_hour, HEALTHY_RUNS, 0.0), share, True
    timeout = 0.0 if callable(breaker.timeout) else breaker.timeout
    seconds = max(calls / HEALTHY_RUNS / rate, 3 * timeout)
    counts, shares = [], []
    for number in range(HEALTHY_RUNS):
        drive = _Drive(breaker, rate, (seed, number, 1))
        drive.go(seconds, failure_rate, latency)
        counts.append(drive.openings * 3600 / seconds)
        shares.append(drive.live.rejections / max(1, drive.calls))
    return mean_interval(np.array(counts)), float(np.mean(shares)), False


def _cycle(breaker: CircuitBreaker, timeout: float, rate: float, failure_rate: float) -> tuple[float, float]:
    """Return openings an hour and the share of calls refused, by renewal: closed, open, probed, again and again."""
    success = 1 - failure_rate
    probes = math.fsum(success**number for number in range(breaker.success_threshold))
    closed = (probes + success**breaker.success_threshold * _calls_until_open(breaker, failure_rate)) / rate
    return 3600 / (timeout + closed), timeout / (timeout + closed)


def _calls_until_open(breaker: CircuitBreaker, failure_rate: float) -> float:
    """Return the mean number of calls until enough failures in a row and enough calls are there.

    From the state in which enough calls are there and j failed in a row it takes f(k) - f(j)
    calls, with f of `calls_until_failures`; from the states before that, backwards.
    """
    threshold = breaker.failure_threshold
    known = [0.0, *(calls_until_failures(failure_rate, count) for count in range(1, threshold + 1))]
    means = [known[threshold] - known[in_a_row] for in_a_row in range(threshold)]
    means.append(0.0)  # the last failure opens it
    for _ in range(breaker.volume_threshold):
        means = [
            1 + failure_rate * means[min(in_a_row + 1, threshold)] + (1 - failure_rate) * means[0]
            for in_a_row in range(threshold + 1)
        ]
    return means[0]


class _Drive:
    """A live breaker and the calls that it meets."""

    def __init__(self, breaker: CircuitBreaker, rate: float, seed: tuple[int, ...]) -> None:
        self.env = simpy.Environment()
        self.log = EventLog()
        self.live = breaker.bind(self.env, seed=seed[0], log=self.log)
        self._draw = np.random.default_rng(seed)
        self._rate = rate
        self.calls = 0

    def go(self, seconds: float, failure_rate: float, latency: Any) -> None:
        """Let calls arrive for some time."""
        end = self.env.now + seconds
        for _ in self._arrivals(end, failure_rate, latency):
            pass

    def until_open(self, patience: float, failure_rate: float, latency: Any) -> float:
        """Let calls arrive until the breaker is open, and return the seconds that took; infinity for never."""
        began = self.env.now
        for _ in self._arrivals(began + patience, failure_rate, latency):
            if self.live.state == "open":
                changes = [event.time for event in self._transitions() if event.detail.after == "open"]
                return max(0.0, float(changes[-1]) - began)
        return math.inf

    @property
    def openings(self) -> int:
        """How often it has opened."""
        return sum(event.detail.after == "open" for event in self._transitions())

    def _transitions(self) -> list[Any]:
        return [event for event in self.log.rows if isinstance(event.detail, Transition)]

    def _arrivals(self, end: float, failure_rate: float, latency: Any) -> Iterator[None]:
        """Let a call arrive at a time, and stop there after each."""
        while True:
            at = self.env.now + self._draw.exponential(1 / self._rate)
            if at >= end:
                if end > self.env.now:
                    self.env.run(end)
                yield
                return
            self.env.run(at)
            self.calls += 1
            seconds = float(latency.sample(self._draw, 1)[0])
            self.env.process(self._ask(self._draw.random() < failure_rate, seconds))
            if not seconds:
                while self.env.peek() <= at:
                    self.env.step()
            yield

    def _ask(self, is_failure: bool, seconds: float) -> Generator[Any, Any, None]:
        def call() -> Generator[Any, Any, None]:
            if seconds:
                yield self.env.timeout(seconds)
            if is_failure:
                raise ServiceError
            return
            yield  # a generator function, also without a wait

        try:
            yield from self.live.execute(call)
        except ResilienceError:
            pass
