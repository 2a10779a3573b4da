"""How many connections, and where the time limit stands."""

from __future__ import annotations

import math

import pytest

import resilab as rl


def play(connections: int, load: float, factor: float = 1.0, on_cancel: str = "stop", inside: bool = True) -> rl.Result:
    """Queries of 0.1 s, which keep *load* connections busy, with 10 s in which they take *factor* times as long."""
    slow = rl.Slowdown(20, 10, factor=factor)
    database = rl.Service(round(2.5 * load), rl.Exponential(mean=0.1), faults=slow, on_cancel=on_cancel)
    pool, limit = rl.communication.ConnectionPool(connections, acquire_timeout=0.5, connect_time=0.02), rl.Timeout(1.0)
    policy = rl.ResiliencePolicy(*((pool, limit) if inside else (limit, pool)))
    return rl.simulate(rl.Scenario(rl.Poisson(10 * load), database, policy, duration=60.0), seed=1)


@pytest.mark.parametrize("load", [4, 8, 30])
def test_rate_times_time_and_twice_its_root_refuses_nobody(load):
    """And the mean alone is too few."""
    assert play(math.ceil(load + 2 * math.sqrt(load)), load).summary()["rejected_rate"] == 0
    assert play(load, load).summary()["rejected_rate"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("load", [4, 8, 30])
@pytest.mark.parametrize("factor", [6.0, 10.0, 20.0])
def test_more_connections_than_the_database_has_places_never_help_where_it_works_on(load, factor):
    """A tenfold pool loses against one as large as the database's places."""
    right, tenfold = (
        play(round(2.5 * load * many), load, factor, "ignore").summary()["success_rate"] for many in (1, 10)
    )
    assert tenfold < right + 0.005


@pytest.mark.parametrize("factor", [6.0, 20.0])
def test_waits_add_up_unless_the_limit_stands_outside(factor):
    """Half a second for a connection and one for the query, or one for both."""
    inside, outside = (play(20, 8, factor, inside=place).summary()["p99"] for place in (True, False))
    assert outside <= 1.01 < inside <= 1.53
