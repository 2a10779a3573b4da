"""The verdict line, presets, starts and what an explorer says beside its picture."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import resilab as rl
from resilab.widgets.panels import panels_of, story_of
from resilab.widgets.verdict import BAD, EVEN, GOOD, changes, read_figure, table, verdict_line


def build(workers=3, rate=20.0, discipline="fifo", outage=False):
    """A small scenario with a control of every kind."""
    faults = (rl.Outage(start=2, duration=1),) if outage else ()
    service = rl.Service(workers, latency=rl.Exponential(mean=0.1), discipline=discipline, faults=faults)
    return rl.Scenario(rl.Poisson(rate=rate), service, rl.Timeout(0.5), duration=5.0)


def make(**options):
    """An explorer of it, with a small picture."""
    controls = {"workers": (1, 8), "rate": (5.0, 50.0, 0.5), "discipline": ["fifo", "lifo"], "outage": False}
    return rl.explore(build, size=(6, 4), dpi=40, **controls, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("69.3%", (69.3, 1, "%")), ("0.25 s", (0.25, 2, "s")), ("1,200", (1200, 0, "")), ("-3 s", (-3, 0, "s"))],
)
def test_numbers_are_read_from_their_texts(text, expected):
    """Value, decimals and unit."""
    figure = read_figure(text)
    assert (figure.value, figure.decimals, figure.unit) == expected


def test_text_that_is_no_number_is_none():
    """Words are not compared."""
    assert read_figure("none") is None
    assert changes({"p50 of successes": "none"}, {"p50 of successes": "0.2 s"}) == []


def test_changes_have_sign_unit_and_colour():
    """More success is good, more latency is bad, of other numbers nothing is known."""
    now = {"success": "80.0%", "p99 of successes": "0.90 s", "orders": "12", "requests": "100"}
    before = {"success": "38.5%", "p99 of successes": "0.40 s", "orders": "10", "requests": "90"}
    found = {each.name: (each.text, each.colour) for each in changes(now, before)}
    assert found == {
        "success": ("+41.5 points", GOOD),
        "p99 of successes": ("+0.50 s", BAD),
        "orders": ("+2", EVEN),
    }


def test_difference_within_its_interval_is_grey():
    """What may be luck has no colour."""
    now, before = {"success": "80.0%"}, {"success": "79.0%"}
    assert changes(now, before, {"success": 2.0})[0].colour == EVEN
    assert changes(now, before, {"success": 0.5})[0].colour == GOOD


def test_verdict_names_what_it_is_held_against():
    """And cannot break the page."""
    assert "against the <i>" not in verdict_line(changes({"<b>": "2"}, {"<b>": "1"}), "<i>")
    assert "no difference from the start" in verdict_line([], "start")


def test_columns_without_anything_are_left_out():
    """An outcome that nobody had takes no room; a number that somebody asked for stays."""
    assert "at the end" in table({"at the end": "0.0%"}, {})
    text = table({"success": "90.0%", "rejected": "0.0%", "timeout": "0.0%"}, {"success": "80.0%", "timeout": "1.0%"})
    assert "rejected" not in text
    assert "timeout" in text
    assert "success" in text


@pytest.mark.slow
def test_explorer_says_what_changed():
    """First against the start, then against what is kept."""
    explorer = make()
    assert "no difference from the start" in explorer.verdict.value
    explorer.controls["workers"].value = 1
    assert "against the start" in explorer.verdict.value
    assert "points" in explorer.verdict.value
    explorer.keep()
    assert "no difference from the baseline" in explorer.verdict.value
    explorer.reset()
    assert "no difference from the start" in explorer.verdict.value


def test_latency_of_the_headline_is_that_of_successes():
    """A service that is down has no percentiles of refusals."""
    explorer = rl.explore(
        lambda rate=1.0: rl.Scenario(rl.Steady(10.0), rl.Service(1, 0.1, failure_rate=1.0), duration=2.0),
        size=(4, 3),
        dpi=40,
        rate=(0.0, 1.0),
    )
    assert explorer.numbers["p99 of successes"] == "none"


@pytest.mark.slow
def test_preset_sets_the_controls_and_its_sentence_opens():
    """What it does not name goes back to its start."""
    explorer = make(presets={"storm": ({"workers": 1, "rate": 40.0}, "Most time out."), "calm": {"rate": 5.0}})
    explorer.presets["storm"].click()
    assert explorer.settings == {"workers": 1, "rate": 40.0, "discipline": "fifo", "outage": False}
    assert explorer.scenario == build(1, 40.0)
    assert "Most time out." in explorer.verdict.value
    explorer.presets["calm"].click()
    assert explorer.settings == {"workers": 3, "rate": 5.0, "discipline": "fifo", "outage": False}
    explorer.presets["storm"].click()
    explorer.controls["workers"].value = 2
    assert "Most time out." not in explorer.verdict.value


@pytest.mark.parametrize(
    ("preset", "error", "message"),
    [
        ({"worker": 1}, ValueError, "presets must set controls, workers, rate, discipline, outage, got 'worker'"),
        ({"workers": 9}, ValueError, "workers must be from 1 to 8, got 9"),
        ({"discipline": "best"}, ValueError, r"discipline must be one of \['fifo', 'lifo'\], got 'best'"),
        ({"outage": 1}, ValueError, "outage must be True or False, got 1"),
        (("workers", 1), TypeError, "presets must be settings"),
    ],
)
def test_impossible_preset_is_refused(preset, error, message):
    """With name, rule and value, before anything is shown."""
    with pytest.raises(error, match=message):
        make(presets={"wrong": preset})


@pytest.mark.slow
def test_start_line_starts_another_explorer_there():
    """The settings are one argument."""
    explorer = make()
    explorer.controls["rate"].value = 12.5
    explorer.controls["outage"].value = True
    assert explorer.start_line == 'start={"workers": 3, "rate": 12.5, "discipline": \'fifo\', "outage": True}'
    again = eval(f"make({explorer.start_line})", {"make": make})
    assert again.settings == explorer.settings
    assert again.numbers == explorer.numbers
    again.controls["rate"].value = 20.0
    again.reset()
    assert again.settings == explorer.settings


def test_start_of_no_control_is_refused():
    """It may be of another explorer."""
    with pytest.raises(ValueError, match="settings must be of controls, workers, rate, discipline, outage, got 'x'"):
        make(start={"x": 1})


@pytest.mark.slow
def test_extreme_and_back_gives_the_picture_of_before():
    """Axes, legends and layout do not remember."""
    explorer = make()
    first, limits = explorer.image.value, [ax.get_ylim() for ax in explorer.stage.axes]
    explorer.controls["rate"].value = 50.0
    explorer.controls["workers"].value = 1
    assert [ax.get_ylim() for ax in explorer.stage.axes] != limits
    explorer.controls["workers"].value = 3
    explorer.controls["rate"].value = 20.0
    assert explorer.image.value == first


@pytest.mark.slow
def test_typed_number_that_cannot_be_taken_is_told():
    """Out of range, or between two steps."""
    explorer = make()
    control = next(each for each in explorer._controls if each.name == "rate")
    control.box.value = 70.0
    assert explorer.settings["rate"] == control.box.value == 50.0
    assert "70 is not from 5 to 50 in steps of 0.5; 50 is shown" in explorer.message.value
    control.box.value = 12.3
    assert explorer.settings["rate"] == control.box.value == 12.5
    assert "12.3 is not from 5 to 50" in explorer.message.value
    control.box.value = 13.0
    assert explorer.message.value == ""


@pytest.mark.slow
def test_noise_of_a_slider_never_reaches_the_box():
    """A slider sends 0.30000000000000004 for 0.3."""
    explorer = make()
    control = next(each for each in explorer._controls if each.name == "rate")
    control.input.value = 20.5 + 2e-13
    assert control.box.value == 20.5
    assert explorer.settings["rate"] == 20.5


def test_warning_of_the_scenario_is_shown():
    """A hint of the lab stands beside the picture."""

    def hinting(workers=1):
        warnings.warn("workers are few", stacklevel=1)
        return build(workers)

    explorer = rl.explore(hinting, size=(4, 3), dpi=40, workers=(1, 8))
    assert "workers are few" in explorer.message.value
    assert explorer.error is None


@pytest.mark.slow
def test_page_is_told_what_is_shown():
    """So that it can dim a picture that is not that of the controls."""
    explorer = make()
    explorer.controls["discipline"].value = "lifo"
    assert explorer._front.shown == [3, 20.0, 1, False]
    explorer.controls["rate"].value = 21.0
    assert explorer._front.shown == [3, 21.0, 1, False]


def test_picture_that_failed_stays_marked():
    """The page keeps it dimmed: it is not that of the controls."""

    def picky(workers=3):
        if workers == 1:
            raise ValueError("too few")
        return build(workers)

    explorer = rl.explore(picky, size=(4, 3), dpi=40, workers=(1, 8))
    explorer.controls["workers"].value = 1
    assert explorer._front.shown == [3]
    assert "too few" in explorer.message.value


def test_panels_are_where_the_axes_of_time_are():
    """Shares of the picture from its top left, and the limits in seconds."""
    explorer = make()
    panels = panels_of(explorer.stage)
    assert len(panels) == 3  # outcomes, latency, queue; not the distribution
    assert all(0 < each["left"] < each["right"] <= 1 and 0 <= each["top"] < each["bottom"] < 1 for each in panels)
    assert {each["high"] for each in panels} == {5.0}


def test_story_says_what_happened_when():
    """Every request is told of once; a fault is named while it lasts."""
    result = rl.simulate(build(outage=True), seed=1)
    story = story_of(result)
    count = sum(int(part.split()[0]) for line in story["words"] for part in line.split(", ") if part[0].isdigit())
    assert count == len(result)
    words = story["words"][round(2.5 / story["step"])]
    assert "fault: outage" in words
    assert "fault" not in story["words"][0]


def test_story_of_another_kind_of_run_is_empty():
    """There is only the cursor then."""
    assert story_of(object()) == {}


@pytest.mark.slow
def test_more_seeds_give_intervals_and_take_the_colour_of_luck():
    """Mean and interval of each number; a difference that is within its interval is grey."""
    explorer = make()
    explorer.controls["rate"].value = 20.5
    found = explorer.gather(seeds=6)
    shares = [rl.simulate(build(rate=20.5), seed=seed).summary()["success_rate"] for seed in range(1, 7)]
    mean, width = found["success"].split("% ± ")
    assert float(mean) == pytest.approx(100 * sum(shares) / 6, abs=0.1)
    interval = rl.experiments.statistics.mean_interval(100 * np.array(shares))
    assert float(width) == pytest.approx((interval.high - interval.low) / 2, abs=0.1)
    assert "6 seeds" in explorer.headline.value
    assert GOOD not in explorer.verdict.value
    assert BAD not in explorer.verdict.value
    explorer.controls["workers"].value = 1
    explorer.gather(seeds=6)
    assert BAD in explorer.verdict.value


@pytest.mark.slow
def test_evidence_is_not_played_twice():
    """What was gathered stays, also when the setting was left and comes back."""
    played = []

    def run(scenario, seed):
        played.append((scenario, seed))
        return rl.simulate(scenario, seed=seed)

    explorer = make(run=run)
    explorer.gather(seeds=3)
    explorer.controls["workers"].value = 1
    explorer.gather(seeds=3)
    explorer.controls["workers"].value = 3
    explorer.gather(seeds=3)
    assert len(played) == len(set(played)) == 6


def test_number_of_seeds_is_checked():
    """One seed has no interval."""
    with pytest.raises(ValueError, match="seeds must be >= 2, got 1"):
        make().gather(seeds=1)
