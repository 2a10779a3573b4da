"""Retries, backoff, breakers and combined policies against exact values."""

import math

import numpy as np
import pytest

import resilab as rl
from resilab.lab.records import DEGRADED, REJECTED, SUCCESS

from ..acceptance import accept, replications, shares

INSTANT = 1e-9


def fails(rate, **options):
    """A dependency without queueing whose calls fail independently."""
    return rl.Service(100_000, INSTANT, failure_rate=rate, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "retries", "success", "attempts"),
    [(0.1, 1, 0.99, 1.1), (0.3, 3, 0.9919, 1.417), (0.5, 5, 0.98438, 1.9688), (0.9, 3, 0.3439, 3.439)],
)
def test_retries_of_independent_failures(failure, retries, success, attempts):
    """1 - p^(n+1) succeed with (1 - p^(n+1)) / (1 - p) attempts: n retries are n + 1 attempts."""
    policy = rl.Retry(retries, 0.1, jitter="none")
    played = rl.Scenario(rl.Poisson(50), fails(failure), policy, duration=100)
    values = replications(played, lambda r: (shares(r)[SUCCESS], r.columns["attempts"].mean()), record=False).T
    accept(values[0], success)
    accept(values[1], attempts)


def test_nested_retries_multiply():
    """k tiers of n retries behave as one of (n + 1)^k attempts: 64 calls to a dead leaf."""
    policy = rl.ResiliencePolicy(*[rl.Retry(3, 0.01, jitter="none")] * 3)
    result = rl.simulate(rl.Scenario(rl.Steady(10), fails(1.0), policy, duration=2))
    assert set(result.requests["attempts"]) == {64}


@pytest.mark.slow
def test_backoff_adds_its_mean_to_the_latency():
    """p = 0.5, five retries of base 0.1 s: 0.25 s without jitter, half of it with full jitter."""
    for jitter, total in (("none", 0.25), ("reference", 0.2625), ("full", 0.125), ("equal", 0.1875)):
        policy = rl.Retry(5, 0.1, 100.0, 2.0, jitter=jitter)
        played = rl.Scenario(rl.Poisson(50), fails(0.5), policy, duration=60)
        accept(replications(played, lambda r: np.nanmean(r.latency), record=False), total)


@pytest.mark.slow
def test_retries_without_delay_into_a_full_system_are_useless():
    """M/M/10/12 at 9: the retries see the same full system, so as many fail as without them."""
    service = rl.Service(10, rl.Exponential(1.0), queue_limit=2)
    plain = rl.Scenario(rl.Poisson(9), service, duration=3000)
    at_once = plain.replace(policy=rl.Retry(3, 0.0))
    spread = plain.replace(policy=rl.Retry(3, 100.0, 1000.0, 1.0, jitter="full"))
    accept(replications(plain, lambda r: shares(r)[REJECTED], record=False), 0.10569)
    accept(replications(at_once, lambda r: shares(r)[REJECTED], record=False), 0.10569)
    assert replications(spread, lambda r: shares(r)[REJECTED], record=False, count=3).mean() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("delays", "success"), [((0.1, 0.2, 0.4), 0.95859), ((5.0, 10.0, 20.0), 0.99982)])
