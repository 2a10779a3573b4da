"""Pictures of replicas and their probes, and of the scorecard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ..worlds.fleet_result import FleetResult
from ..worlds.replica import ReplicaFault
from .run import outcomes_over_time
from .style import INK, KEPT_COLOUR, SERIES_COLOURS, Picture, add_line, axes_or_new, label, legend, mark_faults, reach

if TYPE_CHECKING:
    import pandas as pd

STATE_COLOURS = {
    "ready": "#e9f0dc",
    "not ready": "#f0bfd4",
    "starting": "#a9b665",
    "terminating": "#a0577f",
    "back-off": "#5b4436",
}
"""One colour a state of a replica, different in lightness, too; none is that of an outcome."""
_LEVELS = {"liveness": 0.18, "readiness": -0.18, "startup": 0.0}
_SIDES = ("protection", "price")
_SIDE_COLOURS = {"protection": SERIES_COLOURS[0], "price": SERIES_COLOURS[1]}


def fleet_overview(result: FleetResult, figure: Figure | None = None, *, baseline: FleetResult | None = None) -> Figure:
    """Draw a run of a fleet as two panels: outcomes over time, and what each replica did.

    Args:
        result: A recorded run of a `FleetScenario`.
        figure: Where to draw. None makes a new picture, which a notebook shows.
        baseline: A run whose successes are drawn as a dashed line.

    Returns:
        The figure.
    """
    if figure is None:
        figure = Picture(figsize=(10.0, 5.0), dpi=100, layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    outcomes_over_time(result, top, baseline=baseline)
    label(top, "", "requests per second")
    replicas_over_time(result, bottom)
    return figure


def replicas_over_time(result: FleetResult, ax: Axes | None = None) -> Axes:
    """Draw the states of each replica over time, its probes as marks, its faults as a line below.

    A dot is a probe that succeeded, a cross one that failed; liveness is above the
    middle, readiness below, startup in it. The line below a lane lasts until the fault
    ends or a restart cures it. Hatched is the time in which the balancer has ejected it.

    Args:
        result: A recorded run of a `FleetScenario`.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    ax.grid(visible=False)
    fleet = result.scenario.fleet  # type: ignore[attr-defined]
    end = float(result.scenario.duration or result.end)
    if fleet.dependency is not None:
        mark_faults(ax, fleet.dependency.service.faults)
    for word, colour in STATE_COLOURS.items():  # every state is in the legend, seen or not: it stays as it is
        ax.add_artist(Rectangle((0, 0), 0, 0, facecolor=colour, linewidth=0, label=word))
    for replica, word, start, stop in result.stays():
        if start < end:
            box = Rectangle((start, replica - 0.38), min(stop, end) - start, 0.76, linewidth=0)
            box.set_facecolor(STATE_COLOURS[word])
            ax.add_artist(box)
    if fleet.ejection is not None:
        _draw_ejections(ax, result, end)
    _draw_probes(ax, result, end)
    add_line(ax, [], [], color=INK, linewidth=2.5, label="fault")
    for fault in fleet.faults:
        stop = min(_cured(result, fault), end)
        add_line(ax, [fault.start, stop], [fault.replica - 0.44] * 2, color=INK, linewidth=2.5)
    reach(ax, x=(0.0, end), y=(-0.55, fleet.replicas - 0.45))
    ax.set_yticks(range(fleet.replicas))
    label(ax, "time (s)", "replica")
    legend(ax, ncols=8)
    return ax


def _draw_ejections(ax: Axes, result: FleetResult, end: float) -> None:
    style: dict[str, Any] = {"fill": False, "hatch": "////", "edgecolor": KEPT_COLOUR, "linewidth": 0}
    ax.add_artist(Rectangle((0, 0), 0, 0, label="ejected", **style))
    for replica, start, stop, _ in result.ejection_rows:
        ax.add_artist(Rectangle((start, replica - 0.38), min(end, np.nan_to_num(stop, nan=end)) - start, 0.76, **style))


