"""Pictures of many runs: what a setting costs and what it brings, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from ..validation import one_of
from .style import INK, KEPT_COLOUR, SERIES_COLOURS, axes_or_new, label, legend

if TYPE_CHECKING:
    import pandas as pd

_MARKERS = "osD^vP"
_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_SECONDS = {"mean_latency", "p50", "p95", "p99", "p50_success", "p95_success", "p99_success"}
_SECONDS |= {"timeout", "seconds", "duration", "initial_delay", "max_delay", "max_wait"}
_UNITS = dict.fromkeys(_SECONDS, "s") | {"goodput": "successes per second", "rate": "requests per second"}


def trade_off(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    by: str | None = None,
    names: str | None = None,
    connect: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw what comes of each setting of a sweep, with its intervals.

    Args:
        frame: A frame of `sweep`, or another with a row a setting. Columns *x* and *y*
            hold means; columns `y_low` and `y_high`, and those of *x*, the limits of
            the intervals, where they exist.
        x: A parameter, or a metric: the price.
        y: A metric: what it brings.
        by: A parameter: one series for each of its values.
        names: A column whose values are written beside the points.
        connect: Draw a line through each series, in the order of the rows.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"timeout": [1, 2], "p99": [0.8, 1.2], "p99_low": [0.7, 1.0], "p99_high": [0.9, 1.4]})
        >>> trade_off(frame, "timeout", "p99").get_xlabel()
        'timeout (s)'
    """
    for each in filter(None, (x, y, by, names)):
        one_of("column", each, tuple(frame.columns))
    ax = axes_or_new(ax)
    groups = [("", frame)] if by is None else [(str(value), part) for value, part in frame.groupby(by, sort=False)]
    for number, (name, part) in enumerate(groups):
        ax.errorbar(
            part[x],
            part[y],
            xerr=_reach_of(part, x),
            yerr=_reach_of(part, y),
            color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle=_STYLES[number % len(_STYLES)] if connect else "none",
            markersize=4.5,
            linewidth=1.3,
            elinewidth=1.0,
            capsize=2.5,
            label=f"{words(by or '')} {name}".strip(),
        )
        if names is not None:
            for row in part.to_dict("records"):
                ax.annotate(
                    f"{row[names]}", (row[x], row[y]), xytext=(5, 4), textcoords="offset points", fontsize=8, color=INK
                )
    label(ax, words(x), words(y))
    if by is not None:
        legend(ax)
    return ax


def differences(frame: pd.DataFrame, metric: str, *, ax: Axes | None = None) -> Axes:
    """Draw how variants differ from the baseline: a point and its interval for each, and a line at 0.

    Args:
        frame: A frame of `compare`.
        metric: Which metric of it.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.
    """
    one_of("metric", metric, tuple(frame["metric"].unique()))
    rows = frame[frame["metric"] == metric]
    ax = axes_or_new(ax, height=0.9 + 0.4 * len(rows))
    places = np.arange(len(rows))[::-1]
    reach = np.abs(rows[["difference_low", "difference_high"]].to_numpy().T - rows["difference"].to_numpy())
    ax.axvline(0.0, color=KEPT_COLOUR, linewidth=1.0)
    ax.errorbar(
        rows["difference"], places, xerr=reach, color=SERIES_COLOURS[0], marker="o", linestyle="none", capsize=2.5
    )
    ax.set_yticks(places, rows["variant"])
    ax.margins(y=0.5 / max(1, len(rows)))
    label(ax, f"difference of {words(metric)} from the baseline, 95 % interval")
    return ax


def front(frame: pd.DataFrame, best: pd.DataFrame, x: str, y: str, *, ax: Axes | None = None) -> Axes:
    """Draw all settings of a sweep in grey, and those on the Pareto front over them.

    Args:
        frame: A frame of `sweep`.
        best: Its front, from `pareto`.
        x: A metric: the price.
        y: A metric: what it brings.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.
    """
    ax = axes_or_new(ax)
    ax.plot(
        frame[x], frame[y], "o", color=KEPT_COLOUR, alpha=0.5, markersize=4, markeredgewidth=0, label="all settings"
    )
    ordered = best.sort_values(x)
    style: dict[str, Any] = {"color": SERIES_COLOURS[0], "markersize": 5, "linewidth": 1.3, "drawstyle": "steps-post"}
    ax.plot(ordered[x], ordered[y], "o-", **style, label="not beaten by any other")
    label(ax, words(x), words(y))
    legend(ax)
    return ax


def words(column: str) -> str:
    """Return a column's name in words, with its unit."""
    text = column.replace("_", " ")
    if column.startswith("p") and column[1:3].isdigit():
        text = f"{text[:3]} latency" + (" of successes" if column.endswith("_success") else "")
    unit = _UNITS.get(column)
    return f"{text} ({unit})" if unit else text


def _reach_of(frame: pd.DataFrame, column: str) -> np.ndarray | None:
    """Return how far the interval reaches below and above the mean, shape (2, rows), or None."""
    low, high = f"{column}_low", f"{column}_high"
    if low not in frame or high not in frame:
        return None
    found: np.ndarray = np.clip(np.stack([frame[column] - frame[low], frame[high] - frame[column]]), 0.0, None)
    return found
