"""Where "rate x attempts > capacity" keeps a service down, and what a retry budget needs."""

from __future__ import annotations

import pytest

import resilab as rl

CAPACITY = 50.0


def late_success(
    rate: float, retry: rl.Retry, patience: float = 1.0, on_cancel: str = "ignore", hang: float = 5.0
) -> float:
    """Share of successes in the last 20 of 100 s, after a hang at 20 s."""
    fault = rl.Outage(20, hang, mode="hang")
    service = rl.Service(5, rl.Exponential(0.1), failure_rate=0.02, faults=fault, on_cancel=on_cancel)
    day = rl.Scenario(rl.Poisson(rate), service, rl.ResiliencePolicy(retry, rl.Timeout(patience)), duration=100.0)
    last = rl.simulate(day, seed=1).requests.query("arrival > 80")
    return float((last["outcome"] == "success").mean())


def tries(retries: int) -> rl.Retry:
    return rl.Retry(retries, initial_delay=0.1, max_delay=2.0, jitter="full")


@pytest.mark.slow
@pytest.mark.parametrize("retries", [1, 3])
@pytest.mark.parametrize("patience", [0.5, 1.0, 2.0])
def test_the_law_decides_where_callers_leave_early_and_the_service_works_on(retries, patience):
    """Callers who leave before the trigger is over: one edge for all retries, at the capacity."""
    below, above = (late_success(share * CAPACITY / (retries + 1), tries(retries), patience) for share in (0.8, 1.2))
    assert below > 0.98
    assert above < 0.02


@pytest.mark.parametrize("retries", [1, 3])
@pytest.mark.parametrize(
    ("patience", "on_cancel"), [(5.0, "ignore"), (10.0, "ignore"), (1.0, "stop"), (1.0, "drop_queued"), (10.0, "stop")]
)
def test_patient_callers_or_a_service_that_hears_of_it_come_back_above_it(retries, patience, on_cancel):
    """Above the capacity by half, and it heals."""
    assert late_success(1.6 * CAPACITY / (retries + 1), tries(retries), patience, on_cancel) > 0.95


@pytest.mark.slow
def test_with_little_load_a_trigger_must_be_long():
    """At 15 requests per second with three retries 2 s heal and 3 s do not; at 40 per second 2 s do not either."""
    assert late_success(15, tries(3), hang=2.0) > 0.98
    assert late_success(15, tries(3), hang=3.0) < 0.02
    assert late_success(40, tries(3), hang=2.0) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.6, 0.7, 0.8])
def test_a_budget_of_a_tenth_brings_it_back_up_to_four_fifths_of_the_capacity(load):
    """Load x 1.1 stays well below the capacity."""
    budget = rl.RetryBudget.token_bucket(0.1)
    assert late_success(load * CAPACITY, tries(3).replace(budget=budget)) > 0.98


@pytest.mark.slow
def test_at_nine_tenths_only_a_budget_that_earns_by_success_does():
    tenth, earned = (
        late_success(0.92 * CAPACITY, tries(3).replace(budget=each))
        for each in (rl.RetryBudget.token_bucket(0.1), rl.RetryBudget.aws())
    )
    assert tenth < 0.02
    assert earned > 0.9
