"""Pictures of traces: the lines are the numbers."""

from __future__ import annotations

import numpy as np

import resilab as rl
from resilab.plots import measured_and_simulated, trace_latency

TRACE = rl.Trace(start=[0.0, 1.0, 2.0], duration=[0.5, 2.0, 0.1], failed=[False, True, False])


def line(ax, name):
    return next(each for each in ax.lines if each.get_label() == name)


def test_each_dot_is_a_request_in_the_colour_of_its_outcome():
    ax = trace_latency(TRACE, faults=(rl.Outage(1.0, 0.5),))
    assert line(ax, "answered").get_xydata().tolist() == [[0.0, 0.5], [2.0, 0.1]]
    assert line(ax, "failed").get_xydata().tolist() == [[1.0, 2.0]]
    assert [text.get_text() for text in ax.texts] == ["outage"]
    assert ax.get_xlabel() == "time of start (s)"


def test_a_trace_without_status_is_drawn_as_answered():
    ax = trace_latency(TRACE.replace(failed=None))
    assert len(line(ax, "answered").get_xdata()) == 3


def test_a_run_is_drawn_beside_what_was_measured():
    result = rl.simulate(rl.Scenario(TRACE.workload(), rl.Service(workers=1, latency=0.5)), seed=1)
    left, right = measured_and_simulated(TRACE, result).axes
    assert line(left, "measured").get_ydata().max() == 2
    assert line(left, "simulated").get_ydata().max() == 1
    assert np.allclose(line(right, "measured").get_xdata(), [0.1, 0.5, 2.0])
    assert np.allclose(line(right, "simulated").get_xdata(), 0.5)
