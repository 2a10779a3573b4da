"""The saved page that README shows: made from the explorer of the first notebook, and photographed.

python -m tests.browser.page
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .laboratory import CHROMIUM_OPTIONS
from .test_notebooks import NOTEBOOKS, code_of, code_of_explorers

PAGE = NOTEBOOKS / "pages" / "start_here.html"
PICTURE = NOTEBOOKS / "images" / "page.png"
VALUES: dict[str, list[Any]] = {
    "time_limit": [1.0, 10.0],
    "retries": [0, 2, 4],
    "limit": [0, 30, 16],
    "hang": [2.0, 8.0],
}


def explorer_of(notebook: Path) -> Any:
    """Return the explorer of a notebook, as its cells make it."""
    space: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(NOTEBOOKS)  # where the notebook finds its data
    try:
        for code in code_of_explorers(code_of(notebook)):
            exec(code, space)
    finally:
        os.chdir(before)
    return space["explorer"]


def main() -> None:
    """Write the page and its picture."""
    from playwright.sync_api import sync_playwright

    PAGE.parent.mkdir(exist_ok=True)
    explorer = explorer_of(NOTEBOOKS / "00_start_here.ipynb")
    explorer.save_html(PAGE, "A hang of the database: a limit, retries or a breaker?", values=VALUES)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_OPTIONS)
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.goto(f"{PAGE.as_uri()}#retries=2")
        page.wait_for_selector("#image[src]")
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PAGE.name}: {PAGE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
