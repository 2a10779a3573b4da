"""Timeout: what the caller sees, what happens to the work, and ties."""

import math

import pytest
import simpy

import resilab as rl
from resilab import engine

SPAWN = pytest.mark.parametrize("spawn", [engine.start, lambda env, steps: env.process(steps)], ids=["task", "process"])


@pytest.fixture
def env():
    return simpy.Environment()


def outcome_of(env, spawn, live, fn, *args):
    """Run one call and return (outcome or error class, time of its end)."""
    seen = []

    def caller():
        try:
            value = yield from live.execute(fn, *args)
        except Exception as error:
            seen.append((type(error), env.now))
        else:
            seen.append((value, env.now))

    spawn(env, caller())
    env.run()
    return seen[0]


def answer(env, seconds, value="answer"):
    yield env.timeout(seconds)
    return value


@SPAWN
@pytest.mark.parametrize("cancel", [True, False])
def test_a_call_within_the_limit_returns_its_value(env, spawn, cancel):
    live = rl.Timeout(1.0, cancel=cancel).bind(env)
    assert outcome_of(env, spawn, live, answer, env, 0.4) == ("answer", 0.4)


@SPAWN
@pytest.mark.parametrize("cancel", [True, False])
def test_a_call_over_the_limit_times_out_at_the_limit(env, spawn, cancel):
    live = rl.Timeout(1.0, cancel=cancel).bind(env)
    assert outcome_of(env, spawn, live, answer, env, 1.5) == (rl.TimeoutExceededError, 1.0)
    assert live.timeouts == 1


@SPAWN
@pytest.mark.parametrize("cancel", [True, False])
def test_a_response_at_exactly_the_limit_is_a_success(env, spawn, cancel):
    """Also when the limit was set before the response was scheduled, and after."""
    live = rl.Timeout(1.0, cancel=cancel).bind(env)
    assert outcome_of(env, spawn, live, answer, env, 1.0) == ("answer", 1.0)

    def nested():
        return (yield env.process(answer(env, 1.0)))

    assert outcome_of(env, spawn, live, nested)[0] == "answer"
    assert live.timeouts == 0


@SPAWN
def test_cancelling_stops_the_work_and_the_race_lets_it_run_on(env, spawn):
    """The reference's Promise.race leaves the work running; with cancel it is interrupted."""
    ended = []

    def work():
        try:
            yield env.timeout(5)
            ended.append(("finished", env.now))
        except simpy.Interrupt:
            ended.append(("cancelled", env.now))
            raise

    outcome_of(env, spawn, rl.Timeout(1.0).bind(env), work)
    later = env.now
    outcome_of(env, spawn, rl.Timeout(1.0, cancel=False).bind(env), work)
    assert ended == [("cancelled", 1.0), ("finished", later + 5)]


@SPAWN
def test_of_nested_limits_the_one_that_passed_is_named(env, spawn):
    """An inner limit of another length does not take the outer's interrupt for its own."""
    policy = rl.ResiliencePolicy(rl.Timeout(2.0), rl.Timeout(5.0)).bind(env)
    assert outcome_of(env, spawn, policy, answer, env, 9) == (rl.TimeoutExceededError, 2.0)
    assert [part.timeouts for part in policy.parts] == [1, 0]


@SPAWN
def test_of_limits_that_pass_at_one_instant_the_outermost_counts(env, spawn):
    """0.5 s outside a retry of 0.1 s limits: four inner time-outs, the fifth attempt is cut by the outer."""
    policy = rl.ResiliencePolicy(rl.Timeout(0.5), rl.Retry(10, 0.0), rl.Timeout(0.1)).bind(env)
    assert outcome_of(env, spawn, policy, answer, env, 0.15) == (rl.TimeoutExceededError, 0.5)
    outer, _, inner = policy.parts
    assert (outer.timeouts, inner.timeouts) == (1, 4)


