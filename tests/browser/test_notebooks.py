"""Every explorer of every notebook, in a real JupyterLab and a real browser, by keyboard alone."""

from __future__ import annotations

import ast
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from .laboratory import NOTEBOOKS, Laboratory, errors, run_all, settle

pytestmark = pytest.mark.browser

HEADLINE = ".resilab-headline"
PICTURE = ".widget-image"
KEYS = ("ArrowRight", "PageUp", "End", "Home", "PageUp")
ANY_KEY = ("ArrowRight", "ArrowLeft", "PageUp", "PageDown", "Home", "End")
MOVED = '.noUi-handle, .widget-toggle-buttons button, .resilab-controls input[type="checkbox"]'
MOVES = 50


def code_of(notebook: Path) -> list[str]:
    """Return the code of each cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def is_explorer(code: str) -> bool:
    """Return whether a cell makes an explorer."""
    return "rl.explore(" in code


def code_of_explorers(cells: list[str]) -> list[str]:
    """Return the cells that make explorers and those that they need: nbval runs the others."""
    needed: set[str] = set()
    kept = []
    for code in reversed(cells):
        names = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
        made = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                made.add(node.name)
            elif isinstance(node, ast.alias):
                made.add(node.asname or node.name)
        if is_explorer(code) or made & needed:
            needed |= {name.id for name in names}
            kept.insert(0, code)
    return kept


WITH_EXPLORER = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if any(map(is_explorer, code_of(path)))]


@pytest.mark.parametrize("notebook", WITH_EXPLORER, ids=lambda path: path.stem)
def test_explorers_answer_to_the_keyboard(notebook: Path, page: Any, laboratory: Laboratory, artifacts: Path) -> None:
    """Move every control of every explorer of a notebook: picture and numbers change, no error shows."""
    cells = code_of_explorers(code_of(notebook))
    run_all(page, laboratory.add(notebook.name, cells))
    explorers = page.locator(".resilab-explorer")
    explorers.first.wait_for()
    assert explorers.count() == sum(map(is_explorer, cells))
    for number in range(explorers.count()):
        explorer = explorers.nth(number)
        explorer.scroll_into_view_if_needed()
        check_labels(explorer)
        check_tab_order(page, explorer)
        seen = {numbers_of(explorer)}
        for slider in explorer.locator(".noUi-handle").all():
            seen |= check_control(page, explorer, slider, KEYS)
        for menu in explorer.locator(".widget-toggle-buttons").all():
            seen |= check_menu(page, explorer, menu)
        for box in explorer.locator('input[type="checkbox"]').all():
            seen |= check_control(page, explorer, box, ("Space",))
        assert len(seen) > 1, "no control changes the headline numbers"
        check_buttons(page, explorer)
        check_many_moves(page, explorer)
        explorer.screenshot(path=artifacts / f"{notebook.stem}_{number}.png")
    assert errors(page) == []


def check_labels(explorer: Any) -> None:
    """Every input has a visible label that is not cut off, and the picture is not empty."""
    inputs = explorer.locator('input:not([type="checkbox"]), select')
    for entry in filter(lambda each: each.is_visible(), inputs.all()):
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
    rows = explorer.locator(".resilab-rows")
    assert rows.locator(".noUi-handle").count() == rows.locator('input[type="number"], select').count()


def check_tab_order(page: Any, explorer: Any) -> None:
    """The tab key reaches every slider, input and button that can be used."""
    things = explorer.locator(".noUi-handle, input, select, button:enabled")
    things.first.focus()
    for thing in filter(lambda each: each.is_visible(), things.all()):
        assert thing.evaluate("each => each === document.activeElement"), "the tab key leaves out a control"
        page.keyboard.press("Tab")


def check_control(page: Any, explorer: Any, control: Any, keys: tuple[str, ...]) -> set[str]:
    """Some of the *keys* change the picture, and none leads to an error; return the numbers that were shown."""
    reset(page, explorer)
    where = control.evaluate("each => each.closest('.widget-inline-hbox').parentElement.textContent")
    choice, colon, _ = where.partition(":")
    if colon:  # "throttle: window" is a setting of the choice "throttle"
        explorer.locator(".resilab-rows select", has=page.locator(f'option:text-is("{choice}")')).select_option(choice)
        settle(page)
    picture = picture_of(explorer)
    control.focus()
    seen = set()
    for key in keys:
        page.keyboard.press(key)
        settle(page)
        check_no_error(explorer)
        seen.add(numbers_of(explorer))
        if picture_of(explorer) != picture and len(seen) > 1:
            break
    assert picture_of(explorer) != picture, f"the picture never changes with {where!r}"
    return seen


def check_menu(page: Any, explorer: Any, menu: Any) -> set[str]:
    """Some choice changes the picture, and none leads to an error; return the numbers that were shown."""
    picture = reset(page, explorer)
    pictures, seen = {picture}, set()
    for choice in menu.locator("button:not(.mod-active)").all():
        choice.focus()
        page.keyboard.press("Enter")
        settle(page)
        check_no_error(explorer)
        pictures.add(picture_of(explorer))
        seen.add(numbers_of(explorer))
    assert len(pictures) > 1, f"the picture never changes with {menu.inner_text()!r}"
    return seen


def reset(page: Any, explorer: Any) -> str:
    """Go back to the first setting; return what tells its picture from another."""
    press(page, explorer, "Reset")
    settle(page)
    return picture_of(explorer)


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


def check_many_moves(page: Any, explorer: Any) -> None:
    """After fifty moves, faster than they can be shown, the picture is that of the controls, and Reset as ever."""
    reset(page, explorer)
    numbers, legends = numbers_of(explorer), name_of_picture(explorer)
    check_boxes(explorer)
    choose_move = random.Random(1)
    things = explorer.locator(MOVED).all()
    for _ in range(MOVES):
        thing = choose_move.choice(things)
        thing.focus()
        page.keyboard.press(choose_move.choice(ANY_KEY) if thing.get_attribute("role") == "slider" else "Space")
    settle(page)
    check_no_error(explorer)
    check_boxes(explorer)
    page.wait_for_function("() => !document.querySelector('.resilab-stale')")
    reset(page, explorer)
    assert numbers_of(explorer) == numbers
    assert name_of_picture(explorer) == legends


def check_boxes(explorer: Any) -> None:
    """No number box shows the noise of binary fractions."""
    for box in explorer.locator('input[type="number"]').all():
        assert re.fullmatch(r"-?\d+(\.\d{1,3})?", box.input_value()), box.input_value()


def name_of_picture(explorer: Any) -> str:
    """Return what the picture says of itself to readers who do not see it."""
    return explorer.locator(PICTURE).get_attribute("title")


def press(page: Any, explorer: Any, name: str) -> None:
    """Press a button with the enter key."""
    explorer.get_by_role("button", name=name).focus()
    page.keyboard.press("Enter")


def picture_of(explorer: Any) -> str:
    """Return what tells one picture from another."""
    return explorer.locator(PICTURE).get_attribute("src")


def numbers_of(explorer: Any) -> str:
    """Return the headline numbers as they are shown."""
    return explorer.locator(HEADLINE).inner_text()
