"""Pictures show the rows of a run, exactly."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

import resilab as rl
from resilab.lab.records import OUTCOMES
from resilab.plots import run as panels
from resilab.plots.stage import Stage, encode

SERVICE = rl.Service(workers=3, latency=rl.Exponential(mean=0.1), failure_rate=0.05, queue_limit=20)
HANG = rl.Outage(start=4.0, duration=2.0, mode="hang")
POLICY = rl.ResiliencePolicy(rl.CircuitBreaker(timeout=1.0), rl.Timeout(0.5))
SCENARIO = rl.Scenario(rl.Poisson(rate=40), SERVICE.replace(faults=(HANG,)), POLICY, duration=12.0)
PANELS = (
    rl.plots.outcomes_over_time,
    rl.plots.latency_over_time,
    rl.plots.latency_ecdf,
    rl.plots.queue_and_workers,
)


@pytest.fixture(scope="module")
def result():
    return rl.simulate(SCENARIO, seed=1)


@pytest.fixture(scope="module")
def other():
    return rl.simulate(SCENARIO.replace(policy=rl.Timeout(0.5)), seed=1)


def lab_colour(rgb):
    """Return CIELAB coordinates of a linear or sRGB colour."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    scaled = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira and Fernandes (2009), severity 1
COLOUR_BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("sight", COLOUR_BLIND)
def test_outcome_colours_differ_for_colour_blind_readers(sight):
    """Any two outcomes are at least 20 apart in CIELAB, as a colour-blind reader sees them."""
    seen = {}
    for outcome, colour in rl.plots.OUTCOME_COLOURS.items():
        rgb = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        blind = np.clip(np.array(COLOUR_BLIND[sight]) @ linear, 0, 1)
        seen[outcome] = lab_colour(np.where(blind <= 0.0031308, 12.92 * blind, 1.055 * blind ** (1 / 2.4) - 0.055))
    assert list(seen) == list(OUTCOMES)
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen.values(), 2)) > 20


def test_outcome_colours_differ_in_lightness():
    """On a grey print any two outcomes differ by at least 9 of 100."""
    values = sorted(map(rl.plots.lightness, rl.plots.OUTCOME_COLOURS.values()))
    assert min(np.diff(values)) > 9
    assert rl.plots.lightness("white") == pytest.approx(100)
    assert rl.plots.lightness("black") == pytest.approx(0)


@pytest.mark.parametrize("panel", PANELS)
def test_panels_draw_on_the_axes_they_are_given(panel, result, other):
    """A panel draws on *ax* and returns it, with the units on its labels, with and without a baseline."""
    ax = Figure().subplots()
    assert panel(result, ax, baseline=other) is ax
    assert ax.get_xlabel().endswith("(s)")
    assert ax.get_ylabel()
    assert not ax.get_title()
    assert panel(result).get_xlabel() == ax.get_xlabel()


@pytest.mark.slow
def test_panels_and_explorers_do_without_pyplot():
    """Neither pictures nor explorers load matplotlib's pyplot, whose global state they would share."""
    code = "import sys, resilab as rl; rl.plots.overview; rl.explore; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_panel_of_its_own_is_a_picture(result):
    """What a panel returns shows as PNG in a notebook, and so does an overview."""
    for shown in (rl.plots.latency_ecdf(result), rl.plots.overview(result)):
        assert Image.open(io.BytesIO(shown._repr_png_())).width > 500
    assert repr(rl.plots.overview(result)) == "<Figure size 1000x560 with 4 Axes>"


def test_outcomes_add_up_to_the_arrivals(result):
    """Every request is in the stack of its outcome, at the time of its arrival."""
    edges = np.linspace(0, 12, 13)
    counts = panels.outcome_rates(result, edges)
    frame = result.requests
    expected = frame.groupby([pd.cut(frame["arrival"], edges, right=False), "outcome"], observed=False).size()
    assert counts.T.ravel().tolist() == expected.tolist()
    assert counts.sum() == len(result)


def test_outcomes_are_stacked_without_gaps(result):
    """Each outcome begins where the one below ends, and the top is the arrival rate."""
    ax = rl.plots.outcomes_over_time(result)
    stacks = {patch.get_label(): patch.get_data() for patch in ax.patches if patch.get_label() in OUTCOMES}
    below = np.zeros(50)  # ten requests in each bin
    for outcome in OUTCOMES:
        assert stacks[outcome].baseline == pytest.approx(below)
        below = stacks[outcome].values
    arrivals, _ = np.histogram(result.columns["arrival"], stacks["success"].edges)
    assert below == pytest.approx(arrivals / np.diff(stacks["success"].edges))


