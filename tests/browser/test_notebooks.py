"""Every explorer of every notebook, in a real JupyterLab and a real browser, by keyboard alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .laboratory import NOTEBOOKS, Laboratory, errors, run_all

pytestmark = pytest.mark.browser

HEADLINE = ".resilab-headline"
PICTURE = ".widget-image"
MESSAGE = ".resilab-message"
IS_SETTLED = """([image, message, old]) => {
    const kernel = document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status;
    if (kernel !== 'idle' || message.textContent.includes('working')) window.quietSince = performance.now();
    return image.src !== old || performance.now() - window.quietSince > 1000;
}"""
KEYS = ("ArrowRight", "PageUp", "End", "Home", "PageUp")


def explorers_in(notebook: Path) -> int:
    """Return how many cells make an explorer."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum("rl.explore(" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


WITH_EXPLORER = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if explorers_in(path)]


@pytest.mark.parametrize("notebook", WITH_EXPLORER, ids=lambda path: path.stem)
def test_explorers_answer_to_the_keyboard(notebook: Path, page: Any, laboratory: Laboratory, artifacts: Path) -> None:
    """Run all cells, then move every control of every explorer: picture and numbers change, no error shows."""
    run_all(page, laboratory.url(notebook.name))
    explorers = page.locator(".resilab-explorer")
    explorers.first.wait_for()
    assert explorers.count() == explorers_in(notebook)
    for number in range(explorers.count()):
        explorer = explorers.nth(number)
        explorer.scroll_into_view_if_needed()
        check_labels(explorer)
        check_tab_order(page, explorer)
        for slider in explorer.locator(".noUi-handle").all():
            check_control(page, explorer, slider, KEYS)
        for menu in explorer.locator(".widget-toggle-buttons").all():
            check_menu(page, explorer, menu)
        for box in explorer.locator('input[type="checkbox"]').all():
            check_control(page, explorer, box, ("Space",))
        check_buttons(page, explorer)
        explorer.screenshot(path=artifacts / f"{notebook.stem}_{number}.png")
    assert errors(page) == []


def check_labels(explorer: Any) -> None:
    """Every input has a visible label that is not cut off, and the picture is not empty."""
    inputs = explorer.locator('input:not([type="checkbox"]), select')
    for entry in inputs.all():
        name = entry.evaluate("each => each.labels[0]?.textContent.trim() ?? ''")
        assert name, "an input has no label"
        label = explorer.locator("label.widget-label", has_text=name).first
        assert label.is_visible()
        assert label.evaluate("each => each.scrollWidth <= each.clientWidth"), f"the label {name!r} is cut off"
    for group in explorer.locator(".widget-checkbox, .widget-toggle-buttons").all():
        assert group.inner_text().strip(), "a tick box or a menu has no label"
    for label in explorer.locator(".widget-toggle-buttons > label").all():
        assert label.evaluate("each => each.scrollWidth <= each.clientWidth"), f"{label.inner_text()!r} is cut off"
    assert explorer.locator(PICTURE).evaluate("each => each.naturalWidth") > 100
    assert explorer.locator(".noUi-handle").count() == explorer.locator('input[type="number"]').count()


def check_tab_order(page: Any, explorer: Any) -> None:
    """The tab key reaches every slider, input and button."""
    things = explorer.locator(".noUi-handle, input, select, button")
    things.first.focus()
    for thing in things.all():
        assert thing.evaluate("each => each === document.activeElement"), "the tab key leaves out a control"
        page.keyboard.press("Tab")


def check_control(page: Any, explorer: Any, control: Any, keys: tuple[str, ...]) -> None:
    """Some of the *keys* change the picture and the headline numbers, and none leads to an error."""
    picture, numbers = state_of(explorer)
    control.focus()
    has_new_picture = has_new_numbers = False
    for key in keys:
        before = state_of(explorer)[0]
        page.keyboard.press(key)
        settle(page, explorer, before)
        now = state_of(explorer)
        has_new_picture |= now[0] != picture
        has_new_numbers |= now[1] != numbers
        check_no_error(explorer)
        if has_new_picture and has_new_numbers:
            return
    where = control.evaluate("each => each.closest('.widget-hbox, .widget-inline-hbox').textContent")
    assert has_new_picture, f"the picture never changes with {where!r}"
    assert has_new_numbers, f"the numbers never change with {where!r}"


def check_menu(page: Any, explorer: Any, menu: Any) -> None:
    """Some choice changes the picture and the headline numbers, and none leads to an error."""
    picture, numbers = state_of(explorer)
    has_new_picture = has_new_numbers = False
    for choice in menu.locator("button:not(.mod-active)").all():
        before = state_of(explorer)[0]
        choice.focus()
        page.keyboard.press("Enter")
        settle(page, explorer, before)
        check_no_error(explorer)
        now = state_of(explorer)
        has_new_picture |= now[0] != picture
        has_new_numbers |= now[1] != numbers
    assert has_new_picture, f"the picture never changes with {menu.inner_text()!r}"
    assert has_new_numbers, f"the numbers never change with {menu.inner_text()!r}"


def check_no_error(explorer: Any) -> None:
    """The explorer shows no error."""
    assert explorer.locator('[role="alert"]').count() == 0, explorer.locator(".resilab-message").inner_text()


def check_buttons(page: Any, explorer: Any) -> None:
    """Keep as baseline, show as code and reset work by keyboard."""
    row = explorer.locator(HEADLINE).get_by_role("rowheader", name="baseline")
    press(page, explorer, "Keep as baseline")
    row.wait_for()
    press(page, explorer, "Show as code")
    explorer.locator("pre", has_text="scenario = ").wait_for()
    press(page, explorer, "Reset")
    row.wait_for(state="detached")


def press(page: Any, explorer: Any, name: str) -> None:
    """Press a button with the enter key."""
    explorer.get_by_role("button", name=name).focus()
    page.keyboard.press("Enter")


def state_of(explorer: Any) -> tuple[str, str]:
    """Return what tells one picture from another, and the headline numbers."""
    return explorer.locator(PICTURE).get_attribute("src"), explorer.locator(HEADLINE).inner_text()


def settle(page: Any, explorer: Any, picture: str) -> None:
    """Wait for another picture, or until it is clear that there will be none."""
    handles = [explorer.locator(each).element_handle() for each in (PICTURE, MESSAGE)]
    page.evaluate("window.quietSince = performance.now()")
    page.wait_for_function(IS_SETTLED, arg=[*handles, picture], timeout=30_000)
    page.wait_for_timeout(100)  # the numbers follow the picture
