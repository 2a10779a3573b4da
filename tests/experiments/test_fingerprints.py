"""Fingerprints: what a cache takes for the same run, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import time
import types
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest

import resilab as rl
from resilab.experiments.fingerprints import Fingerprints, fingerprint
from resilab.experiments.jobs import Job
from resilab.experiments.measures import measures

SCENARIO = rl.Scenario(rl.Poisson(rate=15), rl.Service(2, rl.Exponential(0.1), queue_limit=20), duration=20.0)


def written(code: str, name: str = "f", **given):
    """Return what the user's *code* calls *name*."""
    space = {"__name__": "__main__", "rl": rl, "np": np, "dataclass": dataclass} | given
    exec(code, space)
    return space[name]


class TestFingerprint:
    @pytest.mark.slow
    def test_equal_values_have_one_fingerprint_in_every_process(self):
        code = (
            "import resilab as rl; from resilab.experiments.fingerprints import fingerprint;"
            "print(fingerprint(rl.Scenario(rl.Poisson(rate=15), rl.Service(2, rl.Exponential(0.1), queue_limit=20),"
            " duration=20.0)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == fingerprint(SCENARIO)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, 1.0),
            (1, True),
            ("1", 1),
            ((1, 2), (12,)),
            (((1,), 2), (1, (2,))),
            (rl.Timeout(1.0), rl.Timeout(2.0)),
            (rl.Outage(1.0, 2.0), rl.Slowdown(1.0, 2.0)),
            (rl.CircuitState.OPEN, "open"),
            (np.array([1.0, 2.0]), np.array([[1.0, 2.0]])),
            (lambda x: x + 1, lambda x: x + 2),
            (partial(max, 1), partial(max, 2)),
            (rl.Replay([1.0, 2.0, 3.0]), rl.Replay([1.0, 2.5, 3.0])),
            ({"a": 1}, {"a": 2}),
            (frozenset({1}), frozenset({2})),
            (rl.Timeout, rl.Retry),
        ],
    )
    def test_different_values_have_different_fingerprints(self, one, other):
        assert fingerprint(one) != fingerprint(other)

    def test_a_function_counts_by_what_it_closes_over(self):
        def adds(number):
            return lambda value: value + number

        assert fingerprint(adds(1)) == fingerprint(adds(1))
        assert fingerprint(adds(1)) != fingerprint(adds(2))


EDITS = {
    "a global that it reads": ("LIMIT = 1\ndef f(): return LIMIT", "LIMIT = 2\ndef f(): return LIMIT"),
    "a function that it calls": (
        "def g(): return 1\ndef f(): return g()",
        "def g(): return 2\ndef f(): return g()",
    ),
    "a global of a function that it calls": (
        "STEP = 1\ndef g(): return STEP\ndef f(): return [g() for _ in range(3)]",
        "STEP = 2\ndef g(): return STEP\ndef f(): return [g() for _ in range(3)]",
    ),
    "a default": ("def f(a=1): return a", "def f(a=2): return a"),
    "a method of a class": (
        "class A:\n def m(self): return 1\ndef f(): return A().m()",
        "class A:\n def m(self): return 2\ndef f(): return A().m()",
    ),
    "an inherited method": (
        "class A:\n def m(self): return 1\nclass B(A): pass\ndef f(): return B().m()",
        "class A:\n def m(self): return 2\nclass B(A): pass\ndef f(): return B().m()",
    ),
    "the state of an object": (
        "class A:\n def __init__(self, x): self.x = x\na = A(1)\ndef f(): return a.x",
        "class A:\n def __init__(self, x): self.x = x\na = A(2)\ndef f(): return a.x",
    ),
    "a policy class": (
        "@dataclass(frozen=True)\nclass P(rl.Timeout):\n def bind(self, env): return 1\nf = P(1.0)",
        "@dataclass(frozen=True)\nclass P(rl.Timeout):\n def bind(self, env): return 2\nf = P(1.0)",
    ),
    "a cached function": (
        "from functools import cache\n@cache\ndef g(): return 1\ndef f(): return g()",
        "from functools import cache\n@cache\ndef g(): return 2\ndef f(): return g()",
    ),
    "a property": (
        "class A:\n @property\n def m(self): return 1\nf = A()",
        "class A:\n @property\n def m(self): return 2\nf = A()",
    ),
}


