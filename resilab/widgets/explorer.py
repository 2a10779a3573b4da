"""Explorer: move a slider, see what a policy does."""

from __future__ import annotations

import base64
import html
import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import ipywidgets
import traitlets

from ..lab.metrics import summary
from ..lab.result import Result
from ..lab.run import simulate
from ..plots import overview
from ..plots.stage import Stage
from ..validation import whole
from .code import as_code
from .controls import make_controls
from .pace import Pace

_CACHE_SIZE = 32
_MOST_NUMBERS = 9
_WORKING = '<span role="status">working ...</span>'


def explore(
    build: Callable[..., Any],
    plot: Callable[..., Any] | None = None,
    run: Callable[[Any, int], Any] | None = None,
    numbers: Callable[[Any], dict[str, str]] | None = None,
    seed: int = 1,
    *,
    size: tuple[float, float] = (10.0, 5.6),
    dpi: float = 80,
    **controls: Any,
) -> Explorer:
    """Return an explorer: controls for the parameters of a scenario, and what comes of them.

    Args:
        build: Makes the scenario: `build(**values)`, with a value for each control.
        plot: Draws the run: `plot(result, figure)` on a matplotlib Figure. If it takes a
            `baseline`, it is given the kept run or None; else the kept run is drawn first,
            in grey. None draws `plots.overview`.
        run: Plays the scenario: `run(scenario, seed)`. None is `simulate`.
        numbers: Returns the headline numbers: `numbers(result)` gives label and text.
            None takes the shares of the outcomes, latency and amplification.
        seed: Seed of every run, so that a difference is due to the settings.
        size: Inches of the picture, width and height.
        dpi: Dots per inch of the picture.
        **controls: For each parameter (low, high) or (low, high, step) or a `Slider`, a
            list of choices, a dict of names and values, True or False, or a widget of your
            own. Up to five choices are buttons, more are a menu with a slider. A control
            starts at the default of *build* if that fits.

    Example:
        >>> import resilab as rl
        >>> def build(workers=5):
        ...     return rl.Scenario(rl.Steady(rate=10), rl.Service(workers, latency=0.2), duration=2.0)
        >>> explorer = rl.explore(build, workers=(1, 8))
        >>> explorer.controls["workers"].value = 1
        >>> explorer.numbers["p50"]
        '1.15 s'
    """
    return Explorer(build, plot, run, numbers, seed, size, dpi, controls)


