"""An explorer is whole at every width, honest without a kernel, and has a cursor of time; in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .laboratory import Laboratory, choose, errors, run_all, settle
from .test_explorer import EXPLORER

pytestmark = pytest.mark.browser

PIXELS = """image => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""
COLOURS = """image => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    const found = {white: 0, green: 0};
    for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue] = data.slice(at, at + 3);
        found.white += Math.min(red, green, blue) > 240;
        found.green += green > 120 && green - red > 60;
    }
    return Object.fromEntries(Object.entries(found).map(([name, count]) => [name, 4 * count / data.length]));
}"""
INSIDE = """(root, picture) => {
    const [outer, inner] = [root.getBoundingClientRect(), picture.getBoundingClientRect()];
    return inner.width > 200 && inner.left >= outer.left - 1 && inner.right <= outer.right + 1;
}"""


@pytest.mark.parametrize("width", [1024, 1440, 2560])
def test_picture_fits_every_width(width: int, page: Any, laboratory: Laboratory) -> None:
    """The picture keeps its shape, nothing is cut off, and at 150 % too."""
    run_all(page, laboratory.add("widths.ipynb", [EXPLORER]))
    explorer = page.locator(".resilab-explorer")
    image = explorer.locator(".resilab-picture img")
    image.wait_for()
    for zoom in (1.0, 1.5):
        page.set_viewport_size({"width": round(width / zoom), "height": round(900 / zoom)})
        page.wait_for_timeout(600)
        settle(page)
        shape = image.evaluate("each => [each.naturalWidth / each.naturalHeight, each.clientWidth / each.clientHeight]")
        assert shape[0] == pytest.approx(shape[1], rel=0.02)
        assert explorer.evaluate(INSIDE, image.element_handle())


def test_one_screen_holds_controls_verdict_and_picture(page: Any, laboratory: Laboratory) -> None:
    """At 1440 x 900 nothing has to be scrolled."""
    page.set_viewport_size({"width": 1440, "height": 900})
    run_all(page, laboratory.add("screen.ipynb", [EXPLORER]))
    explorer = page.locator(".resilab-explorer")
    explorer.locator(".resilab-picture img").wait_for()
    page.wait_for_timeout(600)
    assert explorer.bounding_box()["height"] < 700


def test_picture_of_a_dead_kernel_is_dimmed_at_once(page: Any, laboratory: Laboratory) -> None:
    """Whoever moves a control without a kernel sees that the picture is not that of the controls."""
    run_all(page, laboratory.add("dead.ipynb", [EXPLORER]))
    explorer = page.locator(".resilab-explorer")
    explorer.locator(".resilab-picture img").wait_for()
    page.wait_for_timeout(500)
    settle(page)
    assert "resilab-stale" not in explorer.get_attribute("class")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(500)
    took = page.evaluate(
        """async () => {
            const handle = document.querySelector('.resilab-explorer .noUi-handle');
            handle.focus();
            const began = performance.now();
            for (let step = 0; step < 3; step += 1)  // the settings one move away are in the page already
                handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
            while (!document.querySelector('.resilab-stale')) {
                await new Promise(requestAnimationFrame);
                if (performance.now() - began > 3000) return -1;
            }
            return performance.now() - began;
        }"""
    )
    assert took >= 0


def test_what_was_shown_is_shown_again_without_the_kernel(page: Any, laboratory: Laboratory) -> None:
    """To and fro: picture, verdict and numbers of a setting come back at once, however busy or dead the kernel is."""
    run_all(page, laboratory.add("again.ipynb", [EXPLORER]))
    explorer = page.locator(".resilab-explorer")
    image, handle = explorer.locator(".resilab-picture img"), explorer.locator(".noUi-handle")
    image.wait_for()
    page.wait_for_timeout(600)
    settle(page)

    def seen() -> list[str]:
        page.wait_for_function("each => each.complete && each.naturalWidth", arg=image.element_handle())
        texts = [explorer.locator(f".resilab-{part}").inner_text() for part in ("verdict", "headline")]
        return [image.evaluate(PIXELS), texts[0], texts[1].partition("seeds")[0]]

    views = [seen()]
    for key in ("ArrowRight", "ArrowRight"):
        handle.focus()
        page.keyboard.press(key)
        settle(page)
        views.append(seen())
    assert len({view[0] for view in views}) == 3
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(500)
    for key, number in (("ArrowLeft", 1), ("ArrowLeft", 0), ("ArrowRight", 1), ("ArrowRight", 2)):
        handle.focus()
        page.keyboard.press(key)
        page.wait_for_timeout(200)
        assert "resilab-stale" not in explorer.get_attribute("class")
        assert seen() == views[number]


