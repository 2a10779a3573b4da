"""Where an explorer plays and draws settings, each once: here, or before they are asked for in a worker."""

from __future__ import annotations

import functools
import inspect
import threading
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl

from ..plots.stage import Stage
from .headline import words_of
from .panels import panels_of, story_of

_KEPT = 64
_READABLE = 80.0  # pixels of the page for an inch
_LEAST_SCALE = 0.8

Texts = dict[str, str]


class Drawing(NamedTuple):
    """A picture, what it shows in words, and where its panels are."""

    png: bytes
    words: str
    panels: list[dict[str, float]]


class Shown(NamedTuple):
    """All that an explorer shows of a run: headline numbers, picture, what happened when, and hints."""

    numbers: Texts
    drawing: Drawing
    story: dict[str, Any]
    hints: tuple[str, ...]


class Kept(NamedTuple):
    """What is shown behind a run: what tells it from others, its scenario and its headline numbers."""

    key: Any
    scenario: Any
    numbers: Texts


class Recent:
    """Values by key; what was asked for longest ago is forgotten first. Threads may share it."""

    def __init__(self) -> None:
        self._values: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Any) -> bool:
        return key in self._values

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the value of *key*, made now if it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            if len(self._values) > _KEPT:
                self._values.popitem(last=False)
        return value


class Look(NamedTuple):
    """Of pictures.

    Attributes:
        dpi: Dots per inch.
        is_dark: Whether they are for a dark page.
        scale: Of their size in inches: where there is little room, they are smaller, and their text is not.
    """

    dpi: float
    is_dark: bool = False
    scale: float = 1.0


class Painter:
    """Draws runs on one figure, with a kept run behind them.

    Args:
        plot: `plot(result, figure)`; it may take a `baseline`.
        size: Inches, width and height.
        look: Of the picture.

    Attributes:
        stage: The figure.
    """

    def __init__(self, plot: Callable[..., Any], size: tuple[float, float], look: Look) -> None:
        self.plot, self.look = plot, look
        self._takes_baseline = "baseline" in inspect.signature(plot).parameters
        self.stage = Stage(look.scale * size[0], look.scale * size[1], look.dpi, look.is_dark)

    def draw(self, result: Any, numbers: Texts, baseline: Any = None, kept: Texts | None = None) -> Drawing:
        """Return the drawing of a run, in front of the kept one."""
        png = self.stage.render(lambda figure: self._paint(figure, result, baseline))
        return Drawing(png, words_of(self.stage, numbers, kept or {}), panels_of(self.stage))

    def _paint(self, figure: Any, result: Any, baseline: Any) -> None:
        if self._takes_baseline:
            self.plot(result, figure, baseline=baseline)
        else:
            if baseline is not None:
                self.plot(baseline, figure)
                self.stage.fade()
            self.plot(result, figure)


