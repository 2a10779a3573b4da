"""Pictures of consistency: sagas step by step, messages through an outbox."""

from __future__ import annotations

from functools import cache
from itertools import zip_longest
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..worlds.outbox_result import OutboxRunResult
from ..worlds.saga import STEPS
from ..worlds.saga_result import CONSISTENT, SagaRunResult
from .run import outcomes_over_time
from .style import (
    INK,
    KEPT_COLOUR,
    OUTCOME_COLOURS,
    SERIES_COLOURS,
    Picture,
    add_line,
    add_steps,
    axes_or_new,
    label,
    legend,
    mark_faults,
    nice,
    reach,
)

_SMALL = 8.0
_STEP_COLOURS = dict(zip(STEPS, SERIES_COLOURS, strict=False))
_STATUS_COLOURS = {
    "committed": OUTCOME_COLOURS["success"],
    "compensated": OUTCOME_COLOURS["degraded"],
    "abandoned": OUTCOME_COLOURS["timeout"],
    "stuck": OUTCOME_COLOURS["failure"],
    "open": KEPT_COLOUR,
}
_FATES = {
    "published once": OUTCOME_COLOURS["success"],
    "published again": OUTCOME_COLOURS["degraded"],
    "lost": OUTCOME_COLOURS["failure"],
    "phantom": OUTCOME_COLOURS["timeout"],
    "waiting": OUTCOME_COLOURS["rejected"],
}


def saga_overview(
    result: SagaRunResult, figure: Figure | None = None, *, baseline: SagaRunResult | None = None
) -> Figure:
    """Draw a run of sagas: some of them step by step, outcomes over time, and what is left of the orders.

    Args:
        result: A run of a `SagaScenario`.
        figure: Where to draw. None makes a new picture, which a notebook shows.
        baseline: A run to show behind it, in grey.

    Returns:
        The figure.
    """
    if figure is None:
        figure = Picture(figsize=(10.0, 5.6), dpi=100, layout="constrained")
    panels = figure.subplot_mosaic([["steps", "outcomes"], ["steps", "verdicts"]], width_ratios=(1.1, 1.0))
    saga_gantt(result, panels["steps"])
    outcomes_over_time(result, panels["outcomes"], baseline=baseline)
    saga_verdicts(result, panels["verdicts"], baseline=baseline)
    return figure


def saga_gantt(result: SagaRunResult, ax: Axes | None = None, *, orders: Any = None, count: int = 14) -> Axes:
    """Draw sagas as a Gantt chart: a bar a step, a hatched one for its compensation.

    A cross ends a step that failed, an open circle one that may have taken effect all
    the same. The dot before each row says how the saga ended.

    Args:
        result: A run of a `SagaScenario`.
        ax: Where to draw. None makes a new picture.
        orders: Request ids to show. None takes the first that went well, and as many
            with a step that failed, some of each kind.
        count: How many to show if *orders* is None.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax, height=4.2)
    shown = _interesting(result, count) if orders is None else [int(number) for number in orders]
    height = {number: len(shown) - 1 - row for row, number in enumerate(shown)}
    arrival = result.columns["arrival"]
    boxes: dict[tuple[str, str], list[Any]] = {}
    failed: list[tuple[float, float]] = []
    doubt: list[tuple[float, float]] = []
    end = 0.0
    in_doubt = {row[0] for row in result.order_rows if row[4]}
    for _, number, step, kind, begin, stop, outcome, _, _ in result.step_rows:
        if number not in height:
            continue
        y = height[number]
        left, right = begin - arrival[number], stop - arrival[number]
        box = [(left, y - 0.3), (left, y + 0.3), (right, y + 0.3), (right, y - 0.3)]
        boxes.setdefault((step, kind), []).append(box)
        end = max(end, right)
        if outcome != "success":
            is_doubtful = kind == "execute" and number in in_doubt
            (doubt if is_doubtful else failed).append((right, y))
    for (step, kind), corners in boxes.items():
        _bars(ax, corners, _STEP_COLOURS.get(step, SERIES_COLOURS[-1]), kind == "compensate")
    _points(ax, failed, marker="x", color=INK, markersize=5)
    _points(ax, doubt, marker="o", markerfacecolor="none", markeredgecolor=INK, markersize=5)
    status = {row[0]: row[2] for row in result.order_rows}
    for number, y in height.items():
        _points(ax, [(-0.03 * end, y)], marker="o", color=_STATUS_COLOURS[status[number]], markersize=4)
    ax.set_yticks(list(height.values()), [f"{number}" for number in height])
    ax.grid(visible=False, axis="y")
    reach(ax, x=(-0.06 * end, 1.04 * end or 1.0), y=(-0.7, len(shown) - 0.3))
    label(ax, "time since the order arrived (s)", "order")
    legend(ax, handles=_gantt_handles(), ncols=3)
    return ax


def saga_verdicts(
    result: SagaRunResult, ax: Axes | None = None, *, baseline: SagaRunResult | None = None, count: int = 6
) -> Axes:
    """Draw what is left of the orders: confirmed, undone, or what is wrong with them.

    Args:
        result: A run of a `SagaScenario`.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, whose numbers are marked by a grey line.
        count: How many verdicts to show at most; the rest counts as "other".

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    verdicts = {"confirmed": 0, "undone": 0} | result.verdicts()
    wrong = [word for word in verdicts if word not in CONSISTENT]
    kept = {} if baseline is None else baseline.verdicts()
    wrong += [word for word in kept if word not in verdicts]
    names = [*CONSISTENT, *wrong]
    counts = [verdicts.get(name, 0) for name in names]
    others = [kept.get(name, 0) for name in names]
    if len(names) > count:
        names = [*names[: count - 1], "other"]
        counts = [*counts[: count - 1], sum(counts[count - 1 :])]
        others = [*others[: count - 1], sum(others[count - 1 :])]
    colours = [_STATUS_COLOURS["committed"], _STATUS_COLOURS["compensated"]]
    colours += [OUTCOME_COLOURS["failure"]] * (len(names) - 2)
    _named_bars(ax, names, counts, colours, others if baseline is not None else None)
    label(ax, "orders")
    return ax


