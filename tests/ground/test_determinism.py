"""The same scenario and seed give the same rows everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..digest import SCENARIOS, digests

ROOT = Path(__file__).parents[2]


def in_another_process(**environment):
    run = subprocess.run(
        [sys.executable, "-m", "tests.digest"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return dict(line.rsplit(" ", 1) for line in run.stdout.splitlines())


@pytest.fixture(scope="module")
def here():
    return digests(SCENARIOS)


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["0", "1234"])
def test_another_process_and_another_hash_seed_give_the_same_bits(here, hash_seed):
    assert in_another_process(PYTHONHASHSEED=hash_seed) == here


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["public", "private"])
def test_simpys_public_api_alone_gives_the_same_bits(here, engine):
    """The engine without private attributes is slower and nothing else, up to a horizon, where it needs a step more."""
    there = in_another_process(RESILAB_ENGINE=engine)
    whole = {name: value for name, value in here.items() if not name.endswith(" cut")}
    assert whole == {name: there[name] for name in whole}


@pytest.mark.slow
def test_the_order_in_which_scenarios_are_played_does_not_matter(here):
    assert digests(reversed(SCENARIOS)) == here


def test_different_seeds_differ(here):
    assert len(set(here.values())) == len(here)
