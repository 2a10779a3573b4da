"""What further libraries do, in their own words: defaults, measured behaviour, and what they open at."""

from __future__ import annotations

import importlib
import math
import random

import pytest
import simpy

import resilab as rl
from resilab import CircuitBreaker, CircuitState, Retry
from resilab.resilience.likeness import libraries

DOWN = rl.ServiceError("down")


def attempts_of(retry, calls, failure=lambda number: True):
    """Return the starts of all attempts of calls one after the other; the *n*-th attempt fails if told."""
    env, starts = simpy.Environment(), []
    live = retry.bind(env, seed=1)

    def work():
        starts.append(env.now)
        yield env.timeout(0)
        if failure(len(starts)):
            raise DOWN

    def client():
        for _ in range(calls):
            try:
                yield from live.execute(work)
            except rl.ServiceError:
                pass

    env.process(client())
    env.run()
    return starts


def opened_after(breaker, outcomes, every=0.01):
    """Return after how many of the calls that end as told a breaker was open; None if it was not."""
    env = simpy.Environment()
    live = breaker.bind(env)
    for number, outcome in enumerate(outcomes, start=1):
        env.run(env.now + every)
        live.record_success() if outcome == "ok" else live.record_error(DOWN)
        if live.state is CircuitState.OPEN:
            return number
    return None


# Envoy and Istio


def test_envoys_back_offs_are_drawn_up_to_bounds_that_double():
    """Measured on Envoy 1.40: 0 to 25, 0 to 50, 0 to 100 ms, and at most ten times the base."""
    law = Retry.like("envoy").backoff
    assert law.delays_of(6, [1.0]) == pytest.approx([0.025, 0.05, 0.1, 0.2, 0.25, 0.25])
    assert law.delays_of(3, [0.0]) == [0, 0, 0]


def test_envoy_makes_as_many_attempts_as_measured():
    """20 calls one after the other, all 503, num_retries 3: 80 attempts."""
    assert len(attempts_of(Retry.like("envoy", num_retries=3), 20)) == 80


def test_what_overflows_in_envoy_is_not_retried():
    env = simpy.Environment()
    live = rl.ResiliencePolicy.like("envoy", max_requests=1, num_retries=3).bind(env)

    def work():
        yield env.timeout(1)

    def caller():
        with pytest.raises(rl.BulkheadFullError):
            yield from live.execute(work)

    env.process(live.execute(work))
    env.process(caller())
    env.run()
    assert live.parts[1].retries == 0


def test_a_route_of_envoy_is_a_time_limit_around_retries_around_requests():
    policy = rl.ResiliencePolicy.like("envoy", per_try_timeout=0.5, num_retries=2)
    assert [type(part).__name__ for part in policy] == ["Timeout", "Retry", "Bulkhead", "Timeout"]
    assert (policy.policies[0].seconds, policy.policies[3].seconds) == (15.0, 0.5)


def test_istio_sets_envoys_fields_with_defaults_of_its_own():
    """Two retries, no limit of requests and of retries, unless a budget is told."""
    assert (Retry.like("envoy").max_retries, Retry.like("istio").max_retries) == (1, 2)
    assert Retry.like("istio").budget is None
    assert Retry.like("istio", percent=20).budget == rl.RetryBudget.envoy(20, 3)
    assert rl.Bulkhead.like("istio").max_concurrent == 2**32 - 1
    assert rl.Bulkhead.like("envoy") == rl.Bulkhead(1024, max_queue=0)


# gRPC


def grpc(**options):
    return Retry.like("grpc", initial_backoff=0.1, max_backoff=0.1, backoff_multiplier=2.0, **options)


def test_grpc_throttles_retries_as_measured():
    """grpcio 1.85: ten calls that all fail make 13 attempts with 10 tokens, and 40 without throttling."""
    assert len(attempts_of(grpc(max_attempts=4, max_tokens=10, token_ratio=0.1), 10)) == 13
    assert len(attempts_of(grpc(max_attempts=4), 10)) == 40