class Explorer(ipywidgets.VBox):
    """Controls, headline numbers and a picture. Made by `explore`.

    Setting a control from code works as moving it: the picture is new when the
    assignment is done.

    Attributes:
        controls: The widget of each parameter; read and set its `value`.
        scenario: The scenario that is shown.
        result: Its run.
        baseline: The run that is kept behind it, or None.
        numbers: The headline numbers: label and text.
        error: What is wrong with the present setting, in words, or None.
        image: The picture, an `ipywidgets.Image`; what it shows stands in its `tooltip`,
            for readers who do not see it.
        stage: The figure it is drawn on.
    """

    def __init__(
        self,
        build: Callable[..., Any],
        plot: Callable[..., Any] | None,
        run: Callable[[Any, int], Any] | None,
        numbers: Callable[[Any], dict[str, str]] | None,
        seed: int,
        size: tuple[float, float],
        dpi: float,
        controls: dict[str, Any],
    ) -> None:
        whole("seed", seed)
        self._build = build
        self._plot = plot or overview
        self._run = run or simulate
        self._numbers = numbers or headline
        self._seed = seed
        self._takes_baseline = "baseline" in inspect.signature(self._plot).parameters
        self._cache: OrderedDict[Any, Any] = OrderedDict()
        self._shown: Any = None
        self.stage = Stage(*size, dpi=dpi)
        self.scenario: Any = None
        self.result: Any = None
        self.baseline: Any = None
        self.numbers: dict[str, str] = {}
        self._kept_numbers: dict[str, str] = {}
        self.error: str | None = None
        self._is_held = False
        self._pace = Pace(self._refresh)
        self._make_widgets(size, dpi, controls)
        self._show(self.settings)
        for control in self._controls:
            control.input.observe(self._changed, "value")
            control.connect()

    def _make_widgets(self, size: tuple[float, float], dpi: float, controls: dict[str, Any]) -> None:
        self._controls = make_controls(controls, _defaults(self._build))
        self.controls = {control.name: control.input for control in self._controls}
        self.keep_button = _button("Keep as baseline", "Keep this run behind the next ones", self.keep)
        self.reset_button = _button("Reset", "Back to the first setting, without a baseline", self.reset)
        self.code_button = ipywidgets.ToggleButton(description="Show as code", tooltip="The setting as Python")
        self.code_button.observe(self._show_code, "value")
        width, height = round(size[0] * dpi), round(size[1] * dpi)
        self.image = NamedImage(
            format="png", layout=ipywidgets.Layout(width=f"{width}px", height=f"{height}px", flex="0 0 auto")
        )
        self.headline = ipywidgets.HTML()
        self.message = ipywidgets.HTML()
        self.code_box = ipywidgets.HTML()
        rows = ipywidgets.HBox([control.row for control in self._controls], layout={"flex_flow": "row wrap"})
        buttons = ipywidgets.HBox([self.keep_button, self.reset_button, self.code_button])
        super().__init__([rows, buttons, self.message, self.headline, self.image, self.code_box])
        for widget, part in ((self, "explorer"), (self.headline, "headline"), (self.message, "message")):
            widget.add_class(f"resilab-{part}")

    @property
    def settings(self) -> dict[str, Any]:
        """The value of each control."""
        return {name: _exact(control.value) for name, control in self.controls.items()}

    @property
    def code(self) -> str:
        """The shown setting as Python that runs."""
        run = None if self._run is simulate else _name(self._run, "run")
        return as_code(self.scenario, self._seed, _name(self._build, "build"), dict(self._shown or {}), run)

    def keep(self) -> None:
        """Keep the shown run behind the next ones."""
        with self._pace.lock:
            self.baseline, self._kept_numbers = self.result, self.numbers
            self._draw()
        self._ask()  # a control may have moved meanwhile

    def reset(self) -> None:
        """Set all controls back to where they started, and forget the kept run and the limits of the axes."""
        with self._pace.lock:
            self.baseline, self._kept_numbers = None, {}
            self.stage.restart()
            self._shown = None
            self._is_held = True
            try:
                for control in self._controls:
                    control.input.value = control.start
            finally:
                self._is_held = False
        self._ask()

    def _changed(self, _: Any) -> None:
        if not self._is_held:  # else several controls change, and are shown together
            self._ask()

    def _ask(self) -> None:
        """Show the settings now, or as soon as a slow run lets."""
        if self._pace.is_slow:
            self.message.value = _WORKING
        self._pace.ask()

    def _refresh(self) -> None:
        settings = self.settings
        if settings == self._shown:
            self._say(None)
            return
        try:
            self._show(settings)
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}")

    def _show(self, settings: dict[str, Any]) -> None:
        scenario = self._build(**settings)
        result = self._play(scenario, settings)
        before = self.result
        self.result = result
        try:
            self._draw(self._numbers(result))
        except BaseException:
            self.result = before
            raise
        self.scenario, self._shown = scenario, settings
        self._say(None)
        self._show_code(None)

    def _play(self, scenario: Any, settings: dict[str, Any]) -> Any:
        """Run the scenario, or take what came of an equal one."""
        key = scenario
        try:
            hash(key)
        except TypeError:
            key = repr(settings)
        if key not in self._cache:
            self._cache[key] = self._run(scenario, self._seed)
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _draw(self, numbers: dict[str, str] | None = None) -> None:
        picture = self.stage.render(self._paint)
        self.numbers = self.numbers if numbers is None else numbers
        with self.image.hold_sync():  # one message
            self.image.value = picture
            self.image.tooltip = _in_words(self.stage, self.numbers, self._kept_numbers)
        self.headline.value = _table(self.numbers, self._kept_numbers)

    def _paint(self, figure: Any) -> None:
        if self._takes_baseline:
            self._plot(self.result, figure, baseline=self.baseline)
        else:
            if self.baseline is not None:
                self._plot(self.baseline, figure)
                self.stage.fade()
            self._plot(self.result, figure)

    def _say(self, error: str | None) -> None:
        self.error = error
        text = "" if error is None else f'<b role="alert" style="color:#b3261e">{html.escape(error)}</b>'
        if error is not None:
            text += " The picture is that of the last setting that worked."
        if self.message.value != text:
            self.message.value = text

    def _show_code(self, _: Any) -> None:
        text = f"<pre>{html.escape(self.code)}</pre>" if self.code_button.value else ""
        if self.code_box.value != text:
            self.code_box.value = text

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        numbers = ", ".join(f"{name} {text}" for name, text in self.numbers.items())
        return f"Explorer({settings}): {numbers}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add the picture and the numbers, for readers that show no widgets."""
        data = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        data["image/png"] = base64.b64encode(self.image.value).decode()
        return data


