"""What a type checker tells a user: typos and wrong arguments, before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODEL = """
import simpy
from collections.abc import Generator
from typing import Any

import resilab as rl

env = simpy.Environment()
scenario = rl.Scenario(rl.Poisson(rate=5), rl.Service(workers=1, latency=0.1), duration=1.0)
result = rl.simulate(scenario, seed=1)
orders = rl.simulate(rl.saga.SagaScenario(duration=1.0))
breaker = rl.CircuitBreaker().bind(env)


def work(seconds: float, *, reply: str = "") -> Generator[Any, Any, str]:
    yield env.timeout(seconds)
    return reply


def caller() -> Generator[Any, Any, None]:
    reply = yield from breaker.execute(work, 1.0, reply="done")
    reply.upper()
    orders.verdicts()
    {line}
"""


@pytest.fixture
def check(tmp_path):
    """Return a function that adds a line to the model and returns what mypy says."""

    def run(line: str) -> str:
        (tmp_path / "model.py").write_text(MODEL.replace("{line}", line))
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "model.py"]
        environment = {"MYPYPATH": str(ROOT), "PATH": ""}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return "\n".join(row for row in done.stdout.splitlines() if row.startswith("model.py"))

    return run


@pytest.mark.slow
def test_a_type_checker_finds_mistakes_in_a_users_model(check):
    """A typo of a result, a wrong argument of a call, a missing method; and nothing in a right model."""
    assert check("pass") == ""
    found = check('result.sumary(); breaker.execute(work, "not a float"); breaker.stat; orders.verdict()')
    assert '"Result" has no attribute "sumary"' in found
    assert 'incompatible type "str"; expected "float"' in found
    assert '"LiveCircuitBreaker" has no attribute "stat"' in found
    assert '"SagaRunResult" has no attribute "verdict"' in found
