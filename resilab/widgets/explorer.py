"""Explorer: move a slider, see what a policy does."""

from __future__ import annotations

import base64
import html
import inspect
import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from tqdm.auto import tqdm

from ..experiments.recommendation import Recommendation
from ..experiments.slo import SLO
from ..lab.metrics import summary
from ..lab.records import SUCCESS
from ..lab.result import Result
from ..lab.run import simulate
from ..plots import overview
from ..plots.stage import Stage
from ..validation import instance, whole
from . import page, style
from .code import as_code, as_settings
from .controls import make_controls
from .evidence import intervals, spread, widths_of_differences, witness
from .finding import find, of_the_policy, strip
from .front import make_front
from .idle import Idle
from .pace import Pace, loop_of_page_message
from .panels import panels_of, story_of
from .presets import Preset, make_presets
from .verdict import changes, table, verdict_line

_CACHE_SIZE = 64
_MOST_NUMBERS = 9
SEEDS = 12
"""Seeds that are played while nobody moves a control."""
_SEARCHING = '<span role="status">searching ...</span>'
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
        result: Its run.
        baseline: The run that is kept behind it, or None.
        numbers: The headline numbers: label and text.
        presets: The button of each preset; `click()` shows it.
        recommendation: What `find` has found last, or None.
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
        presets: dict[str, Any] | None = None,
        start: dict[str, Any] | None = None,
        slo: SLO | None = None,
    ) -> None:
        whole("seed", seed)
        self._build = build
        self._plot = plot or overview
        self._run = run or simulate
        self._numbers = numbers or headline
        self._seed = seed
        self._takes_baseline = "baseline" in inspect.signature(self._plot).parameters
        self._cache: OrderedDict[Any, Any] = OrderedDict()
        self._pictures: OrderedDict[Any, tuple[bytes, str, list[Any]]] = OrderedDict()
        self._shown: Any = None
        self._key: Any = None  # what tells the shown run from others
        self._size = size
        self.stage = Stage(*size, dpi=dpi)
        self.scenario: Any = None
        self.result: Any = None
        self.baseline: Any = None
        self._start_numbers: dict[str, str] = {}
        self.numbers: dict[str, str] = {}
        self._kept_numbers: dict[str, str] = {}
        self._kept_key: Any = None
        self._preset: Preset | None = None
        self.error: str | None = None
        self._is_held = False
        self._pace = Pace(self._refresh)
        self._idle = Idle(self._open_questions)
        self._scenarios: dict[Any, Any] = {}  # of the shown run and of what it is held against, by key
        self._seen: dict[Any, dict[int, dict[str, str]]] = {}  # numbers by key and seed
        self._start_key: Any = None
        self._slo = None if slo is None else instance("slo", slo, SLO)
        self.recommendation: Recommendation | None = None
        self._make_widgets(controls)
        self._presets = make_presets(presets or {}, self._controls)
        self.presets = {
            each.name: _button(each.name, each.says, partial(self.show_preset, each.name), chip=True)
            for each in self._presets.values()
        }
        self._chips.children = tuple(self.presets.values())
        for name, value in (start or {}).items():
            self._control(name).input.value = self._control(name).check(value)
        self._show(self.settings)
        self._start_numbers, self._start_key = self.numbers, self._key
        self._say_verdict()
        if self._slo is not None:
            self._offer_search()
        for control in self._controls:
            control.start = control.input.value
            control.input.observe(self._changed, "value")
            control.connect(self._hint)

    def _make_widgets(self, controls: dict[str, Any]) -> None:
        self._controls = make_controls(controls, _defaults(self._build))
        self.controls = {control.name: control.input for control in self._controls}
        self.keep_button = _button("Keep as baseline", "Keep this run behind the next ones", self.keep)
        self.reset_button = _button("Reset", "Back to the first setting, without a baseline", self.reset)
        self.code_button = ipywidgets.ToggleButton(description="Show as code", tooltip="The setting as Python")
        self.code_button.observe(self._show_code, "value")
        self.image = NamedImage(format="png")
        self.verdict = ipywidgets.HTML()
        self.headline = ipywidgets.HTML()
        self.message = ipywidgets.HTML()
        self.code_box = ipywidgets.HTML()
        self._chips = ipywidgets.HBox()
        buttons = ipywidgets.HBox([self.keep_button, self.reset_button, self.code_button])
        self.find_button = _button("Find best", "Search the setting that meets the objective", self._find_chosen)
        self.jump_button = _button("Jump there", "Set the controls to what was found", self.jump)
        self.jump_button.disabled = True
        self._find_menu = ipywidgets.Dropdown(description="find best")
        self._find_words = ipywidgets.HTML()
        search = ipywidgets.HBox([self.find_button, self.jump_button])
        self._search = ipywidgets.VBox([self._find_menu, search, self._find_words])
        rows = [control.row for control in self._controls]
        side = ipywidgets.VBox([self._chips, *rows, buttons, *([] if self._slo is None else [self._search])])
        picture = ipywidgets.VBox([self.verdict, self.headline, self.message, self.image])
        body = ipywidgets.HBox([side, picture])
        self._front = make_front(self._controls)
        front = [] if self._front is None else [self._front]
        if self._front is not None:
            self._front.observe(self._fit, "view")
        super().__init__([body, self.code_box, ipywidgets.HTML(style.sheet(*self._size)), *front])
        for widget, part in (
            (self, "explorer"),
            (body, "body"),
            (side, "controls"),
            (picture, "picture"),
            (self._chips, "presets"),
            (buttons, "buttons"),
            (search, "buttons"),
            (self._search, "search"),
            (self.verdict, "verdict"),
            (self.headline, "headline"),
            (self.message, "message"),
            (self.code_box, "code"),
        ):
            widget.add_class(f"resilab-{part}")

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
        found = self._look_for(names, self.settings, slo or self._slo, options)
        self._show_found(names, found)
        return found

    def _look_for(self, names: Sequence[str], settings: dict[str, Any], slo: Any, options: Any) -> Recommendation:
        if slo is None:
            raise ValueError("slo must be given, to find or to explore: what is best depends on it; got None")
        chosen = [self._control(name) for name in names]
        possible = of_the_policy(self._build, self._controls, settings)
        for control in chosen:
            if control not in possible:
                words = ", ".join(each.name for each in possible) or "none"
                raise ValueError(f"names must be of controls of the policy alone, {words}, got {control.name!r}")
        if not chosen:
            raise ValueError("names must be one control at least, got none")
        return find(self._build, chosen, settings, instance("slo", slo, SLO), **options)

    def _show_found(self, names: Sequence[str], found: Recommendation) -> None:
        self.recommendation = found
        self.jump_button.disabled = found.choice is None
        self._find_words.value = html.escape(found.verdict)
        reach = found.margins.set_index("what") if found.choice else None
        for control in self._controls:
            if reach is not None and control.name in reach.index and hasattr(control, "_slider"):
                row = reach.loc[control.name]
                control.strip.value = strip(control, row.holds_from, row.holds_to, row.now, control.value)
                control.strip.layout.display = ""
            elif hasattr(control, "strip"):
                control.strip.layout.display = "none"

    def jump(self) -> None:
        """Set the controls to what `find` has found."""
        if self.recommendation is None or self.recommendation.choice is None:
            raise ValueError("find must have found a setting to jump to, got none")
        with self._pace.lock:
            self._put(self.settings | self.recommendation.choice)
        self._ask()

    def _offer_search(self) -> None:
        possible = of_the_policy(self._build, self._controls, self.settings)
        single = [(each.label(unit=""), (each.name,)) for each in possible]
        pairs = [(f"{one[0]} and {two[0]}", one[1] + two[1]) for one, two in itertools.combinations(single, 2)]
        self._find_menu.options = single + pairs
        if not single:
            self.find_button.disabled = True
            self._find_words.value = "No control changes the policy alone: there is nothing to choose."

    def _find_chosen(self) -> None:
        """Search in another thread where there is a page to keep alive, else here."""
        names, settings, loop = self._find_menu.value, self.settings, loop_of_page_message()
        self.find_button.disabled = True
        self._find_words.value = _SEARCHING

        def show(done: Any) -> None:
            self.find_button.disabled = False
            try:
                self._show_found(names, done.result())
            except Exception as error:
                self._find_words.value = html.escape(f"{type(error).__name__}: {error}")

        job = partial(self._look_for, names, settings, self._slo, {})
        if loop is not None:
            loop.run_in_executor(None, job).add_done_callback(show)
            return
        done: Future[Recommendation] = Future()
        try:
            done.set_result(job())
        except Exception as error:
            done.set_exception(error)
        show(done)

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
        stage, start = Stage(*self._size, dpi=90), None
        asked = {choice.control.name: choice.values[choice.start] for choice in choices}
        made = []
        for settings in [asked, *tqdm(page.settings_of(choices), desc="settings", disable=not progress)]:
            _, result = self._play(self._build(**settings), settings)
            numbers = self._numbers(result)
            if start is None:  # what the others are held against
                start = numbers
                continue
            picture = stage.render(partial(self._plot, result))
            made.append(
                {
                    "picture": page.shrink(picture),
                    "alt": _in_words(stage, numbers, {}),
                    "table": table(numbers, {}),
                    "verdict": verdict_line(changes(numbers, start), "start"),
                    "panels": panels_of(stage),
                    "story": story_of(result),
                }
            )
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

    def keep(self) -> None:
        """Keep the shown run behind the next ones."""
        with self._pace.lock:
            self.baseline, self._kept_numbers, self._kept_key = self.result, self.numbers, self._key
            self._draw()
        self._ask()  # a control may have moved meanwhile

    def reset(self) -> None:
        """Set all controls back to where they started, and forget the kept run."""
        with self._pace.lock:
            self.baseline, self._kept_numbers, self._kept_key = None, {}, None
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

    def _put(self, settings: dict[str, Any]) -> None:
        """Set several controls, which are then shown together."""
        self._is_held = True
        try:
            for control in self._controls:
                control.input.value = settings[control.name]
        finally:
            self._is_held = False

    def _changed(self, _: Any) -> None:
        if not self._is_held:  # else several controls change, and are shown together
            self._preset = None
            self._ask()

    def _hint(self, text: str) -> None:
        """Say what is no error, beside what is shown."""
        self.message.value = f'<span role="status">{html.escape(text)}</span>'

    def _fit(self, change: Any) -> None:
        """Draw as many dots as the page shows."""
        view = change["new"]
        dots = float(view.get("width", 0)) * float(view.get("ratio", 1)) / self._size[0]
        dpi = 10 * round(min(max(dots, 60.0), 220.0) / 10)
        if dots > 0 and abs(dpi - self.stage.dpi) >= 10:
            with self._pace.lock:
                self.stage = Stage(*self._size, dpi=dpi)
                self._draw()

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
        with warnings.catch_warnings(record=True) as hints:
            warnings.simplefilter("default")
            scenario = self._build(**settings)
            key, result = self._play(scenario, settings)
        before = self.result, self._key
        self.result, self._key = result, key
        try:
            self._draw(self._numbers(result))
        except BaseException:
            self.result, self._key = before
            raise
        self.scenario, self._shown = scenario, settings
        self._scenarios[key] = scenario
        self._seen.setdefault(key, {})[self._seed] = self.numbers
        self._say(None)
        if hints:
            self._hint("; ".join(dict.fromkeys(str(each.message) for each in hints)))
        self._show_code(None)
        if self._front is not None:
            self._front.shown = asked
        loop = loop_of_page_message()
        if loop is not None:
            self._idle.restart(loop)

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
        return intervals(self._seen[self._key])

    def _open_questions(self, seeds: int = SEEDS) -> Iterator[tuple[Any, ...]]:
        """Return which seeds of which setting are still to be played."""
        against = self._start_key if self._kept_key is None else self._kept_key
        for seed in range(self._seed + 1, self._seed + seeds):
            for key in dict.fromkeys((self._key, against)):
                seen = self._seen.setdefault(key, {})
                if seed not in seen and key in self._scenarios:
                    arguments = self._run, self._numbers, self._scenarios[key], seed
                    yield witness, arguments, partial(self._hear, seen, seed)

    def _hear(self, seen: dict[int, dict[str, str]], seed: int, numbers: dict[str, str]) -> None:
        seen[seed] = numbers
        self._say_numbers()

    def _play(self, scenario: Any, settings: dict[str, Any]) -> tuple[Any, Any]:
        """Run the scenario, or take what came of an equal one; return what tells it from others, and the run."""
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
        return key, self._cache[key]

    def _draw(self, numbers: dict[str, str] | None = None) -> None:
        numbers = self.numbers if numbers is None else numbers
        key = self._key, self._kept_key, self.stage.dpi
        if key not in self._pictures:
            picture = self.stage.render(self._paint)
            self._pictures[key] = picture, _in_words(self.stage, numbers, self._kept_numbers), panels_of(self.stage)
            if len(self._pictures) > _CACHE_SIZE:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(key)
        picture, words, panels = self._pictures[key]
        self.numbers = numbers
        with self.image.hold_sync():  # one message
            self.image.value = picture
            self.image.tooltip = words
        self._say_numbers()
        if self._front is not None:
            with self._front.hold_sync():
                self._front.panels = panels
                self._front.story = story_of(self.result)

    def _say_numbers(self) -> None:
        seen = self._seen.get(self._key, {})
        rows = table(self.numbers, self._kept_numbers, intervals(seen))
        self.headline.value = rows + (spread(seen) if len(seen) > 1 else "")
        self._say_verdict()

    def _say_verdict(self) -> None:
        against, name = (self._kept_numbers, "baseline") if self._kept_numbers else (self._start_numbers, "start")
        other = self._seen.get(self._kept_key if self._kept_numbers else self._start_key, {})
        widths = widths_of_differences(self._seen.get(self._key, {}), other)
        line = verdict_line(changes(self.numbers, against, widths), name)
        if self._preset is not None and self._preset.says:
            line = f"<i>{html.escape(self._preset.says)}</i><br>{line}"
        if self.verdict.value != line:
            self.verdict.value = line

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
    columns = result.columns
    latency = (columns["end"] - columns["arrival"])[columns["outcome"] == SUCCESS]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        texts[f"{name} of successes"] = f"{np.quantile(latency, share):.2f} s" if len(latency) else "none"
    texts["calls per request"] = f"{numbers['amplification']:.2f}"
    return texts


def _name(function: Callable[..., Any], otherwise: str) -> str:
    name = getattr(function, "__name__", otherwise)
    return name if name.isidentifier() else otherwise


def _defaults(build: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def _button(text: str, tooltip: str, action: Callable[[], None], *, chip: bool = False) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tooltip or text, layout={"width": "auto"})
    if chip:
        button.add_class("resilab-chip")
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