def _draw_probes(ax: Axes, result: FleetResult, end: float) -> None:
    good: list[tuple[float, float]] = []
    bad: list[tuple[float, float]] = []
    for replica, probe, _, time, is_success, _ in result.probe_rows:
        if time <= end:
            (good if is_success else bad).append((time, replica + _LEVELS[probe]))
    style = {"linestyle": "none", "color": INK}
    add_line(ax, *_columns(good), marker=".", markersize=2.5, alpha=0.5, **style)
    add_line(ax, *_columns(bad), marker="x", markersize=4.5, markeredgewidth=1.2, label="failed probe", **style)


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _cured(result: FleetResult, fault: ReplicaFault) -> float:
    """Return when a fault was over: at its end, or at the first restart that cures it."""
    restarts = result.restart_times(fault.replica) if fault.cured_by_restart else []
    return min([fault.end, *(time for time in restarts if time >= fault.start)])


def scorecard(card: pd.DataFrame, figure: Figure | None = None) -> Figure:
    """Draw a scorecard: each row without and with its pattern, on a bad day and on a healthy one.

    The bars of a row have a scale of their own and say their number. The whisker is the
    interval of the paired difference, around the number with the pattern.

    Args:
        card: What `scorecard` has returned, all of it or some rows.
        figure: Where to draw. None makes a new picture, which a notebook shows.

    Returns:
        The figure.
    """
    rows = list(dict.fromkeys(zip(card["row"], card["pattern"], strict=True)))
    if figure is None:
        figure = Picture(figsize=(10.0, 0.9 + 0.72 * len(rows)), dpi=100, layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, side in zip(axes, _SIDES, strict=True):
        chosen = card[card["side"] == side].set_index(["row", "pattern"])
        _draw_side(ax, [chosen.loc[row] for row in rows], _SIDE_COLOURS[side])
        title = {"protection": "on the day it is made for", "price": "on a healthy day"}[side]
        ax.set_title(title, fontsize=10, loc="left", color=_SIDE_COLOURS[side])
        legend(ax, handles=[Patch(color=KEPT_COLOUR, label="without"), Patch(color=_SIDE_COLOURS[side], label="with")])
    axes[0].set_yticks(range(len(rows)), [_name(*row) for row in rows], fontsize=8.5)
    axes[1].set_yticks([])
    return figure


def _name(row: str, pattern: str) -> str:
    return row if row == pattern else f"{row}\n{pattern}"


def _draw_side(ax: Axes, rows: list[pd.Series], colour: str) -> None:
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.set_xticks([])
    for number, row in enumerate(rows):
        scale = max(row["without"], row["with_pattern"], row["without"] + row["difference_high"]) or 1.0
        for offset, value, shade in ((-0.02, row["without"], KEPT_COLOUR), (0.26, row["with_pattern"], colour)):
            ax.barh(number + offset, value / scale, height=0.26, color=shade)
        low, high = (np.array([row["difference_low"], row["difference_high"]]) + row["without"]) / scale
        ax.plot([low, high], [number + 0.26] * 2, color=INK, linewidth=1.3, solid_capstyle="butt")
        reach_of = {"without": row["without"] / scale, "with_pattern": max(row["with_pattern"] / scale, high)}
        for offset, name in ((-0.02, "without"), (0.26, "with_pattern")):
            text = written(row[name], row["unit"])
            ax.text(reach_of[name] + 0.015, number + offset, text, va="center", fontsize=7.5, color=INK)
        ax.text(0.006, number - 0.29, f"{row['metric']}: {row['day']}", va="center", fontsize=8, color=INK)
    ax.set_xlim(0, 1.2)
    ax.set_ylim(len(rows) - 0.45, -0.5)
    ax.tick_params(left=False)


def written(value: float, unit: str) -> str:
    """Return a number of a scorecard with its unit, for instance "98.1 %"."""
    if unit == "%":
        return f"{100 * value:.1f} %"
    if unit == "s":
        return f"{value:.2f} s"
    return f"{value:.2f}" if value < 10 and not math.isclose(value, round(value)) else f"{value:.0f}"
