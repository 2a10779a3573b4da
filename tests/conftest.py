"""What all tests share: a fixed course for random tests, a browser, a place for pictures.

With `RESILAB_REQUIRE_ALL=1`, as in `.ci/run`, a test that would be skipped fails:
nothing goes unseen because something is missing on the machine.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("resilab", deadline=None, derandomize=True)
settings.load_profile("resilab")

REQUIRES_ALL = bool(os.environ.get("RESILAB_REQUIRE_ALL"))
ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; the test is skipped where there is none."""
    found = os.environ.get("RESILAB_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install one, or set RESILAB_CHROMIUM to its path")
    return found


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder for pictures that a person may want to look at after the tests."""
    folder = ROOT / ".artifacts"
    folder.mkdir(exist_ok=True)
    return folder


def pytest_collection_modifyitems(config, items):
    """Leave out the browser tests, unless `-m` names them: one Chromium at a time, and not beside two workers."""
    if "browser" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("browser")]
        items[:] = [item for item in items if not item.get_closest_marker("browser")]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report):
    if REQUIRES_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\nNothing may be skipped here: RESILAB_REQUIRE_ALL is set."
    return report
