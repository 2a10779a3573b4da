"""What a user meets first: names, hints and warnings, and interrupts that work of one's own must let pass."""

from __future__ import annotations

import warnings

import pytest
import simpy

import resilab as rl
from resilab.errors import Cancellation


def test_execute_on_a_value_says_that_it_has_to_be_bound():
    with pytest.raises(AttributeError, match=r"has no attribute 'execute': bind it first, as in Retry\(...\).bind"):
        _ = rl.Retry().execute
    with pytest.raises(AttributeError, match="has no attribute 'sate'$"):
        _ = rl.CircuitBreaker().sate


def test_a_live_policy_that_is_called_says_how_a_call_is_made():
    with pytest.raises(TypeError, match="yield from policy.execute"):
        rl.Retry().bind(simpy.Environment())(lambda: None)


def test_yield_instead_of_yield_from_is_told():
    """In work that resilab runs; a process of SimPy's own says "Invalid yield value"."""
    env = simpy.Environment()
    retry = rl.Retry().bind(env)

    def answer():
        yield env.timeout(1)

    def work():
        yield retry.execute(answer)

    with pytest.raises(TypeError, match="must yield SimPy events, got <generator.*write `yield from`"):
        env.run(env.process(rl.Timeout(1.0, cancel=False).bind(env).execute(work)))


def test_a_list_of_steps_is_told_to_be_given_one_by_one():
    with pytest.raises(TypeError, match=r"one by one, as in Saga\(\*steps\), got a list$"):
        rl.saga.Saga([rl.saga.SagaStep])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda seconds: rl.Timeout(seconds), "seconds"),
        (lambda seconds: rl.Retry(initial_delay=seconds, max_delay=1e9), "initial_delay"),
        (lambda seconds: rl.CircuitBreaker(timeout=seconds), "timeout"),
    ],
)
def test_a_time_that_looks_like_milliseconds_is_warned_of_at_the_users_line(make, name):
    with pytest.warns(UserWarning, match=f"{name} is in seconds, and 5000 looks like milliseconds: 5 s") as record:
        make(5000)
    assert record[0].filename == __file__


def test_a_copy_that_looks_like_milliseconds_is_warned_of_at_the_users_line():
    limit = rl.Timeout(1.0)
    with pytest.warns(UserWarning, match="looks like milliseconds: 2.5 s") as record:
        limit.replace(seconds=2500)
    assert record[0].filename == __file__


@pytest.mark.parametrize("seconds", [0.5, 30, 60, 600, 900, 1200, 1800, 3600, 7200, 86400, float("inf")])
def test_times_in_seconds_are_not_warned_of(seconds):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rl.Timeout(seconds)


def test_a_first_delay_above_the_longest_is_warned_of():
    with pytest.warns(UserWarning, match="initial_delay of 60.0 is above max_delay of 30.0") as record:
        rl.Retry(initial_delay=60.0)
    assert record[0].filename == __file__


# Interrupts


def repair(env, lets_pass):
    """Work as one writes it for preemption: what interrupts it is waited for, and then it goes on."""
    left = 8.0
    while left > 0:
        begin = env.now
        try:
            yield env.timeout(left)
            return "done"
        except simpy.Interrupt as signal:
            if lets_pass and isinstance(signal.cause, Cancellation):
                raise
            left -= env.now - begin


@pytest.mark.parametrize(("lets_pass", "end"), [(True, 5.0), (False, 8.0)])
@pytest.mark.parametrize("limit", [rl.Timeout(5.0), rl.Deadline(5.0)], ids=["timeout", "deadline"])
def test_a_time_limit_counts_although_the_work_goes_on_after_its_interrupt(limit, lets_pass, end):
    env = simpy.Environment()
    live = limit.bind(env)

    def caller():
        with pytest.raises(rl.TimeoutExceededError):
            yield from live.execute(repair, env, lets_pass)
        return env.now

    assert env.run(env.process(caller())) == end
    assert live.timeouts == 1


def test_every_interrupt_of_a_policy_says_that_it_is_a_cancellation():
    causes = []

    def work():
        try:
            yield env.timeout(9.0)
        except simpy.Interrupt as signal:
            causes.append(signal.cause)
            raise

    def caller(policy):
        try:
            yield from policy.bind(env).execute(work)
        except rl.TimeoutExceededError:
            pass

    def fast_copy():
        copies.append(0)
        yield from work() if len(copies) == 1 else answer()

    def answer():
        yield env.timeout(0.5)

    copies = []
    env = simpy.Environment()
    env.process(caller(rl.Timeout(1.0)))
    env.process(caller(rl.ResiliencePolicy(rl.Timeout(1.0), rl.Hedge(0.25))))
    env.process(rl.Hedge(0.25).bind(env).execute(fast_copy))
    env.run()
    assert len(causes) == 4
    assert all(isinstance(cause, Cancellation) for cause in causes)
