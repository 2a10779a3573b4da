"""How long it takes from a key press on a slider to the new picture in the page.

    python -m tests.browser.latency [--moves 40] [--shot picture.png]

It opens a notebook in JupyterLab in a real Chromium, with explorers of the same picture
size, and moves them in turn: one that shows ready-made pictures, which is the floor, one
that simulates an M/M/c queue behind a circuit breaker, and ones with five policies: moved
on by a step each time, to and fro, where every setting is known, and without the worker
that plays the neighbours of a setting before they are asked for. Then it measures the
parts of a move without a browser.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import resilab as rl

from ..benchmarks.tables import parts_of_a_move
from .laboratory import CHROMIUM_OPTIONS, Laboratory, run_all

SCENARIOS = """
import ipywidgets
import resilab as rl

service = rl.Service(
    workers=10, latency=rl.Exponential(mean=0.1), queue_limit=100, failure_rate=0.05,
    faults=(rl.Outage(start=20, duration=10),),
)
breaker = rl.CircuitBreaker(timeout=5.0)
base = rl.Scenario(rl.Poisson(rate=60), service, rl.ResiliencePolicy(breaker, rl.Timeout(1.0)), duration=60.0)
stack = rl.ResiliencePolicy(
    rl.Fallback("cached page"), rl.Retry(max_retries=2), breaker, rl.Bulkhead(30), rl.Timeout(1.0)
)

def one(failures=1):
    return base.replace(service=service.replace(failure_rate=failures / 200))

def five(failures=1):
    return one(failures).replace(policy=stack)
"""
FLOOR = '''
from resilab.widgets.explorer import Explorer

class Floor(Explorer):
    """Shows one of two pictures, with nothing to compute."""

    def _show(self, settings):
        self._ready = getattr(self, "_ready", [])
        if len(self._ready) < 2:
            super()._show(settings)
            self._ready.append(self.image.value)
            return
        self.image.value = self._ready[(settings["failures"] + 1) % 2]
        self.headline.value = self.headline.value + " "
        self._front.shown = [control.asked for control in self._controls]

floor = Floor(one, None, None, None, 1, (10.0, 5.6), 80, {"failures": (1, 100)})
floor.controls["failures"].value += 1
floor
'''
EXPLORERS = {
    "floor: ready-made pictures": FLOOR,
    "circuit breaker and timeout": "rl.explore(one, failures=(1, 100))",
    "five policies": "rl.explore(five, failures=(1, 100))",
    "five policies, to and fro": "rl.explore(five, failures=(1, 100))",
    "five policies, not foreseen": """
surprised = rl.explore(five, failures=(1, 100))
surprised._next._tasks = lambda: iter(())
surprised""",
}
SPY = """
window.spy = {pressed: 0, image: null, before: null, shown: 0};
window.addEventListener('keydown', () => { spy.pressed = performance.now(); }, true);
function look() {
    const image = spy.image;
    if (image && !spy.shown && spy.pressed && image.src !== spy.before && image.complete && image.naturalWidth)
        spy.shown = performance.now();
    requestAnimationFrame(look);
}
requestAnimationFrame(look);
"""
WATCH = "image => { Object.assign(spy, {image: image, before: image.src, pressed: 0, shown: 0}); }"


def move(page: Any, explorer: Any, key: str) -> float:
    """Press a key on the slider; return the milliseconds until the new picture is painted."""
    explorer.locator(".widget-image").evaluate(WATCH)
    explorer.locator(".noUi-handle").focus()
    page.keyboard.press(key)
    page.wait_for_function("spy.shown > 0", timeout=20_000)
    took = page.evaluate("spy.shown - spy.pressed")
    page.wait_for_timeout(250)
    return took


def in_the_browser(chromium: str, moves: int, shot: str | None) -> dict[str, list[float]]:
    """Return the latencies of each explorer, in milliseconds; the explorers take turns."""
    from playwright.sync_api import sync_playwright

    root = Path(tempfile.mkdtemp())
    (root / "notebooks").mkdir()
    try:
        with Laboratory(root / "notebooks", root) as laboratory, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
            page = browser.new_page(viewport={"width": 1280, "height": 1100}, locale="en-GB")
            page.add_init_script(SPY)
            run_all(page, laboratory.add("latency.ipynb", [SCENARIOS, *EXPLORERS.values()]))
            explorers = page.locator(".resilab-explorer").all()
            times: dict[str, list[float]] = {name: [] for name in EXPLORERS}
            for turn in range(moves + 2):
                for name, explorer in zip(EXPLORERS, explorers, strict=True):
                    is_back = name.endswith("fro") and turn % 2
                    took = move(page, explorer, "ArrowLeft" if is_back else "ArrowRight")
                    if turn >= 2:  # the first moves widen the axes
                        times[name].append(took)
            if shot:
                page.screenshot(path=shot)
            browser.close()
        return times
    finally:
        shutil.rmtree(root)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--shot", help="where to save a picture of the page")
    options = parser.parse_args()
    space: dict[str, Any] = {}
    exec(SCENARIOS, space)
    requests = len(rl.simulate(space["one"](), seed=1))
    print(f"key press to picture, ms, {options.moves} moves, {requests} requests a move")
    for name, values in in_the_browser(options.chromium, options.moves, options.shot).items():
        low, median, high = np.percentile(values, (5, 50, 95))
        print(f"  {name:30} median {median:6.1f}   p5 {low:6.1f}   p95 {high:6.1f}")
    for name in ("one", "five"):
        parts = parts_of_a_move(space[name], options.moves)
        print(f"parts of a move, {name}, processor ms, median (least)")
        for part, values in parts.items():
            print(f"  {part:30} {statistics.median(values):6.1f} ({min(values):.1f})")


if __name__ == "__main__":
    main()
