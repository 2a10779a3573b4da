"""Queueing theory: services, bulkheads and time limits against exact values.

The numbers are those of the formulas named in each test, computed elsewhere.
"""

import math

import numpy as np
import pytest

import resilab as rl
from resilab.lab.records import REJECTED, SUCCESS

from ..acceptance import Sent, accept, replications, shares

LAWS = {
    "exponential": rl.Exponential(1.0),
    "constant": rl.Constant(1.0),
    "lognormal": rl.LogNormal.from_mean(1.0, 2.0),
}


def scenario(rate, service, requests, **options):
    return rl.Scenario(rl.Poisson(rate), service, duration=requests / rate, **options)


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("permits", "offered", "blocked", "requests"), [(5, 5, 0.284868, 12_000), (20, 25, 0.27989, 15_000)]
)
def test_a_bulkhead_without_queue_blocks_as_erlang_b_whatever_the_law(permits, offered, blocked, requests, law):
    """B(c, a); insensitive: only the mean of the call's duration counts."""
    played = scenario(offered, rl.Service(1000, LAWS[law]), requests, policy=rl.Bulkhead(permits, max_queue=0))
    accept(replications(played, lambda result: shares(result)[REJECTED], record=False), blocked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "mean", "workers", "places", "blocked", "wait", "waits", "utilization"),
    [
        (12, 1.0, 10, 10, 0.17967, 0.63597, 0.91822, 0.9844),
        (0.9, 1.0, 1, 4, 0.12602, 1.7903, 0.75581, 0.78658),
        (50, 0.1, 5, 5, 0.117503, 0.0399446, 0.665744, 0.882497),
    ],
)
def test_a_bounded_queue_is_m_m_c_k(rate, mean, workers, places, blocked, wait, waits, utilization):
    """Rejections, wait, share that waits and utilisation; K = workers + places."""
    played = scenario(
        rate, rl.Service(workers, rl.Exponential(mean), queue_limit=places), 26_000 if workers == 5 else 20_000
    )

    def measure(result):
        sent = Sent(result)
        queued = sent.queue_time[sent.is_success]
        used = sent.service_time.sum() / sent.span / workers
        return 1 - sent.is_success.mean(), queued.mean(), (queued > 0).mean(), used

    values = replications(played, measure).T
    for value, exact in zip(values, (blocked, wait, waits, utilization), strict=True):
        accept(value, exact)


