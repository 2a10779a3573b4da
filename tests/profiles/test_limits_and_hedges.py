"""Rate limiters and hedges like those of named libraries: their defaults, their words, and what they do."""

from __future__ import annotations

import math

import pytest
import simpy

import resilab as rl
from resilab.resilience.likeness import libraries

from .test_conformance import cases


@pytest.mark.parametrize(
    ("library", "options", "wanted"),
    [
        ("resilience4j", {}, rl.RateLimiter(50, 500e-9, "cycle", max_wait=5.0)),
        (
            "resilience4j",
            {"limit_for_period": 10, "limit_refresh_period": 1.0, "timeout_duration": 0.025},
            rl.RateLimiter(10, 1.0, "cycle", max_wait=0.025),
        ),
        ("polly", {"permit_limit": 100, "window": 60.0}, rl.RateLimiter(100, 60.0, "bursty")),
        (
            "failsafe",
            {"kind": "smooth", "max_executions": 100, "period": 1.0},
            rl.RateLimiter(100, 1.0, "smooth"),
        ),
        ("failsafe", {"max_rate": 0.01, "max_wait_time": 1.0}, rl.RateLimiter(1, 0.01, "smooth", max_wait=1.0)),
        (
            "failsafe",
            {"kind": "bursty", "max_executions": 10, "period": 1.0},
            rl.RateLimiter(10, 1.0, "bursty"),
        ),
        ("bucket4j", {"capacity": 10, "refill_period": 1.0}, rl.RateLimiter(10, 1.0, burst=10)),
        (
            "bucket4j",
            {"capacity": 100, "refill_tokens": 10, "refill_period": 1.0},
            rl.RateLimiter(10, 1.0, burst=100),
        ),
        ("envoy", {"max_tokens": 5, "fill_interval": 0.1}, rl.RateLimiter(1, 0.1, burst=5)),
    ],
)
def test_a_rate_limiter_like_that_of_a_library(library, options, wanted):
    assert rl.RateLimiter.like(library, **options) == wanted


@pytest.mark.parametrize(
    ("library", "options", "wanted"),
    [
        ("polly", {}, rl.Hedge(2.0)),
        ("polly", {"max_hedged_attempts": 3, "delay": 1.0, "handle": KeyError}, rl.Hedge(1.0, 3, "success", KeyError)),
        ("resilience4j", {"preconfigured_duration": 0.05}, rl.Hedge(0.05, 1, "completion")),
        ("failsafe", {"delay": 1.0, "max_hedges": 2}, rl.Hedge(1.0, 2, "completion")),
        ("grpc", {"max_attempts": 4}, rl.Hedge(0.0, 3, "success", ())),
        (
            "grpc",
            {"max_attempts": 9, "hedging_delay": 0.5, "non_fatal_status_codes": rl.ServiceError},
            rl.Hedge(0.5, 4, "success", rl.ServiceError),
        ),
    ],
)
def test_a_hedge_like_that_of_a_library(library, options, wanted):
    assert rl.Hedge.like(library, **options) == wanted


def observed(kind, pattern):
    """Return the observed cases of libraries that have a profile."""
    return [case for case in cases(kind) if case.values[0]["library"] in libraries(pattern)]


@pytest.mark.parametrize("case", observed("rate_limiter", "rate_limiter"))
def test_the_observed_rate_limiters_are_those_of_the_profiles(case):
    assert rl.RateLimiter.like(case["library"], **case["settings"]) == rl.RateLimiter(**case["settings"])


@pytest.mark.parametrize("case", observed("hedging", "hedge"))
def test_the_observed_hedges_are_those_of_the_profiles(case):
    assert rl.Hedge.like(case["library"], **case["settings"]) == rl.Hedge(**case["settings"])


def test_the_defaults_of_resilience4j_limit_nothing():
    """50 calls in each 500 ns: a thousand calls at one instant are through within 10 microseconds."""
    env = simpy.Environment(1000.0)
    live, starts = rl.RateLimiter.like("resilience4j").bind(env), []

    def work():
        starts.append(env.now)
        yield env.timeout(0)

    for _ in range(1000):
        env.process(live.execute(work))
    env.run()
    assert len(starts) == 1000
    assert 9e-6 < starts[-1] - 1000.0 < 10e-6


