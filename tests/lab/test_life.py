"""The life of one request: where its time went."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resilab as rl

BUSY = rl.Scenario(
    rl.Poisson(50),
    rl.Service(10, 0.15, faults=rl.Outage(3, 5, mode="error")),
    rl.ResiliencePolicy(rl.Retry(2), rl.Bulkhead(30, max_queue=20), rl.Timeout(1.0)),
    duration=10.0,
)


def lived(result, request_id):
    """What a request did, with the seconds of each phase."""
    life = result.life(request_id)
    return [(row.what, row.attempt, round(row.end - row.start, 6), row.outcome) for row in life.itertuples()]


def test_call_waits_and_is_tried_again():
    """One worker: the second request queues; a failed call waits for its retry."""
    service = rl.Service(1, 0.4, faults=rl.Errors(start=0.0, duration=0.3, rate=1.0))
    scenario = rl.Scenario(rl.Replay((0.0, 0.1)), service, rl.Retry(1, 0.25, jitter="none"), duration=1.0)
    result = rl.simulate(scenario)
    assert lived(result, 0)[:2] == [("served", 1, 0.4, "failure"), ("waiting", 0, 0.25, "")]
    assert lived(result, 1)[:2] == [("queued", 1, 0.3, ""), ("served", 1, 0.4, "success")]


def test_call_that_its_caller_has_left_is_worked_on_for_nobody():
    """With "ignore" the worker goes on after the time limit; with "stop" it does not."""
    for reaction, expected in (("ignore", [("abandoned", 1, 0.7, "")]), ("stop", [])):
        service = rl.Service(1, 1.0, on_cancel=reaction)
        result = rl.simulate(rl.Scenario(rl.Steady(1), service, rl.Timeout(0.3), duration=1.0))
        assert lived(result, 0) == [("served", 1, 0.3, "timeout"), *expected]


def test_refused_calls_have_no_length():
    """A full queue refuses at once; an open breaker lets no call through."""
    service = rl.Service(1, 5.0, queue_limit=0)
    result = rl.simulate(rl.Scenario(rl.Replay((0.0, 1.0)), service, duration=2.0))
    assert lived(result, 1) == [("queued", 1, 0.0, "rejected")]
    breaker = rl.CircuitBreaker(failure_threshold=1, timeout=60.0, volume_threshold=1)
    failing = rl.Service(5, 0.1, failure_rate=1.0)
    result = rl.simulate(rl.Scenario(rl.Replay((0.0, 1.0)), failing, breaker, duration=2.0))
    assert lived(result, 1) == []


def test_tier_that_goes_on_after_the_request_works_for_nobody():
    """The tier below tries again after the caller has left: no wait, and no service, is the request's any more."""
    leaf = rl.Service(1, 1.0, failure_rate=1.0, name="leaf")
    again = rl.Downstream(leaf, rl.Retry(1, 0.5, jitter="none"))
    top = rl.Tier(1, 0.1, calls=(again,), name="top", on_cancel="ignore")
    result = rl.simulate(rl.Scenario(rl.Steady(1), top, rl.Timeout(0.6), duration=1.0))
    late = [(row.what, row.service) for row in result.life(0).itertuples() if row.end > 0.6 + 1e-9]
    assert late == [("abandoned", "top"), ("abandoned", "leaf"), ("abandoned", "leaf")]


def test_message_is_handled_after_its_sender_was_answered():
    """What an outbox publishes after the answer is for somebody."""
    result = rl.simulate(rl.outbox.OutboxScenario(rl.Poisson(5), duration=5.0), seed=1)
    ends = result.requests.set_index("request_id")["end"]
    lives = [result.life(request_id) for request_id in ends.index]
    late = [life[life["end"] > end + 1e-9] for life, end in zip(lives, ends, strict=True)]
    assert {what for life in late for what in life["what"]} == {"served"}


def test_request_that_there_is_not_is_told():
    """Name, rule, value."""
    result = rl.simulate(BUSY.replace(duration=1.0), seed=1)
    with pytest.raises(ValueError, match=f"request_id must be < {len(result)}, the number of requests, got 9999"):
        result.life(9999)
    with pytest.raises(ValueError, match="attempts were not recorded"):
        rl.simulate(BUSY.replace(duration=1.0), record=False).life(0)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), hedge=st.booleans(), horizon=st.sampled_from([None, 4.0]))
def test_phases_fill_the_time_of_every_request(seed, hedge, horizon):
    """From arrival to end some phase lies at every moment; queue and service are those of the attempts."""
    part = rl.Hedge(0.1) if hedge else rl.Retry(2)
    policy = rl.ResiliencePolicy(part, rl.Bulkhead(30, max_queue=20), rl.Timeout(1.0))
    result = rl.simulate(BUSY.replace(policy=policy, duration=6.0), seed=seed, horizon=horizon)
    attempts = result.attempts.groupby("request_id")
    for row in result.requests.iloc[::7].itertuples():
        life = result.life(row.request_id)
        free = row.arrival
        for phase in life[life["what"] != "abandoned"].itertuples():
            assert phase.start <= free + 1e-9
            free = max(free, phase.end)
        if not math.isnan(row.end):
            assert free == pytest.approx(row.end)
        if row.request_id in attempts.groups:
            calls = attempts.get_group(row.request_id)
            work = life[life["what"].isin(["served", "abandoned"])]
            assert (work["end"] - work["start"]).sum() == pytest.approx(calls["service_time"].sum())
