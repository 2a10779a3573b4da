"""Pictures of intervals: what many experiments say of one value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from ..validation import one_of
from .style import INK, KEPT_COLOUR, OUTCOME_COLOURS, SERIES_COLOURS, axes_or_new, label, legend

if TYPE_CHECKING:
    import pandas as pd

_MOST_NAMES = 30


def intervals(frame: pd.DataFrame, truth: float | None = None, *, x: str = "", ax: Axes | None = None) -> Axes:
    """Draw a point and its interval for each row, the first on top, and the true value.

    Args:
        frame: Columns mean, low and high, as from `intervals`; the index names the rows,
            which are numbered without names if they are more than 30.
        truth: The true value, a line. Intervals that miss it are drawn with crosses in
            another colour. None draws no line.
        x: What the axis shows, with its unit.
        ax: Where to draw. None makes a new picture.

    Returns:
        The axes.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"mean": [1.0, 2.0], "low": [0.5, 1.5], "high": [1.5, 2.5]}, index=["a", "b"])
        >>> [text.get_text() for text in intervals(table, 1.0, x="p99 (s)").get_yticklabels()]
        ['a', 'b']
    """
    for column in ("mean", "low", "high"):
        one_of("column", column, tuple(frame.columns))
    is_long = len(frame) > _MOST_NAMES
    ax = axes_or_new(ax, height=4.2 if is_long else 0.9 + 0.26 * len(frame))
    mean, low, high = (frame[column].to_numpy(np.float64) for column in ("mean", "low", "high"))
    places = np.arange(len(frame))
    misses = np.zeros(len(frame), bool) if truth is None else (low > truth) | (high < truth)
    if truth is not None:
        ax.axvline(truth, color=KEPT_COLOUR, linewidth=1.2, label="true value")
    for chosen, colour, marker, name in (
        (~misses, SERIES_COLOURS[0], "o", "holds it"),
        (misses, OUTCOME_COLOURS["timeout"], "X", "misses it"),
    ):
        if chosen.any():
            reach = np.abs(np.stack([mean - low, high - mean])[:, chosen])
            style: dict[str, Any] = {"color": colour, "marker": marker, "elinewidth": 1.1}
            style["markersize"] = 3.5 if is_long else 4.5
            ax.errorbar(mean[chosen], places[chosen], xerr=reach, linestyle="none", label=name, **style)
    ax.set_ylim(len(frame) - 0.5, -0.5)
    if is_long:
        label(ax, y="experiment")
    else:
        ax.set_yticks(places, [str(name) for name in frame.index], color=INK)
    label(ax, x)
    if truth is not None:
        legend(ax)
    return ax
