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

from .acceptance import Sent, accept, replications

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