class Studio:
    """Plays and draws the settings of one explorer.

    Args:
        run: `run(scenario, seed)`.
        numbers: Returns the headline numbers of a run.
        plot: Draws a run.
        seed: Of every run.
        size: Inches of the picture.
        dpi: Dots per inch.
    """

    def __init__(
        self,
        run: Callable[[Any, int], Any],
        numbers: Callable[[Any], Texts],
        plot: Callable[..., Any],
        seed: int,
        size: tuple[float, float],
        dpi: float,
    ) -> None:
        self._run, self._numbers, self._seed, self._size = run, numbers, seed, size
        self._runs, self._shown = Recent(), Recent()
        self.painter = Painter(plot, size, Look(dpi))
        self._name = uuid.uuid4().hex  # tells its benches in the worker from those of all others, also of later ones
        self._first: Any = None  # the scenario that was drawn first, which has set the layout

    def fit(self, width: float, ratio: float, is_dark: bool) -> bool:
        """Take the look that suits a page that shows the picture on this width; return whether that is another one."""
        now = self.painter.look
        look = now._replace(is_dark=is_dark)
        if width > 0:
            scale = round(min(max(width / self._size[0] / _READABLE, _LEAST_SCALE), 1.0), 1)
            dpi = 10.0 * round(min(max(width * ratio / self._size[0] / scale, 60.0), 220.0) / 10)
            if scale != now.scale or abs(dpi - now.dpi) >= 10:
                look = Look(dpi, is_dark, scale)
        if look == now:
            return False
        self.painter = Painter(self.painter.plot, self._size, look)
        return True

    def play(self, key: Any, scenario: Any) -> Any:
        """Return the run of a scenario; *key* tells it from others."""
        return self._runs.get(key, lambda: self._run(scenario, self._seed))

    def show(self, key: Any, scenario: Any, kept: Kept | None) -> Shown:
        """Return what is shown of a scenario in front of the kept run."""

        if self._first is None:
            self._first = scenario

        def make() -> Shown:
            baseline = None if kept is None else self.play(kept.key, kept.scenario)
            return _show(lambda: self.play(key, scenario), self._numbers, self.painter, baseline, kept)

        shown: Shown = self._shown.get(self._place(key, kept), make)
        return shown

    def foresee(self, key: Any, scenario: Any, kept: Kept | None) -> tuple[Any, ...] | None:
        """Return a task for a worker that makes what `show` would: function, arguments, and who takes it.

        None is nothing to do.
        """
        place = self._place(key, kept)
        if place in self._shown:
            return None
        changed: Any = {name: value for name, value in mpl.rcParams.items() if value != mpl.rcParamsDefault[name]}
        changed.pop("backend", None)
        bench = self._name, self.painter.look
        arguments = (
            self._run,
            self._numbers,
            self.painter.plot,
            self._seed,
            self._size,
            self._first,
            scenario,
            kept,
            changed,
        )
        return _show_in_worker, (bench, *arguments), lambda shown: self._shown.get(place, lambda: shown)

    def _place(self, key: Any, kept: Kept | None) -> Any:
        return key, None if kept is None else kept.key, self.painter.look


def key_of(scenario: Any, settings: dict[str, Any]) -> Any:
    """Return what tells a scenario from others: itself, if it can be a key, else its settings."""
    try:
        hash(scenario)
    except TypeError:
        return repr(settings)
    return scenario


def _show(
    play: Callable[[], Any],
    look: Callable[[Any], Texts],
    painter: Painter,
    baseline: Any,
    kept: Kept | None,
) -> Shown:
    with warnings.catch_warnings(record=True) as hints:
        warnings.simplefilter("default")
        result = play()
        numbers = look(result)
    drawing = painter.draw(result, numbers, baseline, None if kept is None else kept.numbers)
    return Shown(numbers, drawing, story_of(result), tuple(dict.fromkeys(str(each.message) for each in hints)))


class _Bench:
    """What a worker keeps of an explorer from one setting to the next."""

    def __init__(self) -> None:
        self.painter: Painter | None = None
        self.kept: tuple[Any, Any] = None, None  # the kept scenario and its run


@functools.lru_cache(maxsize=2)
def _bench_of(owner: Any) -> _Bench:
    return _Bench()


def _show_in_worker(
    owner: tuple[str, Look],
    run: Callable[[Any, int], Any],
    look: Callable[[Any], Texts],
    plot: Callable[..., Any],
    seed: int,
    size: tuple[float, float],
    first: Any,
    scenario: Any,
    kept: Kept | None,
    changed: Any,
) -> Shown:
    """Show a scenario as the explorer would; this travels to a worker."""
    bench = _bench_of(owner)
    with mpl.rc_context(changed):
        if bench.painter is None:
            bench.painter = Painter(plot, size, owner[1])
            bench.painter.draw(run(first, seed), {})  # panels lie where they do in the explorer
        if kept is not None and bench.kept[0] != kept.scenario:
            bench.kept = kept.scenario, run(kept.scenario, seed)
        bench.painter.plot = plot
        baseline = None if kept is None else bench.kept[1]
        return _show(lambda: run(scenario, seed), look, bench.painter, baseline, kept)
