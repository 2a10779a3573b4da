"""Each pattern on days that are not its own: where it helps, and where it does harm."""

from __future__ import annotations

import pytest

import resilab as rl

AGAIN = rl.Retry(max_retries=2, initial_delay=0.1, jitter="full")
FEW = rl.Bulkhead(20, max_queue=0)
BREAKER = rl.CircuitBreaker(failure_threshold=5, timeout=1.0, half_open_max_calls=1)
PARTIAL = rl.Errors(20, 20, rate=0.3)
HANG, SLOW = rl.Outage(20, 8, mode="hang"), rl.Slowdown(20, 15, factor=5)


def success(*policies, faults=(), rate=40, noise=0.02, on_cancel="ignore"):
    """Mean share of successes of two seeds, with a time limit of 1 s inside."""
    service = rl.Service(10, rl.Exponential(0.1), failure_rate=noise, faults=faults, on_cancel=on_cancel)
    day = rl.Scenario(rl.Poisson(rate), service, rl.ResiliencePolicy(*policies, rl.Timeout(1.0)), duration=60.0)
    counts = [rl.simulate(day, seed=seed, record=False).counts() for seed in (1, 2)]
    return sum(each["success"] / sum(each.values()) for each in counts) / len(counts)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "rate"), [(HANG, 40), (HANG, 60), (HANG, 80), (SLOW, 30), (SLOW, 40), (SLOW, 60)])
def test_a_retry_harms_where_work_piles_up_and_a_limit_takes_the_harm_away(fault, rate):
    alone, retried, both = (success(*each, faults=fault, rate=rate) for each in ((), (AGAIN,), (AGAIN, FEW)))
    assert retried < alone - 0.1
    assert both > alone


@pytest.mark.slow
@pytest.mark.parametrize("rate", [30, 60])
@pytest.mark.parametrize(("faults", "noise"), [(PARTIAL, 0.02), ((), 0.2), ((), 0.3)])
def test_a_retry_saves_and_a_breaker_never_helps_where_calls_fail_one_by_one(rate, faults, noise):
    day = {"faults": faults, "noise": noise, "rate": rate}
    assert success(AGAIN, FEW, **day) > success(FEW, **day) + 0.08
    assert success(BREAKER, **day) < success(**day) + 0.005
    assert success(AGAIN, BREAKER, FEW, **day) < success(AGAIN, FEW, **day) - (0.02 if rate > 30 else 0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    "day",
    [
        {},
        {"faults": HANG},
        {"faults": SLOW},
        {"faults": PARTIAL},
        {"noise": 0.2},
        {"faults": HANG, "rate": 70},
        {"rate": 150},
    ],
)
def test_a_limit_of_twice_the_workers_harms_on_none_of_these_days(day):
    assert success(FEW, **day) > success(**day) - 0.005


@pytest.mark.slow
@pytest.mark.parametrize("rate", [120, 200])
def test_a_breaker_that_counts_what_the_limit_refuses_loses_an_overload(rate):
    """A full bulkhead inside it is a failure to it, unless it is told to ignore that."""
    told = BREAKER.replace(ignored_errors=rl.BulkheadFullError)
    assert success(AGAIN, told, FEW, rate=rate) > success(AGAIN, BREAKER, FEW, rate=rate) + 0.1