def test_breaker_strip_shows_the_transitions(result):
    """The red strip is there exactly from each opening to the next transition."""
    ax = rl.plots.outcomes_over_time(result)
    (strip,) = [patch.get_data() for patch in ax.patches if patch.get_label() == "_breaker open"]
    moves = result.events[result.events["type"] == "transition"]
    opened = moves[moves["detail"].str.endswith("-> open")]["time"]
    red = strip.values > 0.85
    assert len(opened) > 1
    assert strip.edges[:-1][red].tolist() == opened.tolist()
    assert set(strip.edges[1:][red]) <= {*moves["time"], 12.0}


def test_breaker_strip_of_many_clients_is_a_share():
    """With ten breakers the strip is as high as the share that is open."""
    result = rl.simulate(SCENARIO.replace(clients=10), seed=1)
    names = sorted({row[1] for row in result.event_rows if row[2] == "transition"})
    times, share = panels.breaker_share(result, names, 2)
    instants = np.linspace(0.01, 11.99, 500)
    seen = share[np.searchsorted(times, instants, side="right") - 1]
    states = [result.timeline("breaker_state", name) for name in names]
    expected = np.mean(
        [each.to_numpy()[each.index.searchsorted(instants, "right") - 1] == 2 for each in states], axis=0
    )
    assert expected.max() > 0
    assert seen == pytest.approx(expected)


def test_fault_windows_are_shaded(result):
    """The grey span of a fault has its start and its end; one that never ends goes on to the end of the axis."""
    ax = rl.plots.latency_over_time(result)
    (span,) = [patch for patch in ax.patches if patch.get_zorder() == 0.4]
    assert (span.get_x(), span.get_x() + span.get_width()) == (4.0, 6.0)
    ax = rl.plots.picture()[1]
    ax.set_xlim(0, 30)
    rl.plots.mark_faults(ax, (rl.Slowdown(start=10, duration=float("inf"), factor=3),), names=True)
    assert ax.patches[0].get_width() == 20
    assert ax.texts[0].get_text() == "3 x slower"


def test_every_request_is_a_dot(result):
    """There is one dot a request, at its arrival and its latency, in the colour of its outcome."""
    ax = rl.plots.latency_over_time(result)
    frame = result.requests
    for line in ax.lines:
        (outcome,) = [word for word, colour in rl.plots.OUTCOME_COLOURS.items() if colour == line.get_color()]
        rows = frame[frame["outcome"] == outcome]
        assert line.get_xdata().tolist() == rows["arrival"].tolist()
        assert line.get_ydata().tolist() == rows["latency"].tolist()
    assert sum(len(line.get_xdata()) for line in ax.lines) == len(frame)


def test_ecdf_has_the_quantiles(result):
    """The curve of the successful requests passes through their median, and begins at their share of zeros."""
    ax = rl.plots.latency_ecdf(result)
    curves = {line.get_label(): line.get_xydata() for line in ax.lines}
    successful = result.requests.query("outcome == 'success'")["latency"].to_numpy()
    x, y = curves["successful"].T
    for share in (0.1, 0.5, 0.9):
        assert x[np.searchsorted(y, share)] == np.quantile(successful, share, method="inverted_cdf")
    x, y = curves["all"].T
    assert y[np.searchsorted(x, x[0], side="right") - 1] == pytest.approx(np.mean(result.latency <= x[0]))


def test_queue_is_the_exact_timeline(result):
    """The line of the queue is the time line of the run."""
    ax = rl.plots.queue_and_workers(result)
    exact = result.timeline("queue_length")
    assert ax.lines[0].get_xdata().tolist() == exact.index.tolist()
    assert ax.lines[0].get_ydata().tolist() == exact.tolist()


def test_mean_between_keeps_the_area():
    """Means of a step function times their widths are its integral, also past its last change."""
    times, values = np.array([0.0, 0.5, 2.25, 3.0]), np.array([1, 4, 0, 2])
    means = panels.mean_between(np.array([0.0, 1.0, 2.0, 3.0, 5.0]), times, values)
    assert means.tolist() == [2.5, 4.0, 1.0, 2.0]


