"""The explorer: controls, picture and numbers, without a browser."""

from __future__ import annotations

import base64
import gc
import io
import threading
from typing import Any

import ipywidgets
import numpy as np
import pytest
from PIL import Image

import resilab as rl
from resilab.plots.stage import Stage
from resilab.widgets.code import as_code
from resilab.widgets.pace import Pace, rare_collections

PLAIN = rl.Scenario(rl.Poisson(rate=20), rl.Service(workers=3, latency=rl.Exponential(mean=0.1)), duration=5.0)


def build(workers=3, timeout=0.5, discipline="fifo", outage=False):
    """A small scenario with a parameter of every kind."""
    faults = (rl.Outage(start=1, duration=1),) if outage else ()
    service = PLAIN.service.replace(workers=workers, discipline=discipline, faults=faults)
    return PLAIN.replace(service=service, policy=rl.Timeout(timeout))


@pytest.fixture
def runs():
    """The scenarios that were played."""
    return []


@pytest.fixture
def explorer(runs):
    """An explorer with a control of every kind, and a small picture."""

    def run(scenario, seed):
        runs.append(scenario)
        return rl.simulate(scenario, seed=seed)

    controls: dict[str, Any] = {"discipline": ["fifo", "lifo"], "outage": False}
    return rl.explore(build, run=run, size=(6, 4), dpi=40, workers=(1, 8), timeout=(0.1, 2.0, 0.1), **controls)


def brightness(explorer):
    """Return the pixels of the picture."""
    return np.asarray(Image.open(io.BytesIO(explorer.image.value)))


def test_setting_a_control_shows_the_new_run_at_once(explorer):
    """After the assignment, result, picture and numbers are those of the new setting."""
    picture, numbers = explorer.image.value, explorer.numbers
    explorer.controls["workers"].value = 1
    assert explorer.scenario == build(workers=1)
    assert explorer.result.counts() == rl.simulate(build(workers=1), seed=1).counts()
    assert explorer.image.value != picture
    assert explorer.numbers != numbers
    assert explorer.numbers["success"] in explorer.headline.value


def test_controls_start_at_the_defaults_of_build(explorer, runs):
    """Without a value of its own a control starts where *build* does, and that is played once."""
    assert explorer.settings == {"workers": 3, "timeout": 0.5, "discipline": "fifo", "outage": False}
    assert runs == [build()]


def test_controls_are_of_the_kind_of_their_values(explorer):
    """Numbers get sliders, whole or not, choices a menu, and True or False a tick box."""
    kinds = [ipywidgets.IntSlider, ipywidgets.FloatSlider, ipywidgets.ToggleButtons, ipywidgets.Checkbox]
    assert [type(each) for each in explorer.controls.values()] == kinds


@pytest.mark.slow
def test_long_list_has_a_slider_for_the_keyboard_and_a_menu_with_the_label():
    """Slider and menu follow each other, also between choices that are equal, and show the run."""
    choices = {"one": 1, "two": 2, "two again": 2, "four": 4, "five": 5, "six": 6}
    explorer = rl.explore(build, size=(6, 4), dpi=40, workers=choices)
    slider, menu = explorer.controls["workers"], explorer._controls[0].box
    assert (type(slider), type(menu)) == (ipywidgets.SelectionSlider, ipywidgets.Dropdown)
    assert (slider.value, menu.label, menu.description) == (1, "one", "workers")
    slider.index = 2
    assert (menu.label, explorer.scenario) == ("two again", build(workers=2))
    menu.label = "six"
    assert (slider.value, explorer.scenario) == (6, build(workers=6))
    explorer.reset()
    assert (menu.label, explorer.scenario) == ("one", build(workers=1))


def test_picture_says_in_words_what_it_shows(explorer):
    """Its text names the axes, and has the numbers of the run and of the kept one."""
    explorer.keep()
    kept = explorer.numbers["p50 of successes"]
    explorer.controls["workers"].value = 1
    axes, now, baseline = explorer.image.tooltip.split("\n")
    assert "latency (s) over time of arrival (s)" in axes
    assert now.startswith("now: requests")
    assert f"p50 of successes {explorer.numbers['p50 of successes']}" in now
    assert f"p50 of successes {kept}" in baseline
    explorer.reset()
    assert "baseline" not in explorer.image.tooltip


