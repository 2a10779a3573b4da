"""A limit of calls at once and a breaker, each at its best: which one for which hang."""

from __future__ import annotations

import pytest

import resilab as rl

WORKERS = 8
LIMIT = rl.Bulkhead(2 * WORKERS, max_queue=0)
ONE_PROBE = rl.CircuitBreaker(timeout=1.0, half_open_max_calls=1)
WAVES = rl.CircuitBreaker(timeout=1.0)


def success(policy: rl.Policy, hang: float, load: float, clients: int = 1) -> float:
    """Mean share of successes of three seeds."""
    fault = rl.Outage(10, hang, mode="hang")
    service = rl.Service(WORKERS, rl.Exponential(mean=0.1), faults=fault, on_cancel="ignore")
    stack = rl.ResiliencePolicy(policy, rl.Timeout(1.0))
    day = rl.Scenario(rl.Poisson(10 * WORKERS * load), service, stack, duration=hang + 30.0, clients=clients)
    counts = [rl.simulate(day, seed=seed, record=False).counts() for seed in (1, 2, 3)]
    return sum(each["success"] / sum(each.values()) for each in counts) / len(counts)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("hang", [8.0, 20.0])
def test_in_a_long_hang_a_breaker_that_limits_its_probes_is_as_good_as_a_limit(hang, load):
    """And one whose probes come in waves loses to both: comparing that one with a limit is unfair."""
    limit, one_probe, waves = (success(each, hang, load) for each in (LIMIT, ONE_PROBE, WAVES))
    assert one_probe > limit + (0.05 if hang > 10 else 0.0)
    assert waves < min(limit, one_probe) - 0.02


@pytest.mark.parametrize("load", [0.5, 0.7, 0.9])
def test_in_a_short_hang_the_limit_is_at_least_as_good(load):
    """The breaker refuses for a second or more, the limit only what is too much."""
    assert success(LIMIT, 2.0, load) > success(ONE_PROBE, 2.0, load) + 0.005


@pytest.mark.parametrize("load", [0.5, 0.7])
def test_places_divided_among_many_clients_refuse_on_a_healthy_day(load):
    """One place for each of eight clients; as many places in one pool are enough at half load."""
    together = success(rl.Bulkhead(8, max_queue=0), 0.01, load)
    apart = success(rl.Bulkhead(1, max_queue=0), 0.01, load, clients=8)
    assert apart < together - 0.15
