"""One JupyterLab server and one browser for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from .laboratory import CHROMIUM_OPTIONS, NOTEBOOKS, PATIENCE, Laboratory


@pytest.fixture(scope="session")
def laboratory(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A JupyterLab server on a copy of the notebooks."""
    root = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
    with Laboratory(root, tmp_path_factory.mktemp("jupyter")) as laboratory:
        yield laboratory


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, laboratory: Laboratory) -> Iterator[Any]:
    """An empty page; the kernels that it starts are ended."""
    page = browser.new_page(viewport={"width": 1280, "height": 1100}, locale="en-GB")
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    page.close()
    laboratory.end_kernels()