@pytest.mark.slow
def test_picture_and_its_text_are_one_message(explorer):
    """The page is sent both at once, and can show both: the image has a description, which is empty."""
    sent = []
    explorer.image.send_state = lambda key=None: sent.append(set(key))
    explorer.controls["workers"].value = 1
    assert sent == [{"value", "tooltip"}]
    assert explorer.image.get_state()["description"] == ""


def test_labels_have_words_and_units():
    """A label is the name in words with the unit, or what the slider says."""
    shown = rl.explore(
        lambda timeout, failure_threshold, share: PLAIN,
        size=(4, 3),
        dpi=30,
        timeout=(0.1, 1.0),
        failure_threshold=(1, 9),
        share=rl.Slider(0.0, 1.0, label="lost messages", unit="share"),
    )
    labels = [control.box.description for control in shown._controls]
    assert labels == ["timeout (s)", "failure threshold (failures)", "lost messages (share)"]


def test_number_box_and_slider_follow_each_other(explorer):
    """Typing a number moves the slider and shows the run; moving the slider shows in the box."""
    control = explorer._controls[0]
    control.box.value = 5
    assert explorer.controls["workers"].value == 5
    assert explorer.scenario == build(workers=5)
    explorer.controls["workers"].value = 2
    assert control.box.value == 2


@pytest.mark.parametrize(
    ("wanted", "default", "value", "step"),
    [
        (rl.Slider(1, 9), None, 5, 1),
        (rl.Slider(1, 9), 2, 2, 1),
        (rl.Slider(1, 9), 20, 5, 1),
        (rl.Slider(1, 9), True, 5, 1),
        (rl.Slider(0.0, 1.0), None, 0.5, 0.02),
        (rl.Slider(0, 10, 0.5), 3, 3.0, 0.5),
        (rl.Slider(0, 10, value=7), 3, 7, 1),
    ],
)
def test_slider_finds_its_step_and_its_start(wanted, default, value, step):
    """What a slider is not told comes from the default of *build*, or from its ends."""
    slider = wanted.with_defaults(default)
    assert (slider.value, slider.step) == (value, step)
    assert type(slider.value) is type(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 5), "high must be > low, got 5 to 5"),
        ((0, 1, -1), "step must be > 0, got -1"),
        ((0, 1, 1, 2), "value must be from 0 to 1, got 2"),
        ((0, float("inf")), "high must be finite"),
    ],
)
def test_slider_refuses_impossible_ends(arguments, message):
    """The message says name, rule and value."""
    with pytest.raises(ValueError, match=message):
        rl.Slider(*arguments)


def test_unknown_control_is_refused():
    """What is no control is named with what could be one."""
    with pytest.raises(TypeError, match=r"workers must be \(low, high\).*got 'many'"):
        rl.explore(build, workers="many")


def test_fractions_are_what_was_meant(explorer):
    """A slider that counts up in steps of 0.1 does not show 0.30000000000000004."""
    explorer.controls["timeout"].value = 0.1 + 0.2
    assert explorer.settings["timeout"] == 0.3
    assert explorer.scenario.policy == rl.Timeout(0.3)


def test_nothing_runs_twice(explorer, runs):
    """A setting that was shown before, or that makes an equal scenario, is not played again."""
    explorer.controls["workers"].value = 1
    explorer.controls["workers"].value = 3
    assert runs == [build(), build(workers=1)]
    explorer._refresh()
    assert len(runs) == 2


def test_scenario_that_does_not_hash_is_kept_by_its_setting():
    """A scenario may be any object; the settings then tell runs apart."""
    played = []

    def run(scenario, seed):
        played.append(scenario)
        return rl.simulate(build(**scenario), seed=seed)

    explorer = rl.explore(lambda workers: {"workers": workers}, run=run, size=(4, 3), dpi=30, workers=(1, 3))
    for workers in (1, 2, 1):
        explorer.controls["workers"].value = workers
    assert played == [{"workers": 2}, {"workers": 1}]