class NamedImage(ipywidgets.Image):
    """An image with a text for readers who do not see it: its `tooltip`.

    An `Image` has no text of its own, and fails to show with a tooltip: the page shows one
    only where the description is empty, and an `Image` has no description. This one has an
    empty one. The page then makes the tooltip the title of the image, which screen readers
    read for want of another text.
    """

    description = traitlets.Unicode("").tag(sync=True)


def headline(result: Any) -> dict[str, str]:
    """Return the shares of the outcomes, latency and amplification as texts; of other runs the first numbers."""
    if type(result) is not Result:
        numbers = dict(result.summary()) if hasattr(result, "summary") else {}
        return {name.replace("_", " "): f"{value:.4g}" for name, value in list(numbers.items())[:_MOST_NUMBERS]}
    numbers = summary(result)
    texts = {"requests": f"{numbers['requests']:.0f}", "success": f"{numbers['success_rate']:.1%}"}
    texts |= {word: f"{numbers[f'{word}_rate']:.1%}" for word in ("degraded", "rejected", "timeout", "failure")}
    texts |= {name: f"{numbers[name]:.2f} s" for name in ("p50", "p99")}
    texts["calls per request"] = f"{numbers['amplification']:.2f}"
    return texts


def _name(function: Callable[..., Any], otherwise: str) -> str:
    name = getattr(function, "__name__", otherwise)
    return name if name.isidentifier() else otherwise


def _exact(value: Any) -> Any:
    """Return the number that was meant: sliders count their steps up, and come to 0.30000000000000004."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _defaults(build: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def _button(text: str, tooltip: str, action: Callable[[], None]) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tooltip, layout={"width": "150px"})
    button.on_click(lambda _: action())
    return button


def _in_words(figure: Any, numbers: dict[str, str], kept: dict[str, str]) -> str:
    """Say what the picture shows: its axes, and the numbers of the run and of the kept one."""
    panels = []
    for ax in figure.axes:
        titles = [ax.get_title(loc) for loc in ("left", "center", "right")]
        words = [each for each in (*titles, " over ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))) if each]
        panels += [": ".join(words)] if words else []
    lines = [f"Picture: {'; '.join(panels)}." if panels else "Picture."]
    for name, texts in (("now", numbers), ("baseline", kept)):
        if texts:
            lines.append(f"{name}: " + ", ".join(f"{label} {text}" for label, text in texts.items()))
    return "\n".join(lines)


def _table(numbers: dict[str, str], kept: dict[str, str]) -> str:
    cell = 'style="padding:1px 10px;text-align:right"'
    head = "".join(f'<th scope="col" {cell}>{html.escape(name)}</th>' for name in numbers)

    def row(title: str, texts: dict[str, str]) -> str:
        cells = "".join(f"<td {cell}>{html.escape(str(texts.get(name, '')))}</td>" for name in numbers)
        return f'<tr><th scope="row" {cell}>{title}</th>{cells}</tr>'

    rows = row("now", numbers) + (row("baseline", kept) if kept else "")
    return f'<table role="status" aria-label="headline numbers"><tr><td></td>{head}</tr>{rows}</table>'