def test_dark_page_has_dark_pictures_with_the_same_colours(page: Any, laboratory: Laboratory) -> None:
    """Paper and ink change places; green stays green."""
    run_all(page, laboratory.add("dark.ipynb", [EXPLORER]))
    image = page.locator(".resilab-explorer .resilab-picture img")
    image.wait_for()
    page.wait_for_timeout(600)
    settle(page)
    light = image.evaluate(COLOURS)
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_function(
        "([each, src]) => each.src !== src", arg=[image.element_handle(), image.get_attribute("src")]
    )
    settle(page)
    page.wait_for_timeout(500)
    dark = image.evaluate(COLOURS)
    assert (light["white"] > 0.3, dark["white"] < 0.05) == (True, True)
    assert dark["green"] == pytest.approx(light["green"], rel=0.2)
    assert page.locator(".resilab-other-theme").count() == 0


def test_saved_picture_is_there_without_a_kernel(page: Any, laboratory: Laboratory) -> None:
    """A notebook that was run, saved and opened again shows a picture."""
    address = laboratory.add("saved.ipynb", [EXPLORER])
    run_all(page, address)
    page.locator(".resilab-explorer .resilab-picture img").wait_for()
    assert page.locator(".jp-RenderedImage img:visible").count() == 0, "two pictures where one is alive"
    choose(page, "File", "docmanager:save")
    page.wait_for_timeout(1500)
    laboratory.end_kernels()
    page.goto(address.replace("&reset", ""), wait_until="domcontentloaded")
    page.locator(".jp-RenderedImage img, .resilab-picture img").first.wait_for()


def test_cursor_walks_through_time(page: Any, laboratory: Laboratory) -> None:
    """Over the picture, the page says what happened then; play lets time pass; keys step."""
    run_all(page, laboratory.add("cursor.ipynb", [EXPLORER]))
    explorer = page.locator(".resilab-explorer")
    image = explorer.locator(".resilab-picture img")
    image.wait_for()
    page.wait_for_timeout(600)
    settle(page)
    box = image.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.25 * box["height"])
    words = explorer.locator(".resilab-now span")
    assert re.match(r"t = \d+\.\d s: .*queue \d+", words.inner_text())
    assert explorer.locator(".resilab-cursor:visible").count() == 3
    before = words.inner_text()
    explorer.locator(".resilab-now button").focus()
    page.keyboard.press("]")
    assert words.inner_text() != before
    page.keyboard.press("Enter")
    page.wait_for_function("([each, text]) => each.textContent !== text", arg=[words.element_handle(), before])


def test_one_request_is_followed(page: Any, laboratory: Laboratory) -> None:
    """A click on the picture, or F, follows the request that arrives then; its story stands below."""
    run_all(page, laboratory.add("following.ipynb", [EXPLORER]))
    explorer = page.locator(".resilab-explorer")
    image = explorer.locator(".resilab-picture img")
    image.wait_for()
    page.wait_for_timeout(600)
    settle(page)
    story = explorer.locator(".resilab-following")
    assert not story.is_visible()
    box = image.bounding_box()
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.25 * box["height"])
    explorer.locator(".resilab-phases").wait_for()
    first = story.inner_text()
    assert re.search(r"Request \d+, arrives at \d+\.\d\d s", first)
    story.get_by_role("button", name="Next").click()
    page.wait_for_function("([each, text]) => each.innerText !== text", arg=[story.element_handle(), first])
    story.get_by_role("button", name="Leave").click()
    explorer.locator(".resilab-phases").wait_for(state="hidden")
    explorer.locator(".resilab-now button").focus()
    page.keyboard.press("f")
    explorer.locator(".resilab-phases").wait_for()


def test_evidence_comes_while_nobody_moves(page: Any, laboratory: Laboratory) -> None:
    """The numbers gain an interval, the picture stays, and a click shows every seed."""
    run_all(page, laboratory.add("evidence.ipynb", [EXPLORER]))
    explorer = page.locator(".resilab-explorer")
    image = explorer.locator(".resilab-picture img")
    image.wait_for()
    explorer.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    before = image.get_attribute("src")
    page.wait_for_function("() => document.querySelector('.resilab-headline').textContent.includes('12 seeds')")
    assert "±" in explorer.locator(".resilab-headline").inner_text()
    assert image.get_attribute("src") == before
    details = explorer.locator("details")
    details.locator("summary").click()
    assert details.locator("tr:visible").count() == 13


SEARCH = """
import resilab as rl

def build(retries=0, failure_rate=0.2):
    service = rl.Service(50, 0.05, failure_rate=failure_rate)
    return rl.Scenario(rl.Poisson(20), service, rl.Retry(retries, initial_delay=0.01), duration=20.0)

rl.explore(build, retries=(0, 5), failure_rate=(0.0, 0.5), slo=rl.SLO(within=1.0, answered=0.97))
"""


def test_best_is_found_while_the_page_lives(page: Any, laboratory: Laboratory) -> None:
    """The search shows where the objective holds along the slider, and a button goes there."""
    run_all(page, laboratory.add("search.ipynb", [SEARCH]))
    explorer = page.locator(".resilab-explorer")
    explorer.locator(".resilab-picture img").wait_for()
    explorer.get_by_role("button", name="Find best").click()
    explorer.locator(".resilab-strip").wait_for()
    explorer.get_by_role("button", name="Jump there").click()
    settle(page)
    assert explorer.locator('input[type="number"]').first.input_value() == "2"
    assert errors(page) == []
