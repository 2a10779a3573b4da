"""Cases that no table lists: other parameters against theory, changes that must change nothing, exact instants.

Exact values come from `resilab.theory`, which test_formulas.py checks by itself, or
from small models written here.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import resilab as rl
from resilab import theory
from resilab.lab.records import REJECTED, SUCCESS

from ..acceptance import Sent, accept, replications, shares

PLENTY = 100_000


def fails(rate, **options):
    """A dependency without queueing whose calls fail independently, in no time."""
    return rl.Service(PLENTY, 0.0, failure_rate=rate, **options)


class TestLuckBelongsToItsRequest:
    def test_operations_that_share_a_service_do_not_share_luck(self):
        """Request 5 of one operation and request 5 of another are two requests."""
        service = rl.Service(PLENTY, rl.Exponential(1.0), failure_rate=0.5)
        parts = (
            rl.Operation("search", rl.Poisson(40), service),
            rl.Operation("report", rl.Poisson(40), service),
            rl.Operation("batch", rl.ClosedLoop(40, 0.01), service),
        )
        result = rl.simulate(rl.Scenario(operations=parts, duration=25.0), 1)
        rows = result.attempts.assign(operation=result.requests["operation"])
        times = [part["service_time"].to_numpy()[:800] for _, part in rows.groupby("operation", observed=True)]
        ends = [part["outcome"].to_numpy()[:800] == "success" for _, part in rows.groupby("operation", observed=True)]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert abs(np.corrcoef(times[one], times[other])[0, 1]) < 5 / math.sqrt(800)
            assert abs((ends[one] == ends[other]).mean() - 0.5) < 2.5 / math.sqrt(800)

    def test_an_operation_added_behind_the_others_shifts_nobodys_luck(self):
        one = rl.Operation("one", rl.Poisson(20), rl.Service(PLENTY, rl.Exponential(0.1), failure_rate=0.2))
        two = rl.Operation("two", rl.Poisson(20), one.service)
        alone, both = (
            rl.simulate(rl.Scenario(operations=parts, duration=20.0), 3).requests for parts in ((one,), (one, two))
        )
        both = both[both["operation"] == "one"].reset_index(drop=True)
        assert both["latency"].equals(alone["latency"])
        assert (both["outcome"] == alone["outcome"]).all()

    @pytest.mark.slow
    def test_a_workload_split_over_operations_waits_as_before(self):
        """The sum of Poisson streams is one: M/G/1 with gamma work of cv 1.4 at 0.5."""
        service = rl.Service(1, rl.Gamma(1.0, 1.4))
        parts = tuple(rl.Operation(name, rl.Poisson(0.25), service) for name in ("left", "right"))
        waits = replications(
            rl.Scenario(operations=parts, duration=36_000.0), lambda result: Sent(result).queue_time.mean(), count=10
        )
        accept(waits, theory.mg1(0.5, 1.0, 1.4).mean_wait, relative=0.1)

    @pytest.mark.parametrize("jitter", ["reference", "full", "equal", "decorrelated"])
    def test_a_retry_that_never_retries_shifts_no_jitter(self, jitter):
        """Outside or inside of another one, and whatever keeps it from retrying."""
        retry = rl.Retry(3, 0.1, jitter=jitter)
        scenario = rl.Scenario(rl.Poisson(20), rl.Service(50, 0.02, failure_rate=0.5), retry, duration=20.0)
        plain = rl.simulate(scenario, 1)
        for idle in (rl.Retry(0), rl.Retry(5, retryable_errors=())):
            for policies in ((idle, retry), (retry, idle), (idle, rl.Timeout(9.0), retry)):
                other = rl.simulate(scenario.replace(policy=rl.ResiliencePolicy(*policies)), 1)
                assert other.requests.equals(plain.requests)
                assert other.attempts.equals(plain.attempts)

    def test_nested_retries_draw_anew_for_each_backoff(self):
        """They share a stream and not a draw."""
        retry = rl.Retry(2, 1.0, 9.0, 1.0, jitter="full")
        policy = rl.ResiliencePolicy(retry, retry)
        result = rl.simulate(rl.Scenario(rl.Steady(10), fails(1.0), policy, duration=10.0), 1)
        gaps = result.attempts.groupby("request_id")["start"].diff().dropna()
        assert gaps.nunique() == len(gaps) == 100 * 8
        assert gaps.mean() == pytest.approx(0.5, abs=5 / math.sqrt(12 * 800))


class TestWhoAnswered:
    LATE = rl.Service(9, 0.3, faults=(rl.Slowdown(0.0, 0.1, 2.0), rl.Errors(0.0, 0.1, 1.0)))
    POLICY = rl.ResiliencePolicy(
        rl.Retry(1, 0.0, jitter="none"), rl.Timeout(0.4, cancel=False), rl.Fallback("cached page")
    )

    def test_a_fallback_for_a_caller_that_has_gone_answers_nobody(self):
        """The first attempt falls back after its limit, while the second one succeeds."""
        result = rl.simulate(rl.Scenario(rl.Replay((0.0,)), self.LATE, self.POLICY))
        assert result.requests[["outcome", "end", "attempts"]].iloc[0].tolist() == ["success", 0.7, 2]

    def test_nor_does_it_behind_a_tier(self):
        """The tier falls back for a call whose caller has gone."""
        front = rl.chain(rl.Service(9, 0.0, name="front"), self.LATE, policy=rl.Fallback("cached page"))
        policy = rl.ResiliencePolicy(*self.POLICY.policies[:2])
        result = rl.simulate(rl.Scenario(rl.Replay((0.0,)), front, policy))
        assert result.requests["outcome"].tolist() == ["success"]

    def test_in_time_it_does(self):
        policy = rl.ResiliencePolicy(rl.Timeout(0.7, cancel=False), rl.Fallback("cached page"))
        result = rl.simulate(rl.Scenario(rl.Replay((0.0,)), self.LATE, policy))
        assert result.requests["outcome"].tolist() == ["degraded"]


class TestHorizon:
    def test_a_run_cut_in_the_middle_has_the_rates_of_its_half(self):
        """Goodput and utilisation are per second played, not per second planned."""
        scenario = rl.Scenario(rl.Poisson(90), rl.Service(10, rl.Exponential(0.1)), duration=200.0)
        half = rl.simulate(scenario, 1, horizon=100.0).summary()
        own = rl.simulate(scenario.replace(duration=100.0), 1, horizon=100.0).summary()
        assert half.equals(own)
        assert half["goodput"] == pytest.approx(90, rel=0.04)
        assert half["utilization"] == pytest.approx(0.9, rel=0.05)

    def test_a_horizon_after_the_end_changes_nothing(self):
        scenario = rl.Scenario(rl.Poisson(50), rl.Service(10, rl.Exponential(0.1)), duration=20.0)
        assert rl.simulate(scenario, 1, horizon=1e6).summary().equals(rl.simulate(scenario, 1).summary())


class TestExactInstants:
    """Decimal times are not exact in floats; the instants that they mean are."""

    @pytest.mark.parametrize("kind", ["token_bucket", "cycle", "smooth", "bursty", "sliding_log"])
    @pytest.mark.parametrize("rate", [3, 7, 10, 49, 100])
    def test_a_limiter_admits_a_steady_stream_at_its_own_rate(self, kind, rate):
        for limiter in (rl.RateLimiter(rate, 1.0, kind=kind), rl.RateLimiter(1, 1 / rate, kind=kind)):
            result = rl.simulate(rl.Scenario(rl.Steady(rate), rl.Service(9, 0.0), limiter, duration=60.0))
            assert result.counts()["success"] == 60 * rate

    @pytest.mark.parametrize("kind", ["cycle", "smooth", "bursty"])
    @pytest.mark.parametrize("wait", [0.1, 0.3, 0.7, 0.9])
    def test_a_permit_that_comes_at_exactly_the_longest_wait_is_taken(self, kind, wait):
        for begin in (0.0, 3.0, 1e4):
            times = (begin, begin + 1 - wait)
            for longest, taken in ((wait, 2), (wait * 0.999, 1)):
                limiter = rl.RateLimiter(1, 1.0, kind=kind, max_wait=longest)
                result = rl.simulate(rl.Scenario(rl.Replay(times), rl.Service(9, 0.0), limiter))
                assert result.counts()["success"] == taken

    @pytest.mark.parametrize("timeout", [Fraction(3, 10), Fraction(7, 10), Fraction(2), Fraction(5)])
    @pytest.mark.parametrize("rate", [3, 7, 10, 50])
    def test_an_open_breaker_probes_at_exactly_its_timeout(self, rate, timeout):
        """A dead service gets five calls, and one each time, counted in fractions."""
        calls, probe_at = 0, Fraction(0)
        for number in range(60 * rate):
            if calls < 5 or Fraction(number, rate) >= probe_at:
                calls += 1
                probe_at = Fraction(number, rate) + timeout
        breaker = rl.CircuitBreaker(5, 3, float(timeout), 0)
        result = rl.simulate(rl.Scenario(rl.Steady(rate), fails(1.0), breaker, duration=60.0), record=False)
        assert result.counts()["failure"] == calls

    @pytest.mark.parametrize(("seconds", "opens"), [(0.3, False), (0.3001, True)])
    def test_a_call_of_exactly_the_slow_duration_is_not_slow(self, seconds, opens):
        """Wherever in the run it begins: end - begin is 0.3 give or take a bit."""
        breaker = rl.CircuitBreaker(99, 1, 1.0, 5, window=rl.CountWindow(5), slow_call_duration=0.3)
        breaker = breaker.replace(slow_call_rate_threshold=0.2)
        result = rl.simulate(rl.Scenario(rl.Steady(7), rl.Service(9, seconds), breaker, duration=30.0))
        assert (result.counts()["rejected"] > 0) == opens

    @pytest.mark.parametrize("step", [0.1, 0.3, 0.7])
    def test_a_call_is_not_retried_from_exactly_its_longest_duration_on(self, step):
        """Attempts of one step each, no delay between them: seven fit into seven steps."""
        service = rl.Service(99, step, failure_rate=1.0)
        retry = rl.Retry(99, 0.0, jitter="none", max_duration=7 * step)
        result = rl.simulate(rl.Scenario(rl.Steady(3), service, retry, duration=30.0))
        assert set(result.requests["attempts"]) == {7}


def settled(values):
    """Leave out the first tenth of the requests of a run."""
    return values[len(values) // 10 :]


def seen(scenario, measure, exact, *, count=12, record=False, **margins):
    """Accept each number that *measure* says of a run against its exact value."""
    for values, value in zip(replications(scenario, measure, count=count, record=record).T, exact, strict=True):
        accept(values, value, **margins)


def under(rate, service, requests, policy=None):
    return rl.Scenario(rl.Poisson(rate), service, policy or rl.ResiliencePolicy(), duration=requests / rate)


def queue(result):
    """Rejections, wait, share that waits, and utilisation of a service."""
    sent = Sent(result)
    waits = sent.queue_time[sent.is_success]
    used = sent.service_time.sum() / sent.span / result.scenario.service.workers
    return 1 - sent.is_success.mean(), waits.mean(), (waits > 0).mean(), used


def served(result):
    """Share that is served, and the latency of those."""
    outcome = settled(result.columns["outcome"])
    return (outcome == SUCCESS).mean(), settled(result.latency)[outcome == SUCCESS].mean()


class TestOtherQueues:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("places", "offered", "law"),
        [
            (3, 2.1, rl.Gamma(1.0, 0.3)),
            (2, 3.0, rl.Mixture((0.8, rl.Constant(0.25)), (0.2, rl.Constant(4.0)))),
            (2, 1.9, rl.Empirical((0.2, 0.4, 2.4))),
        ],
        ids=["gamma", "mixture", "empirical"],
    )
    def test_a_full_service_a_full_bulkhead_and_an_empty_pool_block_alike(self, places, offered, law):
        """Erlang's B for each, and the same requests."""
        blocked = theory.erlang_b(places, offered)
        service = under(offered, rl.Service(places, law, queue_limit=0), 6_000)
        seen(service, lambda result: [settled(result.columns["outcome"] == REJECTED).mean()], [blocked])
        plenty = service.replace(service=rl.Service(PLENTY, law))
        for policy in (rl.Bulkhead(places, max_queue=0), rl.ConnectionPool(places, acquire_timeout=0)):
            other = rl.simulate(plenty.replace(policy=policy), 1)
            assert (other.columns["outcome"] == rl.simulate(service, 1).columns["outcome"]).all()

    @pytest.mark.slow
    def test_last_in_first_out_keeps_the_mean_of_a_bounded_queue(self):
        exact = theory.mmck(1.0, 1, 1.0, 2)
        service = rl.Service(1, rl.Exponential(1.0), queue_limit=2, discipline="lifo")
        numbers = (exact.rejected_rate, exact.mean_wait, exact.wait_probability, exact.utilization)
        seen(under(1.0, service, 10_000), queue, numbers, record=True)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("rate", "limit", "reaction"), [(0.65, 2.5, "ignore"), (1.0, 1.5, "stop"), (1.6, 3.0, "drop_queued")]
    )
    def test_callers_who_leave(self, rate, limit, reaction):
        """M/M/1 with a limit, at other loads, one of them exactly full."""
        exact = theory.mm1_timeout(rate, 1.0, limit, reaction)
        service = rl.Service(1, rl.Exponential(1.0), on_cancel=reaction)
        scenario = under(rate, service, 9_000, rl.Timeout(limit))
        used = lambda result: Sent(result).service_time.sum() / Sent(result).span  # noqa: E731
        seen(
            scenario, lambda result: (shares(result)[SUCCESS], used(result)),
            (exact.success_rate, exact.utilization), record=True,
        )  # fmt: skip
        if reaction == "ignore":  # a race leaves the work alone, whatever the service would do
            race = under(rate, rl.Service(1, rl.Exponential(1.0)), 9_000, rl.Timeout(limit, cancel=False))
            assert rl.simulate(race, 1).attempts.equals(rl.simulate(scenario, 1).attempts)

    @pytest.mark.slow
    def test_patience_with_a_bulkhead_and_with_a_pool(self):
        exact = theory.mmc_patience(6, 5, 0.7, 0.3)
        scenario = under(6, rl.Service(PLENTY, rl.Exponential(0.7)), 9_000, rl.Bulkhead(5, max_wait=0.3))
        seen(scenario, served, (1 - exact.rejected_rate, exact.mean_latency))
        pool = scenario.replace(policy=rl.ConnectionPool(5, acquire_timeout=0.3))
        assert rl.simulate(pool, 1).latency.tolist() == rl.simulate(scenario, 1).latency.tolist()

    @pytest.mark.slow
    def test_seven_users_of_two_workers(self):
        exact = theory.closed_loop(7, 0.5, 2, 0.3)
        throughput = 7 / (0.5 + exact.mean_latency)
        workload = rl.ClosedLoop(7, rl.Exponential(0.5))
        scenario = rl.Scenario(workload, rl.Service(2, rl.Exponential(0.3)), duration=9_000 / throughput)
        seen(
            scenario,
            lambda result: (len(result) / scenario.duration, *served(result)),
            (throughput, 1, exact.mean_latency),
        )

    @pytest.mark.slow
    def test_a_tier_waits_for_its_database(self):
        """Its own work, then M/M/2 below."""
        front = rl.chain(
            rl.Service(PLENTY, rl.Exponential(0.05), name="front"), rl.Service(2, rl.Exponential(0.1), name="database")
        )
        exact = 0.05 + theory.mmc(10, 2, 0.1).mean_latency
        seen(under(10, front, 6_000), served, (1, exact))

    @pytest.mark.slow
    def test_a_round_robin_over_three_replicas_smooths_the_arrivals(self):
        """Each replica is an E3/M/1 queue: latency 1 / (1 - s), s = (1.8 / (1.8 + 1 - s))^3."""
        fleet = rl.Fleet(replicas=3, workers=1, latency=rl.Exponential(1.0))
        scenario = rl.FleetScenario(rl.Poisson(1.8), fleet, duration=5_000.0)
        seen(scenario, served, (1, 1.813396), count=10)


