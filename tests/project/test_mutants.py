"""The list of mutants is kept up to date; `python -m tests.mutants` plays them."""

from __future__ import annotations

import pytest

from ..mutants import MUTANTS, ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.slip)
def test_every_mutant_applies_and_names_a_test_that_exists(mutant):
    assert (ROOT / "resilab" / "resilience" / mutant.file).read_text().count(mutant.right) == 1
    file, _, name = mutant.test.partition("::")
    text = (ROOT / "tests" / file).read_text()
    assert f"def {name}(" in text or f"{name} =" in text or not name
