"""What an explorer keeps of the settings that it has shown: their runs, and their pictures."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from ..plots.stage import Stage
from .headline import words_of
from .panels import panels_of

_KEPT = 64


class Recent:
    """Values by key; what was asked for longest ago is forgotten first."""

    def __init__(self) -> None:
        self._values: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the value of *key*, made now if it is not there."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > _KEPT:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


class Runs:
    """Plays scenarios, each once.

    Args:
        run: `run(scenario, seed)`.
        seed: Of every run.
    """

    def __init__(self, run: Callable[[Any, int], Any], seed: int) -> None:
        self._run, self._seed, self._recent = run, seed, Recent()

    def play(self, scenario: Any, settings: dict[str, Any]) -> tuple[Any, Any]:
        """Return what tells the scenario from others, and its run."""
        key = scenario
        try:
            hash(key)
        except TypeError:
            key = repr(settings)
        return key, self._recent.get(key, lambda: self._run(scenario, self._seed))


class Drawing(NamedTuple):
    """A picture, what it shows in words, and where its panels are."""

    png: bytes
    words: str
    panels: list[dict[str, float]]


class Painter:
    """Draws runs, each once in front of the same kept run and at the same resolution.

    Args:
        plot: `plot(result, figure)`; it may take a `baseline`.
        size: Inches, width and height.
        dpi: Dots per inch.

    Attributes:
        plot: What draws.
        stage: The figure.
    """

    def __init__(self, plot: Callable[..., Any], size: tuple[float, float], dpi: float) -> None:
        self.plot, self._size = plot, size
        self._takes_baseline = "baseline" in inspect.signature(plot).parameters
        self._recent = Recent()
        self.stage = Stage(*size, dpi=dpi)

    def fit(self, width: float, ratio: float) -> bool:
        """Take as many dots as the page shows on this width; return whether that is another number now."""
        dpi = 10 * round(min(max(width * ratio / self._size[0], 60.0), 220.0) / 10)
        if width <= 0 or abs(dpi - self.stage.dpi) < 10:
            return False
        self.stage = Stage(*self._size, dpi=dpi)
        return True

    def draw(self, key: Any, result: Any, baseline: Any, numbers: dict[str, str], kept: dict[str, str]) -> Drawing:
        """Return the drawing of a run; *key* tells it and the kept run from others."""

        def make() -> Drawing:
            png = self.stage.render(lambda figure: self._paint(figure, result, baseline))
            return Drawing(png, words_of(self.stage, numbers, kept), panels_of(self.stage))

        drawing: Drawing = self._recent.get((key, self.stage.dpi), make)
        return drawing

    def _paint(self, figure: Any, result: Any, baseline: Any) -> None:
        if self._takes_baseline:
            self.plot(result, figure, baseline=baseline)
        else:
            if baseline is not None:
                self.plot(baseline, figure)
                self.stage.fade()
            self.plot(result, figure)
