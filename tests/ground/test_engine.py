"""Tasks, deadlines and interrupts: the one module that knows how SimPy does it."""

import inspect
import math

import numpy as np
import pytest
import simpy
from hypothesis import example, given
from hypothesis import strategies as st

import resilab as rl
from resilab import engine

from .. import public_engine

BOTH_WAYS = pytest.mark.parametrize("start", [engine.Task, public_engine.start], ids=["task", "process"])


@pytest.fixture
def env():
    return simpy.Environment()


def waits(env, seconds, value=None):
    yield env.timeout(seconds)
    return value


def test_a_task_starts_at_once_and_can_be_waited_for(env):
    """Its first step runs before `start` returns; its value arrives like a process's."""
    seen = []

    def work():
        seen.append(env.now)
        yield env.timeout(2)
        return "done"

    task = engine.start(env, work())
    assert seen == [0]
    assert env.run(until=task) == "done"
    assert env.now == 2


def test_a_finished_task_can_still_be_yielded(env):
    """A waiter that comes late gets the value without waiting."""
    task = engine.start(env, waits(env, 1, "value"))

    def late():
        yield env.timeout(5)
        return (yield task)

    assert env.run(until=env.process(late())) == "value"
    assert env.now == 5


def test_a_task_works_in_a_condition(env):
    """`task | timeout` is plain SimPy."""
    task = engine.start(env, waits(env, 3))

    def race():
        yield task | env.timeout(1)
        return env.now

    assert env.run(until=env.process(race())) == 1


def test_a_failed_task_that_nobody_waits_for_ends_the_run(env):
    """As in SimPy: an error is not lost."""

    def fails():
        yield env.timeout(1)
        raise KeyError("lost")

    engine.start(env, fails())
    with pytest.raises(KeyError, match="lost"):
        env.run()


def test_an_abandoned_task_may_fail(env):
    """Nobody waits, and somebody said so."""

    def fails():
        yield env.timeout(1)
        raise KeyError

    engine.abandon(engine.start(env, fails()))
    env.run()
    assert env.now == 1


@BOTH_WAYS
def test_the_end_of_a_task_is_told_to_whom_it_concerns(env, start):
    """With the request, and the value or the error; the error is then taken care of."""
    ends = []

    def fails():
        yield env.timeout(1)
        raise ValueError("wrong")

    def on_end(request, ok, value):
        ends.append((env.now, request.id, ok, str(value)))
        return True

    start(env, waits(env, 2, "value"), engine.Request(7, 7), None, on_end)
    start(env, fails(), engine.Request(8, 8), None, on_end)
    env.run()
    assert ends == [(1, 8, False, "wrong"), (2, 7, True, "value")]


@BOTH_WAYS
def test_an_error_that_the_end_does_not_take_care_of_ends_the_run(env, start):
    def fails():
        yield env.timeout(1)
        raise ValueError("wrong")

    start(env, fails(), None, None, lambda request, ok, value: False)
    with pytest.raises(ValueError, match="wrong"):
        env.run()


@BOTH_WAYS
def test_a_task_whose_end_is_told_can_be_waited_for(env, start):
    """The one does not take the end away from the other."""
    task = start(env, waits(env, 2, "value"), None, None, lambda request, ok, value: True)
    assert env.run(until=task) == "value"


def test_ticks_come_at_their_times_with_one_event_each(env):
    """Two at one instant come in order; none at all is fine."""
    times = np.array([0.0, 0.5, 0.5, 2.25])
    seen = []
    engine.Ticks(env, times, lambda index: seen.append((env.now, index)))
    engine.Ticks(env, np.empty(0), lambda index: seen.append("never"))
    events = 0
    while env.peek() < math.inf:
        env.step()
        events += 1
    assert seen == [(0.0, 0), (0.5, 1), (0.5, 2), (2.25, 3)]
    assert events == 4


