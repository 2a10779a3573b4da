"""Settings that are one move away are played and drawn before they are asked for."""

from __future__ import annotations

import matplotlib as mpl
import pytest

import resilab as rl
from resilab.widgets.idle import _worker


def build(workers=2, discipline="fifo", outage=True):
    """A small queue."""
    if workers == 4:
        raise ValueError("workers must not be 4, got 4")
    faults = rl.Outage(2.0, 1.0) if outage else ()
    service = rl.Service(workers, rl.Exponential(0.1), discipline=discipline, faults=faults)
    return rl.Scenario(rl.Poisson(15), service, rl.Timeout(1.0), duration=6.0)


def make(played=None, **options):
    """An explorer of it; *played* gets every scenario that it plays."""

    def run(scenario, seed):
        if played is not None:
            played.append(scenario)
        return rl.simulate(scenario, seed=seed)

    controls = {"workers": (1, 6), "discipline": ["fifo", "lifo", "barging"], "outage": True}
    return rl.explore(build, run=run, dpi=60, **controls, **options)


def foresee(explorer):
    """Let the worker show the neighbours; return how many there were."""
    count = 0
    for function, arguments, take in explorer._neighbours():
        take(_worker().submit(function, *arguments).result(timeout=300))
        count += 1
    return count


@pytest.mark.slow
def test_neighbours_are_one_move_away():
    """Steps of a slider within its limits, all other buttons, the other state of a box."""
    explorer = make()
    near = {control.name: control.neighbours() for control in explorer._controls}
    assert near == {"workers": [3, 1], "discipline": ["lifo", "barging"], "outage": [False]}
    explorer.controls["workers"].value = 6
    assert explorer._control("workers").neighbours() == [5]


def test_neighbours_of_a_long_list_and_of_fractions():
    """The next choices; no step is 0.30000000000000004."""
    explorer = rl.explore(
        lambda rate=0.2, many=3: rl.Scenario(rl.Steady(10 + rate + many), rl.Service(2, 0.1), duration=1.0),
        size=(4, 3),
        dpi=40,
        rate=(0.0, 1.0, 0.1),
        many=[1, 2, 3, 4, 5, 6, 7],
    )
    assert [control.neighbours() for control in explorer._controls] == [[0.3, 0.1], [2, 4]]


@pytest.mark.slow
def test_foreseen_setting_is_shown_without_playing_it():
    """The picture, the numbers and the words are those of an explorer that was moved there."""
    played = []
    explorer = make(played)
    foresee(explorer)
    played.clear()
    explorer.controls["workers"].value = 3
    assert played == []
    plain = make()
    plain.controls["workers"].value = 3
    assert explorer.image.value == plain.image.value
    assert explorer.image.tooltip == plain.image.tooltip
    assert explorer.numbers == plain.numbers
    assert explorer.verdict.value == plain.verdict.value
    assert explorer._front.story == plain._front.story
    assert explorer.scenario == build(workers=3)


@pytest.mark.slow
def test_foreseen_setting_is_given_to_the_page(monkeypatch):
    """The page gets what the explorer would show there, by what its controls hold then; a baseline is another era."""
    explorer, plain = make(), make()
    given = []
    monkeypatch.setattr(explorer._front, "send", lambda page, buffers: given.append((page, buffers)))
    foresee(explorer)
    assert [page["asked"] for page, _ in given] == [
        [3, 0, True],
        [1, 0, True],
        [2, 1, True],
        [2, 2, True],
        [2, 0, False],
    ]
    plain.controls["discipline"].value = "barging"
    page, (png,) = given[3]
    assert png == plain.image.value
    assert (page["verdict"], page["headline"]) == (plain.verdict.value, plain.headline.value)
    assert (page["words"], page["panels"], page["story"]) == (
        plain.image.tooltip,
        plain._front.panels,
        plain._front.story,
    )
    assert page["era"] == plain._front.era
    eras = [page["era"]]
    for _ in range(2):
        plain.keep()
        eras.append(plain._front.era)
    plain.reset()
    assert len(set(eras)) == 3
    assert plain._front.era == eras[0]
    explorer.controls["workers"].value = 3
    function, arguments, take = next(explorer._neighbours())
    explorer.keep()  # while the worker plays
    given.clear()
    take(function(*arguments))
    assert given == []


