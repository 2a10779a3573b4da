"""What the benchmark rests on: both sides do the same work, and the counts that do not depend on the machine."""

from __future__ import annotations

import numpy as np
import pytest

from ..benchmarks.idiomatic import bare_queue, different_rows, stack
from ..benchmarks.measuring import events_of, ratios, rounds, spread
from ..benchmarks.tables import NONE, play


@pytest.mark.parametrize("failure_rate", [0.0, 0.1, 0.4])
def test_the_idiomatic_stack_has_the_same_rows(failure_rate):
    assert different_rows(3000, failure_rate) == 0


def test_the_idiomatic_stack_meets_failures_timeouts_and_an_open_breaker():
    outcomes, attempts = zip(*[(row[2], row[3]) for row in stack(3000, 0.4)], strict=True)
    assert set(outcomes) == {"success", "degraded"}
    assert {0, 1, 2, 3} <= set(attempts)


def test_the_bare_queue_has_the_rows_of_a_service_alone():
    result = play(3000, 0.0, NONE)()
    arrivals, ends = np.sort(np.array(bare_queue(3000)), axis=0).T
    assert np.allclose(arrivals, result.columns["arrival"], rtol=0, atol=1e-9)
    assert np.allclose(ends, np.sort(result.columns["end"]), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("failure_rate", "most"), [(0.0, 2.1), (0.1, 2.4)])
def test_events_a_request_stay_few(failure_rate, most):
    """The cost that can be counted: one event for the arrival, one for the service, a few for retries and limits."""
    case = play(3000, failure_rate)
    requests = len(case())
    assert 2.0 <= events_of(case) / requests <= most
    assert events_of(lambda: bare_queue(3000)) / requests == pytest.approx(6.0, abs=0.01)


@pytest.mark.slow
def test_ratios_are_taken_within_a_round():
    times = rounds({"a": lambda: None, "b": lambda: None}, 3)
    assert [len(values) for values in times.values()] == [3, 3]
    assert ratios({"a": [1.0, 4.0], "b": [2.0, 4.0]}, "a", "b") == [0.5, 1.0]
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.5, 2.5)