def test_grpc_draws_a_fifth_around_its_back_off_and_makes_at_most_five_attempts():
    law = grpc(max_attempts=4).backoff
    assert law.delays_of(3, [0.0]) == pytest.approx([0.08] * 3)
    assert law.delays_of(3, [1.0]) == pytest.approx([0.12] * 3)
    assert grpc(max_attempts=9).max_retries == 4
    with pytest.raises(TypeError, match="max_backoff must be given"):
        Retry.like("grpc", max_attempts=3, initial_backoff=0.1, backoff_multiplier=2.0)


# AWS


def test_the_rules_of_aws_before_and_since_november_2026():
    old, new = Retry.like("aws_2025"), Retry.like("aws_2026")
    assert old.backoff.delays_of(3, [1.0]) == [1.0, 2.0, 4.0]
    assert new.backoff.delays_of(3, [1.0]) == pytest.approx([0.05, 0.1, 0.2])
    assert old.max_retries == new.max_retries == 2
    assert len(attempts_of(new, 50)) == 50 + 35
    assert len(attempts_of(old, 80)) == 80 + 100


# Breakers


def test_hystrix_opens_at_half_of_twenty_calls():
    breaker = CircuitBreaker.like("hystrix")
    assert opened_after(breaker, ["ok", "fail"] * 20) == 20
    assert opened_after(breaker, ["fail"] * 19) is None
    assert (breaker.timeout, breaker.half_open_max_calls, rl.Timeout.like("hystrix").seconds) == (5.0, 1, 1.0)
    assert rl.Bulkhead.like("hystrix") == rl.Bulkhead(10, max_queue=0)
    assert rl.Bulkhead.like("hystrix", max_queue_size=100) == rl.Bulkhead(10, max_queue=5)


def test_opossum_opens_above_half_not_at_it():
    breaker = CircuitBreaker.like("opossum")
    assert opened_after(breaker, ["ok", "fail"] * 20) is None
    assert opened_after(breaker, ["ok", "fail", "fail"]) == 3
    assert opened_after(CircuitBreaker.like("opossum", volume_threshold=5), ["fail"] * 9) == 5
    assert rl.Timeout.like("opossum") == rl.Timeout(10.0, cancel=False)


def test_gobreaker_opens_at_more_than_five_in_a_row():
    breaker = CircuitBreaker.like("gobreaker")
    assert opened_after(breaker, ["fail"] * 5 + ["ok"] + ["fail"] * 5) is None
    assert opened_after(breaker, ["fail"] * 9) == 6


def test_linkerds_penalty_doubles_and_is_drawn_up_to_half_as_long_again():
    breaker = CircuitBreaker.like("linkerd")
    assert opened_after(breaker, ["fail"] * 9) == 7
    times = [breaker.opening.seconds(breaker.timeout, number, draw=draw) for number in (1, 2, 9) for draw in (0.0, 1.0)]
    assert times == pytest.approx([1.0, 1.5, 2.0, 3.0, 90.0, 90.0])
    assert Retry.like("linkerd").budget == rl.RetryBudget.linkerd()


def test_resilience4j_draws_and_grows_its_wait():
    options = {"enable_exponential_backoff": True, "exponential_max_wait_duration_in_open_state": 200.0}
    breaker = CircuitBreaker.like("resilience4j", **options, enable_randomized_wait=True)
    assert breaker.opening.seconds(breaker.timeout, 2, draw=1.0) == pytest.approx(60 * 1.5 * 1.5)
    assert breaker.opening.seconds(breaker.timeout, 9) == 200.0
    assert CircuitBreaker.like("resilience4j").opening.seconds(60.0, 5, draw=1.0) == 60.0


# The table of false trips that was measured on resilience4j 2.3.0, 2,000 runs of 1,000 calls each