@pytest.mark.slow
def test_run_of_a_foreseen_setting_is_played_when_it_is_asked_for():
    """It is the run of the same seed."""
    played = []
    explorer = make(played)
    foresee(explorer)
    explorer.controls["workers"].value = 3
    played.clear()
    assert explorer.result.requests.equals(rl.simulate(build(3), seed=1).requests)
    assert played == [build(3)]


@pytest.mark.slow
def test_kept_run_is_foreseen_behind_the_others():
    """What was drawn without a baseline is drawn anew in front of it."""
    explorer, plain = make(), make()
    for each in (explorer, plain):
        each.controls["workers"].value = 1
        each.keep()
    assert foresee(explorer) > 0
    for each in (explorer, plain):
        each.controls["workers"].value = 2
    assert explorer.image.tooltip == plain.image.tooltip
    assert explorer.headline.value == plain.headline.value
    for one, other in zip(explorer._front.panels, plain._front.panels, strict=True):
        assert one == pytest.approx(other, abs=0.03)  # the layout may have moved by a few points


@pytest.mark.slow
def test_nothing_is_foreseen_twice_and_errors_wait_until_they_are_asked_for():
    """A setting that cannot be is left out; asked for, it says what is wrong."""
    explorer = make()
    explorer.controls["workers"].value = 3
    assert foresee(explorer) == 3  # 4 workers cannot be, 2 were shown
    assert foresee(explorer) == 0
    explorer.controls["workers"].value = 4
    assert explorer.error == "ValueError: workers must not be 4, got 4"


@pytest.mark.slow
def test_same_direction_is_foreseen_first():
    """Who moves a slider up moves it up again."""
    explorer = make()
    explorer.controls["workers"].value = 1
    explorer.controls["workers"].value = 2
    scenarios = [arguments[7] for _, arguments, _ in explorer._neighbours()]
    assert scenarios[0] == build(workers=3)
    explorer.controls["discipline"].value = "lifo"
    scenarios = [arguments[7] for _, arguments, _ in explorer._neighbours()]
    assert scenarios[0] == build(2, "barging")


@pytest.mark.slow
def test_pictures_are_drawn_in_the_style_of_the_kernel():
    """What a notebook sets in matplotlib travels along, and does not stay in the worker for the next explorer."""
    for style in ({"axes.facecolor": "#dddddd", "axes.labelcolor": "#b00020"}, {}):
        with mpl.rc_context(style):
            explorer, plain = make(), make()
            foresee(explorer)
            for each in (explorer, plain):
                each.controls["workers"].value = 3
        assert explorer.image.value == plain.image.value


@pytest.mark.slow
def test_workers_of_sweeps_are_others():
    """joblib has a pool of its own; the explorer's worker does not get into its way."""
    assert foresee(make()) > 0
    runs = rl.replicate(build(), replications=4, n_jobs=2, progress=False)
    assert len(runs) == 4


@pytest.mark.slow
def test_look_suits_the_page():
    """As many dots as are shown; where there is little room the figure is smaller, and its text is not."""
    explorer = make(size=(10.0, 5.6))
    looks = []
    for width, ratio, dark in ((800, 1, False), (800, 2, False), (600, 1, False), (300, 1, False), (1700, 1, True)):
        explorer._front.view = {"width": width, "ratio": ratio, "dark": dark}
        looks.append(tuple(explorer._studio.painter.look))
    assert looks == [
        (80.0, False, 1.0),
        (160.0, False, 1.0),
        (80.0, False, 0.8),
        (60.0, False, 0.8),
        (170.0, True, 1.0),
    ]
    assert explorer._front.is_dark
    before = explorer.image.value
    explorer._front.view = {"width": 0, "ratio": 1, "dark": True}  # hidden
    assert explorer.image.value == before
