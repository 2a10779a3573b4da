"""ConnectionPool: waiting, fairness, limits, cancellation, and the queue M/M/c with patience."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab import ConnectionPool, PoolClosedError, PoolTimeoutError

REPLICATIONS = 20


def hold(env, seconds):
    yield env.timeout(seconds)
    return env.now


def users(env, pool, seconds, *arrivals):
    """Start one call a time of *arrivals*; return the list of (number, end or error)."""
    ends = []

    def user(number, arrival):
        yield env.timeout(arrival)
        try:
            ends.append((number, (yield from pool.execute(hold, env, seconds))))
        except rl.ResilienceError as error:
            ends.append((number, f"{error.cause} at {env.now:g}"))

    for number, arrival in enumerate(arrivals):
        env.process(user(number, arrival))
    return ends


def test_calls_get_connections_in_order_of_arrival():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1).bind(env)
    ends = users(env, pool, 1.0, 0.0, 0.1, 0.2)
    env.run()
    assert ends == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert (pool.in_use, pool.idle, pool.opened) == (0, 1, 1)


def test_acquire_timeout_limits_the_wait_and_never_the_call():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1, acquire_timeout=0.5).bind(env)
    ends = users(env, pool, 3.0, 0.0, 0.0, 2.75)
    env.run()
    assert ends == [(1, "pool_timeout at 0.5"), (0, 3.0), (2, 6.0)]
    assert pool.timeouts == 1


def test_a_connection_that_comes_at_exactly_the_limit_is_taken():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1, acquire_timeout=1.0).bind(env)
    ends = users(env, pool, 1.0, 0.0, 0.0)
    env.run()
    assert ends == [(0, 1.0), (1, 2.0)]


def test_no_patience_takes_a_free_connection_or_none():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1, acquire_timeout=0).bind(env)
    ends = users(env, pool, 1.0, 0.0, 0.5, 1.5)
    env.run()
    assert ends == [(1, "pool_timeout at 0.5"), (0, 1.0), (2, 2.5)]


def test_a_cancelled_call_gives_its_connection_or_its_turn_back():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1).bind(env)
    policy = rl.ResiliencePolicy(rl.Timeout(1.0)).bind(env)
    protected = rl.compose(policy, pool)
    ends = []

    def user(number, seconds):
        try:
            ends.append((number, (yield from protected.execute(hold, env, seconds))))
        except rl.TimeoutExceededError:
            ends.append((number, "timeout"))

    env.process(user(0, 9.0))  # cut off while it holds the connection
    env.process(user(1, 9.0))  # cut off while it waits, at the same instant
    env.run(until=2)
    env.process(user(2, 0.5))
    env.run()
    assert ends == [(0, "timeout"), (1, "timeout"), (2, 2.5)]
    assert (pool.in_use, pool.idle, pool.queue_length) == (0, 1, 0)


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
def test_nothing_leaks_whenever_a_call_is_interrupted(moment):
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1, connect_time=0.5, acquire_timeout=5).bind(env, seed=0)

    def user():
        with contextlib.suppress(simpy.Interrupt):
            yield from pool.execute(hold, env, 1.0)

    def killer(victim):
        yield env.timeout(moment)
        if victim.is_alive:
            victim.interrupt()

    others = [env.process(user()) for _ in range(3)]
    env.process(killer(others[1]))
    env.run()
    assert (pool.in_use, pool.queue_length, pool.size) == (0, 0, 1)


def test_connections_are_opened_on_demand_and_reused():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=3, connect_time=0.5).bind(env, seed=0)
    ends = users(env, pool, 1.0, 0.0, 0.0, 4.0)
    env.run()
    assert ends == [(0, 1.5), (1, 1.5), (2, 5.0)]
    assert pool.opened == 2


def test_a_connection_given_back_while_another_opens_goes_to_whoever_waits_longest():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=2, connect_time=1.0).bind(env, seed=0)
    ends = users(env, pool, 0.5, 0.0, 1.25)
    env.run()
    assert ends == [(0, 1.5), (1, 2.0)]
    assert (pool.size, pool.idle) == (2, 2)


def test_an_idle_connection_is_closed_after_its_limit():
    env = simpy.Environment()
    log = rl.EventLog()
    pool = ConnectionPool(max_size=2, idle_timeout=10).bind(env, log=log)
    users(env, pool, 1.0, 0.0, 0.0, 5.0, 6.5)
    env.run()
    closed = [(row[0], row[4]) for row in log.rows if row[2] == "closed"]
    assert closed == [(11.0, "connection 0: idle"), (17.5, "connection 1: idle")]
    assert pool.size == 0


def test_an_old_connection_finishes_its_call_before_it_is_closed():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1, max_lifetime=2.5).bind(env)
    ends = users(env, pool, 1.0, 0.0, 0.0, 0.0, 0.0)
    env.run()
    assert [end for _, end in ends] == [1.0, 2.0, 3.0, 4.0]
    assert pool.opened == 2


def test_a_broken_connection_is_replaced():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1).bind(env)

    def user():
        connection = yield from pool.acquire()
        yield env.timeout(1)
        pool.release(connection, is_broken=True)

    env.process(user())
    ends = users(env, pool, 1.0, 0.0)
    env.run()
    assert ends == [(0, 2.0)]
    assert pool.opened == 2


def test_closing_refuses_callers_and_lets_running_calls_end():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1).bind(env)
    ends = users(env, pool, 1.0, 0.0, 0.0, 0.75)
    env.run(until=0.5)
    pool.close()
    pool.close()  # a second time means nothing
    env.run()
    assert ends == [(1, "pool_closed at 0.5"), (2, "pool_closed at 0.75"), (0, 1.0)]
    assert (pool.size, pool.is_closed) == (0, True)


def test_a_connection_can_be_given_back_once():
    env = simpy.Environment()
    pool = ConnectionPool(max_size=1).bind(env)

    def user():
        connection = yield from pool.acquire()
        pool.release(connection)
        with pytest.raises(ValueError, match="connection must be in use"):
            pool.release(connection)

    env.process(user())
    env.run()


def test_errors_are_rejections():
    assert PoolTimeoutError().outcome == PoolClosedError().outcome == "rejected"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_size": 0}, "max_size must be >= 1, got 0"),
        ({"acquire_timeout": -1}, "acquire_timeout must be >= 0, got -1"),
        ({"idle_timeout": 0}, "idle_timeout must be > 0, got 0"),
        ({"max_lifetime": 0}, "max_lifetime must be > 0, got 0"),
        ({"connect_time": -1}, "connect_time must be >= 0, got -1"),
    ],
)
def test_wrong_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ConnectionPool(**({"max_size": 1} | fields))


def agrees(samples, exact):
    """Judge replications: close to the exact value, and precise enough to tell."""
    mean, half = np.mean(samples), 4.5 * np.std(samples, ddof=1) / np.sqrt(len(samples))
    assert half <= max(0.05 * exact, 0.002), f"no power: {half}"
    assert abs(mean - exact) <= half, f"{mean} instead of {exact} +- {half}"


@pytest.mark.parametrize(
    ("rate", "mu", "size", "patience", "exact"),
    [
        (12, 1, 10, 0.5, (0.19955, 0.28331, 0.22928, 0.47953, 0.18074)),
        pytest.param(0.9, 1, 1, 2.0, (0.21876, 0.90574, 0.59933, 1.823, 0.53817), marks=pytest.mark.slow),
        pytest.param(45, 10, 5, 0.1, (0.079222, 0.031486, 0.025591, 0.088702, 0.45939), marks=pytest.mark.slow),
    ],
)
def test_the_pool_is_a_queue_with_patience(rate, mu, size, patience, exact):
    """M/M/c + D: share of time-outs, waits of all and of the served, and who ends within D."""
    scenario = rl.Scenario(
        workload=rl.Poisson(rate),
        service=rl.Service(workers=9 * size, latency=rl.Exponential(1 / mu)),
        policy=ConnectionPool(size, acquire_timeout=patience),
        duration=(20_000 if rate != 45 else 30_000) / rate,
    )
    samples = []
    for seed in range(REPLICATIONS):
        result = rl.simulate(scenario, seed)
        warm = len(result) // 10
        rows = result.attempts_array()
        served = rows["request_id"]
        waits = np.full(len(result), patience)
        waits[served] = rows["start"] - result.columns["arrival"][served]
        is_served = np.zeros(len(result), bool)
        is_served[served] = True
        in_time = is_served & (result.latency <= patience)
        of_served = waits[warm:][is_served[warm:]]
        samples.append(
            (
                1 - is_served[warm:].mean(),
                waits[warm:].mean(),
                of_served.mean(),
                np.percentile(of_served, 95),
                in_time[warm:].mean(),
            )
        )
    for column, value in zip(np.array(samples).T, exact, strict=True):
        agrees(column, value)


@pytest.mark.slow
def test_a_closed_workload_over_a_pool_is_the_machine_repair_model():
    """20 users who think 1 s on average and hold one of 8 connections for 1 s on average."""
    scenario = rl.Scenario(
        workload=rl.ClosedLoop(users=20, think_time=rl.Exponential(1.0)),
        service=rl.Service(workers=20, latency=rl.Exponential(1.0)),
        policy=ConnectionPool(8),
        duration=700.0,
    )
    rates, waits = [], []
    for seed in range(REPLICATIONS):
        result = rl.simulate(scenario, seed)
        ends = result.columns["end"]
        rates.append(np.count_nonzero((ends > 70) & (ends <= 700)) / 630)
        rows = result.attempts_array()
        wait = rows["start"] - result.columns["arrival"][rows["request_id"]]
        waits.append(wait[rows["start"] > 70].mean())
    agrees(rates, 7.9119)
    agrees(waits, 0.52782)
