"""Hedge: the race, its price, and what becomes of the losers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simpy

import resilab as rl


def play(law, delay, calls=40_000, cancels=True):
    """Return latencies and the share of hedged calls, with latencies that do not depend on each other."""
    workers = rl.Service(10_000_000, law, on_cancel="stop" if cancels else "ignore")
    scenario = rl.Scenario(rl.Steady(10.0), workers, rl.ResiliencePolicy(rl.Hedge(delay)), duration=calls / 10.0)
    result = rl.simulate(scenario, seed=4)
    return result.requests["latency"].to_numpy(), len(result.attempts) / len(result.requests) - 1


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.05])
def test_a_hedge_at_a_percentile_costs_that_share_and_cuts_the_tail(share):
    """Exponential latencies of mean 1: mean 1 - e^-d / 2 and 99th percentile (ln 100 + d) / 2."""
    delay = -math.log(share)
    latencies, extra = play(rl.Exponential(1.0), delay)
    assert extra == pytest.approx(share, abs=0.007)
    assert latencies.mean() == pytest.approx(1 - share / 2, abs=0.023)
    assert np.quantile(latencies, 0.99) == pytest.approx((math.log(100) + delay) / 2, rel=0.04)


def test_an_endless_delay_changes_nothing():
    law = rl.Exponential(1.0)
    plain = rl.Scenario(rl.Steady(10.0), rl.Service(1000, law), rl.ResiliencePolicy(), duration=50.0)
    hedged = plain.replace(policy=rl.ResiliencePolicy(rl.Hedge(math.inf)))
    assert rl.simulate(hedged, seed=4).requests.equals(rl.simulate(plain, seed=4).requests)


def test_the_loser_gives_its_worker_back():
    env = simpy.Environment()
    service = rl.Service(1, rl.Constant(1.0), on_cancel="stop").bind(env)
    fast = rl.Service(1, rl.Constant(0.1)).bind(env)
    hedge, sent = rl.Hedge(0.2).bind(env), []

    def copy():
        sent.append(env.now)
        yield from (service if len(sent) == 1 else fast).request()

    env.run(env.process(hedge.execute(copy)))
    assert (env.now, service.busy, hedge.hedge_wins) == (pytest.approx(0.3), 0, 1)


def test_a_cancelled_call_cancels_all_its_copies():
    env = simpy.Environment()
    service = rl.Service(5, rl.Constant(9.0), on_cancel="stop").bind(env)
    process = env.process(rl.Hedge(0.1, max_hedges=3).bind(env).execute(service.request))
    env.run(1.0)
    assert service.busy == 4
    process.defused = True
    process.interrupt("leave")
    env.run(1.1)
    assert service.busy == 0


def test_a_delay_of_zero_sends_all_copies_at_once():
    env = simpy.Environment()
    service = rl.Service(5, rl.Constant(9.0), on_cancel="stop").bind(env)
    env.process(rl.Hedge(0.0, max_hedges=2).bind(env).execute(service.request))
    env.run(0.5)
    assert service.busy == 3


def test_a_computed_delay_sees_the_number_of_the_copy_and_the_durations_of_those_that_succeeded():
    """Percentile hedging: no copy before 95 % of the calls would have answered."""
    seen = []

    def delay(number, durations):
        seen.append((number, list(durations)))
        return 1.0 if not durations else max(durations)

    env = simpy.Environment()
    live = rl.Hedge(delay, max_hedges=2).bind(env)
    starts, lasts = [], iter([0.5, 9.0, 0.75, 9.0, 9.0, 0.25])

    def work():
        starts.append(env.now)
        yield env.timeout(next(lasts))

    def client():
        for _ in range(3):
            yield from live.execute(work)

    env.process(client())
    env.run()
    assert starts == [0, 0.5, 1.0, 1.5, 1.75, 2.5]
    assert seen[1:] == [(1, []), (1, [0.5]), (2, [0.5]), (1, [0.5, 0.75]), (2, [0.5, 0.75])]


def test_a_computed_delay_of_zero_sends_at_once_and_nonsense_is_refused():
    env = simpy.Environment()
    live = rl.Hedge(lambda number, durations: 0.0 if number == 1 else math.inf, max_hedges=2).bind(env)

    def work():
        yield env.timeout(1.0)

    env.process(live.execute(work))
    env.run()
    assert (env.now, live.hedges) == (1.0, 1)
    with pytest.raises(TypeError, match=r"delay must be a function that takes 1, \(\)"):
        rl.Hedge(lambda number: 1.0)
    with pytest.raises(ValueError, match="seconds returned by delay must be >= 0, got -1"):
        rl.Hedge(lambda number, durations: -1)