def test_a_foreign_yield_ends_the_run_with_a_clear_error(env):
    """No policy can take it for a failure of the dependency."""

    def wrong():
        yield 42

    fallback = rl.Fallback("hidden").bind(env)
    engine.start(env, fallback.execute(wrong))
    with pytest.raises((TypeError, RuntimeError), match="42"):
        env.run()


def test_the_active_process_is_restored_after_a_nested_start(env):
    """A task that is started inside a process does not take its place."""
    seen = []

    def outer():
        me = env.active_process
        engine.start(env, waits(env, 1))
        seen.append(env.active_process is me)
        yield env.timeout(2)

    env.process(outer())
    env.run()
    assert seen == [True]


@pytest.mark.parametrize("spawn", [engine.start, lambda env, steps: env.process(steps)])
def test_interrupt_reaches_any_process(env, spawn):
    """A task and a plain process see the same interrupt at the same time."""
    seen = []

    def sleeper():
        try:
            yield env.timeout(10)
        except simpy.Interrupt as signal:
            seen.append((env.now, signal.cause))

    process = spawn(env, sleeper())

    def killer():
        yield env.timeout(3)
        engine.interrupt(process, "enough")

    env.process(killer())
    env.run()
    assert seen == [(3, "enough")]


def test_simpys_own_interrupt_reaches_a_task(env):
    """`task.interrupt(cause)` is public SimPy and works."""
    causes = []

    def sleeper():
        try:
            yield env.timeout(10)
        except simpy.Interrupt as signal:
            causes.append(signal.cause)

    task = engine.start(env, sleeper())

    def killer():
        yield env.timeout(1)
        task.interrupt("x")

    env.process(killer())
    env.run()
    assert causes == ["x"]


def test_deadlines_need_one_heap_event_while_nothing_expires(env):
    """A hundred disarmed limits cost one event."""
    expired = []
    deadlines = engine.Deadlines(env, 5.0, lambda entry: expired.append(entry) or True)
    for _ in range(100):
        deadlines.arm("target")[1] = None
    steps = 0
    while env.peek() < math.inf:
        env.step()
        steps += 1
    assert (steps, expired) == (1, [])


def test_deadlines_expire_in_order_and_at_their_exact_time(env):
    """Each at the time it was set plus the length, to the last bit."""
    expired = []
    deadlines = engine.Deadlines(env, 0.7, lambda entry: expired.append((env.now, entry[1])) or True)

    def sets():
        for k in range(20):
            deadlines.arm((k, env.now + 0.7))
            yield env.timeout(0.1 + k * 1e-3)

    env.process(sets())
    env.run()
    assert [target[0] for _, target in expired] == list(range(20))
    assert all(now == target[1] for now, target in expired)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=2).map(sorted))
@example([2.7688776020961305, 7.3])  # no delay leads there
@example([0.0, 5e-324])
def test_both_ways_to_schedule_meet_the_exact_time(times):
    """The public path finds a way to the same float."""
    now, when = times
    met = []
    for schedule in (engine.schedule_at, public_engine.schedule_at):
        env = simpy.Environment(initial_time=now)
        event = simpy.Event(env)
        event._ok, event._value = True, None
        event.callbacks.append(lambda _, env=env: met.append(env.now))
        schedule(env, event, when)
        env.run()
    assert met == [when, when]


def test_simpy_still_has_the_private_parts_that_the_engine_uses():
    """A SimPy that changes one of these needs a new look at engine.Task."""
    env = simpy.Environment()
    for name in ("_queue", "_eid", "_active_proc"):
        assert hasattr(env, name), name
    process = env.process(waits(env, 1))
    for name in ("_generator", "_target", "_value", "_resume"):
        assert hasattr(process, name), name
    assert "heappush(self._queue, (self._now + delay, priority, next(self._eid), event))" in inspect.getsource(
        simpy.Environment.schedule
    )
    interruption = inspect.getsource(simpy.events.Interruption._interrupt)
    assert "self.process._target.callbacks.remove(self.process._resume)" in interruption
