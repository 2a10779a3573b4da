"""Tiers: amplification over tiers, held workers, deadlines that travel, luck that stays."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab import Deadline, Downstream, Service, Tier, chain

PATIENT = rl.Retry(max_retries=3, initial_delay=0.001, jitter="none")


def stack(tiers, retries, failure_rate, duration):
    """Retries at each of several tiers, over a leaf that fails with some probability."""
    names = [f"tier_{number}" for number in range(1, tiers)] + ["leaf"]
    services = [Service(10**6, 0.001, name=name) for name in names]
    services[-1] = services[-1].replace(failure_rate=failure_rate)
    retry = PATIENT.replace(max_retries=retries)
    return rl.Scenario(rl.Steady(100), chain(*services, policy=retry), policy=retry, duration=duration)


def leaf_calls(result):
    return np.bincount(
        result.attempts.query("service == 'leaf'")["request_id"].to_numpy(), minlength=len(result.requests)
    )


@pytest.mark.parametrize(("tiers", "retries", "calls"), [(3, 3, 64), (5, 2, 243), (2, 1, 4)])
def test_a_dead_leaf_is_called_once_for_each_path_of_retries(tiers, retries, calls):
    result = rl.simulate(stack(tiers, retries, 1.0, duration=0.05))
    assert set(leaf_calls(result)) == {calls}
    assert result.counts()["failure"] == len(result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "retries", "tiers", "calls", "fails"), [(0.5, 3, 2, 2, 1.53e-5), (0.9, 2, 3, 9.4185, 0.05815)]
)
def test_tiers_of_retries_behave_as_one_tier_of_many_attempts(p, retries, tiers, calls, fails):
    result = rl.simulate(stack(tiers, retries, p, duration=30.0), seed=2)
    counted = leaf_calls(result)
    assert abs(counted.mean() - calls) <= 5 * counted.std() / np.sqrt(len(counted))
    share = result.counts()["failure"] / len(result)
    assert abs(share - fails) <= 5 * np.sqrt(fails * (1 - fails) / len(result))


def test_a_worker_is_held_while_the_call_below_runs():
    api = Tier(1, 1.0, name="api", calls=Downstream(Service(1, 2.0, name="database")))
    result = rl.simulate(rl.Scenario(rl.Replay((0.0, 0.5)), api))
    assert list(result.requests["end"]) == [3.0, 6.0]
    rows = result.attempts
    assert list(rows["service"]) == ["api", "database"] * 2
    assert list(rows["queue_time"]) == [0.0, 0.0, 2.5, 0.0]
    assert list(rows["service_time"]) == [3.0, 2.0, 3.0, 2.0]


def test_two_callers_share_one_service_below():
    database = Service(1, 1.0, name="database")
    api = Tier(9, 0.0, name="api", calls=(Downstream(database), Downstream(database)))
    result = rl.simulate(rl.Scenario(rl.Replay((0.0, 0.0)), api))
    assert list(result.requests["end"]) == [3.0, 4.0]
    assert list(result.attempts.query("service == 'database'")["attempt"]) == [1, 2, 1, 2]


def test_a_slow_leaf_takes_the_workers_of_everybody_above():
    """A cascade: the service that is slow is the leaf, the one that is full is the top."""
    leaf = Service(40, 0.1, name="leaf", faults=rl.Slowdown(10, 10, factor=30))
    top = chain(Service(20, 0.01, name="top", queue_limit=20), Service(20, 0.01, name="middle"), leaf)
    scenario = rl.Scenario(rl.Poisson(50), top, duration=30.0)
    result = rl.simulate(scenario, 1)
    assert result.timeline("busy_workers", "top").max() == 20
    assert result.counts()["rejected"] > 200
    cut = top.replace(calls=tuple(call.replace(policy=rl.Timeout(0.3)) for call in top.calls))
    assert rl.simulate(scenario.replace(service=cut), 1).counts()["rejected"] == 0


def deadlines(policy, on_cancel="ignore"):
    """A chain of services that do not hear of cancellations, and a leaf that gets slow."""
    services = (
        Service(50, 0.01, name="top", on_cancel=on_cancel),
        Service(50, 0.01, name="middle", on_cancel=on_cancel),
        Service(50, 0.1, name="leaf", on_cancel=on_cancel, faults=rl.Slowdown(5, 5, factor=40)),
    )
    tiers = chain(*services[:2], Tier(50, 0.1, name="leaf", on_cancel=on_cancel, faults=services[2].faults))
    return rl.Scenario(rl.Poisson(20), tiers, policy=policy, duration=15.0)


def test_a_deadline_cuts_the_work_below_that_a_time_out_leaves_running():
    timed = rl.simulate(deadlines(rl.Timeout(0.5)), 1)
    travels = rl.simulate(deadlines(Deadline(0.5)), 1)
    assert timed.counts()["timeout"] > 50
    ends = travels.attempts
    assert (ends["start"] + ends["queue_time"] + ends["service_time"]).max() <= travels.requests["end"].max() + 1e-9
    longest = {"timed": timed.attempts["service_time"].max(), "travels": ends["service_time"].max()}
    assert longest["timed"] > 3.9
    assert longest["travels"] <= 0.5 + 1e-9
    assert travels.counts()["success"] >= timed.counts()["success"]


def test_work_that_could_begin_only_after_the_deadline_is_refused_by_the_tier():
    leaf = Tier(1, 1.0, name="leaf", on_cancel="ignore")
    result = rl.simulate(rl.Scenario(rl.Replay((0.0, 0.1, 0.2)), leaf, policy=Deadline(1.5)))
    assert list(result.requests["outcome"]) == ["success", "timeout", "timeout"]
    assert list(result.attempts["service_time"].round(6)) == [1.0, 0.6, 0.1]
    assert result.summary()["wasted_work"] == pytest.approx(0.7 / 1.7)


def test_a_deadline_below_another_can_be_earlier_and_never_later():
    env = simpy.Environment()
    seen = []

    def work():
        yield env.timeout(9)

    def model():
        for outer, inner in ((1.0, 5.0), (5.0, 1.0)):
            begun = env.now
            both = rl.ResiliencePolicy(Deadline(outer), Deadline(inner)).bind(env)
            with pytest.raises(rl.TimeoutExceededError):
                yield from both.execute(work)
            seen.append(env.now - begun)

    env.process(model())
    env.run()
    assert seen == [1.0, 1.0]


def test_a_deadline_limits_all_retries_together_and_a_response_at_the_limit_is_in_time():
    slow = rl.Scenario(
        rl.Replay((0.0,)), Service(1, 1.0, failure_rate=1.0), policy=rl.ResiliencePolicy(Deadline(2.5), PATIENT)
    )
    assert rl.simulate(slow).requests["end"].item() == 2.5
    exact = slow.replace(service=Service(1, 1.0), policy=Deadline(1.0))
    assert rl.simulate(exact).counts()["success"] == 1


def test_a_cancellation_stops_the_whole_chain():
    result = rl.simulate(deadlines(rl.Timeout(0.5), on_cancel="stop"), 1)
    assert result.attempts["service_time"].max() <= 0.5 + 1e-9


@pytest.mark.parametrize("cancel", [True, False])
def test_work_for_a_caller_that_has_gone_is_wasted_at_every_tier(cancel):
    tiers = chain(
        Service(9, 0.1, name="top", on_cancel="ignore"),
        Service(9, 0.1, name="middle", on_cancel="ignore"),
        Service(9, 2.0, name="leaf", on_cancel="ignore"),
    )
    result = rl.simulate(rl.Scenario(rl.Replay((0.0,)), tiers, policy=rl.Timeout(1.0, cancel=cancel)))
    assert list(result.attempts["outcome"]) == ["timeout"] * 3
    assert list(result.attempts["end"]) == [1.0] * 3
    assert result.summary()["wasted_work"] == 1.0


def test_a_policy_at_one_tier_does_not_shift_the_luck_of_another():
    """First calls of a request take the same time at each tier, however often others retry."""
    services = (
        Service(99, rl.Exponential(0.05), name="top"),
        Service(99, rl.Exponential(0.05), name="middle", failure_rate=0.3),
        Service(99, rl.Exponential(0.05), name="leaf", failure_rate=0.3),
    )

    def first(policy):
        rows = rl.simulate(rl.Scenario(rl.Poisson(20), chain(*services, policy=policy), duration=20.0), 3).attempts
        rows = rows[(rows["attempt"] == 1) & (rows["service"] == "leaf")]
        return rows.set_index("request_id")[["service_time", "outcome"]].round(9)

    plain, retried = first(rl.ResiliencePolicy()), first(PATIENT)
    common = plain.index.intersection(retried.index)
    assert len(common) > 200
    assert plain.loc[common].equals(retried.loc[common])


def test_repeated_sends_draw_anew_at_every_tier():
    result = rl.simulate(stack(2, 3, 0.5, duration=5.0), 1)
    leaf = result.attempts.query("service == 'leaf'")
    numbers = leaf.groupby("request_id")["attempt"].agg(list)
    assert all(each == list(range(1, len(each) + 1)) for each in numbers)


def test_only_a_share_of_the_calls_need_the_service_below():
    leaf = Service(50, 0.1, name="leaf")
    api = Tier(50, 0.1, name="api", calls=Downstream(leaf, share=0.25))
    result = rl.simulate(rl.Scenario(rl.Steady(50), api, duration=40.0), 1)
    assert (result.attempts["service"] == "leaf").sum() == pytest.approx(500, abs=5 * np.sqrt(375))
    assert set(result.latency.round(6)) == {0.1, 0.2}


def test_a_fallback_below_makes_the_whole_request_degraded():
    leaf = Service(9, 0.1, name="leaf", failure_rate=0.5)
    api = Tier(9, 0.1, name="api", calls=Downstream(leaf, rl.Fallback("cached")))
    counts = rl.simulate(rl.Scenario(rl.Steady(10), api, duration=20.0), 1).counts()
    assert counts["success"] + counts["degraded"] == 200
    assert counts["degraded"] == pytest.approx(100, abs=35)


def test_each_caller_has_a_breaker_of_its_own_and_events_say_whose():
    leaf = Service(9, 0.1, name="leaf", faults=rl.Outage(5, 5))
    breaker = rl.CircuitBreaker(failure_threshold=3, volume_threshold=1, timeout=1)
    api = Tier(9, 0.1, name="api", calls=Downstream(leaf, breaker))
    result = rl.simulate(rl.Scenario(rl.Steady(10), api, duration=20.0), 1)
    assert set(result.events["source"]) == {"api/leaf/circuit_breaker"}
    assert set(result.requests["cause"].dropna()) == {"downstream_error"}
    assert result.timeline("breaker_state").max() == 2


def test_a_run_over_tiers_is_reproducible_and_can_be_stopped():
    scenario = deadlines(rl.ResiliencePolicy(PATIENT, Deadline(0.5)))
    one, two = rl.simulate(scenario, 4), rl.simulate(scenario, 4)
    assert one.attempts.equals(two.attempts)
    stopped = rl.simulate(scenario, 4, horizon=7.0)
    assert stopped.counts()["open"] > 0
    assert stopped.requests["end"].max() <= 7.0


def test_wrong_tiers_are_refused():
    with pytest.raises(ValueError, match="two called 'leaf'"):
        chain(Service(1, 1, name="top"), Service(1, 1, name="leaf"), Service(2, 1, name="leaf"))
    with pytest.raises(TypeError, match="calls must be a Downstream"):
        Tier(1, 1, calls=(Service(1, 1),))
    with pytest.raises(ValueError, match="services must not be empty"):
        chain()
    with pytest.raises(ValueError, match="seconds must be > 0"):
        Deadline(0)