def test_a_backoff_must_be_of_the_order_of_the_outage(delays, success):
    """A dependency that is up 100 s and down 5 s on average: short retries meet the same outage."""
    generator = np.random.default_rng(1)
    ends = np.cumsum(generator.exponential((100.0, 5.0), size=(600, 2)).ravel())
    outages = tuple(rl.Outage(start, end - start) for start, end in zip(ends[0:-1:2], ends[1::2], strict=True))
    policy = rl.Retry(3, 1.0, jitter=lambda attempt, draw: delays[attempt])
    played = rl.Scenario(rl.Poisson(5), fails(0.0, faults=outages), policy, duration=60_000)
    result = rl.simulate(played, 1, record=False)
    blocks = (result.columns["outcome"] == SUCCESS)[: len(result) // 20 * 20].reshape(20, -1).mean(axis=1)
    accept(blocks, success, absolute=0.012)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "threshold", "mean", "deviation"),
    [(0.5, 5, 62.0, 58.224), (0.5, 3, 14.0, 11.916), (0.8, 5, 10.259, 6.707)],
)
def test_calls_until_a_breaker_opens(failure, threshold, mean, deviation):
    """The first run of k failures takes (1 - p^k) / ((1 - p) p^k) calls on average."""
    breaker = rl.CircuitBreaker(threshold, 1, 0.5, 0)
    # one call a second, and a probe that succeeds closes at once: cut the sequence at its openings
    played = rl.Scenario(rl.Steady(1), fails(failure), breaker, duration=40_000)
    result = rl.simulate(played, 1)
    opened = [row[0] for row in result.event_rows if row[4].endswith("closed -> open")]
    closed = [row[0] for row in result.event_rows if row[4] == "half_open -> closed"]
    begins = np.array([-1.0, *closed[: len(opened) - 1]])
    calls = np.array(opened) - begins
    assert abs(calls.mean() - mean) <= 4.5 * deviation / math.sqrt(len(calls)) + 1e-6
    assert calls.std() == pytest.approx(deviation, rel=0.15)
    assert len(calls) > 250


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "threshold", "successes", "rate", "timeout", "rejected", "succeeded"),
    [
        (0.5, 5, 1, 10, 5.0, 0.60976, 0.19512),
        (0.6, 3, 2, 20, 2.0, 0.93345, 0.026621),
        (1.0, 5, 3, 10, 5.0, 0.98039, 0.0),
    ],
)
def test_the_full_cycle_of_a_breaker(failure, threshold, successes, rate, timeout, rejected, succeeded):
    """Closed, open, half-open under Poisson calls, each call without duration."""
    breaker = rl.CircuitBreaker(threshold, successes, timeout, 0)
    played = rl.Scenario(rl.Poisson(rate), fails(failure), breaker, duration=1000 if failure == 1.0 else 4500)

    values = replications(played, shares, record=False).T
    accept(values[REJECTED], rejected)
    accept(values[SUCCESS], succeeded)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "calls"), [(10, 16.0), (2, 14.943)])
def test_few_calls_reach_a_dead_service(rate, calls):
    """A minute's outage, k = 5, T = 5 s: five calls open the breaker, then one probe each time."""
    service = fails(0.0, faults=(rl.Outage(20.0, 60.0),))
    played = rl.Scenario(rl.Poisson(rate), service, rl.CircuitBreaker(5, 3, 5.0, 0), duration=80.0)
    reached = replications(played, lambda r: (r.attempts["outcome"] == "failure").sum(), count=60)
    assert abs(reached.mean() - calls) <= 4.5 * reached.std(ddof=1) / math.sqrt(60)
    assert reached.std(ddof=1) < 1.5


@pytest.mark.slow
def test_a_breaker_recovers_within_one_timeout_of_the_repair():
    """Mean T^2 / 2 / (T + 1 / rate) + successes / rate = 2.751 s, never more than T and a few calls."""
    played = rl.Scenario(
        rl.Poisson(10), fails(0.0, faults=(rl.Outage(5.0, 97.3),)), rl.CircuitBreaker(5, 3, 5.0, 0), duration=115
    )

    def measure(result):
        return max(row[0] for row in result.event_rows if row[4] == "half_open -> closed") - 102.3

    delays = replications(played, measure, count=150)
    assert abs(delays.mean() - 2.751) <= 4.5 * delays.std() / math.sqrt(len(delays))
    assert delays.max() < 5 + 2.0