def test_pictures_of_a_run_cut_at_a_horizon():
    """Requests without an end are left out of latency, and of the outcomes."""
    service = SCENARIO.service.replace(on_cancel="stop")
    result = rl.simulate(SCENARIO.replace(service=service), seed=1, horizon=4.3)
    assert result.counts()["open"] > 0
    rl.plots.overview(result)
    assert panels.outcome_rates(result, np.array([0.0, 12.0])).sum() == len(result) - result.counts()["open"]


@pytest.mark.slow
def test_pictures_of_a_run_without_requests():
    """A run in which nothing arrives gives an empty picture, not an error."""
    empty = rl.Scenario(rl.Schedule([(5, 10)]), SERVICE, duration=1.0)
    result = rl.simulate(empty)
    assert len(result) == 0
    rl.plots.overview(result)._repr_png_()


def test_unrecorded_run_is_refused_in_words():
    """The queue needs recorded attempts, and says so."""
    with pytest.raises(ValueError, match="record=True"):
        rl.plots.queue_and_workers(rl.simulate(SCENARIO, record=False))


FRAME = pd.DataFrame(
    {
        "limit": [1, 2, 1, 2],
        "kind": ["a", "a", "b", "b"],
        "p99": [1.0, 2.0, 3.0, 4.0],
        "p99_low": [0.5, 1.5, 2.5, 3.5],
        "p99_high": [1.25, 2.25, 3.25, 4.25],
    }
)


def test_trade_off_draws_the_intervals():
    """The bars reach from the lower to the upper limit, one series a value of *by*."""
    ax = rl.plots.trade_off(FRAME, "limit", "p99", by="kind", names="limit")
    assert [container.get_label() for container in ax.containers] == ["kind a", "kind b"]
    bars = ax.containers[1].lines[2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in bars] == [[2.5, 3.25], [3.5, 4.25]]
    assert [text.get_text() for text in ax.texts] == ["1", "2", "1", "2"]
    assert ax.get_ylabel() == "p99 latency (s)"


def test_trade_off_without_intervals_draws_points():
    """A frame without limits, and one with a metric on both axes, are drawn as well."""
    plain = FRAME[["limit", "p99"]]
    assert rl.plots.trade_off(plain, "p99", "limit", connect=False).lines[0].get_linestyle() == "None"
    with pytest.raises(ValueError, match="column must be one of 'limit', 'p99', got 'p95'"):
        rl.plots.trade_off(plain, "limit", "p95")


def test_differences_draws_one_interval_a_variant():
    """The interval of each variant reaches from low to high around its difference."""
    frame = pd.DataFrame(
        {
            "variant": ["x", "y"],
            "metric": "p99",
            "difference": [1.0, -1.0],
            "difference_low": [0.5, -3.0],
            "difference_high": [1.5, 1.0],
        }
    )
    ax = rl.plots.differences(frame, "p99")
    bars = ax.containers[0].lines[2][0].get_segments()
    assert [segment[:, 0].tolist() for segment in bars] == [[0.5, 1.5], [-3.0, 1.0]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]


def test_front_draws_the_best_over_all():
    """All settings are there, and the front in order of the price."""
    ax = rl.plots.front(FRAME, FRAME.iloc[[2, 0]], "p99", "limit")
    assert ax.lines[0].get_xdata().tolist() == FRAME["p99"].tolist()
    assert ax.lines[1].get_xdata().tolist() == [1.0, 3.0]


@pytest.mark.parametrize(("value", "end"), [(0.0, 1.0), (0.7, 0.8), (1.0, 1.0), (17, 20), (0.034, 0.04), (99, 100)])
def test_axes_end_at_round_numbers(value, end):
    """The end of an axis is the first round number that is not below the data."""
    assert rl.plots.nice(value) == end


class CountingStage(Stage):
    """A stage that counts how often text and ticks are drawn."""

    full_draws = 0

    def _draw_all(self):
        self.full_draws += 1
        super()._draw_all()


@pytest.mark.slow
def test_stage_draws_text_only_once(result):
    """A second run on the same limits draws no text, and the picture is that of a full drawing."""
    stage, full = CountingStage(8, 5, 60), CountingStage(8, 5, 60)
    plot = lambda figure: rl.plots.overview(result, figure)  # noqa: E731
    for each in (stage, full):
        for _ in range(2):  # the layout settles
            each._background = None
            each.render(plot)
    draws = stage.full_draws
    full._background = None
    assert stage.render(plot) == full.render(plot)
    assert stage.full_draws == draws
    assert full.full_draws == draws + 1


