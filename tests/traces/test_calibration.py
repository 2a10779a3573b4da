"""A model from a log: what is found is true within its interval, what cannot be known is said to be so."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest

import resilab as rl
from resilab.traces.censoring import survival
from resilab.traces.reconstruction import calls_of
from resilab.traces.segments import windows_of

DATA = Path(__file__).resolve().parents[2] / "notebooks" / "data"
FAULTS = (rl.Errors(20, 10, rate=0.2), rl.Outage(40, 5, mode="hang"), rl.Slowdown(70, 10, factor=2.0))


def log_of(workers, *, faults=(), load=0.7, seed=1, duration=120.0, policy=None, **service):
    """Return the log of a service whose workers, law and faults are known."""
    law = rl.LogNormal(0.04, 0.6)
    service = rl.Service(workers, law, **{"faults": faults, "on_cancel": "ignore", "failure_latency": 0.001, **service})
    load = rl.Poisson(rate=load * workers / law.mean)
    scenario = rl.Scenario(load, service, policy or rl.ResiliencePolicy(), duration=duration)
    return rl.traces.trace_of(rl.simulate(scenario, seed=seed, record=False))


def row(model, parameter):
    return model.table.set_index("parameter").loc[parameter]


def holds(model, parameter, truth):
    found = row(model, parameter)
    return found["low"] - 1e-9 <= truth <= found["high"] + 1e-9


# Who waited


def test_starts_are_those_of_a_queue_in_order_of_arrival():
    scenario = rl.Scenario(rl.Poisson(rate=60), rl.Service(4, rl.Exponential(mean=0.05)), duration=30.0)
    result = rl.simulate(scenario, seed=1)
    calls = calls_of(rl.traces.trace_of(result))
    assert np.allclose(calls.starts(4) - calls.arrival, result.attempts["queue_time"])


@pytest.mark.parametrize("size", [3, 300])
def test_windows_are_found_where_they_are(size):
    values = np.random.default_rng(1).normal(size=5000)
    assert windows_of(values, is_rate=False) == []
    values[2000 : 2000 + size] += 2.0
    found = windows_of(values, is_rate=False)
    if size < 8:
        assert found == []
    else:
        assert [round(found[0].first, -1), round(found[0].last, -1)] == [2000, 2000 + size]
        assert found[0].first_range[0] <= 2000 <= found[0].first_range[1]


# Workers and law


@pytest.mark.slow
@pytest.mark.parametrize("workers", [4, 8, 20])
@pytest.mark.parametrize("faults", [(), FAULTS])
def test_workers_and_law_are_found(workers, faults):
    model = rl.calibrate(log_of(workers, faults=faults, load=0.75, duration=120.0))
    assert holds(model, "workers", workers)
    assert model.service.latency.mean == pytest.approx(0.0479, rel=0.05)
    assert [type(fault) for fault in model.faults] == [type(fault) for fault in faults]


@pytest.mark.slow
def test_many_workers_are_found_from_the_queues_of_faults():
    model = rl.calibrate(log_of(64, faults=(rl.Outage(10, 3, mode="hang"),), duration=30.0))
    assert holds(model, "workers", 64)


@pytest.mark.slow
def test_workers_are_not_identified_where_nobody_waits():
    model = rl.calibrate(log_of(64, load=0.4, duration=30.0))
    found = row(model, "workers")
    assert found["value"] == "not identified"
    assert found["high"] == math.inf
    assert 20 < found["low"] <= 64
    assert {change["workers"] for change in model.alternatives} == {found["low"], 2 * model.service.workers}
    assert any("workers=" in name for name in model.situations())
    assert rl.calibrate(log_of(64, load=0.4, duration=30.0), workers=64).service.workers == 64


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 5, 16, 48])
@pytest.mark.parametrize("load", [0.1, 0.3, 0.5, 0.65])
@pytest.mark.parametrize("law", [rl.Exponential(0.05), rl.Uniform(0.01, 0.09), rl.Constant(0.05)])
def test_workers_lie_between_the_fewest_and_the_most_that_may_be(workers, load, law):
    """However few calls have waited: more under way at once than workers does not mean more workers."""
    scenario = rl.Scenario(
        rl.Poisson(load * workers / 0.05), rl.Service(workers, law), duration=6000 * 0.05 / (load * workers)
    )
    log = rl.trace_of(rl.simulate(scenario, seed=workers))
    model = rl.calibrate(log)
    found = row(model, "workers")
    assert found["low"] <= workers <= found["high"]
    assert found["low"] > 0.15 * workers
    assert model.service.workers >= found["low"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [5, 16])
@pytest.mark.parametrize("load", [0.85, 0.95])
@pytest.mark.parametrize("law", [rl.Exponential(0.05), rl.Uniform(0.01, 0.09)])
def test_newest_first_is_no_number_of_workers(workers, load, law):
    """Some calls are done too early for a number of workers, and some too late: the order is open, and the number."""
    service = rl.Service(workers, law, discipline="lifo")
    scenario = rl.Scenario(rl.Poisson(load * workers / 0.05), service, duration=8000 * 0.05 / (load * workers))
    model = rl.calibrate(rl.trace_of(rl.simulate(scenario, seed=workers)))
    assert row(model, "discipline")["value"] == "not identified"
    assert row(model, "workers")["low"] <= workers <= row(model, "workers")["high"]
    assert {"fifo", "lifo"} == {change["discipline"] for change in model.alternatives}


@pytest.mark.slow
def test_slow_time_of_a_service_that_always_takes_as_long_is_found():
    """Most of its times of service are equal."""
    service = rl.Service(5, rl.Constant(0.05), faults=rl.Slowdown(60.0, 8.0, factor=1.5))
    model = rl.calibrate(rl.trace_of(rl.simulate(rl.Scenario(rl.Poisson(80), service, duration=100.0), seed=1)))
    (fault,) = model.faults
    assert (fault.start, fault.end) == (pytest.approx(60.0, abs=0.1), pytest.approx(68.0, abs=0.1))
    assert fault.factor == pytest.approx(1.5, rel=0.01)
    assert (
        rl.calibrate(rl.trace_of(rl.simulate(rl.Scenario(rl.Poisson(80), rl.Service(5, 0.05), duration=100.0)))).faults
        == ()
    )


def test_durations_with_queueing_are_no_times_of_service():
    """At 90 % load durations are three times as long as the work."""
    log = log_of(4, load=0.9)
    assert log.latency().mean > 0.08
    assert rl.calibrate(log).service.latency.mean == pytest.approx(0.0479, rel=0.06)


def test_times_measured_alone_are_taken_as_the_law():
    alone = rl.Empirical(rl.LogNormal(0.04, 0.6).sample(np.random.default_rng(5), 5000))
    model = rl.calibrate(log_of(8), alone=alone)
    assert len(model.service.latency.values) == 5000
    assert "measured alone" in row(model, "service time, mean")["found_by"]
    assert holds(model, "workers", 8)


# Faults


@pytest.mark.slow
def test_faults_are_found_with_their_windows_and_sizes():
    model = rl.calibrate(log_of(8, faults=FAULTS))
    for number, fault in enumerate(FAULTS, start=1):
        name = f"fault {number}, {type(fault).__name__.lower()}"
        assert holds(model, f"{name}: start", fault.start)
        assert holds(model, f"{name}: end", fault.end)
    assert holds(model, "fault 1, errors: rate", 0.2)
    assert holds(model, "fault 3, slowdown: factor", 2.0)


@pytest.mark.slow
def test_small_faults_are_found():
    model = rl.calibrate(log_of(8, faults=(rl.Errors(30, 10, rate=0.05), rl.Slowdown(70, 10, factor=1.3))))
    errors, slowdown = model.faults
    assert (errors.start, slowdown.start) == (pytest.approx(30, abs=1.0), pytest.approx(70, abs=1.0))
    assert (errors.rate, slowdown.factor) == (pytest.approx(0.05, abs=0.02), pytest.approx(1.3, abs=0.1))


def test_what_is_too_small_to_be_seen_has_a_size():
    model = rl.calibrate(log_of(8, faults=(rl.Slowdown(70, 10, factor=1.05),)))
    assert model.faults == ()
    assert row(model, "smallest slowdown seen")["value"] > 1.05
    assert 0 < row(model, "smallest errors seen")["value"] < 0.1


@pytest.mark.slow
def test_missing_workers_are_told_from_slow_ones():
    model = rl.calibrate(log_of(8, faults=(rl.CapacityLoss(40, 20, workers=4),)))
    (fault,) = model.faults
    assert isinstance(fault, rl.CapacityLoss)
    assert (fault.workers, round(fault.start)) == (4, pytest.approx(40, abs=1))


@pytest.mark.slow
def test_a_healthy_log_has_no_faults():
    assert [rl.calibrate(log_of(workers, seed=seed)).faults for workers in (4, 8) for seed in range(3)] == [()] * 6


@pytest.mark.slow
def test_given_faults_are_taken():
    model = rl.calibrate(log_of(8, faults=FAULTS), faults=FAULTS)
    assert model.faults == FAULTS
    assert row(model, "fault 1, errors: rate")["found_by"] == "given"


# What stays open


@pytest.mark.slow
def test_what_happens_to_abandoned_calls_is_not_identified():
    model = rl.calibrate(log_of(8, faults=FAULTS))
    assert row(model, "on_cancel")["value"] == "not identified"
    assert {change["on_cancel"] for change in model.alternatives} == {"ignore", "stop"}
    assert "not identified: on_cancel" in repr(model)
    costs = [change.get("cancel_time", 0.0) for change in model.alternatives if change["on_cancel"] == "stop"]
    assert costs == [0.0, pytest.approx(0.2 * model.service.latency.mean)]
    names = list(model.situations())
    assert "calm; on_cancel=ignore" in names
    assert "incident 2: outage; on_cancel=stop" in names
    incident = model.situations()["incident 2: outage; on_cancel=stop"]
    assert (incident.service.on_cancel, incident.service.faults[0].start) == ("stop", pytest.approx(10, abs=0.1))


def test_another_load_brings_more_arrivals():
    model = rl.calibrate(log_of(8))
    for load in (0.5, 1.0, 1.5):
        assert len(model.scenario(load=load).workload.times) / len(model.trace) == pytest.approx(load, rel=0.03)


def test_kaplan_and_meier_know_what_a_limit_hides():
    random = np.random.default_rng(1)
    work, limit = random.exponential(size=20_000), random.exponential(2.0, size=20_000)
    times, beyond = survival(np.minimum(work, limit), work > limit)
    for time in (0.5, 1.0, 2.0):
        assert beyond[np.searchsorted(times, time)] == pytest.approx(np.exp(-time), abs=0.01)


@pytest.mark.slow
def test_durations_that_ended_at_a_limit_are_lower_bounds():
    """Logged behind a limit of 0.1 s, asked for one of 0.2 s: the truth is 0.997 and p99 0.164."""
    model = rl.calibrate(log_of(64, load=0.3, policy=rl.Timeout(0.1), on_cancel="stop"))
    assert model.known_until == pytest.approx(0.1, abs=0.001)
    assert model.service.failure_rate == 0.0
    assert "lognormal tail is assumed" in row(model, "service time beyond 0.1 s")["found_by"]
    with pytest.warns(rl.ModelWarning, match=r"knows nothing of work that takes longer than 0\.1 s"):
        scenario = model.scenario(rl.Timeout(0.2))
    numbers = rl.simulate(scenario, seed=1).summary()
    assert numbers["success_rate"] == pytest.approx(0.997, abs=0.003)
    assert numbers["p99"] == pytest.approx(0.164, rel=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", rl.ModelWarning)
        model.scenario(rl.Timeout(0.05))


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (rl.Trace(start=[0.0, 1.0], duration=[0.1, 0.1]), "at least 600 answered requests, the log has 2"),
        (rl.Trace(start=np.arange(1000.0), duration=np.full(1000, 0.1), tick=1.0), "moves in steps of 1 s"),
    ],
)
def test_a_log_that_cannot_tell_is_refused(log, message):
    with pytest.raises(rl.TraceError, match=message):
        rl.calibrate(log)


# The shipped log


@pytest.mark.slow
def test_the_shipped_log_shows_its_service_and_its_faults():
    """Nobody says that there are 8 workers, nor what happened when."""
    model = rl.calibrate(rl.read_trace(DATA / "orders.csv.gz"))
    assert holds(model, "workers", 8)
    errors, hang, slowdown = model.faults
    assert (errors.start, errors.end) == (pytest.approx(40, abs=0.1), pytest.approx(50, abs=0.1))
    assert (hang.mode, hang.start, hang.end) == ("freeze", pytest.approx(90, abs=0.05), pytest.approx(98, abs=0.05))
    assert (slowdown.start, slowdown.end) == (pytest.approx(150, abs=0.1), pytest.approx(165, abs=0.1))
    assert holds(model, "fault 1, errors: rate", 0.3)
    assert 3.4 < slowdown.factor < 4.1


# Odd logs


@pytest.mark.slow
def test_a_log_in_which_everybody_waits_is_refused_until_times_alone_are_given():
    log = log_of(8, load=1.3, duration=60.0)
    with pytest.raises(rl.TraceError, match="all of them waited, and nothing shows the work itself"):
        rl.calibrate(log)
    alone = rl.Empirical(rl.LogNormal(0.04, 0.6).sample(np.random.default_rng(5), 2000))
    assert holds(rl.calibrate(log, alone=alone), "workers", 8)


def test_requests_that_a_full_queue_refused_are_no_errors():
    model = rl.calibrate(log_of(8, load=0.95, queue_limit=5))
    assert (model.faults, model.service.failure_rate) == ((), 0.0)
    assert (model.service.workers, model.service.queue_limit) == (8, 5)


def test_a_constant_law_has_no_slow_phases():
    service = rl.Service(1, 0.05, on_cancel="ignore")
    run = rl.simulate(rl.Scenario(rl.Poisson(rate=14), service, duration=120.0), seed=3)
    model = rl.calibrate(rl.trace_of(run))
    assert (model.service.workers, model.faults) == (1, ())


def test_a_service_that_is_slow_for_half_of_the_log_was_not_fast_in_the_other_half():
    (fault,) = rl.calibrate(log_of(8, load=0.5, faults=(rl.Slowdown(60, 60, factor=1.3),))).faults
    assert fault.start == pytest.approx(60, abs=1.0)
    assert fault.factor == pytest.approx(1.3, abs=0.1)


@pytest.mark.slow
def test_work_of_callers_that_left_hides_when_a_hang_ended():
    log = log_of(8, load=0.65, faults=(rl.Outage(40, 8, mode="hang"),), policy=rl.Timeout(1.0), duration=150.0)
    model = rl.calibrate(log)
    assert holds(model, "workers", 8)
    assert holds(model, "fault 1, outage: start", 40)
    assert holds(model, "fault 1, outage: end", 48)
    assert "hidden by work of callers that left" in row(model, "fault 1, outage: end")["found_by"]


@pytest.mark.slow
def test_calls_that_are_not_served_in_order_are_told_and_show_workers_by_throughput():
    model = rl.calibrate(log_of(8, discipline="lifo", faults=(rl.Outage(60, 4, mode="hang"),)))
    assert holds(model, "workers", 8)
    assert row(model, "discipline")["value"] == "not identified"
    assert {change["discipline"] for change in model.alternatives} == {"fifo", "lifo"}
    quiet = rl.calibrate(log_of(8, load=0.6, discipline="lifo"))
    assert row(quiet, "workers")["value"] == "not identified"


@pytest.mark.slow
@pytest.mark.parametrize("reaction", ["ignore", "stop"])
def test_callers_that_leave_show_what_becomes_of_their_work(reaction):
    """A fifth too much work is too much for a service that goes on with work whose caller has left."""
    log = log_of(8, load=1.2, policy=rl.Timeout(0.2), on_cancel=reaction, duration=60.0)
    alone = rl.Empirical(rl.LogNormal(0.04, 0.6).sample(np.random.default_rng(5), 2000))
    model = rl.calibrate(log, alone=alone, workers=8)
    assert row(model, "on_cancel")["value"] == reaction
    assert {change["on_cancel"] for change in model.alternatives} == {reaction}
    assert rl.check(model, log).ok


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["hang", "freeze"])
@pytest.mark.parametrize("workers", [4, 8, 12])
def test_with_few_workers_a_hang_is_not_told_for_sure(mode, workers):
    """Too little work was under way to tell: what is called a freeze is one, a hang may be either."""
    for seed in range(4):
        model = rl.calibrate(log_of(workers, faults=(rl.Outage(30, 5, mode=mode),), duration=60.0, seed=seed))
        found = row(model, "fault 1, outage: mode")
        assert mode in (found["value"], found["high"])
        assert (found["value"], found["high"]) in (("freeze", "freeze"), ("hang", "freeze"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["hang", "freeze"])
@pytest.mark.parametrize("workers", [8, 20])
def test_a_freeze_is_told_from_a_hang(mode, workers):
    """Work that was under way is finished in a hang, and stands still in a freeze."""
    log = log_of(workers, faults=(rl.Outage(30, 5, mode=mode),), duration=60.0)
    (fault,) = rl.calibrate(log).faults
    assert fault.mode == mode
    assert (fault.start, fault.end) == (pytest.approx(30, abs=0.1), pytest.approx(35, abs=0.1))


@pytest.mark.slow
def test_overhead_is_found_and_taken_from_the_law():
    model = rl.calibrate(log_of(8, overhead=0.002, faults=(rl.Outage(60, 5, mode="hang"),)))
    assert holds(model, "workers", 8)
    assert holds(model, "overhead", 0.002)
    assert model.service.overhead.mean == pytest.approx(0.002, abs=0.0015)


@pytest.mark.slow
def test_the_cost_of_cancelling_is_found():
    policy, alone = rl.Timeout(0.03), rl.Empirical(rl.LogNormal(0.04, 0.6).sample(np.random.default_rng(5), 2000))
    log = log_of(8, load=1.6, policy=policy, on_cancel="stop", cancel_time=0.01, duration=60.0)
    model = rl.calibrate(log, alone=alone, workers=8)
    assert row(model, "on_cancel")["value"] == "stop"
    assert holds(model, "cancel_time", 0.01) or row(model, "cancel_time")["value"] == pytest.approx(0.01, rel=0.3)
    assert rl.check(model, log).ok
