"""Explorer: move a slider, see what a policy does."""

from __future__ import annotations

import base64
import html
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets

from ..experiments.recommendation import Recommendation
from ..experiments.slo import SLO
from ..lab.run import simulate
from ..plots import overview
from ..plots.stage import Stage
from ..validation import whole
from . import page
from .code import KINDS_OF_TEXT, as_code, as_file, as_settings
from .controls import make_controls
from .evidence import SEEDS, Task, Witnesses, intervals, spread, widths_of_differences
from .following import Following
from .front import make_front
from .headline import headline
from .idle import Idle
from .pace import Pace, loop_of_page_message
from .parts import NamedImage, TakeHome, button, place
from .presets import Preset, make_presets
from .search import Search
from .studio import Drawing, Kept, Look, Painter, Shown, Studio, key_of
from .verdict import changes, table, verdict_line

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
    presets: dict[str, Any] | None = None,
    start: dict[str, Any] | None = None,
    slo: SLO | None = None,
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
        presets: Settings by name, shown as buttons above the controls: `{"retry storm":
            {"retries": 4}}`, or with a sentence that is shown with the picture: `{"retry
            storm": ({"retries": 4}, "Five times the load: the service stays down.")}`.
            Controls that a preset does not name go back to where they started.
        start: Settings to start with, as `explorer.start_line` writes them.
        slo: What must hold: gives a button that finds the best setting of a control, or of two,
            while all others stay, and shows along their sliders where the objective holds.
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
        >>> explorer.numbers["p50 of successes"]
        '1.15 s'
    """
    return Explorer(build, plot, run, numbers, seed, size, dpi, controls, presets, start, slo)


class Explorer(ipywidgets.VBox):
    """Controls, headline numbers and a picture. Made by `explore`.

    Setting a control from code works as moving it: the picture is new when the
    assignment is done.

    Attributes:
        controls: The widget of each parameter; read and set its `value`.
        scenario: The scenario that is shown.
        numbers: The headline numbers: label and text.
        presets: The button of each preset; `click()` shows it.
        error: What is wrong with the present setting, in words, or None.
        image: The picture, an `ipywidgets.Image`; what it shows stands in its `tooltip`,
            for readers who do not see it.
        following: Shows where the time of one request went: `following.follow(request_id)`.
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
        presets: dict[str, Any] | None = None,
        start: dict[str, Any] | None = None,
        slo: SLO | None = None,
    ) -> None:
        whole("seed", seed)
        self._build = build
        self._run = run or simulate
        self._numbers = numbers or headline
        self._seed = seed
        self._studio = Studio(self._run, self._numbers, plot or overview, seed, size, dpi)
        self._shown: Any = None
        self._key: Any = None  # what tells the shown run from others
        self._size = size
        self.scenario: Any = None
        self._kept: Kept | None = None
        self._baselines = 0  # how many there were
        self._start_numbers: dict[str, str] = {}
        self.numbers: dict[str, str] = {}
        self._preset: Preset | None = None
        self.error: str | None = None
        self._is_held = False
        self._pace = Pace(self._refresh)
        self._next = Idle(self._neighbours, after=0.02)
        self._idle = Idle(self._open_questions)
        self._moved: tuple[Any, Any] = None, None  # the control that moved last, and what it was before
        self._witnesses = Witnesses(self._run, self._numbers, seed)
        self._start_key: Any = None
        self._make_widgets(controls, slo)
        self._presets = make_presets(presets or {}, self._controls)
        self.presets = {
            each.name: button(each.name, each.says, partial(self.show_preset, each.name), chip=True)
            for each in self._presets.values()
        }
        self._chips.children = tuple(self.presets.values())
        for name, value in (start or {}).items():
            self._control(name).input.value = self._control(name).check(value)
        self._show(self.settings)
        self._start_numbers, self._start_key = self.numbers, self._key
        self._say_numbers()
        if slo is not None:
            self.search.offer()
        for control in self._controls:
            control.start = control.input.value
            control.input.observe(self._changed, "value")
            control.connect(self._hint)

    def _make_widgets(self, controls: dict[str, Any], slo: SLO | None) -> None:
        self._controls = make_controls(controls, _defaults(self._build))
        self.controls = {control.name: control.input for control in self._controls}
        self.keep_button = button("Keep as baseline", "Keep this run behind the next ones", self.keep)
        self.reset_button = button("Reset", "Back to the first setting, without a baseline", self.reset)
        self.take_home = TakeHome(self.written, KINDS_OF_TEXT)
        self.search = Search(self._build, self._controls, slo, lambda: self.settings, self._go)
        self.following = Following(lambda: self.result)
        self.image = NamedImage(format="png")
        self.verdict, self.headline, self.message = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self._chips = ipywidgets.HBox()
        self._front = make_front(self._controls, (self.image, self.verdict, self.headline))
        self._front.observe(self._fit, "view")
        self._front.observe(self._follow, "chosen")
        super().__init__()
        side = {"presets": self._chips, "rows": ipywidgets.VBox([control.row for control in self._controls])}
        side["buttons"] = ipywidgets.HBox([self.keep_button, self.reset_button, self.take_home.button])
        if slo is not None:
            side["search"] = self.search
        picture = {"verdict": self.verdict, "headline": self.headline, "message": self.message, "image": self.image}
        picture["following"] = self.following
        place(self, self._size, side, picture, [self.take_home, self._front])

    @property
    def stage(self) -> Stage:
        """The figure that the picture is drawn on."""
        return self._studio.painter.stage

    @property
    def result(self) -> Any:
        """The run that is shown."""
        return self._studio.play(self._key, self.scenario)

    @property
    def baseline(self) -> Any:
        """The run that is kept behind it, or None."""
        return None if self._kept is None else self._studio.play(self._kept.key, self._kept.scenario)

    @property
    def settings(self) -> dict[str, Any]:
        """The value of each control."""
        return {control.name: control.value for control in self._controls}

    @property
    def start_line(self) -> str:
        """The present settings as an argument of `explore`: `start={...}`."""
        return f"start={as_settings(self.settings)}"

    def find(self, *names: str, slo: SLO | None = None, **options: Any) -> Recommendation:
        """Find the best setting of some controls while all others stay, and show along their sliders where it holds.

        Args:
            *names: Controls that change the policy and nothing else, one or more.
            slo: What must hold. None is that of the explorer.
            **options: As of `recommend`: minimize, stress, confidence, budget (600 runs), seed, n_jobs ...

        Returns:
            The recommendation, which is also `explorer.recommendation`.

        Raises:
            ValueError: No objective, no control, or one that changes more than the policy.
        """
        found = self.search.look_for(names, self.settings, slo, **options)
        self.search.show(found)
        return found

    @property
    def recommendation(self) -> Recommendation | None:
        """What `find` has found last, or None."""
        return self.search.found

    def jump(self) -> None:
        """Set the controls to what `find` has found."""
        self.search.jump()

    def save_html(
        self,
        path: str | Path,
        title: str = "",
        *,
        states: int = 200,
        values: dict[str, Sequence[Any]] | None = None,
        progress: bool = True,
    ) -> Path:
        """Write the explorer as one file that needs no server, no network and no Python.

        Every setting of a grid is played before: the page has the same controls, presets,
        verdict and time cursor, and its address holds the setting. The verdict is against
        the setting that the page starts with, which is the present one.

        Args:
            path: The file, such as "page.html".
            title: What stands above it; "" is the first line of the build function's documentation.
            states: Settings at most; about 20 kB each. Sliders get as many values as fit.
            values: Values by control, instead of those that are spread evenly.
            progress: Whether to show a bar.

        Returns:
            The path.

        Raises:
            ValueError: A value is impossible, or the menus alone have more settings.
        """
        choices = page.choose(self._controls, values or {}, whole("states", states, minimum=1))
        painter = Painter(self._studio.painter.plot, self._size, Look(page.DPI))

        def play(settings: dict[str, Any]) -> tuple[Any, dict[str, str], Drawing]:
            scenario = self._build(**settings)
            result = self._studio.play(key_of(scenario, settings), scenario)
            numbers = self._numbers(result)
            return result, numbers, painter.draw(result, numbers)

        made = page.states_of(choices, play, progress=progress)
        title = title or (inspect.getdoc(self._build) or "An explorer of resilience").splitlines()[0]
        footer = f"Each setting is one run with seed {self._seed}, simulated with resilab."
        return page.write_page(path, title, footer, self._size, choices, self._presets.values(), made)

    def _control(self, name: str) -> Any:
        for control in self._controls:
            if control.name == name:
                return control
        raise ValueError(f"settings must be of controls, {', '.join(self.controls)}, got {name!r}")

    @property
    def code(self) -> str:
        """The shown setting as Python that runs."""
        run = None if self._run is simulate else _name(self._run, "run")
        return as_code(self.scenario, self._seed, _name(self._build, "build"), dict(self._shown or {}), run)

    def written(self, kind: str = "python") -> str:
        """Return the shown setting as text to take home.

        Args:
            kind: "python" is the scenario and its run; "start" is the argument of `explore`;
                else a kind of file of `configs.write`, such as "resilience4j" or "envoy", with
                what that library cannot say below it.
        """
        if kind == "python":
            return self.code
        if kind == "start":
            return self.start_line
        return as_file(self.scenario, kind)

    def keep(self) -> None:
        """Keep the shown run behind the next ones."""
        with self._pace.lock:
            self._kept = Kept(self._key, self.scenario, self.numbers)
            self._baselines += 1
            self._draw(self._key, self.scenario)
        self._ask()  # a control may have moved meanwhile

    def reset(self) -> None:
        """Set all controls back to where they started, and forget the kept run."""
        with self._pace.lock:
            self._kept = None
            self._preset = None
            self._put({control.name: control.start for control in self._controls})
            self._shown = None
        self._ask()

    def show_preset(self, name: str) -> None:
        """Set the controls as the preset of this name says; those that it does not name go to their start."""
        if name not in self._presets:
            raise ValueError(f"name must be one of {list(self._presets)!r}, got {name!r}")
        preset = self._presets[name]
        with self._pace.lock:
            self._put({control.name: preset.settings.get(control.name, control.start) for control in self._controls})
            self._preset = preset
            self._shown = None
        self._ask()

    def _go(self, settings: dict[str, Any]) -> None:
        with self._pace.lock:
            self._put(settings)
            self._preset = None
        self._ask()

    def _put(self, settings: dict[str, Any]) -> None:
        """Set several controls, which are then shown together."""
        self._is_held = True
        try:
            for control in self._controls:
                control.input.value = settings[control.name]
        finally:
            self._is_held = False

    def _changed(self, change: Any) -> None:
        self._moved = change["owner"], change["old"]
        if not self._is_held:  # else several controls change, and are shown together
            self._preset = None
            self._ask()

    def _hint(self, text: str) -> None:
        """Say what is no error, beside what is shown."""
        self.message.value = f'<span role="status">{html.escape(text)}</span>'

    def _fit(self, change: Any) -> None:
        """Draw as many dots as the page shows."""
        view = change["new"]
        with self._pace.lock:
            is_dark = bool(view.get("dark", False))
            if self._studio.fit(float(view.get("width", 0)), float(view.get("ratio", 1)), is_dark):
                self._draw(self._key, self.scenario)

    def _follow(self, change: Any) -> None:
        """Follow the request that was clicked."""
        with self._pace.lock:
            self.following.at(change["new"]["time"])

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
        asked = [control.asked for control in self._controls]
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("default")
            scenario = self._build(**settings)
        key = key_of(scenario, settings)
        hints = [*(str(each.message) for each in warned), *self._draw(key, scenario, asked)]
        self._shown = settings
        self._witnesses.add(key, scenario, self.numbers)
        self._say(None)
        if hints:
            self._hint("; ".join(dict.fromkeys(hints)))
        self.take_home.refresh()
        loop = loop_of_page_message()
        if loop is not None:
            self._next.restart(loop)
            self._idle.restart(loop)

    def _neighbours(self) -> Iterator[Task]:
        """Return what shows the settings that are one move away: those of the control that moved last come first."""
        present = self.settings
        moved, before = self._moved
        for control in sorted(self._controls, key=lambda each: each.input is not moved):
            near = control.neighbours()
            if control.input is moved:
                near.sort(key=lambda value: value == before)  # on in the same direction, then back
            for value in near:
                settings = present | {control.name: value}
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        scenario = self._build(**settings)
                    except Exception:
                        continue  # told when it is asked for
                task = self._studio.foresee(key_of(scenario, settings), scenario, self._kept)
                if task is not None:
                    function, arguments, keep = task
                    asked = [each.asked_for(settings[each.name]) for each in self._controls]
                    place = key_of(scenario, settings), self._front.era, asked
                    yield function, arguments, partial(self._take_foreseen, place, keep)

    def _take_foreseen(self, place: tuple[Any, str, list[Any]], keep: Callable[[Shown], None], shown: Shown) -> None:
        """Keep what the worker has made of a setting, and give it to the page."""
        key, era, asked = place
        keep(shown)
        headline, verdict = self._words(key, shown.numbers)
        drawing = shown.drawing
        page = {"verdict": verdict, "headline": headline, "words": drawing.words}
        self._front.give(era, asked, page | {"panels": drawing.panels, "story": shown.story}, drawing.png)

    def gather(self, seeds: int = SEEDS) -> dict[str, str]:
        """Play the shown setting, and what it is held against, under more seeds; show the intervals.

        In a page this happens by itself while nobody moves a control, in a process of its own.

        Args:
            seeds: How many seeds, with the one of the explorer as the first.

        Returns:
            Mean and half the width of its 95 % interval, by label.
        """
        for function, arguments, take in self._open_questions(whole("seeds", seeds, minimum=2)):
            take(function(*arguments))
        return intervals(self._witnesses.of(self._key))

    def _open_questions(self, seeds: int = SEEDS) -> Iterator[Task]:
        return self._witnesses.open_questions((self._key, self._against[0]), seeds, self._say_numbers)

    @property
    def _against(self) -> tuple[Any, dict[str, str], str]:
        """What the shown run is held against: its key, its numbers and its name."""
        if self._kept is not None:
            return self._kept.key, self._kept.numbers, "baseline"
        return self._start_key, self._start_numbers, "start"

    def _draw(self, key: Any, scenario: Any, asked: list[Any] | None = None) -> tuple[str, ...]:
        """Show a scenario, of which the controls hold *asked*; return the hints that came of playing it."""
        shown = self._studio.show(key, scenario, self._kept)
        self._key, self.scenario, self.numbers = key, scenario, shown.numbers
        with self.image.hold_sync():  # one message
            self.image.value = shown.drawing.png
            self.image.tooltip = shown.drawing.words
        self._say_numbers()
        with self._front.hold_sync():
            self._front.panels = shown.drawing.panels
            self._front.story = shown.story
            look = self._studio.painter.look
            self._front.era = f"{self._baselines if self._kept else 0} {look}"
            self._front.is_dark = look.is_dark
            self._front.shown = self._front.shown if asked is None else asked
        self.following.refresh()
        return shown.hints

    def _words(self, key: Any, numbers: dict[str, str]) -> tuple[str, str]:
        """Return headline and verdict of a run with these numbers."""
        seen = self._witnesses.of(key)
        rows = table(numbers, {} if self._kept is None else self._kept.numbers, intervals(seen))
        other, numbers_of_other, name = self._against
        widths = widths_of_differences(seen, self._witnesses.of(other))
        return rows + (spread(seen) if len(seen) > 1 else ""), verdict_line(
            changes(numbers, numbers_of_other, widths), name
        )

    def _say_numbers(self) -> None:
        self.headline.value, line = self._words(self._key, self.numbers)
        if self._preset is not None and self._preset.says:
            line = f"<i>{html.escape(self._preset.says)}</i><br>{line}"
        if self.verdict.value != line:
            self.verdict.value = line

    def _say(self, error: str | None) -> None:
        self.error = error
        text = "" if error is None else f'<b role="alert" style="color:#b3261e">{html.escape(error)}</b>'
        if error is not None:
            text += " The picture is that of the last setting that worked."
        if self.message.value != text:
            self.message.value = text

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        numbers = ", ".join(f"{name} {text}" for name, text in self.numbers.items())
        return f"Explorer({settings}): {numbers}"

    def _ipython_display_(self) -> None:
        """Show a still picture and the explorer; where that is alive, the page hides the still picture.

        A notebook that was saved and is opened without a kernel, or read where there are no widgets,
        has the picture.
        """
        from IPython.display import publish_display_data

        data = self._repr_mimebundle_()
        still = {"image/png": data.pop("image/png"), "text/plain": "Picture of the explorer"}
        publish_display_data(still)  # type: ignore[no-untyped-call]
        publish_display_data(data)  # type: ignore[no-untyped-call]

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add the picture and the numbers, for readers that show no widgets."""
        data = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        data["image/png"] = base64.b64encode(self.image.value).decode()
        return data


def _name(function: Callable[..., Any], otherwise: str) -> str:
    name = getattr(function, "__name__", otherwise)
    return name if name.isidentifier() else otherwise


def _defaults(build: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}
