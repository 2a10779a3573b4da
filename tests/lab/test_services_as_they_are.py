"""What cancelling costs, time outside the worker, contention, a stopped process, a pool that is not fair."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab.lab.records import OUTCOMES


def play(service, times, policy=None, **options):
    return rl.simulate(
        rl.Scenario(rl.Replay(times), service, policy or rl.ResiliencePolicy(), duration=100.0), **options
    )


def rows(result):
    """Start, end and outcome of each call as its caller saw it, and from when to when it held a worker."""
    return [
        (row["start"], row["end"], "open" if row["outcome"] < 0 else OUTCOMES[row["outcome"]], *_work(row))
        for row in np.sort(result.attempts_array(), order=["start", "request_id"])
    ]


def _work(row):
    return row["work_start"], row["work_end"]


# The rule for calls whose caller has gone


def test_a_service_does_not_notice_that_a_caller_has_gone_unless_told():
    assert rl.Service(1, 1.0).on_cancel == "ignore"


# cancel_time


def test_a_cancelled_call_holds_its_worker_for_the_cancel_time():
    service = rl.Service(1, 10.0, on_cancel="stop", cancel_time=0.5)
    result = play(service, [0.0, 0.2], rl.Timeout(1.0))
    assert rows(result) == [
        (0.0, 1.0, "timeout", 0.0, 1.5),  # the caller leaves at 1.0, the worker is free at 1.5
        (0.2, 1.2, "timeout", 1.2, 1.2),  # left the queue: it held no worker
    ]


def test_a_call_that_waits_gets_the_worker_after_the_cancel_time():
    service = rl.Service(1, 10.0, on_cancel="stop", cancel_time=0.5)
    result = play(service, [0.0, 0.8], rl.Timeout(1.0))
    assert rows(result)[1][3:] == (1.5, pytest.approx(2.3))


def test_a_worker_that_is_held_at_the_horizon_has_its_row():
    service = rl.Service(1, 10.0, on_cancel="stop", cancel_time=5.0)
    result = play(service, [0.0], rl.Timeout(1.0), horizon=2.0)
    assert rows(result) == [(0.0, 1.0, "timeout", 0.0, 2.0)]


def test_cancel_time_costs_nothing_where_work_is_not_stopped():
    one, two = (rl.Service(1, 2.0, cancel_time=seconds) for seconds in (0.0, 5.0))
    assert rows(play(one, [0.0, 0.5], rl.Timeout(1.0))) == rows(play(two, [0.0, 0.5], rl.Timeout(1.0)))


def served_with_cancel_time(rate, mean, limit, held, count, seed):
    """An independent M/M/1 whose callers leave after *limit*: the share served, by one loop over the calls."""
    draws = np.random.default_rng(seed)
    arrivals = np.cumsum(draws.exponential(1 / rate, count))
    works = draws.exponential(mean, count)
    free, served = 0.0, 0
    for arrival, work in zip(arrivals, works, strict=True):
        begin = max(arrival, free)
        if begin > arrival + limit:
            continue
        if begin + work <= arrival + limit:
            served += 1
            free = begin + work
        else:
            free = arrival + limit + held
    return served / count


@pytest.mark.slow
def test_an_overload_of_cancelled_calls_agrees_with_an_independent_loop():
    """Cancelling alone can keep a service busy: with it far fewer succeed than with none."""
    service = rl.Service(1, rl.Exponential(0.1), on_cancel="stop", cancel_time=0.15)
    scenario = rl.Scenario(rl.Poisson(20), service, rl.Timeout(0.2), duration=4000.0)
    expected = served_with_cancel_time(20, 0.1, 0.2, 0.15, 400_000, 1)
    free = served_with_cancel_time(20, 0.1, 0.2, 0.0, 400_000, 1)
    assert rl.simulate(scenario, seed=1, record=False).summary()["success_rate"] == pytest.approx(expected, abs=0.01)
    assert free > expected + 0.1


# overhead


def test_overhead_is_latency_without_a_worker():
    service = rl.Service(1, 1.0, overhead=0.25, failure_rate=0.0)
    assert rows(play(service, [0.0, 0.1])) == [
        (0.0, 1.25, "success", 0.0, 1.0),
        (0.1, 2.25, "success", 1.0, 2.0),
    ]


def test_errors_take_the_overhead_too_and_faults_do_not_slow_it():
    fault = rl.Slowdown(0.0, 50.0, factor=3.0)
    service = rl.Service(1, 1.0, overhead=0.25, failure_rate=1.0, failure_latency=0.5, faults=fault)
    assert rows(play(service, [0.0])) == [(0.0, 1.75, "failure", 0.0, 1.5)]


@pytest.mark.parametrize("cancel", [True, False])
def test_a_limit_that_passes_while_the_answer_is_on_its_way_is_a_timeout(cancel):
    service = rl.Service(1, 1.0, overhead=0.25)
    result = play(service, [0.0], rl.Timeout(1.1, cancel=cancel))
    assert rows(result) == [(0.0, 1.1, "timeout", 0.0, 1.0)]


def test_an_answer_on_its_way_at_the_horizon_is_open():
    result = play(rl.Service(1, 1.0, overhead=0.25), [0.0], horizon=1.1)
    assert result.counts()["open"] == 1
    assert rows(result)[0][2:] == ("open", 0.0, 1.0)


def test_overhead_of_a_tier_keeps_the_cause_of_each_failure():
    leaf = rl.Service(5, 0.1, failure_rate=1.0, name="leaf")
    top = rl.Tier(5, 0.1, overhead=0.3, calls=rl.Downstream(leaf), name="top")
    frame = play(top, [0.0, 0.05]).attempts
    assert frame.loc[frame["service"] == "top", "end"].tolist() == pytest.approx([0.5, 0.55])
    assert set(frame.loc[frame["service"] == "top", "cause"]) == {"downstream_error"}


# contention


@pytest.mark.parametrize(
    ("contention", "factor"), [(0.1, 1.7), (lambda n: 1 + 0.05 * (n - 1) + 0.01 * n * (n - 1), 1.91)]
)
def test_throughput_under_contention_follows_gunthers_law(contention, factor):
    """With n users who never think, n calls are in service: X = n / (S f(n))."""
    service = rl.Service(16, rl.Exponential(0.1), contention=contention)
    result = rl.simulate(rl.Scenario(rl.ClosedLoop(8, 1e-6), service, duration=300.0), seed=2)
    assert len(result) / 300 == pytest.approx(8 / (0.1 * factor), rel=0.02)
    assert service.replace(workers=8).capacity == pytest.approx(8 / (0.1 * factor))


@pytest.mark.parametrize(
    ("contention", "message"), [(-0.1, "contention must be >= 0"), (lambda n: -1.0, "returned by contention")]
)
def test_contention_that_is_no_factor_is_refused(contention, message):
    with pytest.raises(ValueError, match=message):
        rl.Service(2, 0.1, contention=contention)


# freeze


def test_work_under_way_stands_still_in_a_freeze_and_goes_on_after_it():
    fault = rl.Outage(1.0, 4.0, mode="freeze")
    result = play(rl.Service(1, 2.0, faults=fault), [0.0, 0.5])
    assert rows(result) == [(0.0, 6.0, "success", 0.0, 6.0), (0.5, 8.0, "success", 6.0, 8.0)]


def test_freezes_that_touch_are_one():
    faults = (rl.Outage(1.0, 2.0, mode="freeze"), rl.Outage(2.0, 3.0, mode="freeze"), rl.Outage(6, 1, mode="freeze"))
    assert rows(play(rl.Service(1, 2.5, faults=faults), [0.0]))[0][4] == 1 + 4 + 1 + 1 + 0.5


def test_a_frozen_service_cancels_nothing_before_it_thaws():
    fault = rl.Outage(1.0, 4.0, mode="freeze")
    service = rl.Service(1, 2.0, on_cancel="stop", cancel_time=0.5, faults=fault)
    assert rows(play(service, [0.0], rl.Timeout(1.5))) == [(0.0, 1.5, "timeout", 0.0, 5.5)]


def test_a_freeze_without_an_end_is_refused():
    with pytest.raises(ValueError, match="duration of a freeze must be finite, got inf"):
        rl.Outage(1.0, math.inf, mode="freeze")


# barging


def test_a_new_call_is_faster_than_one_that_was_just_woken():
    """The first ends at 1.0 and wakes the second, for 1.1; the fourth comes at 1.05; the second goes to the back."""
    service = rl.Service(1, 1.0, discipline="barging", wake_time=0.1)
    result = play(service, [0.0, 0.5, 0.6, 1.05])
    assert [row[3] for row in rows(result)] == pytest.approx([0.0, 3.25, 2.15, 1.05])


def test_nobody_overtakes_when_nobody_comes_in_between():
    fair, pool = (rl.Service(2, rl.Exponential(0.1), discipline=order) for order in ("fifo", "barging"))
    one, two = (rl.simulate(rl.Scenario(rl.Poisson(18), each, duration=200.0), seed=3) for each in (fair, pool))
    assert one.requests.equals(two.requests)


def barging(rate, mean, wake, workers, limit, count, seed):
    """An independent pool: share answered within the limit, waiters are woken late and go to the back."""
    draws = np.random.default_rng(seed)
    arrivals = np.cumsum(draws.exponential(1 / rate, count))
    works = draws.exponential(mean, count)
    heap = [(time, 0, number) for number, time in enumerate(arrivals)]
    heapq.heapify(heap)
    busy, woken, queue, served = 0, 0, [], 0

    def wake_some(now):
        nonlocal woken
        while busy + woken < workers and queue:
            number = queue.pop(0)
            if now < arrivals[number] + limit:
                woken += 1
                heapq.heappush(heap, (now + wake, 2, number))

    while heap:
        now, kind, number = heapq.heappop(heap)
        if kind == 1:
            busy -= 1
        elif kind == 2:
            woken -= 1
        if kind != 1 and now <= arrivals[number] + limit:
            if busy < workers:
                busy += 1
                end = now + works[number]
                served += end <= arrivals[number] + limit
                heapq.heappush(heap, (min(end, arrivals[number] + limit), 1, number))
            else:
                queue.append(number)
        if kind:
            wake_some(now)
    return served / count


@pytest.mark.slow
def test_an_overloaded_pool_agrees_with_an_independent_loop():
    """In an overload some calls succeed that a strict order would all let wait too long."""
    service = rl.Service(4, rl.Exponential(0.1), discipline="barging", wake_time=0.02, on_cancel="stop")
    scenario = rl.Scenario(rl.Poisson(60), service, rl.Timeout(0.3), duration=2000.0)
    expected = barging(60, 0.1, 0.02, 4, 0.3, 120_000, 1)
    assert rl.simulate(scenario, seed=1, record=False).summary()["success_rate"] == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"cancel_time": rl.Exponential(0.1)},
        {"overhead": rl.Uniform(0.01, 0.1)},
        {"contention": 0.2},
        {"faults": rl.Outage(2.0, 3.0, mode="freeze")},
        {"discipline": "barging", "wake_time": rl.Exponential(0.05)},
    ],
    ids=lambda changes: "-".join(changes),
)
@pytest.mark.parametrize("on_cancel", ["ignore", "drop_queued", "stop"])
@pytest.mark.parametrize("horizon", [None, 7.3])
def test_no_worker_and_no_call_is_lost(changes, on_cancel, horizon):
    """However calls are cancelled, each has one row, and never more are in service than there are workers."""
    policy = rl.ResiliencePolicy(rl.Retry(2, 0.05, jitter="full"), rl.Hedge(0.2), rl.Timeout(0.4))
    service = rl.Service(3, rl.Exponential(0.1), failure_rate=0.1, on_cancel=on_cancel, **changes)
    result = rl.simulate(rl.Scenario(rl.Poisson(30), service, policy, duration=10.0), seed=4, horizon=horizon)
    assert not result.attempts.duplicated(["request_id", "attempt"]).any()
    assert len(result.attempts) == result.requests["attempts"].sum()
    calls = result.attempts_array()
    held = calls[calls["work_end"] > calls["work_start"]]
    times = sorted([(t, 1) for t in held["work_start"]] + [(t, -1) for t in held["work_end"]])
    assert np.cumsum([step for _, step in times]).max() <= 3


def test_an_answer_on_its_way_to_nobody_at_the_horizon_is_a_timeout():
    result = play(rl.Service(1, 1.0, overhead=1.0), [0.0], rl.Timeout(0.5, cancel=False), horizon=1.5)
    assert rows(result) == [(0.0, 0.5, "timeout", 0.0, 1.0)]


@pytest.mark.parametrize("seed", range(5))
def test_woken_calls_of_callers_that_have_gone_have_their_row_at_the_horizon(seed):
    service = rl.Service(2, rl.Exponential(0.3), discipline="barging", wake_time=0.5)
    scenario = rl.Scenario(rl.Poisson(20), service, rl.Timeout(0.4), duration=10.0)
    result = rl.simulate(scenario, seed=seed, horizon=5.0)
    assert len(result.attempts) == result.requests["attempts"].sum()


def test_a_service_with_every_knob_lives_in_ones_own_environment():
    env = simpy.Environment()
    service = rl.Service(1, 1.0, on_cancel="stop", cancel_time=0.5, overhead=0.25, contention=0.1).bind(env)
    limit = rl.Timeout(0.5).bind(env)

    def caller():
        with pytest.raises(rl.TimeoutExceededError):
            yield from limit.execute(service.request)
        yield from service.request()
        return env.now

    assert env.run(env.process(caller())) == 2.25
    assert service.busy == 0
