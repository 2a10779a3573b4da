"""Find best: which controls can be chosen, what is found, and where it holds along a slider."""

from __future__ import annotations

import ipywidgets
import pytest

import resilab as rl

SLO = rl.SLO(within=1.0, answered=0.97)


def build(retries=0, failure_rate=0.2, breaker=False):
    """Retries against failures at any time."""
    service = rl.Service(50, 0.05, failure_rate=failure_rate)
    parts = [rl.CircuitBreaker(failure_threshold=20)] if breaker else []
    policy = rl.ResiliencePolicy(rl.Retry(retries, initial_delay=0.01), *parts)
    return rl.Scenario(rl.Poisson(20), service, policy, duration=20.0)


def make(**options):
    """An explorer of it, with a small picture."""
    return rl.explore(build, size=(4, 3), dpi=40, retries=(0, 5), failure_rate=(0.0, 0.5), breaker=False, **options)


@pytest.mark.slow
def test_best_is_what_recommend_finds():
    """With all other controls as they are; the strip shows where the objective holds."""
    explorer = make()
    explorer.controls["failure_rate"].value = 0.2
    found = explorer.find("retries", slo=SLO, budget=300, stress=None, n_jobs=1)
    assert found.choice == {"retries": 2}
    control = explorer._control("retries")
    assert control.strip.layout.display == ""
    assert "best: 2" in control.strip.value
    assert "you are here: 0" in control.strip.value
    explorer.jump()
    assert explorer.settings["retries"] == 2
    assert explorer.scenario == build(2)


@pytest.mark.slow
def test_control_with_the_name_of_an_assumption_is_no_margin():
    """`clients` is a row of the margins, too: one of the assumptions, "1 x"."""

    def made(retries=2, clients=5):
        return build(retries, 0.1 + clients / 100)

    explorer = rl.explore(made, size=(4, 3), dpi=40, retries=(0, 5), clients=(1, 9))
    found = explorer.find("retries", slo=SLO, budget=200, stress=None, n_jobs=1)
    assert "clients" in list(found.margins["what"])
    assert explorer._control("retries").strip.layout.display == ""
    assert explorer._control("clients").strip.layout.display == "none"


def every_button(box):
    """Return the buttons in a box and the boxes in it."""
    for each in box.children:
        if hasattr(each, "children"):
            yield from every_button(each)
        elif isinstance(each, ipywidgets.Button):
            yield each


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "slo", "message"),
    [
        (("retries",), None, "slo must be given"),
        ((), SLO, "names must be one control at least"),
        (("failure_rate",), SLO, "names must be of controls of the policy alone, retries, breaker, got 'failure_rate'"),
        (("nothing",), SLO, "names must be of controls of the policy alone, retries, breaker, got 'nothing'"),
    ],
)
def test_impossible_search_is_refused(names, slo, message):
    """Name, rule and value; what changes the situation cannot be chosen."""
    with pytest.raises(ValueError, match=message):
        make().find(*names, slo=slo)


@pytest.mark.slow
def test_button_searches_and_jumps():
    """The menu offers the controls of the policy and their pairs."""
    explorer = make(slo=SLO)
    assert [names for _, names in explorer.search.menu.options] == [("retries",), ("breaker",), ("retries", "breaker")]
    assert explorer.search.jump_button.disabled
    explorer.search.menu.value = ("retries",)
    explorer.search.find_button.click()
    assert not explorer.search.find_button.disabled
    assert explorer.recommendation.choice == {"retries": 2}
    explorer.search.jump_button.click()
    assert explorer.settings["retries"] == 2


@pytest.mark.slow
def test_without_objective_there_is_no_search():
    """Nothing is offered that cannot be answered."""
    assert "Find best" not in [each.description for each in every_button(make())]
    assert "Find best" in [each.description for each in every_button(make(slo=SLO))]
    with pytest.raises(ValueError, match="find must have found a setting"):
        make().jump()
    with pytest.raises(TypeError, match="slo"):
        make(slo=0.99)


def test_explorer_of_situations_alone_says_so():
    """Where no control changes the policy, there is nothing to choose."""
    explorer = rl.explore(build, size=(4, 3), dpi=40, slo=SLO, failure_rate=(0.0, 0.5))
    assert explorer.search.find_button.disabled
    assert "nothing to choose" in explorer.search.words.value


@pytest.mark.slow
def test_setting_is_taken_home_as_text():
    """Python, an argument of explore, or the file of a library with what it cannot say."""
    explorer = make()
    explorer.controls["retries"].value = 3
    explorer.controls["breaker"].value = True
    assert eval(explorer.written("start").removeprefix("start=")) == explorer.settings
    space = {}
    exec(explorer.written(), space)
    assert space["scenario"] == explorer.scenario
    text = explorer.written("resilience4j")
    assert "maxAttempts: 4" in text
    assert "What it cannot say:" in text
    explorer.take_home.button.value = True
    explorer.take_home.menu.value = "start"
    assert "data-copy" in explorer.take_home.text.value
    explorer.controls["retries"].value = 1
    assert "&quot;retries&quot;: 1" in explorer.take_home.text.value


def test_run_without_a_policy_says_so():
    """A deal of numbers has nothing that a library could be configured with."""
    explorer = rl.explore(
        lambda rate=1: {"rate": rate},
        lambda run, figure: None,
        lambda setting, seed: setting,
        lambda run: {},
        size=(4, 3),
        dpi=40,
        rate=(1, 3),
    )
    assert "no policy" in explorer.written("envoy")


def test_unknown_kind_is_told():
    """Of a library that nobody reads."""
    assert "kind must be one of" in make().written("nothing")