def outbox_overview(
    result: OutboxRunResult, figure: Figure | None = None, *, baseline: OutboxRunResult | None = None
) -> Figure:
    """Draw a run of orders and messages: delay of each, backlog over time, and what became of them.

    Args:
        result: A run of an `OutboxScenario`.
        figure: Where to draw. None makes a new picture, which a notebook shows.
        baseline: A run to show behind it, in grey.

    Returns:
        The figure.
    """
    if figure is None:
        figure = Picture(figsize=(10.0, 5.6), dpi=100, layout="constrained")
    panels = figure.subplot_mosaic([["delay", "backlog"], ["delay", "fates"]], width_ratios=(1.1, 1.0))
    outbox_delay(result, panels["delay"], baseline=baseline)
    outbox_backlog(result, panels["backlog"], baseline=baseline)
    outbox_fates(result, panels["fates"], baseline=baseline)
    return figure


def outbox_delay(result: OutboxRunResult, ax: Axes | None = None, *, baseline: OutboxRunResult | None = None) -> Axes:
    """Draw the seconds from each order to its first publication, and what went wrong.

    Args:
        result: A run of an `OutboxScenario`.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, drawn as grey dots.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    if baseline is not None:
        rows = [(row[2], max(0.0, row[4])) for row in baseline.message_rows if row[7] == "published"]
        _points(ax, rows, marker=".", color=KEPT_COLOUR, markersize=3, zorder=1.5, label="baseline")
    once: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    lost: list[tuple[float, float]] = []
    phantom: list[tuple[float, float]] = []
    for number, (_, _, created, _, delay, publications, _, status) in enumerate(result.message_rows):
        if status == "published":
            (once if publications == 1 else again).append((created, max(0.0, delay)))
        elif status == "lost":
            lost.append((created, 0.0))
        elif status == "phantom":
            phantom.append((result.columns["arrival"][number], 0.0))
    _points(ax, once, marker=".", color=_FATES["published once"], markersize=4, label="published once")
    _points(ax, again, marker=".", color=SERIES_COLOURS[0], markersize=5, label="published again")
    _points(ax, lost, marker="x", color=_FATES["lost"], markersize=6, label="lost", clip_on=False)
    _points(ax, phantom, marker="x", color=_FATES["phantom"], markersize=6, label="phantom", clip_on=False)
    top = max([delay for _, delay in once + again], default=0.0)
    reach(ax, x=(0.0, result.scenario.duration or 1.0), y=(0.0, nice(1.05 * top) if top else 1.0))
    mark_faults(ax, _outages(result), names=True)
    label(ax, "time of the order (s)", "delay of its message (s)")
    legend(ax)
    return ax


def outbox_backlog(result: OutboxRunResult, ax: Axes | None = None, *, baseline: OutboxRunResult | None = None) -> Axes:
    """Draw how many orders are in the database without their message in the broker, over time.

    A lost message stays missing for ever.

    Args:
        result: A run of an `OutboxScenario`.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, drawn in grey.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    duration = result.scenario.duration or 1.0
    top, end = 1.0, duration
    for run, style in ((baseline, "kept"), (result, "new")):
        if run is None:
            continue
        times, missing = backlog(run)
        top = max(top, float(missing.max(initial=0)))
        end = max(end, float(times[-1]))
        if style == "kept":
            add_line(ax, times, missing, color=KEPT_COLOUR, linewidth=1.0, drawstyle="steps-post", label="baseline")
        else:
            colour = SERIES_COLOURS[0]
            edges = np.append(times, max(end, times[-1] + 1e-9))
            add_steps(
                ax, edges, missing, facecolor=colour, alpha=0.35, fill=True, linewidth=0, label="missing messages"
            )
            add_line(ax, times, missing, color=colour, linewidth=1.2, drawstyle="steps-post")
    reach(ax, x=(0.0, end), y=(0.0, nice(1.05 * top)))
    mark_faults(ax, _outages(result))
    label(ax, "time (s)", "messages")
    legend(ax)
    return ax