class TestOtherPolicies:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("jitter", "backoff"),
        [("reference", 0.38256), ("decorrelated", 0.38265)],
    )
    def test_backoff_with_growth_three_and_a_cap(self, jitter, backoff):
        """Sum of 0.4^k times the mean delays of 0.2, 0.6, 1.8 and at most 3 s."""
        policy = rl.Retry(4, 0.2, 3.0, 3.0, jitter=jitter)
        exact = theory.retry(0.4, 4)
        seen(
            rl.Scenario(rl.Poisson(50), fails(0.4), policy, duration=120.0),
            lambda result: (shares(result)[SUCCESS], result.columns["attempts"].mean(), result.latency.mean()),
            (exact.success_rate, exact.amplification, backoff),
        )

    @pytest.mark.slow
    def test_a_breaker_round_and_round(self):
        exact = theory.breaker_cycle(15, 0.7, 2, 1, 0.8)
        breaker = rl.CircuitBreaker(2, 1, 0.8, 0)

        def measure(result):
            opened = sum(row[4].endswith("-> open") for row in result.event_rows)
            return shares(result)[REJECTED], opened / result.scenario.duration

        numbers = (exact.rejected_rate, exact.openings)
        seen(under(15, fails(0.7), 8_000, breaker), measure, numbers, record=True)

    @pytest.mark.slow
    def test_a_breaker_with_a_window_of_six(self):
        """It opens after 13.0616 calls on average: the chain of all 64 windows says so."""
        breaker = rl.CircuitBreaker(1, 1, 1.5, 4, window=rl.CountWindow(6), failure_rate_threshold=0.5)
        calls = 1 + 0.7 * 13.061625
        seconds = 1.5 + calls / 8
        seen(
            under(8, fails(0.3), 9_000, breaker),
            lambda result: [shares(result)[REJECTED]],
            [1.5 / seconds],
        )

    @pytest.mark.slow
    def test_two_hedges_of_uniform_calls(self):
        """Uniform from 0.2 to 3 s, a copy each second: the integral of the product of the tails."""
        scenario = under(20, rl.Service(PLENTY, rl.Uniform(0.2, 3.0)), 3_000, rl.Hedge(1.0, 2))
        measure = lambda result: (result.latency.mean(), result.columns["attempts"].mean() - 1)  # noqa: E731
        seen(scenario, measure, (1.470578, 0.969388), count=10)

    @pytest.mark.slow
    def test_a_bulkhead_around_a_retry_holds_its_permit_meanwhile(self):
        """Erlang's B of 4 x (0.15 x 1.3125 + 0.25 x 0.3 + 0.0625 x 0.6) = 1.2375 offered to 2."""
        policy = rl.ResiliencePolicy(rl.Bulkhead(2, max_queue=0), rl.Retry(2, 0.3, 100.0, 2.0, jitter="none"))
        scenario = under(4, rl.Service(PLENTY, rl.Gamma(0.15, 2.5), failure_rate=0.25), 6_000, policy)
        seen(scenario, lambda result: [shares(result)[REJECTED]], [theory.erlang_b(2, 4 * 0.309375)])