def test_error_is_shown_in_words_and_leaves_the_explorer_usable(explorer):
    """An impossible combination keeps the old picture, says what is wrong, and the next setting works."""
    picture = explorer.image.value
    explorer._build = lambda **settings: build(**settings | {"workers": settings["workers"] - 4})
    explorer.controls["workers"].value = 4
    assert explorer.error == "ValueError: workers must be >= 1, got 0"
    assert "workers must be &gt;= 1, got 0" in explorer.message.value
    assert 'role="alert"' in explorer.message.value
    assert explorer.image.value == picture
    explorer.controls["workers"].value = 5
    assert explorer.error is None
    assert explorer.message.value == ""
    assert explorer.scenario == build(workers=1)


def test_going_back_from_an_error_clears_it(explorer, runs):
    """The last good setting needs no new run."""
    explorer._build = lambda **settings: 1 / (settings["workers"] - 4)
    explorer.controls["workers"].value = 4
    assert explorer.error == "ZeroDivisionError: division by zero"
    explorer.controls["workers"].value = 3
    assert explorer.error is None
    assert len(runs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("part", ["run", "plot", "numbers"])
def test_error_of_any_part_is_shown(part):
    """Running, drawing and counting may fail for some settings, too."""

    def fail(*args):
        if state["fails"]:
            raise RuntimeError(f"no {part}")

    state = {"fails": False}
    parts = {
        "run": lambda scenario, seed: fail() or rl.simulate(scenario, seed=seed),
        "plot": lambda result, figure: fail() or figure.subplots().plot([len(result)], "o"),
        "numbers": lambda result: fail() or {"requests": str(len(result))},
    }
    explorer = rl.explore(build, size=(4, 3), dpi=30, workers=(1, 8), **{part: parts[part]})
    before = explorer.result
    state["fails"] = True
    explorer.controls["workers"].value = 2
    assert explorer.error == f"RuntimeError: no {part}"
    assert explorer.result is before
    state["fails"] = False
    explorer.controls["workers"].value = 4
    assert explorer.error is None


def test_error_of_the_first_setting_is_raised():
    """An explorer that cannot show its first setting is a mistake of its author."""
    with pytest.raises(ValueError, match="workers must be >= 1"):
        rl.explore(lambda workers: build(workers=workers - 10), workers=(1, 8))


@pytest.mark.slow
def test_kept_run_stays_behind_the_new_one(explorer):
    """The baseline is drawn with the next runs, its numbers stand below theirs, and reset forgets it."""
    explorer.controls["workers"].value = 1
    alone = brightness(explorer)
    explorer.reset()
    explorer.keep()
    kept = explorer.result
    explorer.controls["workers"].value = 1
    assert explorer.baseline is kept
    assert not np.array_equal(brightness(explorer), alone)
    assert "baseline" in explorer.headline.value
    assert explorer.headline.value.count("<tr>") == 3
    explorer.reset()
    assert explorer.baseline is None
    assert explorer.settings == {"workers": 3, "timeout": 0.5, "discipline": "fifo", "outage": False}
    assert "baseline" not in explorer.headline.value


def test_kept_run_is_grey_with_a_plot_that_knows_no_baseline():
    """A plot function without a baseline draws the kept run first; it turns grey and has no name."""
    explorer = rl.explore(
        build,
        lambda result, figure: figure.subplots().plot(result.columns["arrival"], color="#ff0000", label="new"),
        size=(4, 3),
        dpi=30,
        workers=(1, 8),
    )
    explorer.keep()
    explorer.controls["workers"].value = 2
    kept, new = explorer.stage.axes[0].lines
    assert (kept.get_color(), new.get_color()) == (rl.plots.KEPT_COLOUR, "#ff0000")
    assert kept.get_label().startswith("_")


@pytest.mark.slow
def test_reset_shows_one_run(explorer, runs):
    """Several controls go back together."""
    explorer.controls["workers"].value = 1
    explorer.controls["timeout"].value = 1.5
    explorer.controls["outage"].value = True
    count = len(runs)
    explorer.reset()
    assert len(runs) == count
    assert explorer.scenario == build()


@pytest.mark.slow
def test_code_makes_the_shown_scenario():
    """The code runs, and its scenario and result are those that are shown."""
    explorer = rl.explore(build, size=(4, 3), dpi=30, workers=(1, 8), outage=False)
    explorer.controls["outage"].value = True
    explorer.take_home.button.value = True
    space: dict[str, Any] = {}
    exec(explorer.code, space)
    assert space["scenario"] == explorer.scenario == build(outage=True)
    assert space["result"].counts() == explorer.result.counts()
    assert "rl.Outage(start=1, duration=1)" in explorer.take_home.text.value
    explorer.controls["workers"].value = 7
    assert "workers=7" in explorer.take_home.text.value
    explorer.take_home.button.value = False
    assert explorer.take_home.text.value == ""


def test_code_writes_every_kind_of_value():
    """Infinity, tuples, empty policies, several clients and operations are written."""
    operations = tuple(
        rl.Operation(
            name, rl.Steady(rate=5), PLAIN.service, rl.ResiliencePolicy(rl.Fallback("lesser", None), rl.Retry())
        )
        for name in ("search", "pay")
    )
    hang = rl.Outage(start=1, duration=float("inf"), mode="hang")
    for scenario in (
        rl.Scenario(operations=operations, duration=5.0, clients=3),
        PLAIN.replace(
            service=PLAIN.service.replace(faults=(hang,), latency=0.25),
            policy=rl.ResiliencePolicy(rl.Retry(retryable_errors=ValueError), rl.Timeout(1.0)),
        ),
        PLAIN.replace(workload=rl.Schedule([(0, 10), (2, np.float64(20.5))])),
        PLAIN.replace(policy=rl.Retry(retryable_errors=(rl.ServiceError, TimeoutError))),
    ):
        space: dict[str, Any] = {}
        exec(as_code(scenario, 4, "build", {}), space)
        assert space["scenario"] == scenario
        assert space["result"].seed == 4


def test_code_calls_build_where_a_scenario_cannot_be_written():
    """A function among the settings cannot be written; then the code is the call that made it."""

    def cheaper():
        yield

    scenario = PLAIN.replace(policy=rl.Fallback(cheaper))
    code = as_code(scenario, 2, "build", {"workers": 3, "timeout": 0.5})
    assert code == "scenario = build(workers=3, timeout=0.5)\nresult = rl.simulate(scenario, seed=2)\n"
    long = PLAIN.replace(service=PLAIN.service.replace(latency=rl.Empirical(tuple(np.linspace(0.1, 0.2, 5000)))))
    assert as_code(long, 2, "build", {}).startswith("scenario = build()")


def test_readers_without_widgets_see_picture_and_numbers(explorer):
    """The explorer's output holds a PNG and a line of text besides the widget."""
    data = explorer._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == explorer.image.value
    assert data["text/plain"] == repr(explorer)
    assert "workers=3" in data["text/plain"]
    assert f"success {explorer.numbers['success']}" in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_no_output_widget_is_used(explorer):
    """Strict nbval fails on Output widgets: there is none."""

    def parts(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from parts(child)

    assert not [each for each in parts(explorer) if isinstance(each, ipywidgets.Output)]


def test_only_the_picture_and_its_numbers_change_with_a_move(explorer):
    """A move sends two updates to the page besides the control's own: no text is sent twice."""
    changed = []
    for widget in (explorer.image, explorer.headline, explorer.message, explorer.take_home.text):
        widget.observe(lambda change: changed.append(change["owner"]), "value")
    explorer.controls["workers"].value = 1
    assert changed == [explorer.image, explorer.headline]


class FakeLoop:
    """An event loop whose time is moved by hand."""

    def __init__(self):
        self.now = 0.0
        self.due: list[tuple[float, Any, tuple[Any, ...]]] = []

    def call_later(self, delay, action, *args):
        self.due.append((self.now + delay, action, args))

    def run_until(self, time):
        while self.due and min(self.due)[0] <= time:
            first = min(self.due)
            self.due.remove(first)
            self.now = max(self.now, first[0])
            first[1](*first[2])
        self.now = max(self.now, time)


class SlowRuns:
    """Runs that take a simulated time, and remember which setting they saw."""

    def __init__(self, loop, took, from_page=True):
        self.loop, self.took, self.setting, self.played = loop, took, 0, []
        self.pace = Pace(self.play, lambda: loop if from_page else None, lambda: loop.now)

    def play(self):
        self.played.append(self.setting)
        self.loop.now += self.took

    def move(self, setting):
        self.setting = setting
        self.pace.ask()


def test_slow_runs_never_queue_up():
    """Of the settings that come during a slow run only the newest is played."""
    loop = FakeLoop()
    runs = SlowRuns(loop, took=2.0)
    runs.move(1)
    assert runs.played == [1]
    for setting in range(2, 30):  # these waited while the first ran, and come at once when it is done
        runs.move(setting)
        loop.now += 0.002
    assert runs.played == [1]
    loop.run_until(10)
    assert runs.played == [1, 29]


def test_settings_that_keep_coming_are_played_now_and_then():
    """A drag that never pauses still shows a picture twice a second."""
    loop = FakeLoop()
    runs = SlowRuns(loop, took=0.3)
    runs.move(0)
    for setting in range(1, 200):
        runs.move(setting)
        loop.run_until(loop.now + 0.01)
    loop.run_until(loop.now + 5)
    assert 4 <= len(runs.played) <= 9
    assert runs.played[-1] == 199


def test_quick_runs_are_played_at_once():
    """While runs are short every setting from the page is played when it comes."""
    loop = FakeLoop()
    runs = SlowRuns(loop, took=0.05)
    for setting in range(5):
        runs.move(setting)
    assert runs.played == [0, 1, 2, 3, 4]


def test_settings_from_code_are_played_at_once_even_if_runs_are_slow():
    """An assignment in a notebook cell is done when the picture is."""
    runs = SlowRuns(FakeLoop(), took=5.0, from_page=False)
    for setting in range(3):
        runs.move(setting)
    assert runs.played == [0, 1, 2]


def test_settings_from_another_thread_wait_for_the_run_under_way():
    """JupyterLab's subshells: a change during a run is played after it, the newest only, and not beside it."""
    began, may_end = threading.Event(), threading.Event()
    played, setting = [], [1]

    def play():
        played.append(setting[0])
        began.set()
        assert may_end.wait(20)

    pace = Pace(play, FakeLoop, lambda: 0.0)
    first = threading.Thread(target=pace.ask)
    first.start()
    assert began.wait(20)
    for setting[0] in (2, 3, 4):
        pace.ask()
    assert played == [1]
    may_end.set()
    first.join(20)
    assert played == [1, 4]


def test_garbage_collector_waits_for_the_picture(explorer):
    """While a run is played and drawn collections are rare; then they are as before, also after an error."""
    usual, seen = gc.get_threshold(), []
    explorer._build = lambda **settings: seen.append(gc.get_threshold()[0]) or 1 / (settings["workers"] - 4)
    explorer.controls["workers"].value = 4
    assert explorer.error is not None
    assert seen == [100_000]
    assert gc.get_threshold() == usual


@pytest.mark.parametrize("threshold", [0, 100_000, 500_000])
def test_garbage_collector_that_is_off_or_rare_stays_so(threshold):
    """Nothing is changed where collections do not disturb."""
    usual = gc.get_threshold()
    try:
        gc.set_threshold(threshold, *usual[1:])
        with rare_collections():
            assert gc.get_threshold()[0] == threshold
        assert gc.get_threshold()[0] == threshold
    finally:
        gc.set_threshold(*usual)


def test_explorer_of_another_kind_of_run_needs_no_scenario():
    """Build, run, plot and numbers may be about anything."""
    explorer = rl.explore(
        lambda height: [0.0, height],
        lambda result, figure: figure.subplots().plot(result),
        run=lambda scenario, seed: [seed * each for each in scenario],
        numbers=lambda result: {"top": f"{result[1]:.1f} m"},
        seed=2,
        size=(4, 3),
        dpi=30,
        height=rl.Slider(1.0, 3.0, 0.5, value=1.5, unit="m"),
    )
    assert explorer.numbers == {"top": "3.0 m"}
    explorer.controls["height"].value = 2.5
    assert explorer.numbers == {"top": "5.0 m"}
    assert isinstance(explorer.stage, Stage)
    assert explorer.code == "scenario = build(height=2.5)\nresult = run(scenario, 2)\n"


def test_texts_of_numbers_cannot_break_the_page():
    """Labels and numbers are written as text, whatever they hold."""
    explorer = rl.explore(build, numbers=lambda result: {"<b>": "1 < 2"}, size=(4, 3), dpi=30, workers=(1, 2))
    assert "&lt;b&gt;" in explorer.headline.value
    assert "1 &lt; 2" in explorer.headline.value
