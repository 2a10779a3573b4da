"""The saved page that README shows is that of the present code."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re

import pytest

from resilab.widgets.verdict import table
from tests.browser.page import NOTEBOOKS, PAGE, VALUES, explorer_of


@pytest.mark.slow
def test_shipped_page_shows_what_the_first_notebook_does():
    """Its start has the numbers of the explorer now, and its presets; else make it anew: see `tests.browser.page`."""
    text = PAGE.read_text(encoding="utf-8")
    packed = re.search(r'id="data">([^<]+)<', text)[1]
    data = json.loads(gzip.decompress(base64.b64decode(packed)))
    explorer = explorer_of(NOTEBOOKS / "00_start_here.ipynb")
    start = 0
    for control in data["controls"]:
        start = start * len(control["words"]) + control["start"]
    assert data["states"][start]["table"] == table(explorer.numbers, {})
    assert [preset["name"] for preset in data["presets"]] == list(explorer.presets)
    assert len(data["states"]) == 2 * math.prod(map(len, VALUES.values()))
    assert PAGE.stat().st_size < 25_000 * len(data["states"])
    assert not re.search(r'(src|href)="(https?:)?//', text)
