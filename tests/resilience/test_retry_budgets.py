"""Retry budgets of the active requests and of the last seconds, and how a retry holds its place."""

from __future__ import annotations

import math

import pytest
import simpy

import resilab as rl
from resilab import Backoff, Retry, RetryBudget


def attempts_of(budget, calls, lasts=0.1, delay=0.01, retries=3, spread=1e-6):
    """Return the starts of all attempts of *calls* that begin together and all fail."""
    env, starts = simpy.Environment(), []
    retry = Retry(retries, backoff=Backoff("constant", delay), budget=budget).bind(env, seed=1)

    def work():
        starts.append(env.now)
        yield env.timeout(lasts)
        raise rl.ServiceError("down")

    def caller(number):
        yield env.timeout(number * spread)
        try:
            yield from retry.execute(work)
        except rl.ServiceError:
            pass

    for number in range(calls):
        env.process(caller(number))
    env.run()
    assert retry.budget.active == retry.budget.retrying == 0
    return starts


@pytest.mark.parametrize(("budget", "attempts"), [(RetryBudget.envoy(0, 3), 59), (RetryBudget.envoy(20, 3), 64)])
def test_fifty_failing_calls_at_once_make_as_many_attempts_as_in_envoy(budget, attempts):
    """Measured on Envoy 1.40: 59 with max_retries 3, and 64 with a budget of 20 % and at least 3."""
    assert len(attempts_of(budget, 50)) == attempts


def test_a_retry_holds_its_place_through_back_off_and_attempt():
    """During a hang with tries of 0.5 s the default of three places lets six retries a second pass."""
    env, starts = simpy.Environment(), []
    retry = Retry(1, backoff=Backoff("constant", 0.0), budget=RetryBudget.envoy(0, 3))
    live = rl.ResiliencePolicy(retry, rl.Timeout(0.5)).bind(env, seed=1)

    def hang():
        starts.append(env.now)
        yield env.event()

    def caller():
        try:
            yield from live.execute(hang)
        except rl.TimeoutExceededError:
            pass

    def client():
        for _ in range(1000):
            env.process(caller())
            yield env.timeout(0.01)

    env.process(client())
    env.run(10.0)
    assert (len(starts) - 1000) / 9.5 == pytest.approx(6.0, rel=0.02)


def test_a_cancelled_call_gives_its_place_back():
    env = simpy.Environment()
    live = Retry(5, backoff=Backoff("constant", 9.0), budget=RetryBudget.envoy(0, 1)).bind(env, seed=1)

    def work():
        yield env.timeout(1)
        raise rl.ServiceError("down")

    def caller():
        try:
            yield from live.execute(work)
        except simpy.Interrupt:
            pass

    process = env.process(caller())
    env.run(5.0)
    assert (live.budget.active, live.budget.retrying) == (0, 1)
    process.interrupt()
    env.run()
    assert (live.budget.active, live.budget.retrying) == (0, 0)


def play_recent(budget, calls):
    """Return how many retries calls at these times got, each failing at once."""
    env, retries = simpy.Environment(), []
    live = Retry(1, backoff=Backoff("constant", 0.0), budget=budget).bind(env, seed=1)

    def work():
        yield env.timeout(0)
        raise rl.ServiceError("down")

    def client():
        for when in calls:
            yield env.timeout(when - env.now)
            before = live.retries
            try:
                yield from live.execute(work)
            except rl.ServiceError:
                retries.append(live.retries - before)

    env.process(client())
    env.run()
    return retries


def test_linkerds_floor_allows_retries_per_second_where_there_is_little_traffic():
    """10 a second for 10 s: 100 retries from the start, and nothing until they are forgotten."""
    retries = play_recent(RetryBudget.linkerd(0.0, 10.0, 10.0), [0.001 * k for k in range(200)] + [10.0, 10.05, 20.3])
    assert (sum(retries[:100]), sum(retries[100:200]), retries[200:]) == (100, 0, [1, 1, 1])


def test_linkerds_share_is_of_the_calls_of_the_last_seconds():
    retries = play_recent(RetryBudget.linkerd(0.2, 0.0, 10.0), [0.5 * k for k in range(1000)])
    assert sum(retries) == 200
    assert RetryBudget.linkerd().per_second == 10.0


def test_the_rules_of_aws_since_november_2026_end_retries_after_a_third_as_many():
    """The full quota is gone after 35 failing retries instead of 100, or 50 timeouts."""
    env = simpy.Environment()

    def retries(budget, error):
        live = budget.bind(env)
        count = 0
        while live.pay(error) is not None:
            count += 1
        return count

    down, late, throttled = rl.ServiceError("down"), rl.TimeoutExceededError("late"), rl.ServiceOverloadedError("slow")
    old, new = RetryBudget.aws(), RetryBudget.aws_2026()
    assert [retries(old, error) for error in (down, late, throttled)] == [100, 50, 100]
    assert [retries(new, error) for error in (down, late, throttled)] == [35, 35, 100]


def test_a_budget_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="budget must be"):
        Retry(budget=0.2)
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        RetryBudget.envoy(budget_percent=120)
    with pytest.raises(ValueError, match="ttl must be > 0"):
        RetryBudget.linkerd(ttl=0)


def test_a_budget_in_a_scenario_caps_the_load_of_an_outage():
    def amplification(budget):
        service = rl.Service(50, rl.Constant(0.1), faults=(rl.Outage(0, math.inf),))
        policy = Retry(3, initial_delay=0.1, budget=budget)
        return rl.simulate(rl.Scenario(rl.Steady(100), service, policy, duration=20.0), seed=1).summary().amplification

    assert amplification(None) == 4.0
    assert 1.0 < amplification(RetryBudget.envoy()) < 1.5
    assert 1.2 < amplification(RetryBudget.linkerd(0.2, 1.0)) < 1.4