@SPAWN
def test_an_outer_limit_cuts_the_backoff(env, spawn):
    def fails():
        yield env.timeout(0)
        raise rl.ServiceError

    policy = rl.ResiliencePolicy(rl.Timeout(0.1), rl.Retry(2, 1.0)).bind(env)
    assert outcome_of(env, spawn, policy, fails) == (rl.TimeoutExceededError, 0.1)


@SPAWN
@pytest.mark.parametrize("cancel", [True, False])
def test_a_cancelled_caller_takes_the_work_with_it(env, spawn, cancel):
    """Whoever spawned a child forwards the interrupt; the call ends cancelled, not timed out."""
    seen = []

    def work():
        try:
            yield env.timeout(5)
        finally:
            seen.append(("work", env.now))

    live = rl.Timeout(3.0, cancel=cancel).bind(env)

    def caller():
        try:
            yield from live.execute(work)
        except simpy.Interrupt as signal:
            seen.append((signal.cause, env.now))

    process = spawn(env, caller())

    def killer():
        yield env.timeout(1)
        process.interrupt("shutdown")

    env.process(killer())
    env.run()
    assert sorted(seen) == [("shutdown", 1), ("work", 1)]
    assert live.timeouts == 0


def test_abandoned_work_that_fails_later_does_not_end_the_run(env):
    def fails_late():
        yield env.timeout(3)
        raise KeyError("late")

    live = rl.Timeout(1.0, cancel=False).bind(env)
    assert outcome_of(env, engine.start, live, fails_late)[0] is rl.TimeoutExceededError
    assert env.now == 3


def test_abandoned_work_keeps_its_permit_until_it_ends(env):
    """Timeout(Bulkhead(call)) as a race: the permit is held by the work, not by the caller."""
    policy = rl.ResiliencePolicy(rl.Timeout(1.0, cancel=False), rl.Bulkhead(1)).bind(env)
    bulkhead = policy.parts[1]
    seen = []

    def watch():
        yield env.timeout(2)
        seen.append(bulkhead.in_flight)
        yield env.timeout(2)
        seen.append(bulkhead.in_flight)

    env.process(watch())
    outcome_of(env, engine.start, policy, answer, env, 3)
    assert seen == [1, 0]


def test_an_infinite_limit_never_passes(env):
    live = rl.Timeout(math.inf).bind(env)
    assert outcome_of(env, engine.start, live, answer, env, 1e9) == ("answer", 1e9)


def test_the_error_is_also_a_builtin_timeout_error():
    assert issubclass(rl.TimeoutExceededError, TimeoutError)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, "1", True])
def test_impossible_limits_are_refused(seconds):
    with pytest.raises((ValueError, TypeError), match="seconds must"):
        rl.Timeout(seconds)


def test_a_timeout_outside_a_process_says_so(env):
    steps = rl.Timeout(1.0).bind(env).execute(answer, env, 1)
    with pytest.raises(RuntimeError, match="needs a running process"):
        next(steps)


@pytest.mark.parametrize("cancel", [True, False])
def test_a_limit_can_be_computed_for_each_call(cancel):
    """As a timeout generator of Polly: here what is left of a fixed time."""
    env = simpy.Environment()
    live = rl.Timeout(lambda now: 5.0 - now, cancel=cancel).bind(env)
    ends = []

    def work():
        yield env.timeout(3.0)

    def caller(start):
        yield env.timeout(start)
        try:
            yield from live.execute(work)
            ends.append((env.now, "ok"))
        except rl.TimeoutExceededError as error:
            ends.append((env.now, str(error)))

    env.process(caller(1.0))
    env.process(caller(2.0))
    env.process(caller(4.0))
    env.run()
    assert ends == [(4.0, "ok"), (5.0, "ok"), (5.0, "timed out after 1 s")]
    with pytest.raises(TypeError, match="seconds must be a function that takes"):
        rl.Timeout(lambda: 1.0)
