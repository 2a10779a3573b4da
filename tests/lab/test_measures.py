"""Measures mean what they say: over the arrivals, of the requests asked for, with each loser under its own name."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import resilab as rl
from resilab.lab.metrics import ShortRunWarning

SLOW = rl.Service(1, 0.1, faults=rl.Outage(start=0.0, duration=20.0, mode="hang"))


def test_goodput_never_exceeds_the_capacity_since_a_drain_does_not_count():
    """Ten requests a second are served after the hang, for 20 s; only the seconds of arrivals count."""
    result = rl.simulate(rl.Scenario(rl.Steady(10), SLOW, duration=30.0))
    assert result.counts()["success"] == 300
    summary = result.summary()
    assert summary["goodput"] == pytest.approx(100 / 30, rel=0.02)
    assert summary["utilization"] == pytest.approx(10 / 30, rel=0.02)
    assert result.window(20.0).summary()["goodput"] == pytest.approx(10.0, rel=0.02)


def test_utilization_rises_with_work():
    """It is taken over the arrivals, so that a longer drain does not dilute it."""
    used = [
        rl.simulate(rl.Scenario(rl.Steady(rate), rl.Service(1, 0.1), duration=30.0)).summary()["utilization"]
        for rate in (5, 9, 20, 40)
    ]
    assert used == pytest.approx([0.5, 0.9, 1.0, 1.0], abs=0.01)


def test_utilization_of_a_chain_is_that_of_each_service():
    """The wide tier does not hide that the database is full."""
    chain = rl.chain(rl.Service(40, 0.0, name="api"), rl.Service(1, 0.09, name="database"))
    result = rl.simulate(rl.Scenario(rl.Steady(10), chain, duration=60.0))
    used = result.utilization()
    assert used["database"] == pytest.approx(0.9, abs=0.01)
    assert used["api"] == pytest.approx(0.9 / 40, abs=0.01)
    assert result.summary()["utilization"] == used["database"]


def test_losers_of_a_hedge_are_cancelled_and_no_time_outs():
    """Without any time limit nothing has timed out; the work of the losers is wasted all the same."""
    service = rl.Service(50, rl.Exponential(0.1))
    result = rl.simulate(rl.Scenario(rl.Poisson(50), service, rl.Hedge(0.05), duration=20.0), 1)
    counts = result.attempts["outcome"].value_counts()
    assert counts["timeout"] == 0
    assert counts["cancelled"] == len(result.attempts) - len(result) > 100
    assert set(result.attempts["cause"][result.attempts["outcome"] == "cancelled"]) == {"hedge"}
    assert result.summary()["wasted_work"] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("hedge", [rl.Hedge(0.1), rl.Hedge(0.0), rl.Hedge(0.0, max_hedges=2)], ids=str)
def test_a_fallback_of_a_losing_copy_does_not_degrade_the_answer_of_the_winner(hedge):
    """Each copy degrades with probability 0.3, whichever wins: so does the request."""
    first = rl.Service(200, 0.01, failure_rate=0.3, name="a")
    second = rl.Service(200, rl.Exponential(0.1), name="b")
    tier = rl.Tier(400, 0.01, calls=(rl.Downstream(first, rl.Fallback("x")), rl.Downstream(second)), name="tier")
    result = rl.simulate(rl.Scenario(rl.Poisson(50), tier, hedge, duration=200.0), 1, record=False)
    assert result.summary()["degraded_rate"] == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / len(result)))


def test_a_call_left_behind_does_not_lend_its_deadline_to_the_next_try():
    """The second try has a second of its own, although the first, which nobody waits for, has not ended."""
    service = rl.Service(9, rl.Constant(0.9), faults=rl.Slowdown(0.0, 0.1, factor=9.0))
    policy = rl.ResiliencePolicy(
        rl.Retry(1, 0.0, jitter="none"), rl.Timeout(0.5, cancel=False), rl.Deadline(1.0), rl.Timeout(2.0)
    )
    tier = rl.chain(rl.Service(9, 0.0, name="tier"), service)
    result = rl.simulate(rl.Scenario(rl.Replay([0.0]), tier, policy.replace(policies=policy.policies[:3])))
    assert result.requests["outcome"].tolist() == ["timeout"]
    second = result.attempts[(result.attempts["service"] == "tier") & (result.attempts["attempt"] == 2)]
    assert second["start"].tolist() == [0.5]
    assert second["service_time"].iloc[0] == pytest.approx(0.9)


@pytest.mark.slow
def test_abandoned_work_inside_at_a_horizon_keeps_its_rows():
    """Attempts, queue and counts are those of the run without a horizon, up to there."""
    scenario = rl.Scenario(rl.Steady(30), rl.Service(2, 0.1, on_cancel="ignore"), rl.Timeout(0.5), duration=60.0)
    cut, whole = rl.simulate(scenario, horizon=60.0), rl.simulate(scenario)
    assert cut.summary()["attempts"] == len(cut.attempts) == 1800
    for time in (30, 45, 59):
        lengths = [run.timeline("queue_length") for run in (cut, whole)]
        assert len({line[line.index <= time].iloc[-1] for line in lengths}) == 1


def test_the_share_answered_within_a_time_counts_successes_alone():
    """p99 of a run with a limit can never be below the limit; a share can be stated."""
    service = rl.Service(50, rl.Exponential(0.1), failure_rate=0.2)
    result = rl.simulate(rl.Scenario(rl.Poisson(50), service, duration=200.0), 1)
    expected = 0.8 * (1 - math.exp(-2.0))
    assert result.answered_within(0.2) == pytest.approx(expected, abs=0.015)
    assert result.summary(within=0.2)["answered_within"] == result.answered_within(0.2)
    fallen = rl.simulate(rl.Scenario(rl.Poisson(50), service, rl.Fallback("x"), duration=200.0), 1)
    assert fallen.answered_within(9.0, counts_degraded=True) == 1.0 > fallen.answered_within(9.0)
    frame = rl.replicate(rl.Scenario(rl.Poisson(50), service, duration=20.0), 2, metrics="answered_within(0.2)")
    assert frame["answered_within(0.2)"].between(0.6, 0.8).all()


def test_a_window_has_the_measures_of_its_requests():
    """Frames, counts and rates are of the requests that arrive in it; windows add up to the run."""
    faulty = rl.Service(5, rl.Exponential(0.1), faults=rl.Errors(10.0, 10.0, rate=0.5))
    result = rl.simulate(rl.Scenario(rl.Poisson(20), faulty, rl.Retry(1, 0.01), duration=30.0), 1)
    parts = [result.window(start, start + 10.0) for start in (0.0, 10.0, 20.0)]
    assert sum(len(part) for part in parts) == len(result)
    assert sum(len(part.attempts) for part in parts) == len(result.attempts)
    assert parts[1].requests["arrival"].between(10, 20).all()
    assert parts[1].requests["request_id"].iloc[0] == len(parts[0])
    assert parts[1].summary()["success_rate"] < 0.8 < parts[2].summary()["success_rate"]
    assert parts[1].window(12.0, 15.0).requests.equals(result.window(12.0, 15.0).requests)
    assert result.summary(warmup=10.0)["requests"] == len(parts[1]) + len(parts[2])
    with pytest.raises(ValueError, match=r"end must be > start, got 3 with start=5"):
        result.window(5, 3)


def test_recovery_is_the_time_until_it_is_well_for_good():
    """0 where nothing is wrong, seconds where a queue drains, infinity where it never does."""
    service = rl.Service(10, 0.1, faults=rl.Outage(start=5.0, duration=5.0, mode="hang"), on_cancel="ignore")
    plain = rl.Scenario(rl.Steady(rate=80), service, duration=60.0)
    drains = rl.simulate(plain).recovery(after=10.0, within=0.5)
    assert drains == pytest.approx(20.0, abs=2.0)  # 400 calls at 20 a second beyond what arrives
    assert rl.simulate(plain.replace(service=service.replace(faults=()))).recovery(after=10.0) == 0.0
    storm = rl.ResiliencePolicy(rl.Retry(3, 0.1), rl.Timeout(0.3))
    assert rl.simulate(plain.replace(policy=storm), horizon=60.0).recovery(after=10.0) == math.inf
    with pytest.raises(ValueError, match="after must be < 60"):
        rl.simulate(plain).recovery(after=70.0)


def test_a_run_that_is_too_short_for_its_numbers_says_so_once():
    """Few requests for a percentile, or a queue that was still filling."""
    short = rl.simulate(rl.Scenario(rl.Poisson(10), rl.Service(5, rl.Exponential(0.1)), duration=10.0))
    with pytest.warns(ShortRunWarning, match="p99 of fewer than 300 requests is too low"):
        short.summary()
    full = rl.simulate(rl.Scenario(rl.Poisson(95), rl.Service(10, rl.Exponential(0.1)), duration=10.0))
    with pytest.warns(ShortRunWarning, match="the queue begins empty"):
        full.summary()
    enough = rl.simulate(rl.Scenario(rl.Poisson(50), rl.Service(10, rl.Exponential(0.1)), duration=60.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(enough.summary()["p99_9"])