FALSE_TRIPS = {
    (0.3, 10): 0.201,
    (0.3, 20): 0.075,
    (0.3, 100): 0.003,
    (0.4, 10): 0.860,
    (0.4, 20): 0.802,
    (0.4, 100): 0.700,
}


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "fewest"), FALSE_TRIPS)
def test_a_healthy_dependency_trips_the_breaker_of_resilience4j_as_often_as_measured(rate, fewest):
    """The window is 100 calls and the threshold 50 %; the difference of 2,000 and 600 runs is within 3.5 sigma."""
    runs, measured = 600, FALSE_TRIPS[rate, fewest]
    breaker = CircuitBreaker.like("resilience4j", minimum_number_of_calls=fewest)
    trips = sum(trips_within(breaker, rate, 1000, seed) for seed in range(runs))
    pooled = (trips + 2000 * measured) / (runs + 2000)
    sigma = math.sqrt(pooled * (1 - pooled) * (1 / runs + 1 / 2000))
    assert abs(trips / runs - measured) < 3.5 * sigma


def trips_within(breaker, rate, calls, seed):
    """Return whether calls that fail by chance open a breaker."""
    generator = random.Random(seed)
    live = breaker.bind(simpy.Environment())
    for _ in range(calls):
        live.record_failure() if generator.random() < rate else live.record_success()
        if live.state is CircuitState.OPEN:
            return True
    return False


# Spring, Microsoft, and what they put around each other


def test_retryable_of_spring_counts_retries_and_draws_never_below_its_delay():
    retry = Retry.like("spring")
    assert (retry.max_retries, retry.backoff.delays_of(3)) == (3, [1.0, 1.0, 1.0])
    law = Retry.like("spring", delay=0.1, jitter=0.05, multiplier=2.0, max_delay=0.3).backoff
    assert law.delays_of(3, [0.0]) == pytest.approx([0.1, 0.1, 0.15])
    assert law.delays_of(3, [1.0]) == pytest.approx([0.15, 0.3, 0.3])
    assert rl.Bulkhead.like("spring", limit=3) == rl.Bulkhead(3)


def test_spring_cloud_adds_a_time_limit_inside_the_breaker():
    breaker, limit = rl.ResiliencePolicy.like("spring_cloud", sliding_window_size=20)
    assert (limit.seconds, breaker.window.size) == (1.0, 20)


def test_the_standard_handler_of_microsoft_is_five_strategies_in_a_fixed_order():
    limiter, total, retry, breaker, attempt = rl.ResiliencePolicy.like("microsoft", attempt_timeout=5.0)
    assert (limiter.max_concurrent, total.seconds, attempt.seconds) == (1000, 30.0, 5.0)
    assert (retry.max_retries, retry.backoff.kind, retry.backoff.initial_delay) == (3, "smooth", 2.0)
    assert breaker == CircuitBreaker.like("polly")


def test_further_patterns_of_known_libraries():
    assert rl.RateLimiter.like("hyx", max_executions=10, time_period=1.0) == rl.RateLimiter(10, 1.0)
    average = rl.Hedge.like("resilience4j", preconfigured_duration=0.2, average_plus_percentage=50).delay
    assert average(1, ()) == pytest.approx(0.3)
    assert average(1, [1.0, 3.0]) == 3.0
    assert rl.Hedge.like("polly", delay_generator=lambda number, durations: 0.5 * number).delay(2, ()) == 1.0
    assert rl.Timeout.like("polly", timeout_generator=lambda now: 2.0).seconds(0.0) == 2.0


@pytest.mark.parametrize("library", libraries("retry") + libraries("circuit_breaker"))
def test_every_profile_says_its_version_or_source_and_what_it_leaves_out(library):
    text = importlib.import_module(f"resilab.profiles.{library}").__doc__
    if library != "polly_v8":
        assert "Source:" in text
        assert "Left out" in text or library == "aws"
