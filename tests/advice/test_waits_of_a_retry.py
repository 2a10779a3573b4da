"""How long the waits of a retry have to be for an outage of errors."""

from __future__ import annotations

import pytest

import resilab as rl


def success_in_outage(length: float, total: float, retries: int, jitter: str, rate: float) -> float:
    """Share of the requests arriving in an outage that succeed, if the waits add up to *total* without jitter."""
    first = total / (2**retries - 1)
    service = rl.Service(200, rl.Exponential(mean=0.05), faults=(rl.Outage(5, length),), on_cancel="ignore")
    retry = rl.Retry(retries, first, max_delay=1e6, jitter=jitter)
    scenario = rl.Scenario(rl.Poisson(rate), service, retry, duration=5 + length)
    requests = rl.simulate(scenario, seed=1).requests
    return float((requests["outcome"][requests["arrival"] >= 5] == "success").mean())


GRID = [
    pytest.param(length, retries, rate, id=f"{length}s-{retries}-{rate}/s")
    for length in (2.0, 5.0, 20.0)
    for retries in (3, 4, 6)
    for rate in (20, 100)
]


@pytest.mark.slow
@pytest.mark.parametrize(("length", "retries", "rate"), GRID)
def test_full_jitter_needs_waits_of_three_times_the_trouble(length, retries, rate):
    """Once the trouble is enough without jitter and far from enough with it; three times is."""
    assert success_in_outage(length, 1.02 * length, retries, "none", rate) > 0.97
    assert success_in_outage(length, 1.02 * length, retries, "full", rate) < 0.75
    assert success_in_outage(length, 3 * length, retries, "full", rate) > 0.85
