"""Experiments: replicate, compare, sweep, pareto, and the statistics under them."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resilab as rl
from resilab.experiments.comparison import verdict
from resilab.experiments.covering import _runs, coverage
from resilab.experiments.front import pareto
from resilab.experiments.statistics import Interval, mean_interval, replications_needed, run_interval, t_quantile

SERVICE = rl.Service(workers=2, latency=rl.Exponential(0.1), queue_limit=20, failure_rate=0.1)
PLAIN = rl.Scenario(rl.Poisson(rate=15), SERVICE, duration=30.0)
RETRIES = PLAIN.replace(policy=rl.Retry(max_retries=2, initial_delay=0.05, jitter="full"))


def build(max_retries: int, rate: float = 15.0) -> rl.Scenario:
    policy = rl.Retry(max_retries=max_retries, initial_delay=0.05, jitter="full")
    return PLAIN.replace(workload=rl.Poisson(rate), policy=policy)


class TestStatistics:
    @pytest.mark.parametrize(
        ("probability", "freedom", "quantile"),
        [
            (0.6, 1, 0.324919696),
            (0.975, 1, 12.706204736),
            (0.975, 2, 4.302652730),
            (0.8, 3, 0.978472312),
            (0.995, 5, 4.032142984),
            (0.975, 19, 2.093024054),
            (0.995, 20, 2.845339710),
            (0.999, 100, 3.173739494),
            (0.975, 1999, 1.961151420),
            (0.975, 2001, 1.961150233),
            (0.995, 50_000, 2.575927638),
        ],
    )
    def test_t_quantiles_are_those_of_the_tables(self, probability, freedom, quantile):
        assert t_quantile(probability, freedom) == pytest.approx(quantile, rel=1e-9)
        assert t_quantile(1 - probability, freedom) == pytest.approx(-quantile, rel=1e-8)

    def test_the_interval_of_symmetric_values_is_mean_plus_minus_t_standard_errors(self):
        found = mean_interval(np.array([2.0, 4.0, 4.0, 6.0, math.nan]))
        assert (found.mean, found.count) == (4.0, 4)
        assert found.deviation == pytest.approx(math.sqrt(8 / 3))
        assert found.high - found.mean == pytest.approx(3.182446 * math.sqrt(8 / 3) / 2, rel=1e-6)

    def test_a_long_tail_moves_the_limit_on_its_side_and_no_other(self):
        values = np.array([1.0, 1.1, 1.2, 1.3, 2.4])
        right, left = mean_interval(values), mean_interval(-values)
        t = t_quantile(0.975, 4) * values.std(ddof=1) / math.sqrt(5)
        assert right.low == pytest.approx(1.4 - t)
        assert right.high > 1.4 + 1.5 * t
        assert (left.low, left.high) == pytest.approx((-right.high, -right.low))

    def test_an_interval_for_one_more_run_holds_it(self):
        values = np.random.default_rng(7).exponential(1.0, (4000, 11))
        found = [run_interval(row[:10]) for row in values]
        holds = np.mean([each.low <= row[10] <= each.high for each, row in zip(found, values, strict=True)])
        assert 0.93 <= holds <= 0.97
        assert run_interval(np.array([3.0, 3.0])).high == 3.0
        assert math.isnan(run_interval(np.array([3.0])).high)

    def test_intervals_hold_the_true_mean_as_often_as_they_say(self):
        values = np.random.default_rng(5).normal(3.0, 2.0, (4000, 6))
        found = [mean_interval(row) for row in values]
        holds = np.mean([each.low <= 3.0 <= each.high for each in found])
        assert 0.935 <= holds <= 0.975

    def test_one_value_has_no_interval_and_none_has_no_mean(self):
        assert math.isnan(mean_interval(np.array([1.0])).low)
        assert math.isnan(mean_interval(np.array([])).mean)

    def test_the_suggested_number_of_pairs_tells_in_four_of_five_experiments(self):
        needed = replications_needed(0.5, 1.0)
        values = np.random.default_rng(6).normal(0.5, 1.0, (4000, needed))
        power = np.mean([mean_interval(row).low > 0 for row in values])
        assert 0.78 <= power <= 0.84

    def test_no_number_of_pairs_tells_a_difference_of_nothing(self):
        assert replications_needed(0.0, 1.0) == math.inf


class TestCoverage:
    @pytest.mark.slow
    @pytest.mark.parametrize("workers", [1, 4])
    @pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
    def test_intervals_of_queues_hold_the_truth_in_93_to_97_of_100(self, load, workers):
        """With 1.5 more on each side for the noise of 300 experiments with 20 runs, 1200 with 5."""
        table = coverage(load, workers, 3000, experiments=300)
        assert table.min(axis=None) > 0.915, table
        assert table.max(axis=None) < 0.985, table

    def test_a_table_has_a_row_for_each_kind_and_size(self):
        table = coverage(0.5, 1, 100, replications=[2, 4], experiments=10)
        assert table.index.tolist()[:3] == [("single", 2), ("single", 4), ("paired", 2)]
        assert table.columns.tolist() == ["mean_latency", "p50", "p99", "success_rate", "answered_within"]

    def test_its_queue_is_the_queue_of_the_theory(self):
        first, second = _runs(0.5, 2, 2000, 200, seed=1)
        assert first[0].mean() == pytest.approx(rl.theory.mmc(1.0, 2, 1.0).mean_latency, rel=0.02)
        assert (second[0] < first[0]).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [({"load": 1.0}, "load must be above 0 and below 1"), ({"replications": [1]}, "replications must be >= 2")],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            coverage(**arguments)


class TestReplicate:
    def test_a_row_is_the_run_with_its_seed(self):
        frame = rl.replicate(PLAIN, replications=3, seed=7, n_jobs=1)
        assert frame.seed.tolist() == [7, 8, 9]
        again = rl.simulate(PLAIN, 8).summary()
        assert frame.set_index("seed").loc[8].drop("requests").equals(again.drop("requests").rename(8))

    def test_workers_give_the_numbers_of_one_process(self):
        arguments = {"replications": 6, "progress": False}
        assert rl.replicate(RETRIES, n_jobs=2, **arguments).equals(rl.replicate(RETRIES, n_jobs=1, **arguments))

    def test_metrics_are_names_functions_or_dicts_of_functions(self):
        def longest(result):
            return result.latency.max()

        frame = rl.replicate(PLAIN, 2, metrics=["p99", longest, lambda result: {"a": 1, "b": np.float32(2)}])
        assert frame.columns.tolist() == ["seed", "p99", "longest", "a", "b"]
        frame = rl.replicate(PLAIN, 2, metrics={"worst": longest})
        assert frame.worst[1] == rl.simulate(PLAIN, 1).latency.max()
        assert rl.replicate(PLAIN, 1, metrics="p99").columns.tolist() == ["seed", "p99"]

    def test_numbers_that_need_records_have_them(self):
        frame = rl.replicate(PLAIN, 1, metrics=["utilization", "wasted_work"])
        assert frame.notna().all(axis=None)

    def test_functions_get_recorded_runs_unless_told_otherwise(self):
        def has_attempts(result):
            return result.attempt_rows is not None

        assert rl.replicate(PLAIN, 1, metrics=has_attempts).has_attempts[0] == 1
        assert rl.replicate(PLAIN, 1, metrics=has_attempts, record=False).has_attempts[0] == 0

    def test_a_model_of_ones_own_is_replicated_with_run(self):
        frame = rl.replicate(
            {"gain": 2.0}, 3, run=lambda model, seed: model["gain"] * seed, metrics=lambda value: value
        )
        assert frame["value"].tolist() == [0.0, 2.0, 4.0]

    def test_a_warmup_is_left_out_in_every_experiment(self):
        queue = rl.Scenario(rl.Poisson(9.0), rl.Service(1, rl.Exponential(0.1)), duration=60.0)
        alone = rl.simulate(queue, 3).window(20.0).summary()["mean_latency"]
        arguments = {"seed": 3, "metrics": "mean_latency", "warmup": 20.0}
        assert rl.replicate(queue, 1, **arguments)["mean_latency"][0] == alone
        swept = rl.sweep(lambda rate: queue.replace(workload=rl.Poisson(rate)), rate=[9.0], replications=1, **arguments)
        assert swept["mean_latency"][0] == alone
        compared = rl.compare({"a": queue, "b": queue}, replications=2, **arguments)
        assert compared["baseline"][0] == rl.replicate(queue, 2, **arguments)["mean_latency"].mean()
        with pytest.raises(ValueError, match="warmup must be >= 0"):
            rl.replicate(queue, 1, warmup=-1.0)

    def test_an_error_names_the_seed(self):
        def fails(result):
            raise KeyError("no such column")

        with pytest.raises(KeyError) as caught:
            rl.replicate(PLAIN, 2, seed=3, metrics=fails)
        assert "seed 3" in caught.value.__notes__[0]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"replications": 0}, "replications must be >= 1, got 0"),
            ({"seed": -1}, "seed must be >= 0, got -1"),
            ({"metrics": "p98"}, "metrics must be among .*, got 'p98'"),
            ({"metrics": []}, "metrics must not be empty"),
            ({"metrics": lambda result: "many"}, "metric 'value' must be a number, got 'many'"),
            ({"n_jobs": 0}, "n_jobs must be"),
        ],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises((ValueError, TypeError), match=message):
            rl.replicate(PLAIN, **{"replications": 1} | arguments)

    def test_intervals_of_a_frame(self):
        frame = rl.replicate(PLAIN, replications=10, metrics=["success_rate", "p99"])
        table = rl.intervals(frame)
        assert table.index.tolist() == ["success_rate", "p99"]
        assert table.columns.tolist() == ["mean", "low", "high", "run_low", "run_high", "replications"]
        assert table.loc["success_rate", "low"] < 0.9 < table.loc["success_rate", "high"]
        assert rl.intervals(frame, 0.5).loc["p99", "high"] < table.loc["p99", "high"]


def test_help_shows_the_options_by_name():
    for experiment in (rl.replicate, rl.compare, rl.sweep):
        names = inspect.signature(experiment).parameters
        assert {"horizon", "record", "run", "warmup", "n_jobs", "client", "cache", "progress"} <= names.keys()
    assert "n_jobs" in inspect.signature(rl.scorecard).parameters


class TestCompare:
    def test_a_scenario_against_itself_is_exactly_0(self):
        frame = rl.compare({"a": RETRIES, "again": RETRIES}, replications=3)
        frame = frame[frame.replications > 0]
        assert (frame[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
        assert set(frame.verdict) == {"equal"}

    def test_differences_are_paired_by_seed(self):
        frame = rl.compare({"plain": PLAIN, "retries": RETRIES}, replications=5, seed=3, metrics="p99").iloc[0]
        plain, retries = (rl.replicate(each, 5, 3, "p99").p99 for each in (PLAIN, RETRIES))
        assert frame.difference == pytest.approx((retries - plain).mean())
        found = mean_interval((retries - plain).to_numpy())
        assert (frame.difference_low, frame.difference_high) == (found.low, found.high)
        assert (frame.baseline, frame["mean"]) == (plain.mean(), retries.mean())

    def test_a_pair_without_a_number_counts_neither_in_means_nor_in_the_difference(self):
        def odd_only(model, seed):
            return math.nan if model == "new" and seed % 2 else float(seed) + (model == "new")

        arguments = {"replications": 6, "run": odd_only, "metrics": lambda value: value}
        row = rl.compare({"old": "old", "new": "new"}, **arguments).iloc[0]
        assert (row["baseline"], row["mean"], row["difference"], row["replications"]) == (2.0, 3.0, 1.0, 3)

    def test_verdicts_say_the_direction_and_not_what_is_better(self):
        frame = rl.compare({"retries": RETRIES, "plain": PLAIN}, baseline="plain", replications=5)
        words = frame.set_index("metric").verdict
        assert words["success_rate"] == "higher"
        assert words["failure_rate"] == "lower"
        assert words["requests"] == "equal"
        assert set(frame.variant) == {"retries"}

    def test_it_says_how_many_more_replications_it_would_take(self):
        near = PLAIN.replace(service=SERVICE.replace(latency=rl.Exponential(0.1001)))
        words = rl.compare({"a": PLAIN, "b": near}, replications=2, metrics="failure_rate").verdict[0]
        assert words == "equal" or words.startswith("cannot tell yet")
        found = Interval(mean=0.1, low=-0.2, high=0.4, count=10, deviation=0.42)
        more = replications_needed(0.1, 0.42) - 10
        assert verdict(found) == f"cannot tell yet: about {math.ceil(more / 10) * 10} more replications"

    @pytest.mark.parametrize(
        ("interval", "words"),
        [
            (Interval(1.0, 0.5, 1.5, 5, 0.4), "higher"),
            (Interval(-1.0, -1.5, -0.5, 5, 0.4), "lower"),
            (Interval(0.0, 0.0, 0.0, 5, 0.0), "equal"),
            (Interval(0.0, -1.0, 1.0, 5, 1.0), "cannot tell yet: over a million more replications"),
            (Interval(math.nan, math.nan, math.nan, 0, math.nan), "no data"),
            (Interval(1.0, math.nan, math.nan, 1, math.nan), "cannot tell yet: one pair has no interval"),
        ],
    )
    def test_verdict_of_an_interval(self, interval, words):
        assert verdict(interval) == words

    def test_common_random_numbers_pay(self):
        """Two near variants: the paired difference varies far less than that of independent runs."""
        near = RETRIES.replace(policy=rl.Retry(max_retries=2, initial_delay=0.06, jitter="full"))
        runs = [rl.replicate(each, 30, seed, "mean_latency").mean_latency for each, seed in ((RETRIES, 0), (near, 0))]
        other = rl.replicate(near, 30, 1000, "mean_latency").mean_latency
        assert (runs[1] - runs[0]).var() < 0.2 * (other - runs[0]).var()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"variants": {"a": PLAIN}}, "variants must be at least 2"),
            ({"baseline": "c"}, "baseline must be one of 'a', 'b', got 'c'"),
            ({"replications": 1}, "replications must be >= 2, got 1"),
            ({"confidence": 1.5}, "confidence must be from 0 to 1"),
        ],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            rl.compare(**{"variants": {"a": PLAIN, "b": RETRIES}} | arguments)


class TestSweep:
    def test_a_row_a_combination_with_intervals(self):
        frame = rl.sweep(build, max_retries=[0, 2], rate=[5.0, 15.0], replications=3, metrics=["p99", "success_rate"])
        assert frame[["max_retries", "rate"]].to_numpy().tolist() == [[0, 5], [0, 15], [2, 5], [2, 15]]
        numbers = ["p99", "p99_low", "p99_high", "success_rate", "success_rate_low", "success_rate_high"]
        assert frame.columns.tolist() == ["max_retries", "rate", *numbers, "replications", "error"]
        runs = rl.replicate(build(2, 15.0), 3, metrics="p99")
        assert frame[["p99", "p99_low", "p99_high"]].iloc[3].tolist() == rl.intervals(runs).iloc[0, :3].tolist()
        assert (frame.p99_low < frame.p99_high).all()

    def test_it_says_how_many_runs_could_tell_a_number(self):
        def often_none(model, seed):
            return {"always": 1.0, "sometimes": math.nan if seed < model else float(seed)}

        arguments = {"replications": 5, "run": often_none, "metrics": lambda value: value}
        frame = rl.sweep(lambda unseen: unseen, unseen=[0, 3], **arguments)
        assert frame["sometimes_replications"].tolist() == [5, 2]
        assert frame["sometimes"].tolist() == [2.0, 3.5]
        assert frame["replications"].tolist() == [5, 5]
        assert "always_replications" not in frame

    def test_settings_are_a_list_and_may_be_combined_with_a_grid(self):
        settings = [{"max_retries": 1}, {"max_retries": 2, "rate": 5.0}]
        frame = rl.sweep(build, settings=settings, replications=1, metrics="p99")
        assert frame.max_retries.tolist() == [1, 2]
        assert math.isnan(frame.rate[0])
        frame = rl.sweep(build, settings=[{"max_retries": 1}], rate=[5.0, 6.0], replications=1, metrics="p99")
        assert frame[["max_retries", "rate"]].to_numpy().tolist() == [[1, 5], [1, 6]]

    def test_impossible_settings_are_reported_and_the_rest_is_kept(self):
        with pytest.warns(UserWarning, match="1 of 3 settings have errors"):
            frame = rl.sweep(build, max_retries=[0, -1, 1], replications=2, metrics="p99")
        assert frame.error.tolist() == ["", "ValueError: max_retries must be >= 0, got -1", ""]
        assert frame.p99.isna().tolist() == [False, True, False]
        assert frame.replications.tolist() == [2, 0, 2]

    @pytest.mark.slow
    def test_runs_that_fail_are_reported_and_the_rest_is_kept(self):
        def hangs(duration):
            return PLAIN.replace(service=SERVICE.replace(faults=(rl.Outage(5, duration, "hang"),)))

        with pytest.warns(UserWarning, match="1 of 2 settings"):
            frame = rl.sweep(hangs, duration=[1.0, math.inf], replications=2, metrics="p99", n_jobs=2)
        assert frame.error[0] == ""
        assert frame.error[1].startswith("UnfinishedRunError")

    def test_if_nothing_works_the_first_error_is_raised_with_its_setting(self):
        with pytest.raises(ValueError, match="max_retries must be >= 0") as caught:
            rl.sweep(build, max_retries=[-1, -2])
        assert "{'max_retries': -1}" in caught.value.__notes__[0]
        with pytest.raises(ValueError, match="got 'p98'"):
            rl.sweep(build, max_retries=[1], metrics="p98")

    def test_policies_can_be_swept(self):
        policies = [rl.Timeout(0.2), rl.ResiliencePolicy(rl.Retry(1, 0.1), rl.Timeout(0.2))]
        frame = rl.sweep(lambda policy: PLAIN.replace(policy=policy), policy=policies, replications=1, metrics="p99")
        assert frame.policy.tolist() == policies

    def test_every_run_is_told_when_it_has_ended(self):
        rows = []
        rl.sweep(build, max_retries=[0, 1], replications=2, metrics="p99", watch=rows.append)
        assert [(row["max_retries"], row["seed"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        assert set(rows[0]) == {"max_retries", "seed", "p99"}

    @pytest.mark.slow
    def test_thousands_of_points(self):
        steady = rl.Scenario(rl.Steady(1), rl.Service(1, 0.1), duration=2.0)
        frame = rl.sweep(lambda x, y: steady, x=range(40), y=range(50), replications=1, metrics="requests", n_jobs=1)
        assert len(frame) == 2000
        assert (frame.requests == 2).all()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "sweep needs settings or a grid"),
            ({"max_retries": 3}, "max_retries must be a list of values, got 3"),
            ({"max_retries": "full"}, "max_retries must be a list of values, got 'full'"),
            ({"max_retries": []}, "max_retries must be a list of values, got an empty one"),
            ({"settings": []}, "settings must not be empty"),
            ({"settings": 3}, "settings must be a list or a tuple, got 3"),
            ({"settings": ["full"]}, "settings must be a Mapping, got 'full'"),
            ({"max_retries": b"12"}, "max_retries must be a list of values, got b'12'"),
            ({"max_retries": [1], "run": "simulate"}, "run must be a function, got 'simulate'"),
            ({"max_retries": [1], "watch": []}, "watch must be a function"),
            ({"max_retries": [1], "client": "tcp://scheduler:8786"}, "client must be a dask.distributed.Client, got "),
        ],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises((ValueError, TypeError), match=message):
            rl.sweep(build, **arguments)

    def test_what_builds_the_scenarios_is_a_function(self):
        with pytest.raises(TypeError, match="build must be a function, got Scenario"):
            rl.sweep(PLAIN, max_retries=[1])

    def test_a_setting_must_not_be_named_like_a_metric(self):
        with pytest.raises(ValueError, match="p99"):
            rl.sweep(lambda p99: PLAIN, p99=[1], replications=1)


class TestPareto:
    def test_only_rows_that_nothing_dominates_stay(self):
        frame = pd.DataFrame({"good": [1, 2, 3, 3, 2], "bad": [1, 1, 3, 4, 2]}, index=list("abcde"))
        assert pareto(frame, maximize="good", minimize=["bad"]).index.tolist() == ["c", "b"]

    def test_equal_rows_stay_and_nan_never_does(self):
        frame = pd.DataFrame({"good": [2.0, 2.0, math.nan, 1.0], "bad": [1.0, 1.0, 0.0, math.nan]})
        assert sorted(pareto(frame, maximize="good", minimize="bad").index) == [0, 1]

    def test_no_usable_row_gives_an_empty_frame(self):
        assert pareto(pd.DataFrame({"good": [math.nan]}), maximize="good").empty

    @pytest.mark.slow
    @given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=25))
    def test_the_front_is_that_of_the_definition(self, rows):
        frame = pd.DataFrame(rows, columns=["x", "y", "z"])

        def dominates(a, b):
            better = (a[0] - b[0], b[1] - a[1], b[2] - a[2])
            return min(better) >= 0 and max(better) > 0

        expected = [i for i, row in enumerate(rows) if not any(dominates(other, row) for other in rows)]
        assert sorted(pareto(frame, maximize="x", minimize=["y", "z"]).index) == expected

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "pareto needs a column"),
            ({"maximize": "z"}, "maximize must name columns of the frame, got 'z'"),
            ({"maximize": "x", "minimize": "x"}, "must not be in maximize and in minimize, got 'x'"),
            ({"maximize": 3}, "maximize must be a list or a tuple, got 3"),
            ({"maximize": [["x"]]}, "maximize must name columns of the frame"),
            ({"maximize": "error"}, "column 'error' must hold numbers, got ''"),
        ],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises((TypeError, ValueError), match=message):
            pareto(pd.DataFrame({"x": [1], "error": [""]}), **arguments)

    def test_what_is_no_frame_is_refused(self):
        for function in (lambda frame: pareto(frame, maximize="x"), rl.intervals):
            with pytest.raises(TypeError, match="frame must be a DataFrame, got "):
                function([{"x": 1}])


def test_intervals_are_of_numbers():
    with pytest.raises(TypeError, match="column 'policy' must hold numbers, got 'retry'"):
        rl.intervals(pd.DataFrame({"policy": ["retry"], "p99": [1.0]}))


@pytest.mark.slow
def test_importing_the_package_loads_no_heavy_library():
    code = "import sys, resilab; print([m for m in ('pandas', 'joblib', 'scipy', 'tqdm', 'dask') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
