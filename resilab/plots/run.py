"""Pictures of one run: what became of the requests, when, and how long it took."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..lab.metrics import breakers, steps, timeline
from ..lab.records import OUTCOMES, SUCCESS
from ..lab.result import Result
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
    log_axis,
    mark_faults,
    nice,
    percent_axis,
    reach,
)

_BREAKER_COLOURS = {"half-open": "#c2660c", "open": "#b3261e"}
_BINS = 60
_DOTS = {"linestyle": "none", "marker": ".", "markersize": 3.0, "markeredgewidth": 0}
_WORKER_COLOUR = "#f2c9a0"


def overview(result: Result, figure: Figure | None = None, *, baseline: Result | None = None) -> Figure:
    """Draw a run as four panels: outcomes, latency over time, latency distribution, queue and workers.

    Args:
        result: A recorded run.
        figure: Where to draw. None makes a new picture, which a notebook shows.
        baseline: A run to show behind it, in grey.

    Returns:
        The figure.
    """
    if figure is None:
        figure = Picture(figsize=(10.0, 5.6), dpi=100, layout="constrained")
    (top_left, top_right), (bottom_left, bottom_right) = figure.subplots(2, 2)
    outcomes_over_time(result, top_left, baseline=baseline)
    latency_over_time(result, top_right, baseline=baseline)
    queue_and_workers(result, bottom_left, baseline=baseline)
    latency_ecdf(result, bottom_right, baseline=baseline)
    return figure


def outcomes_over_time(result: Result, ax: Axes | None = None, *, baseline: Result | None = None) -> Axes:
    """Draw requests per second by outcome, stacked, with breaker states and faults above.

    A request counts at the time of its arrival. The strip on top shows when the
    breaker is open (red) or half-open (orange); with several breakers its height is the
    share of them.

    Args:
        result: A run.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, whose successes are drawn as a dashed line.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    edges, width = _bins(result)
    rates = outcome_rates(result, edges) / width
    tops = np.cumsum(rates, axis=0)
    bottoms = tops - rates
    for code, outcome in enumerate(OUTCOMES):
        colour = OUTCOME_COLOURS[outcome]
        add_steps(ax, edges, tops[code], bottoms[code], fill=True, facecolor=colour, linewidth=0, label=outcome)
    if baseline is not None:
        kept_edges, kept_width = _bins(baseline)
        kept = outcome_rates(baseline, kept_edges)[SUCCESS] / kept_width
        style = {"fill": False, "edgecolor": INK, "linewidth": 1.2, "linestyle": (0, (2, 1)), "zorder": 3}
        add_steps(ax, kept_edges, kept, None, label="baseline", **style)
    top = nice(float(tops[-1].max(initial=0.0)))
    reach(ax, x=(0.0, float(edges[-1])), y=(0.0, 1.3 * top))
    mark_faults(ax, result, names=True)
    _mark_breakers(ax, result)
    label(ax, "time (s)", "requests per second")
    legend(ax)
    return ax


def outcome_rates(result: Result, edges: np.ndarray) -> np.ndarray:
    """Return how many requests of each outcome arrived between the *edges*: shape (5, len(edges) - 1)."""
    arrival, outcome = result.columns["arrival"], result.columns["outcome"]
    bins = np.clip(np.searchsorted(edges, arrival, side="right") - 1, 0, len(edges) - 2)
    has_ended = outcome >= 0
    cells = outcome[has_ended].astype(np.int64) * (len(edges) - 1) + bins[has_ended]
    return np.bincount(cells, minlength=len(OUTCOMES) * (len(edges) - 1)).reshape(len(OUTCOMES), -1)


