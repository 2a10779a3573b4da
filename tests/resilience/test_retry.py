"""Retry: how often, after which delays, and of which errors."""

import math
import random
import tracemalloc

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab import engine


class Scripted:
    """A dependency that fails a given number of times, and when it was called."""

    def __init__(self, env, failures, error=rl.ServiceError):
        self.env, self.failures, self.error, self.calls = env, failures, error, []

    def __call__(self):
        self.calls.append(self.env.now)
        yield self.env.timeout(0)
        if len(self.calls) <= self.failures:
            raise self.error("scripted")
        return "answer"


def outcome_of(env, live, fn):
    seen = []

    def caller():
        try:
            seen.append((yield from live.execute(fn)))
        except Exception as error:
            seen.append(type(error))

    engine.start(env, caller())
    env.run()
    return seen[0]


@pytest.mark.parametrize("failures", range(6))
def test_max_retries_of_3_is_at_most_4_attempts(failures):
    env = simpy.Environment()
    service = Scripted(env, failures)
    outcome = outcome_of(env, rl.Retry(3, 1.0, jitter="none").bind(env), service)
    assert len(service.calls) == min(failures + 1, 4)
    assert outcome == ("answer" if failures <= 3 else rl.ServiceError)


def test_delays_grow_and_there_is_none_after_the_last_attempt():
    env = simpy.Environment()
    service = Scripted(env, 9)
    outcome_of(env, rl.Retry(3, 1.0, 30.0, 2.0, jitter="none").bind(env), service)
    assert service.calls == [0, 1, 3, 7]
    assert env.now == 7


@pytest.mark.parametrize(
    ("jitter", "low", "high"),
    [
        ("none", [0.1, 0.2, 0.4, 0.8, 1.6, 2.0], [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]),
        ("reference", [0.1, 0.2, 0.4, 0.8, 1.6, 2.0], [0.11, 0.22, 0.44, 0.88, 1.76, 2.0]),
        ("full", [0, 0, 0, 0, 0, 0], [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]),
        ("equal", [0.05, 0.1, 0.2, 0.4, 0.8, 1.0], [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]),
    ],
)
def test_the_range_of_each_jitter(jitter, low, high):
    """The draws 0 and 1 give its ends; the reference's cap lies outside its jitter."""
    retry = rl.Retry(9, 0.1, 2.0, 2.0, jitter=jitter)
    assert [retry.delay(k, 0.0) for k in range(6)] == pytest.approx(low)
    assert [retry.delay(k, 1.0) for k in range(6)] == pytest.approx(high)


def test_decorrelated_jitter_depends_on_the_last_delay_of_the_same_call():
    """s = min(cap, U(base, 3 s)), at first from the base."""
    retry = rl.Retry(9, 0.1, 2.0, jitter="decorrelated")
    assert retry.delay(0, 0.5) == pytest.approx(0.2)
    assert retry.delay(1, 0.5, previous=0.2) == pytest.approx(0.35)
    assert retry.delay(5, 1.0, previous=1.5) == 2.0
    env = simpy.Environment()
    random.seed(1)
    live = retry.replace(max_retries=3).bind(env)
    first, second = Scripted(env, 9), Scripted(env, 9)
    outcome_of(env, live, first)
    begin = env.now
    outcome_of(env, live, second)
    assert second.calls[1] - begin <= 0.3  # begins again from the base


@pytest.mark.parametrize(
    ("jitter", "mean", "deviation"),
    [("reference", 0.42, 0.011547), ("full", 0.2, 0.11547), ("equal", 0.3, 0.057735)],
)
def test_the_law_of_the_delays(jitter, mean, deviation):
    """Mean and standard deviation before the third retry of base 0.1 s, from the formulas."""
    generator = random.Random(1)
    retry = rl.Retry(9, 0.1, 2.0, 2.0, jitter=jitter)
    delays = [retry.delay(2, generator.random()) for _ in range(20_000)]
    sample = sum(delays) / len(delays)
    spread = math.sqrt(sum((d - sample) ** 2 for d in delays) / len(delays))
    assert abs(sample - mean) < 4.5 * deviation / math.sqrt(len(delays))
    assert spread == pytest.approx(deviation, rel=0.02)


def test_a_callable_jitter_gets_the_index_of_the_attempt_and_a_draw():
    retry = rl.Retry(3, jitter=lambda attempt, draw: attempt + draw)
    assert retry.delay(2, 0.25) == 2.25


def test_a_callable_jitter_that_returns_nonsense_is_named():
    """When it is given, if the first attempt shows it: inside a run it would look like a failed call."""
    with pytest.raises(ValueError, match="seconds returned by jitter must be >= 0, got -1"):
        rl.Retry(3, jitter=lambda attempt, draw: -1)
    with pytest.raises(ValueError, match="delay returned by the function must be >= 0, got -1"):
        rl.Retry(3, jitter=lambda attempt, draw: -attempt).delay(1)


def test_delays_do_not_overflow():
    assert rl.Retry(None, 1.0, 30.0, 10.0, jitter="none").delay(5000) == 30.0


@pytest.mark.parametrize(
    "errors", [rl.TimeoutExceededError, (rl.TimeoutExceededError, KeyError), lambda e: isinstance(e, KeyError)]
)
def test_other_errors_are_not_retried(errors):
    env = simpy.Environment()
    service = Scripted(env, 1)
    assert outcome_of(env, rl.Retry(3, 1.0, retryable_errors=errors).bind(env), service) is rl.ServiceError
    assert len(service.calls) == 1


def test_an_open_breaker_is_retried_like_any_other_error_unless_the_filter_says_otherwise():
    for errors, calls in ((None, 3), (rl.ServiceError, 1)):
        env = simpy.Environment()
        service = Scripted(env, 99, rl.CircuitOpenError)
        outcome_of(env, rl.Retry(2, 1.0, retryable_errors=errors).bind(env), service)
        assert len(service.calls) == calls


