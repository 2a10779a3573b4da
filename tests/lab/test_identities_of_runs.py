"""What holds on every run, whatever the scenario: to rounding, without statistics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab.lab.records import OUTCOMES

from ..strategies import scenarios

SEARCH = settings(max_examples=60, deadline=None)


def area(series):
    """Integrate a step function up to its last change."""
    times = series.index.to_numpy()
    return float(np.dot(series.to_numpy()[:-1], np.diff(times)))


@SEARCH
@given(scenario=scenarios, seed=st.integers(0, 99))
def test_every_request_ends_exactly_once_and_every_attempt_belongs_to_one(scenario, seed):
    """Counts add up, times are in order, attempts are numbered from 1 without gaps."""
    result = rl.simulate(scenario, seed)
    requests, attempts = result.requests, result.attempts
    assert sum(result.counts()[word] for word in OUTCOMES) == len(requests)
    assert requests["outcome"].notna().all()
    assert (requests["end"] >= requests["arrival"]).all()
    assert (requests["cause"].isna() == (requests["outcome"] == "success")).all()
    sends = attempts.groupby("request_id")["attempt"]
    assert (sends.count() == sends.max()).all()
    per_request = sends.count().reindex(requests["request_id"], fill_value=0)
    assert (per_request.to_numpy() == requests["attempts"].to_numpy()).all()
    assert (attempts[["queue_time", "service_time"]] >= 0).all().all()


@SEARCH
@given(scenario=scenarios, seed=st.integers(0, 99))
def test_littles_law_holds_on_the_sample_path(scenario, seed):
    """The areas under the time lines are the sums of the rows: exactly, not on average."""
    result = rl.simulate(scenario, seed)
    rows = result.attempts
    assert area(result.timeline("in_flight")) == pytest.approx(result.requests["latency"].sum(), abs=1e-6)
    assert area(result.timeline("queue_length")) == pytest.approx(rows["queue_time"].sum(), abs=1e-6)
    assert area(result.timeline("busy_workers")) == pytest.approx(rows["service_time"].sum(), abs=1e-6)


@SEARCH
@given(scenario=scenarios, seed=st.integers(0, 99))
def test_limits_hold_at_every_instant(scenario, seed):
    """Workers and queue places are never exceeded and all are given back."""
    result = rl.simulate(scenario, seed)
    service = scenario.service
    busy, queued = result.timeline("busy_workers"), result.timeline("queue_length")
    assert busy.min() >= 0
    assert busy.max() <= service.workers
    assert queued.min() >= 0
    if service.queue_limit is not None:
        assert queued.max() <= service.queue_limit
    assert busy.iloc[-1] == queued.iloc[-1] == result.timeline("in_flight").iloc[-1] == 0
    if len(result.attempts):
        assert result.summary()["utilization"] <= 1 + 1e-9


NO_OPS = (rl.Timeout(math.inf), rl.Timeout(math.inf, cancel=False), rl.Retry(0), rl.Bulkhead(10**9))
NEVER_OPENS = rl.CircuitBreaker(10**9, 1, 1.0, 10**9)


@pytest.mark.slow
@SEARCH
@given(scenario=scenarios, seed=st.integers(0, 99), position=st.integers(0, 5))
@pytest.mark.parametrize("no_op", [*NO_OPS, NEVER_OPENS], ids=repr)
def test_a_policy_that_does_nothing_changes_not_one_bit(no_op, scenario, seed, position):
    """Wherever in the stack it stands."""
    parts = scenario.policy.policies
    padded = scenario.replace(policy=rl.ResiliencePolicy(*parts[:position], no_op, *parts[position:]))
    plain, other = rl.simulate(scenario, seed), rl.simulate(padded, seed)
    assert plain.requests.equals(other.requests)
    assert plain.attempts.equals(other.attempts)


@pytest.mark.slow
@SEARCH
@given(scenario=scenarios, seed=st.integers(0, 99))
def test_the_same_seed_gives_the_same_rows(scenario, seed):
    """A against A is exactly 0."""
    first, second = rl.simulate(scenario, seed), rl.simulate(scenario, seed)
    assert first.requests.equals(second.requests)
    assert first.attempts.equals(second.attempts)
    assert first.events.equals(second.events)


def test_recording_less_changes_no_request():
    """The rows of requests do not depend on what else is recorded."""
    scenario = rl.Scenario(
        rl.Poisson(60), rl.Service(5, rl.Exponential(0.1), failure_rate=0.1), rl.Retry(2, 0.1), duration=20
    )
    assert rl.simulate(scenario, 1).requests.equals(rl.simulate(scenario, 1, record=False).requests)


@pytest.mark.parametrize("factor", [10.0, 0.125])
def test_scaling_all_times_scales_all_durations(factor):
    """No probability changes, every duration is multiplied."""

    def scenario(scale):
        return rl.Scenario(
            rl.Poisson(60 / scale),
            rl.Service(
                5, rl.LogNormal(0.05 * scale, 0.8), queue_limit=20, failure_rate=0.1,
                faults=(rl.Outage(5 * scale, 3 * scale, "hang"), rl.Errors(10 * scale, 2 * scale, 0.5)),
            ),
            rl.ResiliencePolicy(
                rl.Retry(2, 0.1 * scale, 2.0 * scale, jitter="full"),
                rl.CircuitBreaker(5, 2, 2.0 * scale, 5),
                rl.Bulkhead(8, 4, 0.2 * scale),
                rl.Timeout(0.4 * scale),
            ),
            duration=20 * scale,
        )  # fmt: skip

    plain, scaled = rl.simulate(scenario(1.0), 7), rl.simulate(scenario(factor), 7)
    assert (plain.requests["outcome"] == scaled.requests["outcome"]).all()
    assert (plain.requests["attempts"] == scaled.requests["attempts"]).all()
    np.testing.assert_allclose(scaled.latency, plain.latency * factor, rtol=1e-9, atol=1e-9)


def test_successes_are_the_attempts_that_did_not_fail():
    """With independent failures and any retry: one success for each attempt that worked."""
    scenario = rl.Scenario(
        rl.Poisson(50), rl.Service(50, 0.01, failure_rate=0.4), rl.Retry(3, 0.1, jitter="full"), duration=100
    )
    result = rl.simulate(scenario, 2)
    assert result.counts()["success"] == (result.attempts["outcome"] == "success").sum()


def test_a_longer_run_begins_with_the_shorter_one():
    """Request i has the same arrival and the same work however long the run is."""
    scenario = rl.Scenario(rl.Poisson(50), rl.Service(10, rl.Exponential(0.1)), duration=30)
    short, long = rl.simulate(scenario, 3).requests, rl.simulate(scenario.replace(duration=300), 3).requests
    n = len(short) - 60  # the last ones may meet requests that the short run does not have
    assert short.iloc[:n].equals(long.iloc[:n])


def test_more_retries_do_not_shift_anybody_elses_luck():
    """First attempts meet the same service times and failures whatever the policy sends besides."""
    scenario = rl.Scenario(rl.Poisson(20), rl.Service(1000, rl.Exponential(0.1), failure_rate=0.3), duration=50)
    plain = rl.simulate(scenario, 4).attempts
    for policy in (rl.Retry(5, 0.1), rl.ResiliencePolicy(rl.Retry(2, 0.1), rl.Retry(1, 0.1), rl.Timeout(0.5))):
        other = rl.simulate(scenario.replace(policy=policy), 4).attempts
        first = other[other["attempt"] == 1].reset_index(drop=True)
        assert (first["start"] == plain["start"]).all()
        whole = (first["outcome"] != "timeout").to_numpy()
        assert (first["outcome"] == plain["outcome"])[whole].all()
        np.testing.assert_allclose(first["service_time"][whole], plain["service_time"][whole], rtol=1e-9)


def test_nested_retries_do_not_repeat_luck():
    """Every send of a request is a new draw: keyed by the service's count, not by a retry's own."""
    scenario = rl.Scenario(
        rl.Poisson(20), rl.Service(1000, rl.Exponential(0.1), failure_rate=0.9),
        rl.ResiliencePolicy(rl.Retry(2, 0.01), rl.Retry(2, 0.01)), duration=20,
    )  # fmt: skip
    attempts = rl.simulate(scenario, 5).attempts
    assert attempts["attempt"].max() == 9
    assert attempts.groupby("request_id")["service_time"].nunique().equals(attempts.groupby("request_id").size())
