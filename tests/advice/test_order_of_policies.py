"""The order of retry and breaker is a matter of the kind of failure: played over kinds, loads and seeds."""

from __future__ import annotations

import pytest

import resilab as rl

RETRY = rl.Retry(max_retries=2, initial_delay=0.2, jitter="full")
BREAKER = rl.CircuitBreaker(failure_threshold=5, timeout=2.0, half_open_max_calls=1)
OUTER, INNER, BULKHEAD = rl.Timeout(1.5), rl.Timeout(0.5), rl.Bulkhead(20, max_queue=0)
INSIDE = rl.ResiliencePolicy(OUTER, RETRY, BREAKER, BULKHEAD, INNER)
OUTSIDE = rl.ResiliencePolicy(BREAKER, OUTER, RETRY, BULKHEAD, INNER)


def success(policy, faults, rate, seed, noise=0.02):
    service = rl.Service(10, rl.Exponential(0.1), failure_rate=noise, faults=faults)
    return rl.simulate(rl.Scenario(rl.Poisson(rate), service, policy, duration=50.0), seed=seed).summary()[
        "success_rate"
    ]


def gains(faults, noise=0.02):
    """Success with the breaker inside the retry, minus that with it outside, over loads and seeds."""
    return [
        success(INSIDE, faults, rate, seed, noise) - success(OUTSIDE, faults, rate, seed, noise)
        for rate in (30, 50, 70)
        for seed in (1, 2, 3)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 0.4])
def test_against_failures_by_chance_the_breaker_belongs_outside_the_retry(noise):
    """Inside it sees each failed try, and opens for what retries alone would have mended."""
    assert max(gains((), noise)) < -0.1


@pytest.mark.slow
def test_against_a_partial_failure_too():
    assert max(gains((rl.Errors(15, 10, 0.4),))) < -0.02


@pytest.mark.slow
@pytest.mark.parametrize("length", [5.0, 12.5])
def test_in_a_hang_the_two_orders_are_within_ten_points(length):
    """Neither order is best for every failure: in a hang it hardly matters."""
    assert max(map(abs, gains((rl.Outage(15, length, mode="hang"),)))) < 0.1
