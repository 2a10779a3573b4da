"""What all pictures share: colours, sizes, axes that reach round numbers, marks of faults."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from ..lab.faults import CapacityLoss, Errors, Fault, Outage, Slowdown
from ..lab.result import Result
from ..validation import instance
from ..worlds.replica import ReplicaFault

OUTCOME_COLOURS = {
    "success": "#2a9d8f",
    "degraded": "#9bbcec",
    "rejected": "#f4d35e",
    "timeout": "#c8452e",
    "failure": "#2e1650",
}
"""One colour an outcome, in every picture: told apart by colour-blind readers, and in grey."""

INK = "#2b2b2b"
"""Lines and text that belong to no outcome."""
KEPT_COLOUR = "#8a8a8a"
"""The run that is kept as baseline, behind the new one."""
FAULT_COLOUR = "#d9d9d9"
"""The time in which something is wrong with a service."""
SERIES_COLOURS = ("#0b5d8a", "#d1731c", "#6a51a3", "#35a06f", "#b0305c", "#7a6a4f")
"""Series that are not outcomes, such as the variants of a comparison."""

_TEXT = {"axes.labelsize": 9.0, "legend.fontsize": 8.0}


class Picture(Figure):
    """A matplotlib Figure that notebooks show, and that no global list holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        FigureCanvasAgg(self)

    def __repr__(self) -> str:
        width, height = self.bbox.size
        return f"<Figure size {width:.0f}x{height:.0f} with {len(self.axes)} Axes>"

    def _repr_png_(self) -> bytes:
        import io

        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()


class Panel(Axes):
    """Axes with a picture of their own, which notebooks show."""

    def _repr_png_(self) -> bytes:
        figure = self.get_figure(root=True)
        assert isinstance(figure, Picture)
        return figure._repr_png_()


def picture(rows: int = 1, columns: int = 1, *, width: float = 5.2, height: float = 3.0) -> tuple[Picture, Any]:
    """Return a new picture and its axes, for panels side by side.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        width: Width of one panel, in inches.
        height: Height of one panel, in inches.

    Returns:
        The picture, which a notebook shows when a cell ends with it, and its axes: one
        Axes, or an array of them as `Figure.subplots` gives.

    Example:
        >>> figure, (left, right) = picture(1, 2)
        >>> figure
        <Figure size 1040x300 with 2 Axes>
    """
    figure = Picture(figsize=(width * columns, height * rows), dpi=100, layout="constrained")
    return figure, figure.subplots(rows, columns)


def axes_or_new(ax: Axes | None, *, width: float = 6.4, height: float = 3.2) -> Axes:
    """Return *ax*, or the axes of a new picture if it is None; with small text and no frame."""
    if ax is None:
        figure = Picture(figsize=(width, height), dpi=100, layout="constrained")
        ax = figure.add_subplot(axes_class=Panel)
    instance("ax", ax, Axes)
    if not getattr(ax, "_has_resilab_style", False):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=_TEXT["legend.fontsize"])
        ax.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        ax.set_axisbelow(True)
        ax._has_resilab_style = True  # type: ignore[attr-defined]
    return ax