def test_concurrent_calls_do_not_share_their_backoff():
    env = simpy.Environment()
    live = rl.Retry(3, 1.0, jitter="none").bind(env)
    services = [Scripted(env, 2), Scripted(env, 2)]

    def caller(start, service):
        yield env.timeout(start)
        yield from live.execute(service)

    for start, service in zip((0, 1.5), services, strict=True):
        env.process(caller(start, service))
    env.run()
    assert [service.calls for service in services] == [[0, 1, 3], [1.5, 2.5, 4.5]]


def test_a_cancelled_call_is_not_retried():
    env = simpy.Environment()
    calls = []

    def work():
        calls.append(env.now)
        yield env.timeout(5)

    live = rl.Retry(3, 1.0, retryable_errors=Exception).bind(env)
    process = engine.start(env, live.execute(work))
    process.defused = True

    def killer():
        yield env.timeout(1)
        process.interrupt()

    env.process(killer())
    env.run()
    assert calls == [0]


@pytest.mark.slow
def test_a_retry_without_end_at_a_failure_without_end_is_reported():
    """It does not hang, though no time limit and no horizon is there."""
    env = simpy.Environment()
    live = rl.Retry(None, 1e-9, 1e-9, jitter="none").bind(env)
    assert outcome_of(env, live, Scripted(env, math.inf)) is rl.UnfinishedRunError


def test_with_a_seed_the_delays_repeat_and_without_they_follow_the_random_module():
    def calls(**options):
        env = simpy.Environment()
        service = Scripted(env, 3)
        outcome_of(env, rl.Retry(3, 1.0, jitter="full").bind(env, **options), service)
        return service.calls

    assert calls(seed=3) == calls(seed=3) != calls(seed=4)
    random.seed(1)
    first = calls()
    assert first != calls()
    random.seed(1)
    assert first == calls()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_retries": -1}, "max_retries must be >= 0, got -1"),
        ({"initial_delay": math.inf}, "initial_delay must be finite"),
        ({"backoff_multiplier": 0.5}, "backoff_multiplier must be >= 1, got 0.5"),
        ({"jitter": "half"}, "jitter must be one of"),
        ({"retryable_errors": "all"}, "retryable_errors must be"),
        ({"max_retries": None, "initial_delay": 0}, "initial_delay with max_retries=None must be > 0, got 0"),
    ],
)
def test_impossible_retries_are_refused(fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        rl.Retry(**fields)


# Near the end of the time for a call, ignored errors, shortest delays, retries without end


def starts_of(retry, outcome=None, lasts=0.0):
    """Return when each attempt of one call starts; all fail."""
    env, starts = simpy.Environment(), []

    def work():
        starts.append(env.now)
        yield env.timeout(lasts)
        raise outcome or rl.ServiceError("down")

    def caller():
        try:
            yield from retry.bind(env, seed=1).execute(work)
        except (rl.ServiceError, KeyError):
            pass

    env.process(caller())
    env.run()
    return starts


@pytest.mark.parametrize(("rule", "starts"), [("wait", [0, 0.61, 1.22]), ("cut", [0, 0.61, 1.0]), ("stop", [0, 0.61])])
def test_a_delay_that_would_pass_the_longest_duration_is_waited_cut_or_not_begun(rule, starts):
    """Failsafe cuts it to what is left, tenacity's stop_before_delay does not begin it."""
    retry = rl.Retry(9, backoff=rl.Backoff("constant", 0.61), max_duration=1.0, near_max_duration=rule)
    assert starts_of(retry) == pytest.approx(starts)


def test_ignored_errors_are_not_retried_although_their_class_is():
    retry = rl.Retry(3, jitter="none", retryable_errors=Exception, ignored_errors=KeyError)
    assert len(starts_of(retry)) == 4
    assert len(starts_of(retry, KeyError("no such thing"))) == 1


def test_a_backoff_waits_at_least_its_shortest_delay():
    """tenacity's wait_exponential(min=); Spring's @Retryable is never below its delay."""
    law = rl.Backoff("exponential", 1.0, 2.0, min_delay=3.0, max_delay=10.0)
    assert law.delays_of(5) == [3.0, 3.0, 4.0, 8.0, 10.0]
    assert rl.Backoff("constant", 1.0, jitter="full", min_delay=0.5).delays_of(2, [0.1, 0.9]) == [0.5, 0.9]


def test_a_given_delay_can_have_the_jitter_too():
    """Failsafe draws around a computed delay as around any other."""
    law = rl.Backoff("constant", 1.0, jitter="plus", amount=1.0)
    for jitter_given, low, high in ((False, 5.0, 5.0), (True, 5.0, 10.0)):
        retry = rl.Retry(200, backoff=law, delay_from=lambda number, error: 5.0, jitter_given=jitter_given)
        delays = np.diff(starts_of(retry))
        assert low <= delays.min() <= delays.max() <= high
        assert (len(set(delays.round(6))) > 1) is jitter_given


@pytest.mark.slow
@pytest.mark.parametrize("max_retries", [None, 10**9])
def test_retries_without_end_say_what_to_do_and_take_no_memory(max_retries):
    retry = rl.Retry(max_retries, backoff=rl.Backoff("constant", 0.1, jitter="full"))
    env = simpy.Environment()
    live = retry.bind(env, seed=1)

    def work():
        yield env.timeout(0)
        raise rl.ServiceError("down")

    tracemalloc.start()
    with pytest.raises(rl.UnfinishedRunError, match="has tried 100000 times.*max_duration"):
        env.run(env.process(live.execute(work)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
