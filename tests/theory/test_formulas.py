"""The formulas of queueing theory: published values, limits, and simulations without resilab."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest

from resilab import theory

APPROX = {"rel": 1e-9}


class TestLimits:
    def test_erlang_b_is_a_ratio_of_poisson_chances(self):
        sums = [6.0**k / math.factorial(k) for k in range(9)]
        assert theory.erlang_b(8, 6.0) == pytest.approx(sums[8] / sum(sums), **APPROX)

    def test_published_values(self):
        assert theory.erlang_b(10, 5.0) == pytest.approx(0.018385, abs=5e-7)
        assert theory.erlang_c(5, 4.0) == pytest.approx(0.5541, abs=5e-5)
        assert theory.mg1(0.5, 1.0, 1.0).mean_wait == 1.0

    def test_extremes(self):
        assert theory.erlang_b(0, 3.0) == theory.erlang_b(0, 0.0) == 1.0
        assert theory.erlang_b(3, 0.0) == 0.0
        assert theory.erlang_b(2000, 1.0) == 0.0
        assert theory.erlang_c(3, 3.0) == 1.0
        assert theory.mmck(1000.0, 1000, 1.0, 100).utilization == pytest.approx(1, abs=0.02)
        assert theory.mmc_patience(1.0, 1000, 1.0, 1.0).rejected_rate == 0.0
        assert theory.mmc_patience(5000.0, 10, 1.0, 1.0).rejected_rate == pytest.approx(1 - 10 / 5000)
        assert theory.mm1_timeout(5000.0, 1.0, 4.0).success_rate == pytest.approx(1 / 5000)

    def test_a_queue_without_places_is_erlang_b_and_a_long_one_erlang_c(self):
        assert theory.mmck(8, 10, 1.0, 0).rejected_rate == pytest.approx(theory.erlang_b(10, 8.0), **APPROX)
        long, endless = theory.mmck(8, 10, 1.0, 400), theory.mmc(8, 10, 1.0)
        assert long.mean_wait == pytest.approx(endless.mean_wait, **APPROX)
        assert long.wait_probability == pytest.approx(endless.wait_probability, **APPROX)

    def test_no_patience_is_erlang_b_and_much_is_erlang_c(self):
        assert theory.mmc_patience(9, 10, 1.0, 1e-9).rejected_rate == pytest.approx(theory.erlang_b(10, 9.0), rel=1e-6)
        much, endless = theory.mmc_patience(9, 10, 1.0, 60.0), theory.mmc(9, 10, 1.0)
        assert much.mean_wait == pytest.approx(endless.mean_wait, **APPROX)
        assert much.rejected_rate < 1e-20

    @pytest.mark.parametrize("on_cancel", ["stop", "drop_queued"])
    def test_full_load_is_no_gap(self, on_cancel):
        near, at = (theory.mm1_timeout(rate, 1.0, 4.0, on_cancel) for rate in (1 + 1e-7, 1.0))
        assert near.success_rate == pytest.approx(at.success_rate, rel=1e-6)
        assert near.utilization == pytest.approx(at.utilization, rel=1e-6)
        near, at = (theory.mmc_patience(rate, 10, 1.0, 0.5) for rate in (10 + 1e-4, 10.0))
        assert near.mean_wait == pytest.approx(at.mean_wait, rel=1e-4)

    def test_one_worker_is_one_worker_in_every_formula(self):
        assert theory.mg1(0.7, 1.0, 1.0).mean_wait == pytest.approx(theory.mmc(0.7, 1, 1.0).mean_wait, **APPROX)

    def test_one_user_never_waits_and_many_are_an_open_workload(self):
        alone = theory.closed_loop(1, 2.0, 1, 0.5)
        assert (alone.mean_wait, alone.wait_probability) == (0.0, 0.0)
        assert alone.utilization == pytest.approx(0.5 / 2.5)
        many = theory.closed_loop(4000, 500.0, 10, 1.0)
        open_queue = theory.mmc(4000 / (500.0 + many.mean_latency), 10, 1.0)
        assert many.mean_wait == pytest.approx(open_queue.mean_wait, rel=0.02)

    def test_retry_at_its_ends(self):
        assert theory.retry(0.0, 5) == theory.RetryNumbers(1.0, 1.0)
        assert theory.retry(1.0, 5) == theory.RetryNumbers(0.0, 6.0)

    def test_a_dependency_that_is_down_gets_one_probe_a_cycle(self):
        numbers = theory.breaker_cycle(10, 1.0, 5, 3, 5.0)
        assert numbers.success_rate == 0
        assert numbers.rejected_rate == pytest.approx(5.0 / 5.1)


class TestAgainstSimulation:
    """Recursions of a few lines, with an error of 4.5 standard errors of 20 batches at most."""

    @staticmethod
    def assert_mean(batches, expected):
        error = np.std(batches, ddof=1) / math.sqrt(len(batches))
        assert 4.5 * error < 0.05 * expected, "the test has no power"
        assert abs(np.mean(batches) - expected) <= 4.5 * error

    @pytest.mark.parametrize("cv", [0.0, 0.5, 1.5])
    def test_pollaczek_khinchine(self, cv):
        generator = np.random.default_rng(1)
        batches = []
        for _ in range(20):
            service = generator.gamma(1 / cv**2, cv**2, 60_000) if cv else np.ones(60_000)
            steps = np.concatenate([[0.0], np.cumsum(service[:-1] - generator.exponential(2.0, 59_999))])
            batches.append(np.mean(steps - np.minimum.accumulate(steps)))  # Lindley's recursion, solved
        self.assert_mean(batches, theory.mg1(0.5, 1.0, cv).mean_wait)

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [0.8, 1.0, 1.5])
    @pytest.mark.parametrize("on_cancel", ["stop", "drop_queued"])
    def test_callers_who_leave_one_worker(self, rate, on_cancel):
        generator = np.random.default_rng(2)
        success, busy = [], []
        for _ in range(20):
            gaps = generator.exponential(1 / rate, 20_000).tolist()
            services = generator.exponential(1.0, 20_000).tolist()
            work = used = good = 0.0
            for gap, service in zip(gaps, services, strict=True):
                work = max(0.0, work - gap)
                good += work + service <= 4.0
                taken = 0.0 if work >= 4.0 else service if on_cancel == "drop_queued" else min(service, 4.0 - work)
                work += taken
                used += taken
            success.append(good / len(gaps))
            busy.append(used / math.fsum(gaps))
        expected = theory.mm1_timeout(rate, 1.0, 4.0, on_cancel)
        self.assert_mean(success, expected.success_rate)
        self.assert_mean(busy, expected.utilization)

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [9.0, 14.0])
    def test_callers_who_leave_a_queue(self, rate):
        generator = np.random.default_rng(3)
        rejected, waits = [], []
        for _ in range(20):
            now, free, gone, waited = 0.0, [0.0] * 10, 0, []
            for gap, service in generator.exponential((1 / rate, 1.0), (40_000, 2)).tolist():
                now += gap
                start = max(now, free[0])
                if start - now > 0.5:
                    gone += 1
                else:
                    heapq.heapreplace(free, start + service)
                    waited.append(start - now)
            rejected.append(gone / 40_000)
            waits.append(np.mean(waited))
        expected = theory.mmc_patience(rate, 10, 1.0, 0.5)
        self.assert_mean(waits, expected.mean_wait)
        self.assert_mean(rejected, expected.rejected_rate)

    def test_a_breaker_that_opens_and_closes(self):
        generator = np.random.default_rng(4)
        rejected, success = [], []
        for _ in range(20):
            state, run, until, counts, now = "closed", 0, 0.0, [0, 0], 0.0
            for gap, luck in zip(generator.exponential(0.1, 40_000), generator.random(40_000), strict=True):
                now += gap
                if state == "open" and now < until:
                    counts[0] += 1
                    continue
                if state == "open":
                    state, run = "half_open", 0
                is_good = luck >= 0.4
                counts[1] += is_good
                if state == "closed":
                    run = 0 if is_good else run + 1
                    if run == 3:
                        state, until = "open", now + 2.0
                elif not is_good:
                    state, until = "open", now + 2.0
                else:
                    run += 1
                    if run == 2:
                        state, run = "closed", 0
            rejected.append(counts[0] / 40_000)
            success.append(counts[1] / 40_000)
        expected = theory.breaker_cycle(10, 0.4, 3, 2, 2.0)
        self.assert_mean(rejected, expected.rejected_rate)
        self.assert_mean(success, expected.success_rate)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.mmc(10, 10, 1.0), "rate \\* mean must be below workers, got 10 for 10"),
        (lambda: theory.mg1(1.0, 1.0, 1.0), "rate \\* mean must be below 1"),
        (lambda: theory.erlang_b(-1, 1.0), "workers must be >= 0, got -1"),
        (lambda: theory.mm1_timeout(1.0, 1.0, 1.0, "never"), "on_cancel must be one of"),
        (lambda: theory.retry(1.5, 1), "failure_rate must be from 0 to 1"),
        (lambda: theory.breaker_cycle(1, 0.0, 1, 1, 1), "failure_rate must be > 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
