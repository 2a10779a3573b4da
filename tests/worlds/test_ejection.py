"""Outlier ejection: a balancer that turns away the replicas that fail."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab.fleet import OutlierEjection
from resilab.randomness import KeyedDraws, uniform
from resilab.worlds.ejection import LiveEjection

NO_PROBES = rl.KubernetesPod()


def fleet_of(replicas, broken, ejection, **options):
    """Return a fleet whose first replicas refuse everything."""
    faults = tuple(rl.ReplicaFault(0.0, replica=number, mode="refuse") for number in range(broken))
    options = {"workers": 10, "latency": 0.001, "pod": NO_PROBES} | options
    return rl.Fleet(replicas, faults=faults, ejection=ejection, **options)


def play(fleet, calls=200, pause=0.0235, seed=1):
    """Send one call after the other."""
    return rl.simulate(rl.FleetScenario(rl.Steady(1 / pause), fleet, duration=calls * pause), seed)


# What Envoy did, one call after the other, with hosts of which the first ones answer 503: see tests/engines/record.py.
MEASURED = json.loads((Path(__file__).parents[1] / "data" / "engines.json").read_text(encoding="utf-8"))


def play_as(row):
    """Play in the lab what Envoy has played."""
    ejection = OutlierEjection.like("envoy", **row["changes"])
    return play(fleet_of(row["hosts"], row["broken"], ejection), row["calls"], row["pause"])


@pytest.mark.parametrize(
    "row", MEASURED["fleets"], ids=lambda row: f"{row['broken']} of {row['hosts']} {row['changes']}"
)
def test_hosts_go_as_in_the_real_envoy(row):
    """Limits of the share, panic, and changes that are gathered for a second: within 3 calls."""
    result = play_as(row)
    assert abs(result.counts()["success"] - row["successes"]) <= 2
    ours, theirs = sorted(result.attempts["replica"].value_counts()), row["calls_of_hosts"]
    assert len(ours) == len(theirs)
    assert max(abs(one - other) for one, other in zip(ours, theirs, strict=True)) <= 3
    assert len(result.ejections) == row["ejections"]


def test_host_stays_away_longer_each_time_as_in_the_real_envoy():
    """Base 2 s, at most 6 s, sweeps each second: when the last call came before each rest, and its length."""
    starts = play_as(MEASURED["pauses"]).attempts.query("replica == 0")["start"].to_numpy()
    rests = [(one, other - one) for one, other in pairwise(starts) if other - one > 0.5]
    measured = MEASURED["pauses"]["rests"]
    assert len(measured) >= 4
    for ours, theirs in zip(rests, measured, strict=False):
        assert ours == pytest.approx(theirs, abs=0.25)  # two of its calls, which come each 0.1 s


def by_hand(spec, attempts, duration):
    """Return the ejections of calls that fail or not, from the rows alone: (replica, start, end)."""
    away, row_of, errors, times, found = set(), {}, {}, {}, []
    sweeps = [spec.interval * (number + 1) for number in range(int(duration / spec.interval) + 1)]
    moments = [(time, 0, None) for time in sweeps]
    moments += [(row.end, 1, row) for row in attempts.itertuples()]
    for time, _, row in sorted(moments, key=lambda moment: moment[:2]):
        if row is None:
            for replica in sorted(errors):
                if replica not in away:
                    times[replica] = max(0, times.get(replica, 0) - 1)
                elif time >= found[row_of[replica]][1] + min(
                    times[replica] * spec.base_ejection_time, spec.max_ejection_time
                ):
                    away.discard(replica)
                    found[row_of[replica]][2] = time
                    errors[replica] = 0
            continue
        errors[row.replica] = 0 if row.outcome == "success" else errors.get(row.replica, 0) + 1
        if errors[row.replica] == spec.consecutive_errors:
            errors[row.replica] = 0
            if row.replica not in away and len(away) + 1 <= spec.max_ejection_share * 4:
                away.add(row.replica)
                times[row.replica] = times.get(row.replica, 0) + 1
                row_of[row.replica] = len(found)
                found.append([row.replica, time, math.nan])
    return found


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    in_a_row=st.integers(1, 4),
    share=st.sampled_from([0.25, 0.5, 1.0]),
    base=st.sampled_from([1.0, 2.5, 7.0]),
)
def test_ejections_are_those_of_a_walk_through_the_rows(seed, in_a_row, share, base):
    """Errors by chance: who goes, when, and when it is back; never more than the share are away."""
    spec = OutlierEjection(
        consecutive_errors=in_a_row,
        max_ejection_share=share,
        base_ejection_time=base,
        max_ejection_time=12.0,
        interval=1.3,
        success_rate_factor=None,
    )
    fleet = rl.Fleet(4, 50, rl.Exponential(0.05), failure_rate=0.4, pod=NO_PROBES, ejection=spec)
    result = rl.simulate(rl.FleetScenario(rl.Poisson(40), fleet, duration=40.0), seed)
    ours = [[row.replica, row.start, row.end] for row in result.ejections.itertuples()]
    theirs = by_hand(spec, result.attempts, 40.0)
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one[:2] == other[:2]
        assert one[2] == pytest.approx(other[2], nan_ok=True) or one[2] > 40.0 or math.isnan(one[2])
    moments = sorted({row[1] for row in ours})
    most = max(sum(start <= time and not end <= time for _, start, end in ours) for time in moments)
    assert most <= share * 4


class Drill:
    """Replicas that answer as told."""

    def __init__(self, spec, replicas=6):
        self.env, self.members, self.said = simpy.Environment(), list(range(replicas)), []
        self.live = LiveEjection(spec, self.env, self, None, KeyedDraws(1, "drill", uniform))

    def member_numbers(self):
        return self.members

    def ejections_changed(self, replica, what):
        self.said.append((self.env.now, replica, what))

    def fail(self, replica, times):
        """Let a replica fail so often in a row."""
        for _ in range(times):
            self.live.note(replica, False)

    def answer(self, replica, good, bad):
        """Let a replica answer so often, never with two errors in a row as long as it can."""
        for number in range(good + bad):
            self.live.note(replica, number >= 2 * bad or number % 2 == 0)


def by_columns(spec, replicas, log, until):
    """Return (time, replica, reason or "back") of each change: the whole log as an array, sweep by sweep."""
    count, since = np.zeros(replicas), np.full(replicas, np.nan)
    fresh = np.zeros(replicas, dtype=int)  # the first row that counts for errors in a row
    back_at = np.full(replicas, np.inf)
    found = []

    def eject(number, time, why):
        share = (np.isfinite(since).sum() + 1) / replicas
        if share > spec.max_ejection_share + 1e-9 and not (spec.always_ejects_one and np.isnan(since).all()):
            return
        if (count[number] - 1) * spec.base_ejection_time < spec.max_ejection_time:
            count[number] += 1
        since[number] = time
        found.append((time, number, why))

    for end in np.arange(1, round(until / spec.interval) + 1) * spec.interval:
        inside = (log[:, 0] > end - spec.interval) & (log[:, 0] < end)
        for index in np.flatnonzero(inside):
            number = int(log[index, 1])
            own = log[fresh[number] : index + 1]
            own = own[own[:, 1] == number, 2][::-1]
            in_a_row = int(np.argmax(own)) if own.any() else len(own)
            if in_a_row and in_a_row == spec.consecutive_errors and np.isnan(since[number]):
                fresh[number] = index + 1
                eject(number, log[index, 0], "consecutive errors")
        for number in range(replicas):
            if end - since[number] >= min(spec.base_ejection_time * count[number], spec.max_ejection_time) - 1e-9:
                since[number], back_at[number] = np.nan, end
                fresh[number] = np.searchsorted(log[:, 0], end)
                found.append((end, number, "back"))
        rates = pd.DataFrame(log[inside][:, 1:], columns=["replica", "ok"]).groupby("replica")["ok"]
        rates = rates.mean()[rates.size() >= spec.success_rate_calls]
        rates = rates[np.isnan(since[rates.index.to_numpy(dtype=int)])]
        if spec.success_rate_factor is not None and len(rates) >= spec.success_rate_replicas:
            least = rates.mean() - spec.success_rate_factor * rates.std(ddof=0)
            for number in rates.index[rates < least - 1e-12]:
                eject(int(number), end, "success rate")
        count[np.isnan(since) & (end - back_at >= spec.interval - 1e-9)] -= 1
        count = np.maximum(count, 0)
    return found


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    spec=st.builds(
        OutlierEjection, consecutive_errors=st.integers(0, 5), interval=st.just(1.0),
        base_ejection_time=st.sampled_from([0.5, 1.0, 2.5]), max_ejection_time=st.sampled_from([2.5, 6.0]),
        max_ejection_share=st.sampled_from([0.0, 0.1, 0.4, 1.0]), always_ejects_one=st.booleans(),
        success_rate_factor=st.sampled_from([None, 0.5, 1.0]), success_rate_replicas=st.just(2),
        success_rate_calls=st.just(3),
    ),
    replicas=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_sweeps_are_those_of_a_model_over_columns(spec, replicas, seed):
    """Errors in a row, comparisons, returns and limits together, written in another way."""
    draws = np.random.default_rng(seed)
    times, numbers = np.sort(draws.uniform(0, 20, 300)), draws.integers(replicas, size=300)
    is_good = draws.random(300) > draws.uniform(0, 0.9, replicas)[numbers]
    drill = Drill(spec, replicas)

    def tell():
        for time, number, good in zip(times, numbers, is_good, strict=True):
            yield drill.env.timeout(time - drill.env.now)
            drill.live.note(int(number), bool(good))

    drill.env.process(tell())
    drill.env.run(until=20.5)
    said = [(pytest.approx(time), number, what.removeprefix("ejected: ")) for time, number, what in drill.said]
    log = np.column_stack([times, numbers, is_good])
    theirs = by_columns(spec, replicas, log, 20.0)
    assert sorted(theirs, key=lambda row: (row[0], row[2] != "back", row[1])) == said


def test_replica_far_below_the_mean_goes_at_the_sweep():
    """Rates 1, 1, 1, 1, 1, 0.5: mean 0.917, deviation 0.186, limit 0.563 at 1.9 and 0.451 at 2.5."""
    for factor, expected in ((1.9, [5]), (2.5, [])):
        spec = OutlierEjection(success_rate_factor=factor, max_ejection_share=0.5)
        drill = Drill(spec)
        for replica in range(6):
            drill.answer(replica, 100 if replica < 5 else 50, 0 if replica < 5 else 50)
        drill.env.run(until=10.5)
        assert [row.replica for row in drill.live.rows] == expected
        assert [row.start for row in drill.live.rows] == [10.0] * len(expected)


def test_comparison_needs_enough_replicas_with_enough_calls():
    """Four replicas with 100 calls are too few for it; so are calls of the interval before."""
    drill = Drill(OutlierEjection(max_ejection_share=0.5), replicas=5)
    for replica in range(5):
        drill.answer(replica, 60 if replica == 4 else 120, 39 if replica == 4 else 0)
    drill.env.run(until=10.5)
    drill.answer(4, 60, 39)
    drill.env.run(until=20.5)
    assert drill.live.rows == []


def test_share_of_failures_that_is_too_many_is_looked_at_where_it_is_asked_for():
    """85 of 100 fail; by default nobody looks."""
    for share, count in ((None, 0), (0.85, 1), (0.86, 0)):
        spec = OutlierEjection(
            consecutive_errors=0, success_rate_factor=None, failure_share=share, max_ejection_share=0.5
        )
        drill = Drill(spec)
        for replica in range(6):
            drill.answer(replica, 15 if replica == 2 else 100, 0)
        drill.fail(2, 85)
        drill.env.run(until=10.5)
        assert len(drill.live.rows) == count


def test_number_of_ejections_goes_down_with_each_sweep_that_it_is_here():
    """After a sweep here, the second ejection is as short as the first; at once, it is twice as long."""
    for back, stay in ((30.5, 60.0), (40.5, 30.0), (75.0, 30.0)):
        drill = Drill(OutlierEjection(max_ejection_share=0.5))
        drill.fail(0, 5)
        drill.env.run(until=back)
        drill.fail(0, 5)
        drill.env.run(until=200.0)
        first, second = drill.live.rows
        assert (first.start, first.end) == (0.0, 30.0)
        assert second.end == 10 * math.ceil((second.start + stay) / 10)


def test_number_of_ejections_stops_growing_at_the_longest_time():
    """Base 10 s, at most 25 s: after ten ejections it is 4, and four sweeps here make the next one a first."""
    spec = OutlierEjection(max_ejection_share=0.5, interval=1.0, base_ejection_time=10.0, max_ejection_time=25.0)
    drill = Drill(spec)
    for _ in range(10):
        drill.fail(0, 5)
        while math.isnan(drill.live.rows[-1].end):
            drill.env.run(until=drill.env.now + 0.5)
    drill.env.run(until=drill.env.now + 4.0)
    drill.fail(0, 5)
    drill.env.run(until=drill.env.now + 40.0)
    stays = [math.floor(row.end - row.start) for row in drill.live.rows]
    assert stays == [10, 20, *[25] * 8, 10]


def test_comparison_leaves_out_who_is_away():
    """Replica 0 goes with 95 errors; without it 5 of rate 1, 1, 1, 1, 0.9 are compared, and the last one goes."""
    drill = Drill(OutlierEjection(max_ejection_share=0.5))
    drill.answer(0, 100, 0)
    drill.fail(0, 95)
    for replica in range(1, 6):
        drill.answer(replica, 90 if replica == 5 else 100, 10 if replica == 5 else 0)
    drill.env.run(until=10.5)
    assert [(row.replica, row.reason) for row in drill.live.rows] == [(0, "consecutive errors"), (5, "success rate")]


def test_copy_of_a_hedge_that_loses_is_no_error():
    """The copies that are called back say nothing of their replica; calls that reach a time limit do."""
    spec = OutlierEjection(max_ejection_share=1.0, panic_share=0.0, success_rate_factor=None)
    fleet = fleet_of(2, 0, spec, latency=0.01)
    for policy, is_ejected in ((rl.Hedge(0.001), False), (rl.Timeout(0.005), True)):
        result = rl.simulate(rl.FleetScenario(rl.Steady(20), fleet, policy, 20.0), 1)
        assert result.ejections.empty != is_ejected
        assert result.attempts["outcome"].eq("timeout").any()


def test_replica_that_is_not_ready_any_more_comes_back_as_a_new_one():
    """The probes take it out and put it back: its ejection is forgotten."""
    drill = Drill(OutlierEjection(max_ejection_share=0.5))
    drill.fail(0, 5)
    assert drill.live.away == {0}
    drill.env.run(until=3.0)
    drill.live.forget(0)
    assert drill.live.away == set()
    assert drill.live.rows[0].end == 3.0


def test_balancer_without_anybody_left_says_so():
    """Both replicas fail, and nobody panics."""
    spec = OutlierEjection(max_ejection_share=1.0, panic_share=0.0)
    result = play(fleet_of(2, 2, spec))
    assert result.requests["cause"].value_counts()["no_replica"] == 190


def test_one_bad_replica_of_ten_costs_nearly_nothing():
    """Without ejection, and without a probe that sees it, a tenth fails for good."""
    plain = play(fleet_of(10, 1, None), 2000)
    ejected = play(fleet_of(10, 1, OutlierEjection.like("envoy")), 2000)
    assert plain.summary()["success_rate"] == pytest.approx(0.9)
    assert ejected.summary()["success_rate"] > 0.99


def test_burst_of_errors_ejects_healthy_replicas_by_chance():
    """With 30 % errors everywhere five in a row come about every 600 calls; the share left is served no better."""
    spec = OutlierEjection.like("envoy", success_rate_factor=None, max_ejection_share=0.5)
    fleet = fleet_of(4, 0, spec, failure_rate=0.3)
    runs = [play(fleet, 3000, seed=seed) for seed in range(5)]
    assert all(len(run.ejections) > 0 for run in runs)
    assert all(abs(run.summary()["success_rate"] - 0.7) < 0.04 for run in runs)


def test_share_of_the_detections_ejects():
    """Of 1,000 replicas with five errors in a row, 300 go at 30 %, within 4 standard deviations; all within three."""
    drill = Drill(OutlierEjection(max_ejection_share=1.0, consecutive_enforced=0.3), replicas=1000)
    for replica in range(1000):
        drill.fail(replica, 5)
    assert len(drill.live.rows) == pytest.approx(300, abs=4 * math.sqrt(1000 * 0.3 * 0.7))
    assert Drill(OutlierEjection(consecutive_enforced=0.0)).live.rows == []
    for reason, changes in (
        ("success rate", {}),
        ("failure share", {"success_rate_factor": None, "failure_share": 0.5}),
    ):
        counts = []
        for enforced in (0.4, 1.0):
            shares = {"success_rate_enforced": enforced, "failure_share_enforced": enforced}
            spec = OutlierEjection(consecutive_errors=0, max_ejection_share=1.0, **shares | changes)
            drill = Drill(spec, replicas=1000)
            for replica in range(1000):
                drill.live._calls[replica] = [0 if replica < 100 else 200, 200]
            drill.env.run(until=10.5)
            assert {row.reason for row in drill.live.rows} == {reason}
            counts.append(len(drill.live.rows))
        assert counts == [pytest.approx(40, abs=4 * math.sqrt(100 * 0.4 * 0.6)), 100]


@pytest.mark.slow
def test_jitter_lets_hosts_come_back_one_after_the_other():
    """30 s and up to 20 more, evenly: the mean is 40 s, within 4 standard errors."""
    spec = OutlierEjection(max_ejection_share=1.0, ejection_time_jitter=20.0, interval=0.01, success_rate_factor=None)
    drill = Drill(spec, replicas=500)
    for replica in range(500):
        drill.fail(replica, 5)
    drill.env.run(until=55.0)
    stays = np.array([row.end - row.start for row in drill.live.rows])
    assert len(stays) == 500
    assert (stays.min() >= 30.0, stays.max() <= 50.02) == (True, True)
    assert stays.mean() == pytest.approx(40.0, abs=4 * 20 / math.sqrt(12 * 500))
    assert stays.std() == pytest.approx(20 / math.sqrt(12), rel=0.1)


def test_ejections_are_rows_and_events():
    """Who, when, why, and back when; NaN is not back."""
    spec = OutlierEjection(max_ejection_share=0.5, base_ejection_time=10.0, interval=3.0)
    result = play(fleet_of(4, 1, spec), 900)
    rows = result.ejections
    assert list(rows.columns) == ["replica", "start", "end", "reason"]
    assert rows["replica"].eq(0).all()
    assert rows["end"].iloc[0] == pytest.approx(12.0)
    assert set(rows["reason"]) == {"consecutive errors"}
    events = result.events.query("type == 'ejection'")
    assert list(events["detail"][:2]) == ["ejected: consecutive errors", "back"]
    assert play(fleet_of(4, 1, None), 10).ejections.empty


def test_count_of_ejected_replicas_is_a_step_function_of_time():
    """One after the other: both away, one back, and never more than the share."""
    spec = OutlierEjection(max_ejection_share=0.5, base_ejection_time=4.0, interval=3.0)
    result = play(fleet_of(4, 2, spec), 250)
    away = result.ejected_replicas()
    assert away.iloc[0] == 0
    assert away.max() == 2
    rows = result.ejections
    for time, count in away.items():
        assert ((rows["start"] <= time) & ~(rows["end"] <= time)).sum() == count
    assert list(play(fleet_of(4, 2, None), 10).ejected_replicas()) == [0]


def test_numbers_of_an_ejection_are_checked():
    """Name, rule, value."""
    with pytest.raises(ValueError, match="max_ejection_share must be"):
        OutlierEjection(max_ejection_share=1.5)
    with pytest.raises(ValueError, match="interval must be"):
        OutlierEjection(interval=0.0)
    with pytest.raises(ValueError, match=r"library must be one of 'envoy', 'istio', got 'polly'"):
        OutlierEjection.like("polly")
    with pytest.raises(TypeError, match="ejection must be"):
        rl.Fleet(2, 1, 0.1, ejection=0.1)
