"""Bulkhead: permits, the wait queue, patience, and cancellation."""

import pytest
import simpy

import resilab as rl
from resilab import engine


@pytest.fixture
def env():
    return simpy.Environment()


class Calls:
    """Calls that hold a permit for a while, and what became of them."""

    def __init__(self, env, live):
        self.env, self.live, self.seen, self.processes = env, live, {}, {}

    def arrive(self, name, at=0.0, hold=1.0):
        def work():
            self.seen[name] = ("ok", self.env.now - at)
            yield self.env.timeout(hold)

        def caller():
            yield self.env.timeout(at)
            try:
                yield from self.live.execute(work)
            except rl.BulkheadFullError:
                self.seen[name] = ("rejected", self.env.now - at)
            except simpy.Interrupt:
                self.seen[name] = ("cancelled", self.env.now - at)

        self.processes[name] = engine.start(self.env, caller())

    def cancel(self, name, at):
        def killer():
            yield self.env.timeout(at)
            self.processes[name].interrupt()

        self.env.process(killer())


def test_waiting_calls_get_their_permits_in_order_of_arrival(env):
    """As in the reference: an unbounded queue, first in first out."""
    calls = Calls(env, rl.Bulkhead(2).bind(env))
    for name in "abcde":
        calls.arrive(name)
    env.run()
    assert calls.seen == {"a": ("ok", 0), "b": ("ok", 0), "c": ("ok", 1), "d": ("ok", 1), "e": ("ok", 2)}


def test_a_full_queue_rejects_at_once(env):
    calls = Calls(env, rl.Bulkhead(1, max_queue=1).bind(env))
    for name in "abc":
        calls.arrive(name)
    env.run()
    assert calls.seen == {"a": ("ok", 0), "b": ("ok", 1), "c": ("rejected", 0)}
    assert calls.live.rejections == 1


@pytest.mark.parametrize("options", [{"max_queue": 0}, {"max_wait": 0}])
def test_no_queue_and_no_patience_reject_at_once(env, options):
    calls = Calls(env, rl.Bulkhead(1, **options).bind(env))
    calls.arrive("a")
    calls.arrive("b", at=0.5)
    env.run()
    assert calls.seen["b"] == ("rejected", 0)


def test_patience_ends_after_max_wait(env):
    calls = Calls(env, rl.Bulkhead(1, max_wait=0.25).bind(env))
    calls.arrive("a")
    calls.arrive("b", at=0.5)
    env.run()
    assert calls.seen["b"] == ("rejected", 0.25)
    assert calls.live.queue_length == 0


def test_a_permit_at_exactly_max_wait_is_taken(env):
    calls = Calls(env, rl.Bulkhead(1, max_wait=0.5).bind(env))
    calls.arrive("a", hold=1.0)
    calls.arrive("b", at=0.5)
    env.run()
    assert calls.seen["b"] == ("ok", 0.5)


def test_a_cancelled_waiter_leaves_its_place_to_the_next(env):
    calls = Calls(env, rl.Bulkhead(1, max_queue=2).bind(env))
    for name in "abc":
        calls.arrive(name)
    calls.cancel("b", at=0.5)
    env.run()
    assert calls.seen == {"a": ("ok", 0), "b": ("cancelled", 0.5), "c": ("ok", 1)}


def test_a_waiter_cancelled_at_the_instant_of_its_permit_gives_it_back(env):
    """The permit has been handed over but the waiter has not yet run."""
    calls = Calls(env, rl.Bulkhead(1).bind(env))
    calls.cancel("b", at=1.0)
    for name in "abc":
        calls.arrive(name)
    env.run()
    assert calls.seen["c"] == ("ok", 1)
    assert calls.live.in_flight == 0


def test_a_failing_call_gives_its_permit_back(env):
    live = rl.Bulkhead(1).bind(env)

    def fails():
        yield env.timeout(1)
        raise rl.ServiceError

    def caller():
        with pytest.raises(rl.ServiceError):
            yield from live.execute(fails)

    env.process(caller())
    env.run()
    assert (live.in_flight, live.available) == (0, 1)


def test_resizing_admits_waiters_and_lets_running_calls_finish(env):
    live = rl.Bulkhead(1).bind(env)
    calls = Calls(env, live)
    for name in "abc":
        calls.arrive(name, hold=10)
    env.run(until=1)
    live.resize(2)
    env.run(until=2)
    assert (live.in_flight, live.queue_length) == (2, 1)
    live.resize(1)
    env.run(until=11)
    assert (live.in_flight, live.queue_length) == (1, 1)
    env.run()
    assert calls.seen == {"a": ("ok", 0), "b": ("ok", 1), "c": ("ok", 11)}


def test_isolated_bulkheads_do_not_share_their_permits(env):
    """The reference's ResilientService: a stuck database leaves the cache alone."""
    service = rl.ResilientService(database=rl.Bulkhead(1, max_queue=0), cache=rl.Bulkhead(1, max_queue=0)).bind(env)
    seen = []

    def query(seconds):
        yield env.timeout(seconds)

    def caller(operation, seconds):
        try:
            yield from service.execute(operation, query, seconds)
            seen.append((operation, "ok"))
        except rl.BulkheadFullError:
            seen.append((operation, "full"))

    for operation, seconds in (("database", 9), ("database", 9), ("cache", 1)):
        env.process(caller(operation, seconds))
    env.run()
    assert seen == [("database", "full"), ("cache", "ok"), ("database", "ok")]


def test_an_unknown_operation_is_named(env):
    service = rl.ResilientService(database=rl.Bulkhead(1)).bind(env)
    with pytest.raises(ValueError, match="operation must be one of database, got 'cache'"):
        service.execute("cache", lambda: None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_concurrent": -1}, "max_concurrent must be >= 0, got -1"),
        ({"max_concurrent": 1.5}, "max_concurrent must be a whole number, got 1.5"),
        ({"max_concurrent": 1, "max_queue": -1}, "max_queue must be >= 0, got -1"),
        ({"max_concurrent": 1, "max_wait": float("nan")}, "max_wait must not be NaN"),
    ],
)
def test_impossible_bulkheads_are_refused(fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        rl.Bulkhead(**fields)


def test_a_bulkhead_of_no_permits_lets_nothing_in_until_it_is_resized():
    env = simpy.Environment()
    live = rl.Bulkhead(0, max_queue=1).bind(env)

    def work():
        yield env.timeout(1.0)
        return env.now

    waiting = env.process(live.execute(work))
    env.run(2.0)
    assert (live.in_flight, live.queue_length) == (0, 1)
    live.resize(1)
    env.run(waiting)
    assert waiting.value == 3.0
    live.resize(0)
    assert live.available == 0
