"""Pictures of a measured trace, and of a run beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..lab.faults import Fault
from ..lab.metrics import steps, timeline
from ..lab.result import Result
from ..traces.trace import Trace
from .style import INK, OUTCOME_COLOURS, SERIES_COLOURS, add_line, axes_or_new, label, legend, mark_faults, nice, reach
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
    reach(ax, x=(0.0, float(trace.span or 0.0)), y=(0.0, nice(1.2 * float(trace.duration.max()))))
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
    if figure is None:
        figure, (left, right) = new_picture(1, 2)
    else:
        left, right = figure.subplots(1, 2)
    left, right = axes_or_new(left), axes_or_new(right)
    shown = (
        (_MEASURED, steps(trace.start, trace.start + trace.duration), trace.duration),
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
    label(right, "latency (s)", "share of requests")
    legend(left)
    legend(right)
    return figure
