"""Notebooks lead to each other: every one that a notebook names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_that_is_named_is_there(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    named = set(re.findall(r"\b\d\d_[a-z_]+\.ipynb", prose))
    assert named - {each.name for each in NOTEBOOKS} == set()


def test_the_first_notebook_leads_to_all_others():
    first, *others = NOTEBOOKS
    text = first.read_text(encoding="utf-8")
    assert [path.name for path in others if f"]({path.name})" not in text] == []
