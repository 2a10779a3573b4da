"""Metastable failure: a short trigger, a collapse that stays, and what brings it back.

Ten workers of 0.1 s serve 100 requests a second. 80 arrive, each tried up to four
times with a limit of 1 s that the service is not told of; for ten seconds no work is
started. What share of the requests that arrive later ever succeeds?
"""

import numpy as np
import pytest

import resilab as rl

LIMIT = rl.Timeout(1.0)
RETRY = rl.Retry(3, 0.1, 2.0, 2.0, jitter="full")
SERVICE = rl.Service(10, rl.Exponential(0.1), on_cancel="ignore", faults=(rl.Outage(60.0, 10.0, "hang"),))
BASE = rl.Scenario(rl.Poisson(80), SERVICE, rl.ResiliencePolicy(RETRY, LIMIT), duration=280.0)


def success(scenario, begin, end, seeds=(1,)):
    """Share of the requests that arrive in a window and succeed, and the attempts of each."""
    found, attempts = [], []
    for seed in seeds:
        columns = rl.simulate(scenario, seed, record=False).columns
        window = (columns["arrival"] >= begin) & (columns["arrival"] < end)
        found.append((columns["outcome"][window] == 0).mean())
        attempts.append(columns["attempts"][window].mean())
    return np.mean(found), np.mean(attempts)


def outage(seconds):
    return SERVICE.replace(faults=(rl.Outage(60.0, seconds, "hang"),))


def test_before_the_trigger_it_looks_healthy():
    assert success(BASE.replace(duration=58.0), 20, 55)[0] > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "attempts"),
    [
        ({}, 4),
        ({"policy": rl.ResiliencePolicy(RETRY.replace(initial_delay=0.0), LIMIT)}, 4),
        ({"service": SERVICE.replace(queue_limit=150)}, 4),
        ({"service": outage(3.0)}, 4),
        ({"workload": rl.Poisson(30)}, 4),
    ],
    ids=["baseline", "no backoff", "queue of 1.5 s", "3 s trigger", "30 a second"],
)
def test_the_collapse_stays(change, attempts):
    """Retries keep the queue longer than the limit: all workers are busy with calls nobody waits for."""
    late, sent = success(BASE.replace(**change), 220, 270)
    assert late < 0.01
    assert sent == pytest.approx(attempts, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "early"),
    [
        ({"policy": rl.ResiliencePolicy(LIMIT)}, 0.0),
        ({"policy": rl.ResiliencePolicy(RETRY, rl.CircuitBreaker(5, 3, 5.0, 0), LIMIT)}, 0.8),
        ({"service": SERVICE.replace(queue_limit=50)}, 0.98),
        ({"service": SERVICE.replace(discipline="lifo")}, 0.98),
        ({"service": outage(0.5)}, 0.98),
        ({"workload": rl.Poisson(20)}, 0.0),
    ],
    ids=["no retries", "breaker", "queue of 0.5 s", "last in first out", "0.5 s trigger", "20 a second"],
)
def test_the_service_comes_back(change, early):
    """Some at once (share of 70-100 s), some only after the backlog is gone."""
    scenario = BASE.replace(**change)
    assert success(scenario, 220, 270)[0] > 0.99
    assert success(scenario, 70, 100)[0] >= early


def test_without_retries_it_takes_the_backlog_over_the_spare_capacity():
    """(800 - 100) / 20 = 35 s after the outage."""
    plain = BASE.replace(policy=rl.ResiliencePolicy(LIMIT))
    assert success(plain, 75, 95)[0] < 0.1
    assert success(plain, 115, 140)[0] > 0.9


@pytest.mark.slow
def test_dropping_expired_work_alone_is_not_enough():
    """First in first out serves what is about to expire."""
    late, sent = success(BASE.replace(service=SERVICE.replace(on_cancel="drop_queued")), 220, 270)
    assert late < 0.15
    assert 3.7 < sent < 4.0


@pytest.mark.slow
@pytest.mark.parametrize(("retries", "recovers", "stuck"), [(1, 42, 58), (2, 28, 38)])
def test_the_overloaded_state_feeds_itself_above_capacity_over_attempts(retries, recovers, stuck):
    """It stays where rate (n + 1) > capacity."""
    policy = rl.ResiliencePolicy(RETRY.replace(max_retries=retries), LIMIT)
    low = BASE.replace(policy=policy, workload=rl.Poisson(recovers))
    high = BASE.replace(policy=policy, workload=rl.Poisson(stuck))
    assert success(low, 220, 270)[0] > 0.97
    assert success(high, 220, 270)[0] < 0.03


@pytest.mark.slow
def test_a_load_cut_below_capacity_over_attempts_ends_it():
    """300 a second of capacity, 280 arrive, one retry: 200 during a minute is not enough, 100 is."""
    service = rl.Service(
        30, rl.Exponential(0.1), queue_limit=3000, on_cancel="ignore", faults=(rl.Outage(60.0, 10.0, "hang"),)
    )
    for cut, recovers in ((200, False), (100, True)):
        workload = rl.Schedule([(0, 280), (120, cut), (180, 280)])
        policy = rl.ResiliencePolicy(RETRY.replace(max_retries=1), LIMIT)
        late, _ = success(rl.Scenario(workload, service, policy, duration=250.0), 220, 250, seeds=(1,))
        assert (late > 0.99) if recovers else (late < 0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "recovers", "attempts"), [(0.1, True, 1.0), (0.3, False, 1.3)])
def test_a_retry_budget_helps_if_rate_and_budget_fit_the_capacity(share, recovers, attempts):
    """80 x 1.1 = 88 fit into 100, 80 x 1.3 = 104 do not: the budget itself keeps the overload alive."""
    retry = RETRY.replace(budget=rl.RetryBudget.token_bucket(share))
    late, sent = success(BASE.replace(policy=rl.ResiliencePolicy(retry, LIMIT)), 220, 270)
    assert (late > 0.99) if recovers else (late < 0.01)
    assert sent == pytest.approx(attempts, rel=0.03)


def stacked(throttle, is_inside=True):
    return rl.ResiliencePolicy(*((RETRY, throttle) if is_inside else (throttle, RETRY)), LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("is_inside", [True, False], ids=["throttle inside the retry", "outside"])
def test_an_adaptive_throttle_with_a_short_window_ends_it(is_inside):
    """It starves the queue, then its rate doubles each 0.43 windows, wherever it stands."""
    scenario = BASE.replace(policy=stacked(rl.AdaptiveThrottle(window=5.0), is_inside))
    assert success(scenario, 20, 55)[0] > 0.99
    assert success(scenario, 160, 270, seeds=(1, 2, 3))[0] > 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    "throttle",
    [rl.AdaptiveThrottle(), rl.AdaptiveThrottle(window=5.0, refusals=rl.ServiceOverloadedError)],
    ids=["two minutes", "timeouts count as accepted"],
)
def test_an_adaptive_throttle_that_remembers_too_long_or_overlooks_timeouts_does_not(throttle):
    """120 / 1.594 ln(80 x 120) = 690 s; and a hung service accepts everything, if timeouts do not matter."""
    assert success(BASE.replace(policy=stacked(throttle)), 220, 270)[0] < 0.01
