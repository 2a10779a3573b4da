"""opossum and cockatiel under Node: the same script of calls, through them and through the lab.

`npm install opossum cockatiel` brings them, in a folder that NODE_PATH names.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import resilab as rl

from .scripts import lab_breaker, script

SCRIPT = Path(__file__).with_name("breakers.js")
SEEDS = range(10)


def played(library, answers, options):
    """What becomes of each call, one every 100 ms."""
    node = shutil.which("node")
    if (
        node is None
        or subprocess.run([node, "-e", f"require('{library}')"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{library} is not installed for Node")
    order = {"library": library, "answers": answers, "spacing": 100, "options": options}
    done = subprocess.run(
        [node, "--no-warnings", str(SCRIPT)], input=json.dumps(order), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_cockatiels_consecutive_breaker_lets_the_same_calls_through(seed):
    answers = script(seed, 200, 0.5)
    ours = rl.CircuitBreaker(
        failure_threshold=3, success_threshold=1, timeout=1.05, volume_threshold=0, half_open_max_calls=1
    )
    assert lab_breaker(ours, answers, 0.1) == played("cockatiel", answers, {"failures": 3, "halfOpenAfter": 1050})


@pytest.mark.parametrize("seed", SEEDS)
def test_opossum_opens_and_probes_at_the_same_calls(seed):
    """Up to its first closing: then its window still holds the failures, which the lab's does not."""
    answers = script(seed, 200, 0.6)
    options = {"errorThresholdPercentage": 50, "volumeThreshold": 6, "resetTimeout": 1050, "rollingCountTimeout": 10000}
    theirs = played("opossum", answers, options)
    ours = rl.CircuitBreaker.like(
        "opossum", error_threshold_percentage=50, volume_threshold=6, reset_timeout=1.05, rolling_count_timeout=10.0
    )
    mine = lab_breaker(ours, answers, 0.1)
    end = next((n for n in range(1, len(mine)) if mine[n - 1] == "rejected" and mine[n] == "ok"), len(mine))
    assert mine[: end + 1] == theirs[: end + 1]
    assert "rejected" in mine
