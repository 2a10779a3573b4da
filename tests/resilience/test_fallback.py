"""Fallback and graceful degradation."""

import pytest
import simpy

import resilab as rl
from resilab import engine


@pytest.fixture
def env():
    return simpy.Environment()


def outcome_of(env, live, fn):
    seen = []

    def caller():
        try:
            seen.append(((yield from live.execute(fn)), env.now))
        except Exception as error:
            seen.append((repr(error), env.now))

    engine.start(env, caller())
    env.run()
    return seen[0]


def fails(env, seconds=1.0, error="primary"):
    def call():
        yield env.timeout(seconds)
        raise ConnectionError(error)

    return call


def answers(env, seconds, value):
    def call():
        yield env.timeout(seconds)
        return value

    return call


def test_a_success_passes_untouched(env):
    live = rl.Fallback("fallback").bind(env)
    assert outcome_of(env, live, answers(env, 1, False)) == (False, 1)
    assert live.answers == 0


def test_a_value_answers_a_failure_at_once(env):
    assert outcome_of(env, rl.Fallback("guest").bind(env), fails(env)) == ("guest", 1)


def test_levels_are_tried_in_order_and_take_their_time(env):
    """GracefulDegradation: personalised, then popular, then static."""
    live = rl.Fallback(fails(env, 2), answers(env, 3, "popular"), "static").bind(env)
    assert outcome_of(env, live, fails(env)) == ("popular", 6)


def test_if_every_level_fails_the_last_error_is_raised(env):
    live = rl.Fallback(fails(env, 1, "first"), fails(env, 1, "second")).bind(env)
    assert outcome_of(env, live, fails(env)) == ("ConnectionError('second')", 3)


def test_a_plain_function_is_called_for_its_value(env):
    assert outcome_of(env, rl.Fallback(lambda: env.now).bind(env), fails(env)) == (1, 1)


def test_a_function_that_returns_a_generator_is_run(env):
    assert outcome_of(env, rl.Fallback(lambda: answers(env, 2, "x")()).bind(env), fails(env)) == ("x", 3)


def test_errors_that_are_not_handled_pass(env):
    live = rl.Fallback("guest", handled_errors=rl.TimeoutExceededError).bind(env)
    assert outcome_of(env, live, fails(env)) == ("ConnectionError('primary')", 1)


def test_cancellation_is_not_answered(env):
    """A fallback that swallowed an interrupt would keep working for a caller that has gone."""
    live = rl.Fallback("guest").bind(env)
    process = engine.start(env, live.execute(answers(env, 5, "late")))
    process.defused = True

    def killer():
        yield env.timeout(1)
        process.interrupt("stop")

    env.process(killer())
    env.run()
    assert isinstance(process.value, simpy.Interrupt)
    assert live.answers == 0


def test_a_mistake_in_the_model_is_not_answered(env):
    """A function that is no generator function must be seen, not hidden by the fallback."""
    process = env.process(rl.Fallback("guest").bind(env).execute(lambda: 42))
    process.defused = True
    env.run()
    assert isinstance(process.value, rl.NotAGeneratorError)


@pytest.mark.parametrize("thing", [42, None, "call"])
def test_what_cannot_be_called_is_refused_at_once(env, thing):
    with pytest.raises(rl.NotAGeneratorError, match="execute needs a generator function"):
        rl.Fallback("guest").bind(env).execute(thing)


def test_a_fallback_without_levels_is_refused():
    with pytest.raises(ValueError, match="levels must not be empty"):
        rl.Fallback()


def test_it_is_a_value():
    assert rl.Fallback("a", "b").replace(levels=("a",)) == rl.Fallback("a")
    assert repr(rl.Fallback("a", handled_errors=KeyError)) == "Fallback('a', handled_errors=<class 'KeyError'>)"