class TestTheUsersCode:
    @pytest.mark.parametrize("edit", EDITS)
    def test_an_edit_is_another_fingerprint(self, edit):
        one, other = EDITS[edit]
        assert fingerprint(written(one)) == fingerprint(written(one))
        assert fingerprint(written(one)) != fingerprint(written(other))

    def test_a_module_of_the_user_counts_by_what_is_used_of_it(self):
        mine = types.ModuleType("mine")
        mine.LIMIT, mine.OTHER = 1, 1
        f = written("def f(): return mine.LIMIT", mine=mine)
        first = fingerprint(f)
        mine.OTHER = 2
        assert fingerprint(f) == first
        mine.LIMIT = 2
        assert fingerprint(f) != first

    def test_an_attribute_that_is_called_like_a_global_is_not_taken_for_it(self):
        one, other = (written("def f(x): return x.latency", latency=value) for value in (1, 2))
        assert fingerprint(one) == fingerprint(other)

    def test_functions_that_call_each_other_have_one_too(self):
        code = "def f(n): return g(n)\ndef g(n): return f(n - {}) if n else 0\nclass A:\n def m(self): return A"
        assert fingerprint(written(code.format(1))) == fingerprint(written(code.format(1)))
        assert fingerprint(written(code.format(1))) != fingerprint(written(code.format(2)))
        assert fingerprint(written(code, "A")) == fingerprint(written(code, "A"))

    def test_many_functions_that_all_call_each_other_take_no_time(self):
        names = [f"f{n}" for n in range(40)]
        code = "\n".join(f"def {name}(): return {', '.join(names)}" for name in names)
        began = time.process_time()
        fingerprint(written(code, "f0"))
        assert time.process_time() - began < 2

    def test_a_list_in_itself_has_one_too(self):
        knot = [1]
        knot.append(knot)
        assert fingerprint(knot) != fingerprint([1, [1]])

    @pytest.mark.parametrize("code", ["def f(x): return eval('LIMIT')", "def f(x): return open('limit').read()"])
    def test_what_reads_unseen_things_is_refused(self, code):
        with pytest.raises(TypeError, match=r"cache cannot see what __main__.f reads with (eval|open)\(\)"):
            fingerprint(written(code))

    def test_what_cannot_be_told_apart_is_refused(self, tmp_path):
        things = (value for value in range(3))

        def reads(result):
            return next(things)

        with pytest.raises(TypeError, match="cache cannot tell generator objects apart"):
            rl.replicate(SCENARIO, 1, metrics=reads, cache=tmp_path)

    def test_a_frame_that_is_read_counts_by_its_values(self):
        one, same, other = (pd.DataFrame({"x": [1.0, value]}) for value in (2.0, 2.0, 3.0))
        prints = [fingerprint(written("def f(): return data.sum()", data=data)) for data in (one, same, other)]
        assert prints[0] == prints[1] != prints[2]


def test_a_million_replayed_rows_cost_less_than_a_second_in_a_whole_sweep():
    replay = rl.Replay(np.linspace(0.0, 1000.0, 1_000_000))
    wanted = measures("p99")
    began = time.process_time()
    prints = Fingerprints()
    policies = [rl.Timeout(seconds) for seconds in range(1, 101)]
    scenarios = [SCENARIO.replace(workload=replay, policy=policy) for policy in policies]
    found = {prints.of(Job(each, seed, wanted).identity) for each in scenarios for seed in range(5)}
    assert len(found) == 500
    assert time.process_time() - began < 1.0
