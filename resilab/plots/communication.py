"""Pictures of communication: calls over tiers, messages from publisher to effect."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..lab.metrics import timeline
from ..lab.records import ATTEMPT_OUTCOMES
from ..lab.result import Result
from ..worlds.messaging_result import MessagingResult
from .run import latency_over_time, mean_between, outcomes_over_time
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

_LANE = 0.85  # height of a lane whose workers are all busy
_KEPT = {"color": KEPT_COLOUR, "linewidth": 1.0, "drawstyle": "steps-post", "zorder": 1.5}
_BINS = 60
_FATES = {
    "effect once": OUTCOME_COLOURS["success"],
    "duplicate effects": OUTCOME_COLOURS["degraded"],
    "dead letters": OUTCOME_COLOURS["rejected"],
    "lost": OUTCOME_COLOURS["failure"],
}


def tiers_overview(result: Result, figure: Figure | None = None, *, baseline: Result | None = None) -> Figure:
    """Draw a run over several tiers: outcomes, latency, busy workers and calls by tier.

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
    workers_by_tier(result, bottom_left)
    calls_by_tier(result, bottom_right, baseline=baseline)
    return figure


def workers_by_tier(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the share of busy workers of each service over time, one lane a service, the first on top.

    A lane that is full to its line has no free worker.

    Args:
        result: A recorded run.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    duration = float(result.scenario.duration or 0.0)
    edges = np.linspace(0.0, duration, _BINS + 1)
    services = result.scenario.services
    for number, service in enumerate(services):
        busy = mean_between(edges, *timeline(result, "busy_workers", service.name)) / service.workers
        floor, colour = float(len(services) - 1 - number), SERIES_COLOURS[number % len(SERIES_COLOURS)]
        add_steps(ax, edges, floor + _LANE * busy, floor, fill=True, facecolor=colour, linewidth=0)
        add_line(ax, (0.0, duration), (floor + _LANE, floor + _LANE), color=colour, linewidth=0.8, linestyle=":")
    reach(ax, x=(0.0, duration), y=(0.0, float(len(services))))
    ax.set_yticks([len(services) - 1 - number + _LANE / 2 for number in range(len(services))])
    ax.set_yticklabels([service.name for service in services])
    mark_faults(ax, result)
    label(ax, "time (s)", "share of workers busy")
    return ax


def calls_by_tier(result: Result, ax: Axes | None = None, *, baseline: Result | None = None) -> Axes:
    """Draw how many calls each service got for one request of a user, by outcome.

    The bars grow from the top tier to the leaf where each tier retries: the
    amplification of the call tree. The number is the mean over all requests.

    Args:
        result: A recorded run.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, whose calls are marked by a grey line.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    calls = calls_per_request(result)
    heights = np.arange(len(result.services))[::-1]
    left = np.zeros(len(heights))
    for code, outcome in enumerate(ATTEMPT_OUTCOMES):
        if calls[:, code].any():
            ax.barh(heights, calls[:, code], 0.6, left, color=OUTCOME_COLOURS.get(outcome, KEPT_COLOUR), label=outcome)
            left = left + calls[:, code]
    ends = left
    if baseline is not None:
        kept = calls_per_request(baseline).sum(axis=1)[: len(left)]
        ends = np.maximum(left, np.pad(kept, (0, len(left) - len(kept))))
        for height, value in zip(heights, kept, strict=False):
            add_line(ax, [value, value], [height - 0.4, height + 0.4], color=KEPT_COLOUR, linewidth=2.0)
    for height, value, end in zip(heights, left, ends, strict=True):
        ax.text(end, height, f" {value:.3g}", va="center", ha="left", fontsize=8.0, color=INK, clip_on=True)
    ax.set_yticks(heights, result.services)
    ax.grid(visible=False, axis="y")
    reach(ax, x=(0.0, nice(1.12 * float(ends.max(initial=1.0)))), y=(-0.6, len(heights) - 0.4))
    label(ax, "calls per request")
    legend(ax)
    return ax


def calls_per_request(result: Result) -> np.ndarray:
    """Return the mean calls of each service for one request, by outcome: shape (services, 5)."""
    rows = result.attempts_array()
    counts = np.zeros((len(result.services), len(ATTEMPT_OUTCOMES)))
    ended = rows[rows["outcome"] >= 0]
    np.add.at(counts, (ended["service"], ended["outcome"]), 1)
    return counts / max(1, len(result))


def request_trace(result: Result, request_id: int, ax: Axes | None = None) -> Axes:
    """Draw all calls that one request has caused, as bars over time: a trace.

    One row a call, in order of start; one colour a service. Light is waiting in its
    queue, full is time at its worker.

    Args:
        result: A recorded run.
        request_id: The request.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    rows = result.attempts_array()
    rows = rows[(rows["request_id"] == request_id) & (rows["outcome"] >= 0)]
    if not len(rows):
        raise ValueError(f"request_id must be that of a request with calls, got {request_id!r}")
    rows = rows[np.lexsort((rows["service"], rows["start"]))]
    begin = result.columns["arrival"][request_id]
    heights = np.arange(len(rows))[::-1]
    start, began, end = (rows[name] - begin for name in ("start", "work_start", "work_end"))
    for number, service in enumerate(result.services):
        chosen = rows["service"] == number
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        ax.barh(heights[chosen], began[chosen] - start[chosen], 0.8, start[chosen], color=colour, alpha=0.3)
        ax.barh(heights[chosen], end[chosen] - began[chosen], 0.8, began[chosen], color=colour, label=service)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")
    reach(ax, x=(0.0, nice(float(end.max()))), y=(-0.6, len(rows) - 0.4))
    label(ax, "time since the request arrived (s)", f"{len(rows)} calls")
    legend(ax)
    return ax


def messaging_overview(
    result: MessagingResult, figure: Figure | None = None, *, baseline: MessagingResult | None = None
) -> Figure:
    """Draw a messaging run: flow, lag, delay of each event, and what became of all.

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
    message_flow(result, top_left, baseline=baseline)
    message_lag(result, top_right, baseline=baseline)
    latency_over_time(result, bottom_left, baseline=baseline)
    label(bottom_left, "time of the event (s)", "delay to its effect (s)")
    message_fates(result, bottom_right)
    return figure


def message_flow(result: MessagingResult, ax: Axes | None = None, *, baseline: MessagingResult | None = None) -> Axes:
    """Draw rates of the first group over time: published, delivered, and taken effect for the first time.

    Deliveries above the published are redeliveries.

    Args:
        result: A recorded run.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, whose deliveries are drawn in grey.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    duration = float(result.scenario.duration or 0.0)
    edges = np.linspace(0.0, duration, _BINS + 1)
    width = edges[1] - edges[0]
    top = 1.0
    if baseline is not None:
        kept = np.histogram(_delivery_times(baseline), edges)[0] / width
        add_line(ax, edges[:-1], kept, **_KEPT)
        top = float(kept.max())
    group = result.columns["operation"] == 0
    published = np.histogram([row[5] for row in result.message_rows if row[3] == result.services[0]], edges)[0] / width
    delivered = np.histogram(_delivery_times(result), edges)[0] / width
    handled = np.histogram(result.columns["end"][group & (result.columns["outcome"] == 0)], edges)[0] / width
    add_steps(ax, edges, handled, fill=True, facecolor=OUTCOME_COLOURS["success"], linewidth=0, label="first effects")
    style = {"fill": False, "linewidth": 1.2}
    add_steps(ax, edges, delivered, None, edgecolor=OUTCOME_COLOURS["timeout"], label="deliveries", **style)
    add_steps(ax, edges, published, None, edgecolor=INK, label="published", linestyle=(0, (2, 1)), **style)
    top = max(top, float(delivered.max()), float(published.max()), float(handled.max()))
    reach(ax, x=(0.0, duration), y=(0.0, nice(1.1 * top)))
    mark_faults(ax, result, names=True)
    label(ax, "time (s)", "messages per second")
    legend(ax)
    return ax


def message_lag(result: MessagingResult, ax: Axes | None = None, *, baseline: MessagingResult | None = None) -> Axes:
    """Draw the lag of each group over time: messages that the broker holds and nobody has acknowledged.

    Args:
        result: A recorded run.
        ax: Where to draw. None makes a new picture.
        baseline: Another run, whose lag is drawn in grey.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    top = 1.0
    if baseline is not None:
        times, values = baseline.lag()
        add_line(ax, times, values, **_KEPT)
        top = float(values.max())
    end = float(result.scenario.duration or 0.0)
    for number, group in enumerate(result.services):
        times, values = result.lag(group)
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        add_line(ax, times, values, drawstyle="steps-post", color=colour, linewidth=1.2, label=group)
        top = max(top, float(values.max()))
    reach(ax, x=(0.0, end), y=(0.0, nice(1.05 * top)))
    mark_faults(ax, result)
    label(ax, "time (s)", "messages not acknowledged")
    if len(result.services) > 1:
        legend(ax)
    return ax


def message_fates(result: MessagingResult, ax: Axes | None = None) -> Axes:
    """Draw how many events took effect once, how many effects were duplicates, and what was lost.

    Args:
        result: A run.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    flow = result.flow()
    once = int(np.count_nonzero(result.effects == 1))
    counts = [once, flow["duplicates"], flow["dead_lettered"], flow["lost"]]
    heights = np.arange(len(counts))[::-1]
    ax.barh(heights, counts, 0.6, color=list(_FATES.values()))
    for height, count in zip(heights, counts, strict=True):
        ax.text(count, height, f" {count}", va="center", ha="left", fontsize=8.0, color=INK, clip_on=True)
    ax.set_yticks(heights, list(_FATES))
    ax.grid(visible=False, axis="y")
    reach(ax, x=(0.0, nice(1.15 * max(1, *counts))), y=(-0.6, len(counts) - 0.4))
    label(ax, "events")
    return ax


def _delivery_times(result: MessagingResult) -> list[float]:
    return [row[6] for row in result.delivery_rows if row[2] == result.services[0]]
