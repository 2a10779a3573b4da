"""Notebooks lead to each other: every one that a notebook names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

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


def prose_of(path: Path) -> str:
    """Return the text of a notebook without its code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def anchors_of(path: Path) -> set[str]:
    """Return what can stand after the # in a link to a notebook: its headings, as Jupyter and GitHub spell them."""
    return {title.strip().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", prose_of(path), re.M)}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_link_into_a_notebook_leads_to_a_heading(path):
    folder = path.parent
    links = re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", prose_of(path))
    inside = [(file or path.name, unquote(anchor)) for file, anchor in links if "://" not in file]
    assert [link for link in inside if link[1] not in anchors_of(folder / link[0])] == []


def test_the_first_notebook_leads_from_a_symptom_to_a_heading():
    rows = prose_of(NOTEBOOKS[0]).partition("## Found by symptom")[2].partition("\n## ")[0]
    symptoms = [row for row in re.findall(r"^\| (.+?) \| (.+) \|$", rows, re.M) if row[0] != "you see"]
    assert len(symptoms) >= 7
    assert [symptom for symptom, where in symptoms if not re.search(r"\]\(\d\d_[a-z_]+\.ipynb#", where)] == []


def test_each_of_the_seventeen_questions_has_an_answer():
    listed = prose_of(next(path for path in NOTEBOOKS if path.stem == "20_asked_by_others"))
    rows = re.findall(r"^\| (\d+) \| .+ \| .*\]\(\S*#\S+\).* \|$", listed, re.M)
    assert [int(row) for row in rows] == list(range(1, 18))


def test_the_table_of_what_the_lab_was_held_against_counts_right():
    method = prose_of(NOTEBOOKS[-1])
    root = NOTEBOOKS[0].parents[1]
    cases = json.loads((root / "tests/data/conformance.json").read_text(encoding="utf-8"))
    assert f"{len(cases)} scripted cases" in method
    recorded = json.loads((root / "tests/data/engines.json").read_text(encoding="utf-8"))["rows"]
    assert f"{len(recorded)} configurations that Envoy and gRPC have played" in method
    fit = (root / "notebooks/14_your_own_service.ipynb").read_text(encoding="utf-8")
    for measures in re.search(r"(\d+) measures, and (\d+) of a half", method).groups():
        assert f"Check({measures} measures: all fit)" in fit
    engines = "".join(path.read_text(encoding="utf-8") for path in (root / "tests/engines").glob("*.*"))
    names = ("tenacity", "stamina", "hyx", "pybreaker", "botocore", "opossum", "cockatiel", "envoy", "grpc")
    assert [name for name in names if name not in engines.lower() or name not in method.lower()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_that_asks_for_a_prediction_settles_it(path):
    """With a table "you said / it is", or with the answers in its text."""
    text = prose_of(path)
    by_prose = path.stem[:2] in ("05", "07", "08", "09", "11", "90")
    assert "## Your prediction" not in text or "| you said | it is |" in text or by_prose
