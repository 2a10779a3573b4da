"""trips: the questions that users ask of breakers, answered."""

from __future__ import annotations

import math

import numpy as np
import pytest

import resilab as rl
from resilab.experiments.tripping import _calls_until_open, _Drive


def test_ten_requests_a_minute_never_fill_a_window_that_needs_a_hundred():
    """resilience4j issue 747."""
    breaker = rl.CircuitBreaker(window=rl.TimeWindow(60), failure_rate_threshold=0.5, volume_threshold=100)
    found = rl.trips(breaker, rate=10 / 60, faults=20)
    assert found.opens == 0
    assert found.enough_calls == pytest.approx(0, abs=1e-12)
    assert found.p95_to_open == math.inf
    assert "does not open" in str(found)


def test_a_minimum_of_ten_calls_with_a_small_count_window_opens_when_that_is_full():
    """resilience4j issue 1349: a window of five places clips the minimum of ten."""
    breaker = rl.CircuitBreaker(window=rl.CountWindow(5), failure_rate_threshold=0.5, volume_threshold=10)
    assert rl.trips(breaker, rate=100, faults=20).time_to_open < 0.1


@pytest.mark.slow
def test_five_failures_in_five_seconds_open_a_busy_client_that_is_well():
    """unkey pull request 6568: 840 operations a second, less than 1 % fail; at 1 a second it never opens wrongly."""
    breaker = rl.CircuitBreaker(window=rl.TimeWindow(5), failure_threshold=5, volume_threshold=1, timeout=5.0)
    assert rl.trips(breaker, rate=840, failure_rate=0.005, calls=10_000, faults=5).rejected > 0.5
    assert rl.trips(breaker, rate=1, failure_rate=0.005, calls=10_000, faults=5).rejected < 0.01


@pytest.mark.slow
def test_a_threshold_of_one_percent_with_ten_calls_does_not_open_at_the_first_failure():
    """Polly issue 320: ten calls must be there; with traffic of 1 a second and all failing it takes seconds."""
    breaker = rl.CircuitBreaker(window=rl.TimeWindow(300), failure_rate_threshold=0.01, volume_threshold=10)
    found = rl.trips(breaker, rate=1, failure_rate=0.001, faults=50, calls=10_000)
    assert found.opens == 1.0
    assert 2 < found.time_to_open < 6


@pytest.mark.slow
def test_without_a_minimum_it_opens_after_a_quiet_night():
    """opossum issue 217: the first failure is 100 % of one call."""
    breaker = rl.CircuitBreaker(window=rl.TimeWindow(10), failure_rate_threshold=0.5, volume_threshold=1)
    quiet = rl.trips(breaker, rate=0.05, failure_rate=0.01, faults=5, calls=20_000)
    busy = rl.trips(breaker, rate=50, failure_rate=0.01, faults=5, calls=20_000)
    share_of_failures = {"quiet": quiet.false_trips.mean / (0.05 * 36), "busy": busy.false_trips.mean / (50 * 36)}
    assert share_of_failures["quiet"] > 0.7
    assert share_of_failures["busy"] < 0.02


def test_failures_that_are_far_apart_reach_no_consecutive_rule():
    """A slow outage: three in ten fail, which is five in a row only now and then; a share sees it at once."""
    in_a_row = rl.CircuitBreaker(failure_threshold=10, volume_threshold=0)
    share = rl.CircuitBreaker(window=rl.CountWindow(50), failure_rate_threshold=0.2, volume_threshold=20)
    assert rl.trips(in_a_row, rate=1, fault_rate=0.3).opens < 0.05
    assert rl.trips(share, rate=1, fault_rate=0.3).opens > 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("volume", "threshold", "failure_rate"), [(0, 3, 0.3), (10, 3, 0.3), (10, 5, 0.5), (2, 2, 0.6)]
)
def test_the_exact_numbers_are_those_of_the_breaker(volume, threshold, failure_rate):
    breaker = rl.CircuitBreaker(threshold, 2, 1.0, volume)
    found = rl.trips(breaker, rate=20, failure_rate=failure_rate, faults=2)
    assert found.is_exact
    counts, shares = [], []
    for number in range(10):
        drive = _Drive(breaker, 20, (5, number))
        drive.go(300.0, failure_rate, rl.Constant(0.0))
        counts.append(drive.openings * 12)
        shares.append(drive.live.rejections / drive.calls)
    assert np.mean(counts) == pytest.approx(found.false_trips.mean, rel=0.06)
    assert np.mean(shares) == pytest.approx(found.rejected, rel=0.06)


def test_with_no_minimum_the_chain_is_that_of_the_theory():
    breaker = rl.CircuitBreaker(5, 3, 5.0, 0)
    assert _calls_until_open(breaker, 0.5) == rl.theory.calls_until_failures(0.5, 5)
    cycle = rl.theory.breaker_cycle(10, 0.5, 5, 3, 5.0)
    found = rl.trips(breaker, rate=10, failure_rate=0.5, faults=1)
    assert found.false_trips.mean == pytest.approx(3600 * cycle.openings)
    assert found.rejected == pytest.approx(cycle.rejected_rate)


def test_slow_calls_open_a_breaker_that_watches_them():
    breaker = rl.CircuitBreaker(
        window=rl.CountWindow(20), failure_rate_threshold=0.5, slow_call_duration=0.5, slow_call_rate_threshold=0.5
    )
    slow = {"latency": 0.1, "fault_latency": 2.0, "fault_rate": 0.0, "faults": 10, "calls": 1000}
    found = rl.trips(breaker, rate=20, **slow)
    assert found.opens == 1.0
    assert found.time_to_open > 2.0


@pytest.mark.parametrize("arguments", [{"rate": 0}, {"rate": 1, "failure_rate": 2}, {"rate": 1, "faults": 0}])
def test_bad_input_is_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        rl.trips(rl.CircuitBreaker(), **arguments)
