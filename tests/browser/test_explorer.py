"""An explorer for those who use no mouse or see no picture, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from .laboratory import Laboratory, errors, run_all, settle
from .test_notebooks import check_labels, check_tab_order, numbers_of, picture_of

pytestmark = pytest.mark.browser

EXPLORER = """
import resilab as rl

service = rl.Service(workers=1, latency=rl.Exponential(mean=0.1))
base = rl.Scenario(rl.Poisson(rate=20), service, duration=10.0)

def build(workers=1):
    return base.replace(service=service.replace(workers=workers))

rl.explore(build, workers={name: number for number, name in enumerate("one two three four five six seven".split(), 1)})
"""


@pytest.fixture(params=["lab/tree", "notebooks"], ids=["lab", "notebook"])
def explorer(page: Any, laboratory: Laboratory, request: pytest.FixtureRequest) -> Any:
    """An explorer with a long list of choices, in JupyterLab and in Jupyter Notebook."""
    if request.param == "notebooks":
        pytest.importorskip("notebook")
    run_all(page, laboratory.add("explorer.ipynb", [EXPLORER], request.param))
    explorer = page.locator(".resilab-explorer")
    explorer.locator("img").wait_for()
    return explorer


def press(page: Any, explorer: Any, key: str) -> None:
    """Press a key on the slider, and wait for the picture."""
    explorer.locator(".noUi-handle").focus()
    page.keyboard.press(key)
    settle(page)


def chosen(explorer: Any) -> str:
    """Return what the menu shows."""
    return explorer.locator(".resilab-rows select").evaluate("each => each.options[each.selectedIndex].text")


def test_long_list_is_moved_by_arrow_keys(page: Any, explorer: Any) -> None:
    """The arrow keys go from choice to choice; menu, picture and numbers follow."""
    seen = {chosen(explorer): numbers_of(explorer)}
    check_labels(explorer)
    check_tab_order(page, explorer)
    for key, choice in (("ArrowRight", "two"), ("ArrowUp", "three"), ("ArrowLeft", "two"), ("ArrowDown", "one")):
        picture = picture_of(explorer)
        press(page, explorer, key)
        assert chosen(explorer) == choice
        assert picture_of(explorer) != picture
        assert seen.setdefault(choice, numbers_of(explorer)) == numbers_of(explorer)
    assert len(set(seen.values())) == 3
    assert errors(page) == []


def test_long_list_goes_to_its_ends_and_is_chosen_from(page: Any, explorer: Any) -> None:
    """End and Home reach the last and the first choice, and the menu moves the slider."""
    slider = explorer.locator(".noUi-handle")
    for key, choice in (("End", "seven"), ("Home", "one")):
        press(page, explorer, key)
        assert chosen(explorer) == choice
    before = picture_of(explorer)
    explorer.locator(".resilab-rows select").select_option("three")
    settle(page)
    assert picture_of(explorer) != before
    assert float(slider.get_attribute("aria-valuenow")) == 2
    assert errors(page) == []


def test_picture_is_named_for_a_screen_reader(page: Any, explorer: Any) -> None:
    """The name that the browser gives to the picture says what it shows, with the numbers of the moment."""
    first = name_of_picture(page, explorer)
    assert first.startswith("Picture: requests per second over time (s)")
    assert "calls per request 1.00" in first
    press(page, explorer, "End")
    last = name_of_picture(page, explorer)
    numbers = explorer.locator(".resilab-headline td").all_inner_texts()
    assert last != first
    assert all(number in last for number in numbers)


def name_of_picture(page: Any, explorer: Any) -> str:
    """Return the name of the picture in the browser's accessibility tree."""
    explorer.locator("img").evaluate("each => each.dataset.here = 1")
    session = page.context.new_cdp_session(page)
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    node = session.send("DOM.querySelector", {"nodeId": root, "selector": "img[data-here]"})["nodeId"]
    entry = session.send("Accessibility.getPartialAXTree", {"nodeId": node, "fetchRelatives": False})["nodes"][0]
    session.detach()
    assert entry["role"]["value"] in ("image", "img")
    return entry["name"]["value"]
