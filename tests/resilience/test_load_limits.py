"""Retry budgets, rate limiters and the adaptive throttle against exact chains and formulas."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab import RetryBudget


def sequential_calls(budget, retries, rate, calls=60_000, warm_up=5_000):
    """Return attempts and successes per call, of calls one after the other."""
    env = simpy.Environment()
    luck = random.Random(11)
    retry = rl.Retry(retries, 0.1, jitter="none", budget=budget).bind(env, seed=1)
    attempts = successes = 0

    def attempt():
        nonlocal attempts
        attempts += 1
        yield env.timeout(0)
        if luck.random() < rate:
            raise rl.ServiceError("down")

    def client():
        nonlocal attempts, successes
        for number in range(calls + warm_up):
            if number == warm_up:
                attempts = successes = 0
            try:
                yield from retry.execute(attempt)
                successes += 1
            except rl.ServiceError:
                pass

    env.process(client())
    env.run()
    return attempts / calls, successes / calls


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "retries", "rate", "load", "success"),
    [
        (RetryBudget.aws(), 2, 0.1, 1.11, 0.999),
        (RetryBudget.aws(), 2, 0.3, 1.39, 0.973),
        (RetryBudget.aws(), 2, 0.5, 1.2, 0.6),
        (RetryBudget.aws(), 2, 0.8, 1.05, 0.21),
        (RetryBudget.grpc(), 3, 0.05, 1.0521, 0.99949),
        (RetryBudget.grpc(), 3, 0.12, 1.003, 0.88267),
        (RetryBudget.token_bucket(0.1, 5.0).replace(floor=1.0), 100, 0.05, 1.05239, 0.99977),
        (RetryBudget.token_bucket(0.1, 5.0).replace(floor=1.0), 100, 0.1, 1.09289, 0.98360),
    ],
)
def test_a_retry_budget_gives_the_load_and_success_of_its_exact_chain(budget, retries, rate, load, success):
    """Five standard deviations of the mean of so many calls, doubled for their correlation."""
    seen_load, seen_success = sequential_calls(budget, retries, rate, calls=20_000)
    assert seen_load == pytest.approx(load, abs=10 * math.sqrt(rate / 20_000))
    assert seen_success == pytest.approx(success, abs=0.001 + 10 * math.sqrt(success * (1 - success) / 20_000))


def test_a_total_outage_gets_as_many_retries_as_a_full_budget_pays_for_and_then_none():
    load, success = sequential_calls(RetryBudget.aws(), 2, 1.0, calls=1_000, warm_up=0)
    assert (round((load - 1) * 1_000), success) == (100, 0)


def rejected_share(limiter, rate, arrivals=60_000):
    """Return the share of Poisson arrivals that a limiter rejects."""
    env = simpy.Environment()
    live = limiter.bind(env)
    times = rl.Poisson(rate).arrivals(arrivals / rate, 5)

    def client():
        for time in times:
            yield env.timeout(time - env.now)
            live.reserve()

    env.process(client())
    env.run()
    return live.rejections / len(times)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limiter", "rate", "share"),
    [
        (rl.RateLimiter(1, burst=5), 0.8, 0.03529),
        (rl.RateLimiter(1, burst=1), 0.9, 0.47368),
        (rl.RateLimiter(1, burst=10), 1.2, 0.17091),
        (rl.RateLimiter(1, burst=10), 2.0, 0.5),
        (rl.RateLimiter(10, kind="cycle"), 8.0, 0.053233),
        (rl.RateLimiter(10, kind="cycle"), 15.0, 0.34246),
        (rl.RateLimiter(10, kind="sliding_log"), 8.0, 0.12166),
        (rl.RateLimiter(10, kind="sliding_log"), 15.0, 0.41034),
    ],
)
def test_a_rate_limiter_rejects_the_share_that_theory_gives(limiter, rate, share):
    """M/D/1/b loss, a truncated Poisson mean, and Erlang B; five standard deviations of such a run."""
    assert rejected_share(limiter, rate) == pytest.approx(share, abs=0.012)


def test_a_waiting_call_starts_when_its_permit_comes():
    env = simpy.Environment()
    live = rl.RateLimiter(2, period=1.0, kind="cycle", max_wait=1.5).bind(env)
    starts = []

    def work():
        starts.append(env.now)
        yield env.timeout(0)

    def caller():
        try:
            yield from live.execute(work)
        except rl.RateLimitedError:
            starts.append("rejected")

    for _ in range(5):
        env.process(caller())
    env.run()
    assert sorted(map(str, starts)) == ["0", "0", "1.0", "1.0", "rejected"]


@pytest.mark.parametrize("kind", ["cycle", "bursty", "smooth"])
def test_calls_that_wait_start_in_order_of_arrival_at_the_exact_instant(kind):
    """Whatever the sums of their times round to: calls of one cycle start together."""
    env = simpy.Environment(0.3)
    live = rl.RateLimiter(5, period=0.7, kind=kind, max_wait=math.inf).bind(env)
    luck, starts = random.Random(1), []

    def work(number):
        starts.append((number, env.now))
        yield env.timeout(0)

    def client():
        for number in range(200):
            yield env.timeout(luck.random() * 0.1)
            env.process(live.execute(work, number))

    env.process(client())
    env.run()
    assert [number for number, _ in starts] == list(range(200))
    begin, length = 0.3, (0.7 / 5 if kind == "smooth" else 0.7)
    waited = [start for number, start in starts if number >= 100]  # the backlog only grows
    assert waited == pytest.approx([begin + round((start - begin) / length) * length for start in waited], abs=1e-12)
    assert len(set(waited)) == len({round((start - begin) / length) for start in waited})


def call_often(throttle, work, seconds):
    """Send 200 calls a second through a throttle."""
    env = throttle.env

    def caller():
        try:
            yield from throttle.execute(work)
        except (rl.ThrottledError, rl.ServiceOverloadedError):
            pass

    def client():
        for time in rl.Poisson(200).arrivals(seconds, 3):
            yield env.timeout(time - env.now)
            env.process(caller())

    env.process(client())
    env.run()


def test_a_throttling_client_sends_a_multiple_of_what_is_accepted():
    """The identity sent = K accepted, behind a dependency that accepts 50 of 200 calls a second."""
    env = simpy.Environment()
    throttle = rl.AdaptiveThrottle(2.0, window=30.0).bind(env, seed=2)
    bucket = rl.RateLimiter(50, burst=5).bind(env)
    sent = accepted = 0

    def work():
        nonlocal sent, accepted
        sent += env.now > 60
        yield env.timeout(0)
        if bucket.reserve() is None:
            raise rl.ServiceOverloadedError("full")
        accepted += env.now > 60

    call_often(throttle, work, seconds=160)
    assert sent == pytest.approx(2.0 * accepted, rel=0.03)
    assert throttle.rejections > 0


def accepted_after_a_stop(throttle):
    """Return when calls are accepted, of 200 a second, by a dependency that rejects all for 15 s."""
    env, accepted = throttle.env, []

    def work():
        yield env.timeout(0)
        if env.now < 15:
            raise rl.ServiceOverloadedError("down")
        accepted.append(env.now)

    call_often(throttle, work, seconds=80)
    return np.array(accepted)


@pytest.mark.slow
@pytest.mark.parametrize(("multiplier", "growth"), [(2.0, 1.5936), (3.0, 2.8214)])
def test_a_throttle_comes_back_exponentially_at_a_pace_that_its_window_sets(multiplier, growth):
    """Where sent = K accepted, the rate grows as e^(g t / window) with g = K (1 - e^-g)."""
    assert growth == pytest.approx(multiplier * (1 - math.exp(-growth)), rel=1e-4)
    window, times = 10.0, []
    for seed in range(8):
        live = rl.AdaptiveThrottle(multiplier, window).bind(simpy.Environment(), seed=seed)
        accepted = accepted_after_a_stop(live)
        held = np.arange(1, len(accepted) + 1) - np.searchsorted(accepted, accepted - window, "right")
        few, many = (accepted[np.argmax(held >= count)] for count in (30, 300))
        times.append(many - few)
    assert np.mean(times) == pytest.approx(window / growth * math.log(10), rel=0.1)


def test_a_throttle_rejects_as_envoys_admission_control():
    """At most 80 %, by the power of 1 / aggression, and nothing below the rate that is told."""
    assert rl.AdaptiveThrottle.like("envoy").probability(100, 0) == 0.8
    assert rl.AdaptiveThrottle.like("envoy").probability(100, 76) == pytest.approx(20 / 101)
    assert rl.AdaptiveThrottle.like("envoy", aggression=2.0).probability(100, 76) == pytest.approx((20 / 101) ** 0.5)
    assert rl.AdaptiveThrottle.like("envoy", rps_threshold=5.0).probability(149, 0) == 0.0
    assert rl.AdaptiveThrottle.like("envoy", rps_threshold=5.0).probability(150, 0) == 0.8


def test_a_throttle_that_leaves_out_its_own_rejections_comes_back_sooner():
    """Envoy does not sample what it rejects: once the window has forgotten the failures, it rejects none."""
    back = {}
    for counts_rejections in (True, False):
        back[counts_rejections] = rejects_until(counts_rejections)
    assert 20.0 < back[False] <= 30.0
    assert back[True] > back[False] + 1.0


def rejects_until(counts_rejections):
    """Return when a throttle rejects for the last time after failures in the first 20 of 100 seconds."""
    env, rejected = simpy.Environment(), []
    throttle = rl.AdaptiveThrottle(20 / 19, 10.0, max_probability=0.8, counts_rejections=counts_rejections)
    live = throttle.bind(env, seed=1)

    def work():
        yield env.timeout(0)
        if env.now < 20:
            raise rl.ServiceError("down")

    def caller():
        try:
            yield from live.execute(work)
        except rl.ServiceError:
            pass
        except rl.ThrottledError:
            rejected.append(env.now)

    def client():
        while True:
            env.process(caller())
            yield env.timeout(0.01)

    env.process(client())
    env.run(100.0)
    return rejected[-1]


@pytest.mark.parametrize("around", [rl.Hedge(5.0), rl.Retry(1, initial_delay=0.5, jitter="none")])
def test_refusals_of_two_calls_of_one_request_are_drawn_apart(around):
    """A copy or a retry has luck of its own, not that of the first call again."""
    service = rl.Service(1, rl.Constant(0.01), failure_rate=0.8)
    throttle = rl.AdaptiveThrottle(multiplier=1.0, window=5.0, max_probability=0.5)
    scenario = rl.Scenario(rl.Steady(50), service, rl.ResiliencePolicy(around, throttle), duration=100.0)
    events = rl.simulate(scenario, seed=1).events
    refusals = events[events.source == "adaptive_throttle"].groupby("request_id").size()
    once, twice = (refusals == 1).sum(), (refusals == 2).sum()
    assert once > 0.7 * twice > 0


def test_cycles_count_from_the_limiters_creation():
    """As those of resilience4j, not at multiples of the clock."""
    env = simpy.Environment(0.7)
    live = rl.RateLimiter(1, 1.0, "cycle").bind(env)
    assert live.reserve() == 0.0
    env.run(1.5)
    assert live.reserve() is None
    env.run(1.7)
    assert live.reserve() == 0.0


def test_a_request_may_wait_longer_or_less_than_the_limiter_says():
    env = simpy.Environment()
    live = rl.RateLimiter(1, 1.0, "smooth", max_wait=1.0).bind(env)
    assert [live.reserve(), live.reserve(max_wait=0.5), live.reserve(), live.reserve()] == [0.0, None, 1.0, None]
    assert live.reserve(max_wait=2.0) == 2.0
    with pytest.raises(ValueError, match="max_wait must be >= 0, got -1"):
        live.reserve(max_wait=-1)


@pytest.mark.parametrize(
    ("kind", "given"), [("cycle", [2, 2, 5]), ("token_bucket", [2, 2, 5]), ("sliding_log", [2, 5, 5])]
)
def test_a_live_limiter_takes_another_rate(kind, given):
    """More permits come with the next cycle; those of a sliding log are there at once."""
    env = simpy.Environment()
    live = rl.RateLimiter(2, 1.0, kind).bind(env)

    def take():
        count = 0
        while live.reserve() is not None:
            count += 1
        return count

    taken = [take()]
    live.change(permits=5)
    taken.append(taken[0] + take())
    env.run(1.0)
    taken.append(take())
    assert taken == given
    with pytest.raises(ValueError, match="kind must stay"):
        live.change(kind="smooth")


def test_a_smooth_limiter_takes_another_rate_from_now_on():
    env = simpy.Environment()
    live = rl.RateLimiter(1, 1.0, "smooth", max_wait=9.0).bind(env)
    assert [live.reserve(), live.reserve()] == [0.0, 1.0]
    live.change(period=0.25)
    assert [live.reserve(), live.reserve()] == [0.5, 0.75]
