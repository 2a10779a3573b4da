"""Whom to refuse when there are too many: limits of calls at once and of a rate."""

from __future__ import annotations

import pytest

import resilab as rl

RETRY = rl.Retry(2, initial_delay=0.2, jitter="full")


def success(policy: rl.Policy, workers: int, peak: float, seed: int = 1) -> float:
    """Share of successes with a surge of 20 s at *peak* times the capacity, and 0.7 of it before and after."""
    capacity = workers * 10.0
    traffic = rl.Schedule([(0, 0.7 * capacity), (20, peak * capacity), (40, 0.7 * capacity)])
    service = rl.Service(workers, rl.Exponential(mean=0.1), on_cancel="ignore")
    day = rl.Scenario(traffic, service, rl.ResiliencePolicy(RETRY, policy, rl.Timeout(1.0)), duration=90.0)
    counts = rl.simulate(day, seed=seed, record=False).counts()
    return counts["success"] / sum(counts.values())


def possible(peak: float) -> float:
    """Share that a service which always works could serve."""
    return (70 * 0.7 + 20 * min(1.0, peak)) / (70 * 0.7 + 20 * peak)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [3, 5, 20])
@pytest.mark.parametrize("peak", [1.2, 2.0, 3.0])
def test_a_limit_of_one_to_four_times_the_workers_serves_nearly_what_can_be_served(workers, peak):
    """Whatever the peak: within a tenth of what is possible, without knowing the capacity per second."""
    for multiple in (1.2, 2, 4):
        bulkhead = rl.Bulkhead(round(multiple * workers), max_queue=0)
        assert success(bulkhead, workers, peak) > 0.9 * possible(peak)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [5, 20])
@pytest.mark.parametrize("peak", [1.2, 2.0, 3.0])
def test_a_rate_limit_must_stay_below_the_capacity(workers, peak):
    """A tenth below it is good, a fifth above it loses most."""
    below, above = (rl.RateLimiter(round(share * workers * 10), 1.0, burst=2 * workers) for share in (0.9, 1.2))
    assert success(below, workers, peak) > 0.9 * possible(peak)
    assert success(above, workers, peak) < 0.6 * possible(peak)


@pytest.mark.parametrize("load", [2, 5])
@pytest.mark.parametrize("slow_share", [0.05, 0.02])
def test_hedging_needs_room_or_a_service_that_stops(load, slow_share):
    """With twice the workers of its load it helps in both cases; nearly full it harms where copies run on."""
    tail = rl.Mixture((1 - slow_share, rl.Exponential(0.05)), (slow_share, rl.Exponential(1.0)))
    p99 = {}
    for workers, how in [(load * 4, "ignore"), (load + 1, "ignore"), (load + 1, "stop")]:
        for delay in (None, 0.2):
            parts = () if delay is None else (rl.Hedge(delay),)
            policy = rl.ResiliencePolicy(*parts, rl.Timeout(60.0))
            service = rl.Service(workers, tail, on_cancel=how)
            day = rl.Scenario(rl.Poisson(load / tail.mean), service, policy, duration=100.0)
            p99[workers, how, delay] = rl.simulate(day, seed=1).summary()["p99"]
    assert p99[load * 4, "ignore", 0.2] < p99[load * 4, "ignore", None]
    assert p99[load + 1, "stop", 0.2] < p99[load + 1, "stop", None]
    assert p99[load + 1, "ignore", 0.2] > p99[load + 1, "ignore", None]