@pytest.mark.slow
def test_a_bulkhead_with_a_queue_is_m_m_c_k_too():
    """The same numbers, whether the queue is the service's or the bulkhead's."""
    policy = rl.Bulkhead(1, max_queue=4)
    played = scenario(0.9, rl.Service(1000, rl.Exponential(1.0)), 15_000, policy=policy)

    def measure(result):
        is_success = result.columns["outcome"] == SUCCESS
        latency = result.latency[is_success]
        return shares(result)[REJECTED], latency[len(latency) // 10 :].mean()

    blocked, sojourn = replications(played, measure, record=False).T
    accept(blocked, 0.12602)
    accept(sojourn, 1.7903 + 1.0)


@pytest.mark.slow
def test_an_unbounded_queue_is_erlang_c():
    """P(wait) = C(c, a), mean wait C / (c mu - lambda); here C(2, 1) = 1 / 3."""
    played = scenario(1, rl.Service(2, rl.Exponential(1.0)), 40_000)
    waits, wait = replications(played, lambda r: ((Sent(r).queue_time > 0).mean(), Sent(r).queue_time.mean())).T
    accept(waits, 1 / 3)
    accept(wait, 1 / 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "second_moment"),
    [
        (rl.Exponential(1.0), 2.0),
        (rl.Constant(1.0), 1.0),
        (rl.Gamma(1.0, 0.5), 1.25),
        (rl.Uniform(0.5, 1.5), 13 / 12),
        (rl.Mixture((0.5, rl.Exponential(0.5)), (0.5, rl.Exponential(1.5))), 2.5),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_one_worker_waits_as_pollaczek_and_khinchine_say(law, second_moment):
    """Wq = lambda E[S^2] / (2 (1 - rho)): the variance of the work makes the queue."""
    played = scenario(0.5, rl.Service(1, law), 25_000)
    waits = replications(played, lambda result: Sent(result).queue_time.mean())
    accept(waits, 0.5 * second_moment / (2 * (1 - 0.5)))


@pytest.mark.slow
def test_lifo_keeps_the_mean_wait_and_spreads_it():
    """M/M/1 at rho = 0.3, the same work: equal means, and a second moment that is 1 / (1 - rho) times as large."""
    moments = {}
    for discipline in ("fifo", "lifo"):
        played = scenario(0.3, rl.Service(1, rl.Exponential(1.0), discipline=discipline), 25_000)
        moments[discipline] = replications(
            played, lambda r: (Sent(r).queue_time.mean(), (Sent(r).queue_time ** 2).mean())
        ).T
    for mean, _ in moments.values():
        accept(mean, 0.3 / 0.7)
    accept(moments["lifo"][0] - moments["fifo"][0], 0.0, absolute=0.02)
    accept(moments["fifo"][1], 0.6 / 0.7**2, relative=0.08)
    accept(moments["lifo"][1], 0.6 / 0.7**3, relative=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "reaction", "successes", "utilization"),
    [
        (0.5, "ignore", 0.86466, 0.5),
        (0.5, "drop_queued", 0.89494, 0.48249),
        (0.5, "stop", 0.92742, 0.46371),
        (1.2, "drop_queued", 0.55586, 0.90929),
        (1.2, "stop", 0.73357, 0.88029),
        (2.0, "drop_queued", 0.24655, 0.9954),
        (2.0, "stop", 0.49538, 0.99076),
    ],
)
def test_three_reactions_to_a_time_limit_on_one_worker(rate, reaction, successes, utilization):
    """M/M/1 with a limit on the whole sojourn: one closed form for each reaction of the server."""
    service = rl.Service(1, rl.Exponential(1.0), on_cancel=reaction)
    played = scenario(rate, service, 15_000, policy=rl.Timeout(4.0))
    values = replications(played, lambda r: (shares(r)[SUCCESS], Sent(r).service_time.sum() / Sent(r).span)).T
    accept(values[0], successes)
    accept(values[1], utilization)


@pytest.mark.slow
def test_with_full_cancellation_no_request_expires_in_the_queue():
    """First come first served and one limit for all: whoever reaches the head has time left."""
    service = rl.Service(3, rl.Exponential(1.0))
    result = rl.simulate(scenario(6, service, 10_000, policy=rl.Timeout(2.0)), 1)
    cut = result.attempts[result.attempts["outcome"] == "timeout"]
    assert len(cut) > 2_500
    assert (cut["service_time"] > 0).all()


NONE = rl.ResiliencePolicy()
TEN, TWENTY = rl.Bulkhead(10, max_queue=0), rl.Bulkhead(20, max_queue=0)


@pytest.mark.parametrize(
    ("shared", "own", "slow", "blocked"),
    [
        (NONE, {"one": TEN, "two": TEN}, True, (0.043142, 0.68134)),
        (TWENTY, {}, False, (0.0097956, 0.0097956)),
        (TWENTY, {}, True, (0.47263, 0.47263)),
        (TWENTY, {"two": TEN}, True, (0.035341, 0.68165)),
    ],
    ids=["isolated", "shared", "shared slow", "capped slow"],
)
def test_two_dependencies_in_isolated_shared_and_capped_pools(shared, own, slow, blocked):
    """Product form: sharing blocks less in good times, isolation saves the healthy class in bad ones."""
    quick = rl.Service(1000, rl.Exponential(1.0), name="quick")
    other = rl.Service(1000, rl.LogNormal.from_mean(5.0 if slow else 1.0, 2.0), name="other")
    played = rl.Scenario(
        policy=shared,
        duration=4500,
        operations=(
            rl.Operation("one", rl.Poisson(6), quick, own.get("one", NONE)),
            rl.Operation("two", rl.Poisson(6), other, own.get("two", NONE)),
        ),
    )

    def measure(result):
        is_rejected = result.columns["outcome"] == REJECTED
        is_settled = np.arange(len(result)) >= len(result) // 10
        return [is_rejected[is_settled & (result.columns["operation"] == number)].mean() for number in (0, 1)]

    for values, exact in zip(replications(played, measure, record=False).T, blocked, strict=True):
        accept(values, exact)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("users", "mean", "workers", "throughput", "wait"),
    [(20, 1.0, 8, 7.9119, 0.52782), (50, 0.1, 4, 38.85, 0.18701)],
)
def test_a_closed_workload_is_the_machine_repair_model(users, mean, workers, throughput, wait):
    """Users who wait for their answers cannot overload a service without end."""
    duration = 15_000 / throughput
    service = rl.Service(workers, rl.Exponential(mean))
    played = rl.Scenario(rl.ClosedLoop(users, rl.Exponential(1.0)), service, duration=duration)

    def measure(result):
        sent = Sent(result)
        return len(sent.start) / (duration - sent.start[0]), sent.queue_time.mean()

    for values, exact in zip(replications(played, measure).T, (throughput, wait), strict=True):
        accept(values, exact)


@pytest.mark.slow
def test_without_a_bulkhead_calls_in_flight_are_poisson():
    """Mean and variance of the number in flight are both lambda E[S]."""
    played = scenario(100, rl.Service(10_000, rl.LogNormal.from_mean(0.1, 2.0)), 20_000)

    def measure(result):
        times, values = rl.lab.metrics.timeline(result, "in_flight")
        seen = values[np.searchsorted(times, np.arange(20.0, 195.0, 0.25), "right") - 1]
        return seen.mean(), seen.var()

    mean, variance = replications(played, measure, record=False).T
    accept(mean, 10.0)
    accept(variance, 10.0, relative=0.12)


def test_an_overloaded_service_reaches_its_capacity_and_no_more():
    """Utilisation is the work done over the worker time there was, never above 1."""
    result = rl.simulate(scenario(50, rl.Service(3, rl.Exponential(0.1), queue_limit=50), 20_000), 1)
    summary = result.summary()
    assert 0.99 < summary["utilization"] <= 1
    assert summary["goodput"] == pytest.approx(30, rel=0.03)
    assert math.isclose(summary["rejected_rate"], 1 - 30 / 50, abs_tol=0.02)