def _bins(result: Result) -> tuple[np.ndarray, float]:
    duration = _duration(result)
    count = min(_BINS, max(10, len(result) // 10))  # fewer requests, wider bins: else their number is all noise
    return np.linspace(0.0, duration, count + 1), duration / count


def _mark_breakers(ax: Axes, result: Result) -> None:
    """Draw a strip at the top: when the breaker is open or half-open."""
    if result.event_rows is None:
        return
    names = breakers(result)
    if not names:
        return
    end, busy = _duration(result), np.zeros(2)  # how much of the strip's first and last part is taken
    for level, (state, colour) in enumerate(_BREAKER_COLOURS.items(), start=1):
        times, share = breaker_share(result, names, level)
        edges = np.append(times, max(end, times[-1]))
        for part, (left, right) in enumerate(((0.0, 0.35 * end), (0.65 * end, end))):
            busy[part] += np.diff(np.clip(edges, left, right)) @ (share > 0)
        style = {"fill": True, "facecolor": colour, "linewidth": 0, "zorder": 2.5, "label": f"_breaker {state}"}
        add_steps(ax, edges, 0.85 + 0.06 * share, 0.85, transform=ax.get_xaxis_transform(), **style)
    for height, (state, colour) in zip((0.81, 0.88), _BREAKER_COLOURS.items(), strict=True):
        text = f"breaker {state}"
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}  # it may lie over a red area
        words = ax.text(0.005, height, text, transform=ax.transAxes, va="center", fontsize=8.0, zorder=4.0)
        words.set(color=colour, bbox=box)
        if busy[1] < busy[0]:
            words.set(x=0.995, ha="right")


def breaker_share(result: Result, names: list[str], level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return when which share of the breakers is in a state (1 half-open, 2 open), as a step function."""
    begins: list[float] = []
    ends: list[float] = []
    for name in names:
        times, states = timeline(result, "breaker_state", name)
        after = np.append(times[1:], np.nan)
        begins.extend(times[states == level])
        ends.extend(after[states == level])
    times, count = steps(np.array(begins), np.array(ends))
    return times, count / len(names)


def latency_over_time(result: Result, ax: Axes | None = None, *, baseline: Result | None = None) -> Axes:
    """Draw one dot a request: its latency at the time of its arrival, in the colour of its outcome.

    Args:
        result: A run.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, drawn in grey behind it.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    if baseline is not None:
        arrival, latency = baseline.columns["arrival"], baseline.latency
        add_line(ax, arrival, latency, color=KEPT_COLOUR, alpha=0.35, zorder=1.5, **_DOTS | {"markersize": 2.0})
    arrival, latency, outcome = result.columns["arrival"], result.latency, result.columns["outcome"]
    for code, word in enumerate(OUTCOMES):
        chosen = outcome == code
        if chosen.any():
            add_line(ax, arrival[chosen], latency[chosen], color=OUTCOME_COLOURS[word], **_DOTS)
    reach(ax, x=(0.0, _duration(result)), y=(0.0, nice(1.02 * _longest(latency))))
    mark_faults(ax, result)
    label(ax, "time of arrival (s)", "latency (s)")
    return ax


def latency_ecdf(result: Result, ax: Axes | None = None, *, baseline: Result | None = None) -> Axes:
    """Draw the share of requests that ended within a time, of the successful ones and of all.

    Rejections end at once: they lift the curve of all requests at its left end.

    Args:
        result: A run.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, drawn in grey behind it.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    log_axis(ax)
    shown = [_ended(run) for run in (result, baseline) if run is not None]
    positive = np.concatenate([latency[latency > 0] for latency, _ in shown])
    low, high = (positive.min(), positive.max()) if len(positive) else (0.01, 1.0)
    low, high = 10.0 ** np.floor(np.log10(max(low, high / 1e4, 1e-3))), nice(1.3 * high)
    if baseline is not None:
        _ecdf(
            ax, *_ended(baseline), low, high, all_colour=KEPT_COLOUR, success_colour=KEPT_COLOUR, names=("", "baseline")
        )
    _ecdf(ax, *_ended(result), low, high, all_colour=INK, success_colour=OUTCOME_COLOURS["success"])
    reach(ax, x=(low, high), y=(0.0, 1.02))
    percent_axis(ax)
    label(ax, "latency (s)", "share of requests")
    legend(ax)
    return ax


def _ended(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Return latency and outcome of the requests that have ended."""
    outcome = result.columns["outcome"]
    return result.latency[outcome >= 0], outcome[outcome >= 0]


def _ecdf(
    ax: Axes,
    latency: np.ndarray,
    outcome: np.ndarray,
    low: float,
    high: float,
    *,
    all_colour: str,
    success_colour: str,
    names: tuple[str, str] = ("all", "successful"),
) -> None:
    groups = [
        (latency, all_colour, (0, (3, 1.5)), names[0]),
        (latency[outcome == SUCCESS], success_colour, "-", names[1]),
    ]
    for values, colour, style, name in groups:
        if len(values):
            ordered = np.sort(values)
            x = np.concatenate([[low], np.clip(ordered, low, None), [high]])
            y = np.concatenate([[0], np.arange(1, len(ordered) + 1), [len(ordered)]]) / len(ordered)
            add_line(
                ax, x, y, drawstyle="steps-post", color=colour, linestyle=style, linewidth=1.4, label=name or "_all"
            )


def queue_and_workers(result: Result, ax: Axes | None = None, *, baseline: Result | None = None) -> Axes:
    """Draw how many calls wait in the queue of the service, and which share of its workers is busy.

    The queue is exact to every call; the workers are means over a 60th of the run, behind
    it on a scale of their own: at full height all are busy, so that few workers are seen
    under a long queue. With several services it is the first.

    Args:
        result: A recorded run.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, whose queue is drawn in grey behind it.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    workers, top = result.scenario.services[0].workers, 1.0
    if baseline is not None:
        times, values = timeline(baseline, "queue_length")
        style = {"color": KEPT_COLOUR, "linewidth": 1.0, "label": "queue of baseline"}
        add_line(ax, times, values, drawstyle="steps-post", **style)
        top = max(top, float(values.max()))
    edges, _ = _bins(result)
    busy = np.minimum(mean_between(edges, *timeline(result, "busy_workers")) / workers, 1.0)
    style = {"fill": True, "facecolor": _WORKER_COLOUR, "linewidth": 0, "label": f"busy workers (top: all {workers})"}
    add_steps(ax, edges, busy, transform=ax.get_xaxis_transform(), zorder=0.8, **style)
    times, values = timeline(result, "queue_length")
    style = {"color": SERIES_COLOURS[0], "linewidth": 1.1, "label": "calls in the queue"}
    add_line(ax, times, values, drawstyle="steps-post", **style)
    top = max(top, float(values.max()))
    reach(ax, x=(0.0, _duration(result)), y=(0.0, nice(1.05 * top)))
    mark_faults(ax, result)
    label(ax, "time (s)", "calls in the queue")
    legend(ax)
    return ax


def mean_between(edges: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the exact mean of a step function between each edge and the next."""
    area = np.concatenate([[0.0], np.cumsum(np.diff(times) * values[:-1])])
    index = np.searchsorted(times, edges, side="right") - 1
    found: np.ndarray = np.diff(area[index] + (edges - times[index]) * values[index]) / np.diff(edges)
    return found


def _longest(latency: np.ndarray) -> float:
    return float(np.nanmax(latency)) if len(latency) and not np.isnan(latency).all() else 1.0


def _duration(result: Result) -> float:
    return float(result.scenario.duration or 0.0)
