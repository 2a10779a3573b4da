"""A saved page, opened from its file: moved by keyboard, its address copied and opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import resilab as rl

pytestmark = pytest.mark.browser


def build(workers: int = 5, limit: float = 0.5, breaker: bool = False) -> rl.Scenario:
    """How many workers does it take, and does a breaker help?"""
    fault = rl.Outage(start=10, duration=5, mode="hang")
    service = rl.Service(workers, rl.Exponential(0.1), faults=fault)
    policy = rl.ResiliencePolicy(*([rl.CircuitBreaker(timeout=2.0)] if breaker else []), rl.Timeout(limit))
    return rl.Scenario(rl.Poisson(rate=40), service, policy, duration=30.0)


def test_saved_page_needs_no_server(browser: Any, tmp_path: Path, artifacts: Path) -> None:
    """Controls, presets, verdict, cursor and address work on a file, with no request to any network."""
    presets = {"too few": ({"workers": 1}, "One worker serves ten a second.")}
    explorer = rl.explore(build, presets=presets, workers=(1, 8), limit=(0.1, 2.0, 0.1), breaker=False)
    path = explorer.save_html(artifacts / "page.html", states=60, progress=False)
    assert path.stat().st_size < 60 * 25_000
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("#image[src]")
    first = page.locator("#image").get_attribute("src")
    for control in page.locator("#controls input").all():
        page.get_by_role("button", name="Reset").click()
        control.focus()
        page.keyboard.press("Space" if control.get_attribute("type") == "checkbox" else "Home")
        assert page.locator("#image").get_attribute("src") != first, "a control changes nothing"
    assert "against the start" in page.locator("#verdict").inner_text()
    address, numbers = page.url, page.locator("#headline").inner_text()
    again = context.new_page()
    again.goto(address)
    again.wait_for_selector("#image[src]")
    assert again.locator("#headline").inner_text() == numbers
    page.get_by_role("button", name="too few").click()
    assert page.locator("#says").inner_text() == "One worker serves ten a second."
    assert "workers=1" in page.url
    box = page.locator("#image").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    assert page.locator(".resilab-now span").inner_text().startswith("t = ")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "one screen"
    page.screenshot(path=artifacts / "page.png")
    assert failed == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()
