"""Pictures of a scenario whose requests are of several kinds: who holds the places, and who is refused."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..lab.metrics import timeline
from ..lab.records import REJECTED
from ..lab.result import Result
from .run import mean_between
from .style import (
    INK,
    KEPT_COLOUR,
    SERIES_COLOURS,
    Picture,
    add_line,
    add_steps,
    axes_or_new,
    label,
    legend,
    mark_faults,
    nice,
    percent_axis,
    reach,
)

_BINS = 30


def operations_overview(
    result: Result, figure: Figure | None = None, *, places: int | None = None, baseline: Result | None = None
) -> Figure:
    """Draw a run with operations as two panels: who holds the places, and who is refused.

    Args:
        result: A recorded run of a scenario with operations, each with a service of its own.
        figure: Where to draw. None makes a new picture, which a notebook shows.
        places: Places that all share, drawn as a line.
        baseline: A run whose refusals are drawn in grey.

    Returns:
        The figure.
    """
    if figure is None:
        figure = Picture(figsize=(10.0, 3.4), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    places_held(result, left, places=places)
    refused_by_operation(result, right, baseline=baseline)
    return figure


def places_held(result: Result, ax: Axes | None = None, *, places: int | None = None) -> Axes:
    """Draw how many calls each service has at its workers, one area on the other, as means over time.

    Args:
        result: A recorded run of a scenario with operations, each with a service of its own.
        ax: Where to draw. None makes a new picture.
        places: Places that all share, drawn as a line.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    edges = _edges(result)
    floor = np.zeros(_BINS)
    for number, service in enumerate(result.scenario.services):
        held = floor + mean_between(edges, *timeline(result, "busy_workers", service.name))
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        add_steps(ax, edges, held, floor, fill=True, facecolor=colour, linewidth=0, alpha=0.85, label=service.name)
        floor = held
    if places is not None:
        style = {"color": INK, "linewidth": 1.2, "linestyle": (0, (4, 2)), "label": f"all {places} places"}
        add_line(ax, (0.0, edges[-1]), (places, places), **style)
    reach(ax, x=(0.0, float(edges[-1])), y=(0.0, nice(1.15 * max(float(floor.max()), places or 0.0))))
    mark_faults(ax, result)
    label(ax, "time (s)", "places held")
    legend(ax)
    return ax


def refused_by_operation(result: Result, ax: Axes | None = None, *, baseline: Result | None = None) -> Axes:
    """Draw which share of the requests of each operation is refused, by the time of their arrival.

    Args:
        result: A run of a scenario with operations.
        ax: Where to draw. None makes a new picture.
        baseline: A run to show behind it, in grey.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    edges = _edges(result)
    if baseline is not None:
        for shares in _refused(baseline, edges):
            add_steps(ax, edges, shares, None, fill=False, edgecolor=KEPT_COLOUR, linewidth=1.0, label="_baseline")
    for number, (kind, shares) in enumerate(zip(result.scenario.kinds, _refused(result, edges), strict=True)):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        add_steps(ax, edges, shares, None, fill=False, edgecolor=colour, linewidth=1.8, label=kind)
    reach(ax, x=(0.0, float(edges[-1])), y=(0.0, 1.0))
    percent_axis(ax)
    mark_faults(ax, result)
    label(ax, "time of arrival (s)", "share refused")
    legend(ax)
    return ax


def _edges(result: Result) -> np.ndarray:
    return np.linspace(0.0, float(result.scenario.duration or 0.0), _BINS + 1)


def _refused(result: Result, edges: np.ndarray) -> list[np.ndarray]:
    """Return the share of refused requests in each step, for each operation; 0 where none arrive."""
    columns, found = result.columns, []
    for number in range(len(result.scenario.kinds)):
        is_own = columns["operation"] == number
        arrived = np.histogram(columns["arrival"][is_own], edges)[0]
        is_refused = is_own & (columns["outcome"] == REJECTED)
        found.append(np.histogram(columns["arrival"][is_refused], edges)[0] / np.maximum(arrived, 1))
    return found
