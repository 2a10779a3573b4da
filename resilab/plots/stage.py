"""Stage: a figure that is drawn again and again, fast."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from .dark import darken
from .style import KEPT_COLOUR, Picture

_GAP = 2.0  # pixels between the axes that one of them may not enter


class Stage(Picture):
    """A figure for a plot function that is called again for each new run.

    The function draws as on any figure. What it does not see: `subplots` gives back
    the axes of the time before, empty; and what stays the same, which is text, ticks
    and frames, is kept as a picture, over which only the data is drawn. Where the limits
    or texts of some axes change, only these are drawn anew, in their place, as long as
    they still fit there.

    Args:
        width: Inches.
        height: Inches.
        dpi: Dots per inch.
        is_dark: Whether pictures are for a dark page.

    Example:
        >>> stage = Stage(4, 3, dpi=50)
        >>> first = stage.render(lambda figure: figure.subplots().plot([0, 1], [0, 8]))
        >>> again = stage.render(lambda figure: figure.subplots().plot([0, 1], [0, 1]))
        >>> int(stage.axes[0].get_ylim()[1])
        1
    """

    def __init__(self, width: float = 10.0, height: float = 5.6, dpi: float = 80, is_dark: bool = False) -> None:
        super().__init__(figsize=(width, height), dpi=dpi)
        self.is_dark = is_dark
        self.restart()

    def restart(self) -> None:
        """Forget all that was drawn."""
        self.clear()
        self.set_layout_engine("constrained")
        self._slots: list[tuple[Any, Axes]] = []
        self._turn = 0
        self._is_known = False
        self._texts: list[str] = []
        self._frames: list[Any] = []
        self._rooms: list[Bbox] = []  # what the frame and the text around each axes take up
        self._background: Any = None
        self._notes: list[Any] = []
        self._notes_move = False

    def render(self, plot: Callable[[Figure], Any]) -> bytes:
        """Call `plot(stage)` and return the picture as PNG."""
        self._paint(plot)
        pixels = np.asarray(self.canvas.buffer_rgba())  # type: ignore[attr-defined]
        return encode(darken(pixels) if self.is_dark else pixels)

    def _paint(self, plot: Callable[[Figure], Any]) -> None:
        try:
            self._play(plot)
        except _OtherLayout:
            self.restart()
            self._play(plot)
        except BaseException:
            self.restart()  # half drawn: start from nothing next time
            raise
        texts = [text.get_text() for text in self.texts]
        frames = [_frame_of(ax) for ax in self.axes]
        notes = [_look_of(each) for ax in self.axes for each in _data_of(ax) if _is_behind(each)]
        have_moved = self._background is not None and notes != self._notes and not self._notes_move
        self._notes_move |= have_moved
        self._notes = notes
        if self._background is None or len(frames) != len(self._frames) or texts != self._texts or have_moved:
            self._draw_all()
        else:
            self.canvas.restore_region(self._background)  # type: ignore[attr-defined]
            changed = [number for number, frame in enumerate(frames) if frame != self._frames[number]]
            if changed and not self._draw_frames(changed):
                self._draw_all()
        self._texts, self._frames = texts, frames
        self._draw_data()

    def _play(self, plot: Callable[[Figure], Any]) -> None:
        if not self._is_known:  # the first time, or axes that were not made by add_subplot
            self.restart()
        self._turn = 0
        for _, ax in self._slots:
            _empty(ax)
        plot(self)
        if self._is_known and self._turn != len(self._slots):
            raise _OtherLayout
        for _, ax in self._slots:
            if isinstance(ax, StageAxes):
                ax.drop_old_legend()
        self._is_known = len(self.axes) == len(self._slots)

    def fade(self) -> None:
        """Make what is drawn so far a grey background, and give the same axes to what follows."""
        for _, ax in self._slots:
            for artist in _data_of(ax):
                _fade(artist)
        self._is_known = True
        self._turn = 0

    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        place = _place(args), kwargs
        if self._turn < len(self._slots) and self._slots[self._turn][0] == place:
            ax = self._slots[self._turn][1]
        elif self._is_known:
            raise _OtherLayout
        else:
            if "projection" not in kwargs and "polar" not in kwargs and "axes_class" not in kwargs:
                ax = super().add_subplot(*args, axes_class=StageAxes, **kwargs)
            else:
                ax = super().add_subplot(*args, **kwargs)
            self._slots.append((place, ax))
        self._turn += 1
        return ax

    def _draw_all(self) -> None:
        """Draw all that stays, and keep it."""
        for ax in self.axes:
            self._leave_out_data(ax)
        self.set_layout_engine("constrained" if self._is_known else "none")
        self.canvas.draw()
        self.set_layout_engine("none")
        for ax in self.axes:
            _animate_legend(ax)
        self._rooms = [_room_of(ax, self.canvas.get_renderer()) for ax in self.axes]  # type: ignore[attr-defined]
        self._background = self.canvas.copy_from_bbox(self.bbox)  # type: ignore[attr-defined]

    def _draw_frames(self, numbers: list[int]) -> bool:
        """Draw what stays of some axes where the layout has put them, if it fits there; return whether it does."""
        renderer = self.canvas.get_renderer()  # type: ignore[attr-defined]
        for number in numbers:
            self._leave_out_data(self.axes[number])
            self._rooms[number] = Bbox.union([self._rooms[number], _room_of(self.axes[number], renderer)])
        if not self._is_known or not self._have_room():
            return False
        for number in numbers:
            self._wipe(self._rooms[number], renderer)
            self.axes[number].draw(renderer)
            _animate_legend(self.axes[number])
        self._background = self.canvas.copy_from_bbox(self.bbox)  # type: ignore[attr-defined]
        return True

    def _leave_out_data(self, ax: Axes) -> None:
        """Let the next drawing of the axes pass over the data."""
        for artist in self._front_of(ax):
            artist.set_animated(True)
        legend = ax.get_legend()
        if legend is not None:  # one that lies over data is drawn with the data
            legend.set_animated(False)

    def _have_room(self) -> bool:
        """Whether nothing of any axes is outside the picture, over another or over text between them."""
        if self.texts or self.legends:
            return False
        (left, bottom), (right, top) = self.bbox.get_points()
        return all(
            left <= room.x0
            and bottom <= room.y0
            and room.x1 <= right
            and room.y1 <= top
            and not any(room.padded(_GAP).overlaps(other) for other in self._rooms[:number])
            for number, room in enumerate(self._rooms)
        )

    def _wipe(self, room: Bbox, renderer: Any) -> None:
        """Fill a part of the picture with its background."""
        (left, bottom), (right, top) = np.floor(room.min) - 1, np.ceil(room.max) + 1
        patch = Rectangle((left, bottom), right - left, top - bottom, linewidth=0, antialiased=False)
        patch.set_facecolor(self.get_facecolor())
        patch.set_figure(self)
        patch.draw(renderer)

    def _draw_data(self) -> None:
        renderer = self.canvas.get_renderer()  # type: ignore[attr-defined]
        for ax in self.axes:
            for artist in sorted(self._front_of(ax), key=lambda each: each.get_zorder()):
                artist.draw(renderer)
            legend = ax.get_legend()
            if legend is not None and legend.get_animated():
                legend.draw(renderer)

    def _front_of(self, ax: Axes) -> list[Artist]:
        """Return what is drawn anew each time: what is behind the data only once it has moved."""
        return [each for each in _data_of(ax) if self._notes_move or not _is_behind(each)]


class _OtherLayout(Exception):
    """The plot function made other axes than the time before."""


class StageAxes(Axes):
    """Axes that keep their legend while its entries stay the same."""

    _legend_key: Any = None
    _is_legend_wanted = False

    def legend(self, *args: Any, **kwargs: Any) -> Legend:
        self._is_legend_wanted = True
        if args:
            return super().legend(*args, **kwargs)
        handles, labels = self.get_legend_handles_labels()
        key = labels, [_look(handle) for handle in handles], kwargs
        legend = self.get_legend()
        if legend is None or key != self._legend_key:
            legend = super().legend(**kwargs)
            self._legend_key = key
        return legend

    def drop_old_legend(self) -> None:
        """Remove the legend if the last drawing did not ask for one."""
        legend = self.get_legend()
        if legend is not None and not self._is_legend_wanted:
            legend.remove()
        self._is_legend_wanted = False


def encode(pixels: np.ndarray) -> bytes:
    """Return pixels of shape (height, width, 4) as PNG, quickly rather than small.

    The fastest setting of zlib on rows as they are takes half the time of Pillow.
    """
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + channels * width), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _place(args: tuple[Any, ...]) -> Any:
    return [each.get_geometry() if isinstance(each, SubplotSpec) else each for each in args]


def _data_of(ax: Axes) -> list[Artist]:
    return [*ax.collections, *ax.patches, *ax.lines, *ax.images, *ax.texts, *ax.tables, *ax.artists]


def _animate_legend(ax: Axes) -> None:
    """Let a legend that lies over data be drawn after them."""
    legend = ax.get_legend()
    if legend is not None:
        legend.set_animated(legend.get_window_extent().overlaps(ax.bbox.padded(-2)))


def _room_of(ax: Axes, renderer: Any) -> Bbox:
    """Return what frame, ticks, titles and legend take up, in pixels."""
    legend = ax.get_legend()
    extra = [] if legend is None else [legend]
    return ax.get_tightbbox(renderer, bbox_extra_artists=extra) or ax.bbox


def _empty(ax: Axes) -> None:
    """Take away the data, and let the limits be automatic again; ticks, labels and legend stay."""
    for artist in _data_of(ax):
        artist.remove()
    ax.containers.clear()  # bars and error bars, of which legends read their entries
    ax.set_prop_cycle(None)
    ax.autoscale(True)
    ax.dataLim.ignore(True)
    ax.dataLim.set_points(Bbox.null().get_points())
    ax.ignore_existing_data_limits = True


def _is_behind(artist: Artist) -> bool:
    """Whether it is text or a span behind the data, such as a fault window and its name."""
    return artist.get_zorder() < 1 and isinstance(artist, (Text, Rectangle))


def _look_of(artist: Any) -> tuple[Any, ...]:
    if isinstance(artist, Rectangle):
        return artist.get_bbox().bounds, artist.get_facecolor()
    return artist.get_text(), artist.get_position(), artist.get_color(), artist.get_fontsize()


def _fade(artist: Artist) -> None:
    artist.set_label(f"_kept {artist.get_label()}")
    artist.set_zorder(artist.get_zorder() - 1)
    artist.set_alpha(0.4)
    for method in ("set_color", "set_facecolor"):
        if hasattr(artist, method):
            getattr(artist, method)(KEPT_COLOUR)
            break


def _look(handle: Any) -> str:
    for method in ("get_facecolor", "get_color"):
        if hasattr(handle, method):
            return str(getattr(handle, method)())
    return type(handle).__name__


def _frame_of(ax: Axes) -> tuple[Any, ...]:
    """Return all that decides how ticks, labels, frame and legend look."""
    legend = ax.get_legend()
    entries = None if legend is None else [text.get_text() for text in legend.get_texts()]
    titles = [ax.get_title(loc) for loc in ("left", "center", "right")]
    ticks = [
        (
            axis.get_scale(),
            axis.get_inverted(),
            *_fixed(axis.get_major_locator(), "locs"),
            *_fixed(axis.get_major_formatter(), "seq"),
        )
        for axis in (ax.xaxis, ax.yaxis)
    ]
    return ax.get_xlim(), ax.get_ylim(), ax.get_xlabel(), ax.get_ylabel(), titles, entries, id(legend), ticks


def _fixed(part: Any, name: str) -> list[Any]:
    return [type(part).__name__, *map(str, np.atleast_1d(getattr(part, name, ())))]