def label(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Write what the axes show, with units."""
    if x is not None:
        ax.set_xlabel(x, fontsize=_TEXT["axes.labelsize"])
    if y is not None:
        ax.set_ylabel(y, fontsize=_TEXT["axes.labelsize"])


def legend(ax: Axes, **options: Any) -> None:
    """Name what is drawn in one line above the axes, where it hides no data."""
    defaults = {
        "fontsize": _TEXT["legend.fontsize"],
        "frameon": False,
        "ncols": 6,
        "loc": "lower right",
        "bbox_to_anchor": (1.0, 1.01),
        "borderpad": 0.0,
        "borderaxespad": 0.0,
        "handlelength": 1.4,
        "handletextpad": 0.4,
        "columnspacing": 0.9,
    }
    if "handles" in options or ax.get_legend_handles_labels()[0]:
        ax.legend(**{**defaults, **options})


def add_line(ax: Axes, x: Any, y: Any, **style: Any) -> None:
    """Add a line as `Axes.plot` does, at a tenth of its cost and without moving the limits: say `reach`."""
    ax.add_artist(Line2D(x, y, **style))


def add_steps(ax: Axes, edges: np.ndarray, tops: np.ndarray, bottoms: Any = 0.0, **style: Any) -> None:
    """Add a filled step function, or its outline with `bottoms=None`, without moving the limits."""
    transform = style.pop("transform", None)
    patch = StepPatch(tops, edges, baseline=bottoms, **style)
    if transform is not None:
        patch.set_transform(transform)
    ax.add_artist(patch)


def reach(ax: Axes, *, x: tuple[float, ...] = (), y: tuple[float, ...] = ()) -> None:
    """Let the axes end exactly where the data ends, and contain the values *x* and *y*."""
    ax.margins(0)
    if x or y:
        x, y = x or y[:1], y or x[:1]
        xs, ys = np.meshgrid(x, y)
        ax.update_datalim(np.column_stack([xs.ravel(), ys.ravel()]), updatex=len(x) > 1, updatey=len(y) > 1)


def log_axis(ax: Axes, axis: str = "x") -> None:
    """Make an axis logarithmic, with plain numbers such as 0.01 beside its ticks."""
    one = ax.xaxis if axis == "x" else ax.yaxis
    if one.get_scale() != "log":
        (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
        one.set_major_formatter(FuncFormatter(_plain_number))
        one.set_minor_formatter(NullFormatter())


def percent_axis(ax: Axes, axis: str = "y") -> None:
    """Write shares as percent beside the ticks, as tables do."""
    one = ax.xaxis if axis == "x" else ax.yaxis
    if not isinstance(one.get_major_formatter(), PercentFormatter):
        one.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _plain_number(value: float, _: int) -> str:
    return f"{value:g}"


def nice(value: float) -> float:
    """Return the first round number that is not below *value*, for the end of an axis."""
    if not value > 0 or math.isinf(value):
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(round(step * unit, 12) for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * unit >= value)


def describe(fault: Fault) -> str:
    """Say in a few words what a fault does."""
    match fault:
        case Outage(mode="hang"):
            return "hangs"
        case Outage():
            return "outage"
        case Slowdown():
            return f"{fault.factor:g} x slower"
        case Errors():
            return f"{fault.rate:.0%} errors"
        case CapacityLoss():
            return f"{fault.workers} workers lost"
        case ReplicaFault():
            return f"replica {fault.replica}: {fault.mode}"
    return type(fault).__name__.lower()


def faults_of(result: Any) -> list[Fault]:
    """Return the faults of all services of a run, in order of start."""
    return sorted((fault for each in result.scenario.services for fault in each.faults), key=lambda fault: fault.start)


def mark_faults(ax: Axes, faults: Any, *, names: bool = False) -> None:
    """Shade the fault windows of a run on an axis of time.

    Args:
        ax: Axes with seconds on x.
        faults: A run, or the faults themselves.
        names: Write what each fault does at the top, below one another for one window.
    """
    faults = faults_of(faults) if isinstance(faults, Result) or hasattr(faults, "scenario") else faults
    words: dict[tuple[float, float], list[str]] = {}
    for fault in faults:
        end = fault.end if math.isfinite(fault.end) else ax.get_xlim()[1]
        span = Rectangle((fault.start, 0), end - fault.start, 1, color=FAULT_COLOUR, linewidth=0, zorder=0.4)
        span.set_transform(ax.get_xaxis_transform())
        ax.add_artist(span)
        if names:
            words.setdefault((fault.start, end), []).append(describe(fault))
    for (start, end), lines in words.items():
        ax.text(
            (start + end) / 2,
            0.98,
            "\n".join(lines),
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=_TEXT["legend.fontsize"],
            color=INK,
            clip_on=True,
            zorder=0.6,
        )


def lightness(colour: str) -> float:
    """Return how light a colour is, from 0 (black) to 100 (white): L* of CIELAB."""
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in mpl.colors.to_rgb(colour)
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return 116 * (luminance ** (1 / 3) if luminance > 0.008856 else 7.787 * luminance + 16 / 116) - 16