def test_windows_of_dot_net_begin_with_the_limiter_and_let_nobody_wait():
    env = simpy.Environment(0.3)
    live = rl.RateLimiter.like("polly", permit_limit=2, window=1.0).bind(env)
    seen = []
    for at in (0.3, 0.9, 1.2, 1.35, 2.25):
        env.run(at) if at > env.now else None
        seen.append(live.reserve())
    assert seen == [0.0, 0.0, None, 0.0, 0.0]


def play(hedge, outcomes):
    """Return what the caller gets, when, and how many copies were sent; *outcomes* by copy: seconds and error."""
    env, sent = simpy.Environment(), []

    def copy():
        number = len(sent)
        sent.append(env.now)
        seconds, error = outcomes[number]
        yield env.timeout(seconds)
        if error is not None:
            raise error
        return number

    def caller():
        try:
            return (yield from hedge.bind(env).execute(copy)), env.now, len(sent)
        except rl.ServiceError as error:
            return error, env.now, len(sent)

    return env.run(env.process(caller()))


def test_in_failsafe_and_resilience4j_the_first_copy_to_end_wins_even_with_an_error():
    down = rl.ServiceError("down")
    for hedge in (
        rl.Hedge.like("failsafe", delay=0.5),
        rl.Hedge.like("resilience4j", preconfigured_duration=0.5),
    ):
        assert play(hedge, [(2.0, None), (0.25, down)]) == (down, 0.75, 2)


def test_in_polly_a_failure_sends_the_next_copy_at_once():
    assert play(rl.Hedge.like("polly"), [(0.5, rl.ServiceError("down")), (0.25, None)]) == (1, 0.75, 2)


def test_in_grpc_a_status_that_is_not_declared_harmless_ends_the_call():
    down = rl.ServiceError("down")
    hedge = rl.Hedge.like("grpc", max_attempts=3, hedging_delay=1.0)
    assert play(hedge, [(0.5, down)]) == (down, 0.5, 1)
    harmless = rl.Hedge.like("grpc", max_attempts=3, hedging_delay=1.0, non_fatal_status_codes=rl.ServiceError)
    assert play(harmless, [(0.5, down), (0.25, None)]) == (1, 0.75, 2)


@pytest.mark.parametrize(
    ("like", "options", "error", "words"),
    [
        (rl.RateLimiter.like, {"library": "guava"}, ValueError, "library must be one of"),
        (rl.RateLimiter.like, {"library": "polly"}, TypeError, "permit_limit must be given"),
        (rl.RateLimiter.like, {"library": "envoy", "max_tokens": 5}, TypeError, "fill_interval must be given"),
        (rl.RateLimiter.like, {"library": "failsafe", "max_executions": 5}, TypeError, "kind must be given"),
        (
            rl.RateLimiter.like,
            {"library": "failsafe", "max_rate": 0.1, "kind": "bursty"},
            ValueError,
            "kind must be one of 'smooth', got 'bursty'",
        ),
        (
            rl.RateLimiter.like,
            {"library": "polly", "permit_limit": 5, "window": 1.0, "queue_limit": 3},
            ValueError,
            "queue_limit must be 0, got 3",
        ),
        (
            rl.RateLimiter.like,
            {"library": "resilience4j", "timeout": 5.0},
            TypeError,
            "timeout must be an option of resilience4j",
        ),
        (rl.Hedge.like, {"library": "envoy"}, ValueError, "library must be one of"),
        (rl.Hedge.like, {"library": "resilience4j"}, TypeError, "preconfigured_duration must be given"),
        (rl.Hedge.like, {"library": "grpc", "max_attempts": 1}, ValueError, "max_attempts must be >= 2, got 1"),
        (rl.Hedge.like, {"library": "polly", "delay": -1.0}, ValueError, "delay must be >= 0"),
    ],
)
def test_what_a_library_does_not_know_is_refused(like, options, error, words):
    with pytest.raises(error, match=words):
        like(**options)


def test_an_endless_delay_sends_copies_after_failures_only():
    """Polly's infinite delay."""
    hedge = rl.Hedge.like("polly", delay=math.inf, max_hedged_attempts=2)
    assert play(hedge, [(9.0, None)]) == (0, 9.0, 1)