def backlog(result: OutboxRunResult) -> tuple[np.ndarray, np.ndarray]:
    """Return how many orders wait for their message to be published, as an exact step function."""
    rows = np.array([row[2:4] for row in result.message_rows if row[7] in ("published", "lost", "waiting")], float)
    rows = rows.reshape(-1, 2)
    published = np.fmax(rows[:, 0], rows[:, 1])
    published = published[~np.isnan(rows[:, 1])]
    times = np.concatenate([[0.0], rows[:, 0], published])
    changes = np.concatenate([[0], np.ones(len(rows), int), -np.ones(len(published), int)])
    order = np.argsort(times, kind="stable")
    times, values = times[order], np.cumsum(changes[order])
    is_last = np.append(times[1:] != times[:-1], True)
    return times[is_last], values[is_last]


def outbox_fates(result: OutboxRunResult, ax: Axes | None = None, *, baseline: OutboxRunResult | None = None) -> Axes:
    """Draw how many messages were published once, again, lost, invented, or still wait.

    Args:
        result: A run of an `OutboxScenario`.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, whose numbers are marked by a grey line.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    others = None if baseline is None else _fates(baseline)
    _named_bars(ax, list(_FATES), _fates(result), list(_FATES.values()), others)
    label(ax, "messages")
    return ax


def _outages(result: Any) -> Any:
    return result.scenario.faults


def _fates(result: OutboxRunResult) -> list[int]:
    once = sum(row[7] == "published" and row[5] == 1 for row in result.message_rows)
    flow = result.flow()
    again = sum(row[7] == "published" and row[5] > 1 for row in result.message_rows)
    return [once, again, flow["lost"], flow["phantoms"], flow["waiting"]]


def _interesting(result: SagaRunResult, count: int) -> list[int]:
    """Return request ids to show: half of them with a failed step, of every kind in turn, the short ones first."""
    calm = [row[0] for row in result.order_rows if row[3] is None]
    latency = result.latency
    kinds: dict[tuple[Any, Any], list[int]] = {}
    for row in result.order_rows:
        if row[3] is not None:
            kinds.setdefault((row[3], row[4]), []).append(row[0])
    queues = [sorted(numbers, key=lambda number: (latency[number], number)) for _, numbers in sorted(kinds.items())]
    turns = [number for turn in zip_longest(*queues) for number in turn if number is not None]
    few = min(len(turns), max(count // 2, count - len(calm)))
    return [*calm[: count - few], *turns[:few]]


@cache
def _gantt_handles() -> tuple[Any, ...]:
    """Return the entries of the legend, always the same, so that an explorer need not draw them anew."""
    handles: list[Any] = [
        Patch(color=_STEP_COLOURS[step], label=word)
        for step, word in zip(STEPS, ("reserve", "charge", "confirm"), strict=True)
    ]
    handles.append(Patch(facecolor="white", edgecolor=INK, hatch="////", label="undo"))
    handles.append(Line2D([], [], marker="x", color=INK, linestyle="", markersize=5, label="failed"))
    circle: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": INK, "markersize": 5}
    handles.append(Line2D([], [], linestyle="", label="in doubt", **circle))
    return tuple(handles)


def _bars(ax: Axes, boxes: list[Any], colour: str, is_undo: bool) -> None:
    style: dict[str, Any] = {"facecolors": colour, "edgecolors": colour, "linewidths": 0.8, "zorder": 2}
    if is_undo:
        style |= {"facecolors": "white", "hatch": "//////"}
    ax.add_collection(PolyCollection(boxes, **style), autolim=False)


def _points(ax: Axes, points: list[tuple[float, float]], **style: Any) -> None:
    if points:
        x, y = zip(*points, strict=True)
        add_line(ax, x, y, linestyle="", **style)


def _named_bars(ax: Axes, names: list[str], counts: list[int], colours: list[str], kept: list[int] | None) -> None:
    heights = np.arange(len(names))[::-1]
    ax.barh(heights, counts, 0.6, color=colours)
    for height, count in zip(heights, counts, strict=True):
        ax.text(count, height, f" {count}", va="center", ha="left", fontsize=_SMALL, color=INK, clip_on=True)
    if kept is not None:
        for height, count in zip(heights, kept, strict=True):
            add_line(ax, (count, count), (height - 0.42, height + 0.42), color=KEPT_COLOUR, linewidth=2.0, zorder=3)
    ax.set_yticks(heights, [_wrapped(name) for name in names])
    ax.grid(visible=False, axis="y")
    most = max(1, *counts, *(kept or ()))
    reach(ax, x=(0.0, nice(1.12 * most)), y=(-0.6, len(names) - 0.4))


def _wrapped(name: str) -> str:
    """Return a long name in two lines."""
    head, comma, tail = name.rpartition(", ")
    return f"{head},\n{tail}" if comma and len(name) > 20 else name
