"""Does a model fit? A true one does, a wrong one does not, and says so afterwards."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import resilab as rl
from resilab.plots import model_check

from .test_calibration import log_of

FAULTS = (rl.Outage(20, 5, mode="hang"), rl.Slowdown(50, 8, factor=2.0))


@pytest.mark.slow
def test_a_model_fits_the_log_that_it_was_made_from_and_another_one():
    model = rl.calibrate(log_of(8, faults=FAULTS, duration=90.0))
    for log in (model.trace, log_of(8, duration=60.0, seed=2), log_of(8, duration=60.0, seed=3, faults=FAULTS[:1])):
        found = rl.check(model, log)
        assert found.ok, found
    assert model.doubts == ""


@pytest.mark.slow
def test_the_table_has_every_measure_of_every_phase():
    found = rl.check(rl.calibrate(log_of(8, faults=FAULTS, duration=90.0)), log_of(8, faults=FAULTS, duration=90.0))
    assert list(found.table.columns) == ["phase", "metric", "measured", "expected", "low", "high", "ok"]
    assert [phase.name for phase in found.phases] == [
        "0-20 s, healthy",
        "20-25 s, outage",
        "25-50 s, after outage",
        "50-58 s, slowdown",
        "58-90 s, after slowdown",
    ]
    metrics = {"success", "p50", "p95", "calls", "most_under_way", "time_to_drain"}
    assert set(found["metric"]) == metrics
    drains = found.table[found["metric"] == "time_to_drain"]
    assert drains["phase"].tolist() == ["25-50 s, after outage", "58-90 s, after slowdown"]
    assert ((drains["low"] < drains["expected"]) & (drains["expected"] < drains["high"])).all()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [7, 9])
def test_a_wrong_model_fails_and_says_so_wherever_it_is_used(workers):
    log = log_of(8, faults=FAULTS[:1], duration=60.0)
    model = rl.calibrate(log)
    wrong = model.replace(service=model.service.replace(workers=workers), worker_range=(workers, workers))
    found = rl.check(wrong, log)
    assert not found.ok
    assert "not within their intervals" in repr(found)
    with pytest.warns(rl.ModelWarning, match="this model failed its check: .* in .* for"):
        wrong.scenario()
    with pytest.warns(rl.ModelWarning, match="failed its check"):
        wrong.situations()
    with warnings.catch_warnings():
        warnings.simplefilter("error", rl.ModelWarning)
        model.scenario()


@pytest.mark.slow
def test_a_silence_parts_phases():
    log = log_of(8, duration=20.0)
    start = np.where(log.start < 10, log.start, log.start + 5)
    twice = log.replace(start=start, span=25.0)
    assert [phase.name for phase in rl.check(rl.calibrate(log), twice).phases] == [
        "0-15 s, healthy",
        "15-25 s, healthy",
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda log: rl.check(None, log), "model must be a Calibration, got None"),
        (lambda log: rl.check(rl.calibrate(log), "log.csv"), "trace must be a Trace, got 'log.csv'"),
        (lambda log: rl.check(rl.calibrate(log), log, replications=2), "replications must be .* 5, got 2"),
        (lambda log: rl.check(rl.calibrate(log), log, tolerance=-1), "tolerance must be >= 0, got -1"),
        (lambda log: rl.calibrate("log.csv"), "trace must be a Trace, got 'log.csv'"),
        (lambda log: rl.calibrate(log, workers=0), "workers must be .* 1, got 0"),
        (lambda log: rl.calibrate(log, faults=("hang",)), "faults must be a Fault, got 'hang'"),
        (lambda log: rl.calibrate(log, alone=[-1.0]), "must be"),
        (lambda log: rl.calibrate(log).scenario(load=0), "load must be > 0, got 0"),
    ],
)
def test_bad_input_is_told_at_once(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        wrong(log_of(8, duration=20.0))


@pytest.mark.slow
def test_callers_that_leave_are_part_of_the_check():
    log = log_of(8, duration=60.0, policy=rl.Timeout(0.1), on_cancel="stop", load=0.5)
    model = rl.calibrate(log, workers=8)
    assert rl.check(model, log).ok
    assert not rl.check(model, log, rl.Timeout(0.3)).ok


@pytest.mark.slow
def test_the_picture_shows_measured_and_played():
    found = rl.check(rl.calibrate(log_of(8, duration=40.0)), log_of(8, duration=40.0), replications=5)
    left, right = model_check(found).axes
    assert [line.get_label() for line in left.lines].count("one more run") == 1
    assert len(left.lines) == 6
    assert [line.get_label() for line in right.lines if "measured" in line.get_label()] == [
        "p50, measured",
        "p95, measured",
    ]


@pytest.mark.slow
def test_log_of_a_single_short_phase_is_checked_as_a_whole():
    """Where faults leave no phase that is long enough, all of it is one."""
    service = rl.Service(48, rl.Constant(0.01), faults=rl.Outage(1.65, 0.28, mode="hang"))
    log = rl.trace_of(rl.simulate(rl.Scenario(rl.Poisson(2880), service, duration=4.2), seed=8022))
    found = rl.check(rl.calibrate(log.window(0.0, 1.14)), log.window(2.7, 4.2))
    assert len(found.table) >= 5
    half = rl.check(rl.calibrate(log), log.window(1.7, 1.9))
    assert set(half.table["metric"]) >= {"success", "p50"}
