"""README.md keeps its word: commands, links, names and code. Its examples are doctests."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

import resilab

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = [line for line in TEXT.splitlines() if line.startswith("| ")][1:]


def blocks(language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


def test_two_commands_set_up_and_open_the_lab_or_pass_all_tests():
    """Each is one line, and differs from the other in its last step only."""
    opens, tests = (block.strip() for block in blocks("sh"))
    assert "\n" not in opens + tests
    assert opens.rpartition(" && ")[0] == tests.rpartition(" && ")[0]
    assert opens.endswith(".venv/bin/jupyter lab notebooks/00_start_here.ipynb")
    assert {"--nbval", "-n", "--dist"} <= set(tests.rpartition(" && ")[2].split())


def test_ci_runs_the_test_command_of_the_readme():
    """`.ci/run` takes the command from here, so that the two cannot drift apart."""
    pattern = re.search(r"^pattern='(.*)'$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.M)
    assert pattern is not None
    assert re.findall(pattern[1], TEXT, re.M) == [blocks("sh")[1].strip()]


def test_links_lead_to_files():
    """Every relative link and picture is there."""
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_links_and_picture_lead_somewhere_from_a_package_index():
    """There, relative links lead nowhere: the build makes them absolute."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = TEXT
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == len(re.findall(r"\]\(([^)]+)\)", TEXT))
    assert [link for link in links if not link.startswith("https://")] == []
    repository = project["project"]["urls"]["Repository"]
    assert f"({repository}/blob/HEAD/notebooks/00_start_here.ipynb)" in text
    assert re.search(r"!\[[^]]+\]\(https://raw\.githubusercontent\.com/\S+/HEAD/notebooks/images/overview\.png\)", text)


def test_table_lists_every_notebook_once():
    """A reader finds each notebook, except the start, by its pattern."""
    listed = re.findall(r"\]\((notebooks/[^)]+)\)", "\n".join(TABLE))
    there = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert ["notebooks/00_start_here.ipynb", *listed] == there


def test_table_names_public_classes():
    """What stands in the column of classes can be imported."""
    names = [name for line in TABLE for name in re.findall(r"`(\w+)`", line.split("|")[2])]
    assert len(names) >= 15
    assert [name for name in names if not hasattr(resilab, name)] == []


def test_badge_opens_the_first_notebook_and_its_address_is_written_once():
    """Another repository address is a change of one line."""
    (address,) = re.findall(r"https://mybinder\.org/v2/\S+", TEXT)
    path = address.partition("urlpath=lab/tree/")[2]
    assert path == "notebooks/00_start_here.ipynb"
    assert TEXT.rstrip().endswith(f"[binder]: {address}")


@pytest.mark.slow
def test_code_without_output_runs_after_the_examples():
    """Blocks that are not doctests use the names that the examples have made."""
    names: dict[str, object] = {}
    examples = doctest.DocTestParser().get_doctest(TEXT, names, "README.md", "README.md", 0)
    doctest.DocTestRunner(verbose=False).run(examples, out=lambda _: None, clear_globs=False)
    names.update(examples.globs)
    plain = [block for block in blocks("python") if ">>>" not in block]
    assert plain
    for block in plain:
        exec(block, names)
