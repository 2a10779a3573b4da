"""How long a herd must wait, what callers in groups cost, and where an outbox with batches saturates."""

from __future__ import annotations

import numpy as np
import pytest

import resilab as rl
from resilab.theory import erlang_b


@pytest.mark.slow
@pytest.mark.parametrize(("clients", "wait"), [(200, 0.1), (400, 0.2), (800, 0.4), (1600, 0.8)])
def test_twice_the_clients_need_twice_the_first_wait(clients, wait):
    """Four retries, 40 places: 0.5 ms of first wait for each client; a quarter of it is too short."""
    service = rl.Service(20, rl.Exponential(0.05), queue_limit=20, failure_rate=0.05)

    def herd(first: float) -> float:
        retry = rl.Retry(4, initial_delay=first, jitter="full")
        day = rl.Scenario(rl.Replay((5.0,) * clients), service, retry, duration=60.0)
        return rl.simulate(day, seed=1).counts()["success"] / clients

    assert herd(wait) > 0.94
    assert herd(wait / 4) < herd(wait) - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("load", [6, 12, 30])
@pytest.mark.parametrize("group", [5, 10])
def test_callers_in_groups_are_refused_more_than_erlang_says(load, group):
    """The formula holds for independent callers, whose load is the same."""
    permits = round(load + 2.5 * load**0.5)
    refused = {}
    for size in (1, group):
        starts = np.sort(np.random.default_rng(0).uniform(0, 600, round(600 * load / size)))
        service = rl.Service(1000, rl.Exponential(1.0))
        traffic = rl.Replay(tuple(np.repeat(starts, size)))
        day = rl.Scenario(traffic, service, rl.Bulkhead(permits, max_queue=0), duration=600.0)
        refused[size] = rl.simulate(day, seed=1).summary()["rejected_rate"]
    assert refused[1] == pytest.approx(erlang_b(permits, load), abs=0.006)
    assert refused[group] > 4 * erlang_b(permits, load)


@pytest.mark.slow
@pytest.mark.parametrize(("interval", "batch"), [(1.0, 100), (1.0, 20), (0.5, 20)])
def test_an_outbox_saturates_at_a_batch_in_each_round(interval, batch):
    """b / (d + b s) messages per second: a tenth below it the delay stays, a quarter above it grows with time."""
    limit = batch / (interval + batch * 0.022)
    processor = rl.outbox.OutboxProcessor(poll_interval=interval, batch_size=batch)
    broker = rl.messaging.MessageBroker(latency=0.005)

    def delay(rate: float, duration: float) -> float:
        day = rl.outbox.OutboxScenario(
            rl.Poisson(rate), broker=broker, crash_rate=0.0, processor=processor, duration=duration
        )
        return float(rl.simulate(day, seed=1).summary()["mean_delay"])

    assert delay(0.85 * limit, 120.0) < 1.6 * delay(0.85 * limit, 60.0)
    assert delay(1.25 * limit, 120.0) > 1.6 * delay(1.25 * limit, 60.0)
