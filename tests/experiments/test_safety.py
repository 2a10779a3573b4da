"""safe_load: up to which load a system comes back after a fault."""

from __future__ import annotations

import math

import pytest

import resilab as rl
from resilab.experiments import recovery_map

HANG = rl.Outage(20, 10, mode="hang")
FAST = {"seeds": 3, "n_jobs": 1, "progress": False}


def bronson(rate, **changes):
    """A database good for 300/s, one retry after a time limit of 1 s, work that goes on for callers who have gone."""
    service = rl.Service(30, rl.Exponential(0.1), on_cancel="ignore").replace(**changes)
    policy = rl.ResiliencePolicy(rl.Retry(1, initial_delay=0.001, jitter="none"), rl.Timeout(1.0))
    return rl.Scenario(rl.Poisson(rate), service, policy, duration=1.0)


@pytest.mark.slow
def test_two_tries_are_safe_below_half_of_the_capacity():
    """Bronson and others, HotOS 2021: stable below capacity / (1 + retries), 150/s of 300/s."""
    found = rl.safe_load(bronson, HANG, 110, 190, recovery=80.0, window=10.0, steps=3, **FAST)
    assert 120 <= found.low <= 160
    assert 120 <= found.load <= 165
    assert found.high <= 175
    assert found.table["comes_back"].is_monotonic_decreasing


@pytest.mark.slow
def test_cancelled_work_that_stops_makes_every_load_safe():
    found = rl.safe_load(
        lambda rate: bronson(rate, on_cancel="stop"), HANG, 100, 220, recovery=20.0, window=10.0, steps=1, **FAST
    )
    assert found.low == 220
    assert found.high == math.inf


@pytest.mark.slow
def test_a_load_above_the_capacity_never_comes_back():
    found = rl.safe_load(bronson, HANG, 320, 350, recovery=5.0, window=5.0, steps=1, **FAST)
    assert (found.low, found.high) == (-math.inf, 320)


@pytest.mark.slow
def test_a_longer_fault_is_survived_by_less_load():
    table = recovery_map(bronson, HANG, loads=[100, 240], durations=[0.1, 10.0], recovery=20.0, window=10.0, **FAST)
    assert table.loc[0.1].tolist() == [1.0, 1.0]
    assert table.loc[10.0].tolist() == [1.0, 0.0]


@pytest.mark.slow
def test_it_is_the_same_on_workers():
    arguments = {"recovery": 5.0, "window": 5.0, "steps": 2, "seeds": 2, "progress": False}
    one, two = (rl.safe_load(bronson, rl.Outage(2, 3, mode="hang"), 100, 290, n_jobs=n, **arguments) for n in (1, 2))
    assert one == two


@pytest.mark.parametrize(("low", "high"), [(2, 1), (1, 1), (0, math.inf)])
def test_bad_ranges_are_refused(low, high):
    with pytest.raises(ValueError, match="high must be"):
        rl.safe_load(bronson, HANG, low, high)