def test_stage_limits_fit_what_is_drawn():
    """A higher curve widens the axis, and a lower one narrows it again: pictures do not remember."""
    stage = CountingStage(4, 3, 50)

    def draw(height):
        stage.render(lambda figure: figure.subplots().plot([0, 1], [0, height]))
        return stage.axes[0].get_ylim()[1]

    low, high = draw(1), draw(10)
    assert high > low
    assert draw(1) == low
    assert stage.full_draws == 1


def test_stage_redraws_when_text_changes():
    """A new label, tick, legend entry or scale is seen."""
    stage = CountingStage(4, 3, 50)
    changes = (
        lambda ax: ax.set_xlabel("time (s)"),
        lambda ax: ax.set_yscale("log"),
        lambda ax: ax.set_xticks([1, 2], ["one", "two"]),
        lambda ax: ax.legend(["line"]),
    )

    def draw(count):
        def plot(figure):
            ax = figure.subplots()
            ax.plot([1, 2], [1, 2])
            for change in changes[:count]:
                change(ax)

        return stage.render(plot)

    assert len({draw(count) for count in range(len(changes) + 1)}) == len(changes) + 1


def test_text_behind_the_data_is_drawn_once_until_it_moves():
    """Text that stays is kept; once it has moved, it is drawn with the data, and right."""
    stage = CountingStage(4, 3, 50)

    def draw(stage, place):
        def plot(figure):
            ax = figure.subplots()
            ax.plot([0, 1], [place, 1])
            ax.text(place, 0.5, "here", zorder=0.5)
            ax.set(xlim=(0, 1), ylim=(0, 1))

        return stage.render(plot)

    for place in (0.1, 0.1, 0.3, 0.5):
        assert draw(stage, place) == draw(Stage(4, 3, 50), place)
    assert stage.full_draws == 2


@pytest.mark.slow
def test_redrawn_picture_is_that_of_a_new_one(result):
    """A run drawn over the kept frame looks as on a new stage, names of faults and breaker states included."""
    stage = Stage(8, 5, 60)
    plot = lambda figure: rl.plots.overview(result, figure)  # noqa: E731
    assert stage.render(plot) == stage.render(plot) == Stage(8, 5, 60).render(plot)
    names = [text for text in stage.axes[0].texts if text.get_text() == "hangs"]
    pixels = np.asarray(stage.canvas.buffer_rgba())
    box = names[0].get_window_extent().extents.astype(int)
    here = pixels[len(pixels) - box[3] : len(pixels) - box[1], box[0] : box[2], :3]
    assert np.sum(here.max(axis=2) < 150) > 20, "the name of the fault is not to be seen"


def test_stage_takes_another_layout():
    """A plot function may make other axes than the time before."""
    stage = Stage(4, 3, 50)
    for rows in (1, 2, 2, 1):
        stage.render(lambda figure, rows=rows: figure.subplots(rows))
        assert len(stage.axes) == rows


def test_stage_takes_axes_that_are_added_by_hand():
    """A plot function may place axes itself; then everything is drawn anew."""
    stage = Stage(4, 3, 50)
    pictures = [
        stage.render(lambda figure, end=end: figure.add_axes((0.1, 0.1, 0.8, 0.8)).plot([0, 1], [0, end]))
        for end in (1, -1, 1)
    ]
    assert len(stage.axes) == 1
    assert pictures[0] != pictures[1]


def test_stage_survives_an_error_while_drawing():
    """An error passes on, and the next drawing is whole."""
    stage = Stage(4, 3, 50)
    fine = lambda figure: figure.subplots().plot([1, 2])  # noqa: E731
    first = stage.render(fine)

    def broken(figure):
        figure.subplots().plot([5, 6])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage.render(broken)
    assert stage.render(fine) == first


def test_legend_that_is_not_wanted_any_more_goes():
    """A legend of the last drawing is not in the next one that asks for none."""
    stage = Stage(4, 3, 50)
    stage.render(lambda figure: figure.subplots().plot([1, 2], label="line")[0].axes.legend())
    assert stage.axes[0].get_legend() is not None
    stage.render(lambda figure: figure.subplots().plot([1, 2], label="line"))
    assert stage.axes[0].get_legend() is None


def test_encoded_picture_has_the_pixels():
    """What is written as PNG reads back as the same pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (31, 17, 4), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode(pixels)))), pixels)
