"""Pictures of fleets and scorecards: what they draw is what the rows say."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import resilab as rl
from resilab.plots.health import STATE_COLOURS, written
from resilab.plots.style import describe, lightness

mpl.use("Agg")


@pytest.fixture(scope="module")
def run():
    """A fleet in which one replica hangs and is restarted."""
    fleet = rl.Fleet(3, workers=5, latency=rl.Exponential(0.1), faults=rl.ReplicaFault(20, replica=1), startup_time=5.0)
    return rl.simulate(rl.FleetScenario(rl.Poisson(20), fleet, rl.Timeout(1.0), 120.0), 1)


def test_replicas_are_boxes_in_their_colours(run):
    """One box a stay, in its lane, from its start to its end, cut where requests end."""
    ax = rl.plots.replicas_over_time(run)
    boxes = [patch for patch in ax.get_children() if isinstance(patch, Rectangle) and patch.get_height() == 0.76]
    rows = run.replicas[run.replicas["start"] < 120]
    assert len(boxes) == len(rows)
    for box, row in zip(boxes, rows.itertuples(), strict=True):
        assert box.get_x() == row.start
        assert box.get_x() + box.get_width() == pytest.approx(min(row.end, 120))
        assert box.get_y() + 0.38 == row.replica
        assert to_hex(box.get_facecolor()) == STATE_COLOURS[row.state]


def test_probes_are_dots_and_crosses(run):
    """As many dots as successes and crosses as failures, at the end of the probe."""
    ax = rl.plots.replicas_over_time(run)
    lines = {line.get_marker(): line for line in ax.get_children() if getattr(line, "get_marker", None) is not None}
    probes = run.probes[run.probes["end"] <= 120]
    assert len(lines["."].get_xdata()) == probes["success"].sum() > 0
    assert len(lines["x"].get_xdata()) == (~probes["success"]).sum() > 0


def test_a_fault_is_drawn_until_the_restart_that_cures_it(run):
    """The line below the lane ends with the new container."""
    ax = rl.plots.replicas_over_time(run)
    thick = [line for line in ax.get_children() if getattr(line, "get_linewidth", int)() == 2.5]
    (line,) = [line for line in thick if len(line.get_xdata())]  # the other one is for the legend
    assert list(line.get_xdata()) == [20, run.restart_times(1)[0]]


def test_an_explorer_of_a_fleet_moves():
    """A new setting gives a new picture and new numbers, on axes and a legend that stay."""

    def build(failure_threshold=3):
        probe = rl.KubernetesProbe(failure_threshold=failure_threshold)
        pod = rl.KubernetesPod(readiness=probe, liveness=probe)
        fleet = rl.Fleet(3, workers=5, latency=0.1, pod=pod, faults=rl.ReplicaFault(20, replica=1))
        return rl.FleetScenario(rl.Poisson(10), fleet, rl.Timeout(1.0), 60.0)

    explorer = rl.explore(
        build, plot=rl.plots.fleet_overview, numbers=rl.FleetResult.headline, failure_threshold=(1, 6)
    )
    before, numbers = explorer.image.value, explorer.numbers
    legend = explorer.stage.axes[1].get_legend()
    explorer.controls["failure_threshold"].value = 1
    assert explorer.error is None
    assert explorer.image.value != before
    assert float(explorer.numbers["success"][:-1]) > float(numbers["success"][:-1])
    assert explorer.stage.axes[1].get_legend() is legend


def test_states_differ_in_lightness():
    """They can be told apart in grey."""
    values = sorted(lightness(colour) for colour in STATE_COLOURS.values())
    assert min(later - earlier for earlier, later in itertools.pairwise(values)) > 8


def test_fleet_overview_draws_on_the_given_figure(run):
    """Two panels that share their time."""
    figure = Figure()
    assert rl.plots.fleet_overview(run, figure) is figure
    top, bottom = figure.axes
    assert top.get_xlim() == bottom.get_xlim()


def test_a_fault_of_a_replica_has_a_name():
    """Other pictures shade and name it."""
    assert describe(rl.ReplicaFault(1, 2, replica=3, mode="refuse")) == "replica 3: refuse"


def test_scorecard_writes_each_number():
    """Both sides of each row, with and without."""
    common = {"table": "pattern_table", "row": "Timeout", "pattern": "Timeout", "claim": "", "replications": 2}
    bad = {"side": "protection", "day": "a hang", "metric": "p99", "unit": "s", "without": 9.7, "with_pattern": 1.0}
    good = {"side": "price", "day": "no fault", "metric": "cut", "unit": "%", "without": 0.0, "with_pattern": 0.0121}
    card = pd.DataFrame(
        [
            common | bad | {"difference_low": -9.0, "difference_high": -8.4},
            common | good | {"difference_low": 0.009, "difference_high": 0.015},
        ]
    )
    figure = rl.plots.scorecard(card)
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert {"9.70 s", "1.00 s", "0.0 %", "1.2 %", "p99: a hang", "cut: no fault"} <= set(words)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.981, "%", "98.1 %"), (0.5, "s", "0.50 s"), (118.2, "calls", "118"), (1.02, "calls", "1.02")],
)
def test_numbers_have_units(value, unit, text):
    """A share, a time, a count."""
    assert written(value, unit) == text