@pytest.mark.slow
@pytest.mark.parametrize(("failure", "inside", "outside"), [(0.8, 10.259, 56.192)])
def test_a_breaker_inside_a_retry_opens_sooner(failure, inside, outside):
    """Inside it counts attempts, outside whole requests that failed after three."""
    breaker, retry = rl.CircuitBreaker(5, 1, 0.4, 0), rl.Retry(2, 0.0)

    def calls_until_open(policy, column):
        result = rl.simulate(rl.Scenario(rl.Steady(1), fails(failure), policy, duration=40_000), 1)
        opened = [row[3] for row in result.event_rows if row[4] == "closed -> open"]
        closed = [row[3] for row in result.event_rows if row[4] == "half_open -> closed"]
        counts = np.cumsum(np.ones(len(result)) if column is None else result.columns[column])
        begins = np.array([-1, *closed[: len(opened) - 1]])
        return np.diff(np.column_stack([np.where(begins < 0, 0, counts[begins]), counts[opened]]), axis=1).mean()

    outer = calls_until_open(rl.ResiliencePolicy(breaker, retry), None)
    assert outer == pytest.approx(outside, rel=0.12)
    inner = calls_until_open(rl.ResiliencePolicy(retry, breaker), "attempts")
    assert inner < outside / 3
    assert inner == pytest.approx(inside, rel=0.25)  # a request may add rejected attempts


@pytest.mark.slow
def test_a_time_limit_inside_a_retry():
    """p = e^-2 a try: 0.99966 succeed within 4 x 0.2 s and the delays, 0.10906 s on average."""
    policy = rl.ResiliencePolicy(rl.Retry(3, 0.05, 100.0, 2.0, jitter="none"), rl.Timeout(0.2))
    played = rl.Scenario(rl.Poisson(20), rl.Service(10_000, rl.Exponential(0.1)), policy, duration=500)

    def measure(result):
        return (
            shares(result)[SUCCESS],
            np.mean(result.latency),
            np.mean(result.columns["attempts"]),
            result.latency.max(),
        )

    success, latency, attempts, worst = replications(played, measure, record=False).T
    accept(success, 0.99966)
    accept(latency, 0.10906)
    accept(attempts, 1.1561)
    assert worst.max() <= 1.15 + 1e-9


@pytest.mark.slow
def test_a_bulkhead_outside_a_retry_blocks_more():
    """Its permit is held during backoff: Erlang's B of lambda (calls + backoff) = 0.0726, whatever the law."""
    retry = rl.Retry(3, 0.1, 100.0, 2.0, jitter="none")
    bulkhead = rl.Bulkhead(10, max_queue=0)
    for law in (rl.Constant(0.2), rl.Exponential(0.2)):
        service = rl.Service(10_000, law, failure_rate=0.3)
        outside = rl.Scenario(rl.Poisson(20), service, rl.ResiliencePolicy(bulkhead, retry), duration=900)
        accept(replications(outside, lambda r: shares(r)[REJECTED], record=False), 0.072601, relative=0.06)
    inside = outside.replace(policy=rl.ResiliencePolicy(retry.replace(retryable_errors=rl.ServiceError), bulkhead))
    assert replications(inside, lambda r: shares(r)[REJECTED], record=False, count=5).mean() < 0.055


@pytest.mark.slow
def test_a_fallback_that_may_fail():
    """Primary right in 0.9 (50 ms), fallback in 0.99 (5 ms): 0.999 answered, 0.099 degraded, 50.5 ms."""
    # every hundredth fallback call fails, in turn: the share is exact
    count = iter(range(10**9))

    def level():
        return (yield from _answer(next(count)))

    def _answer(number):
        if number % 100 == 99:
            raise rl.ServiceError("no cached page")
        return "cached"
        yield

    played = rl.Scenario(rl.Poisson(50), rl.Service(1000, 0.05, failure_rate=0.1), rl.Fallback(level), duration=100)
    values = replications(played, shares, record=False).T
    accept(values[DEGRADED], 0.099)
    accept(values[SUCCESS] + values[DEGRADED], 0.999)
