"""Pictures of a measured trace, and of a run beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..lab.faults import Fault
from ..lab.metrics import steps, timeline
from ..lab.result import Result
from ..traces.checking import Check
from ..traces.trace import Trace
from .style import (
    INK,
    OUTCOME_COLOURS,
    SERIES_COLOURS,
    add_line,
    axes_or_new,
    label,
    legend,
    mark_faults,
    nice,
    percent_axis,
    reach,
)
from .style import picture as new_picture

_SIMULATED = {"color": SERIES_COLOURS[1], "linewidth": 1.3, "label": "simulated", "drawstyle": "steps-post"}
_MEASURED = {"color": INK, "linewidth": 1.3, "label": "measured", "drawstyle": "steps-post"}


def trace_latency(trace: Trace, ax: Axes | None = None, *, faults: Iterable[Fault] = ()) -> Axes:
    """Draw one dot a measured request: its duration at the time of its start.

    Args:
        trace: What was measured.
        ax: Where to draw. None makes a new picture.
        faults: What is known to have been wrong: shaded, and named at the top.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    failed = np.zeros(len(trace), dtype=bool) if trace.failed is None else trace.failed
    for chosen, colour, name in ((~failed, "success", "answered"), (failed, "failure", "failed")):
        if chosen.any():
            style = {"linestyle": "none", "marker": ".", "markersize": 3.0, "markeredgewidth": 0, "label": name}
            add_line(ax, trace.start[chosen], trace.duration[chosen], color=OUTCOME_COLOURS[colour], **style)
    reach(ax, x=(0.0, float(trace.span or 0.0)), y=(0.0, nice(1.2 * float(trace.known.max(initial=0.0) or 1.0))))
    mark_faults(ax, list(faults), names=True)
    label(ax, "time of start (s)", "duration (s)")
    legend(ax, markerscale=3)
    return ax


def measured_and_simulated(trace: Trace, result: Result, figure: Figure | None = None) -> Figure:
    """Draw a trace and a run of its model as two panels: requests under way, and latency distribution.

    The run should replay the arrivals of the trace.

    Args:
        trace: What was measured.
        result: A run of the model.
        figure: Where to draw. None makes a new picture, which a notebook shows.

    Returns:
        The figure.
    """
    figure, left, right = _two_panels(figure)
    shown = (
        (_MEASURED, steps(trace.start, trace.start + trace.duration), trace.known),
        (_SIMULATED, timeline(result, "in_flight"), result.latency[~np.isnan(result.latency)]),
    )
    right.set_xscale("log")
    low = max(1e-3, min(float(np.percentile(durations, 0.1)) for *_, durations in shown))
    top = max(float(durations.max()) for *_, durations in shown)
    for style, (times, values), durations in shown:
        add_line(left, times, values, **style)
        shares = np.arange(1, len(durations) + 1) / len(durations)
        add_line(right, np.sort(durations), shares, **style)
    most = max(float(values.max()) for _, (_, values), _ in shown)
    reach(left, x=(0.0, float(result.scenario.duration or 0.0)), y=(0.0, nice(1.1 * most)))
    mark_faults(left, result, names=True)
    label(left, "time (s)", "requests under way")
    reach(right, x=(low, 1.2 * top), y=(0.0, 1.02))
    percent_axis(right)
    label(right, "latency (s)", "share of requests")
    legend(left)
    legend(right)
    return figure


def model_check(check: Check, figure: Figure | None = None) -> Figure:
    """Draw a check as two panels: calls under way, measured and in every run; p50 and p95 by phase.

    Args:
        check: Made by `resilab.check`.
        figure: Where to draw. None makes a new picture, which a notebook shows.

    Returns:
        The figure.
    """
    figure, left, right = _two_panels(figure)
    faint = {**_SIMULATED, "linewidth": 0.6, "alpha": 0.4}
    for number, run in enumerate(check.runs):
        style = faint | {"label": "one more run" if not number else "_"}
        add_line(left, *steps(run.start, run.start + run.duration), **style)
    series = check.trace.in_flight()
    add_line(left, series.index, series.to_numpy(), **_MEASURED)
    reach(left, x=(0.0, float(check.trace.span or 0.0)), y=(0.0, nice(1.2 * float(series.max()))))
    label(left, "time (s)", "calls under way")
    legend(left)
    _draw_phases(check, right)
    return figure


def _draw_phases(check: Check, ax: Axes) -> None:
    """Draw p50 and p95 of each phase: a dot measured, a bar where one more run would lie."""
    ax.set_yscale("log")
    for shift, metric in ((-0.15, "p50"), (0.15, "p95")):
        rows = [row for row in check.rows if row.metric == metric]
        places = np.arange(len(rows)) + shift
        for place, row in zip(places, rows, strict=True):
            name = "where one more run would lie" if place == places[0] and metric == "p50" else "_"
            add_line(
                ax, [place, place], [row.low, row.high], color=SERIES_COLOURS[1], linewidth=5, alpha=0.5, label=name
            )
        style = {"linestyle": "none", "marker": "o" if metric == "p50" else "s", "markersize": 4, "color": INK}
        add_line(ax, places, [row.measured for row in rows], label=f"{metric}, measured", **style)
    names = [phase.name for phase in check.phases]
    ax.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names], fontsize=6)
    shown = [row for row in check.rows if row.metric in ("p50", "p95") and row.measured > 0]
    least, most = min(row.measured for row in shown), max(row.measured for row in shown)
    reach(ax, x=(-0.5, len(check.phases) - 0.5), y=(least / 2, most * 3))
    label(ax, None, "latency of successes (s)")
    legend(ax)


def _two_panels(figure: Figure | None) -> tuple[Figure, Axes, Axes]:
    if figure is None:
        figure, (left, right) = new_picture(1, 2)
    else:
        left, right = figure.subplots(1, 2)
    return figure, axes_or_new(left), axes_or_new(right)
