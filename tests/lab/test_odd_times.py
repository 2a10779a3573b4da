"""Times that cannot be meant, policies that cannot be nested, parts that cannot be joined."""

from __future__ import annotations

import pytest
import simpy

import resilab as rl
from resilab.traces import Trace


@pytest.mark.parametrize("make", [rl.Replay, lambda times: Trace(start=times, duration=[0.1, 0.1])])
def test_seconds_since_1970_are_refused_with_what_to_do(make):
    with pytest.raises(ValueError, match="since 1970; subtract the first"):
        make([1.7e9, 1.7e9 + 1])


def test_a_row_that_is_a_century_away_is_told_of(tmp_path):
    path = tmp_path / "far.csv"
    rows = [f"2026-01-01T00:00:{second:02}Z,100,200" for second in range(50)]
    path.write_text("\n".join(["timestamp,duration_ms,status", *rows, "2200-01-01T00:00:00Z,100,200"]))
    with pytest.warns(UserWarning, match=r"line 52 is 6.36e\+04 days away") as record:
        assert len(rl.read_trace(path).start) == 51
    assert record[0].filename == __file__


def test_parts_of_two_environments_are_not_joined():
    retry, limit = rl.Retry().bind(simpy.Environment()), rl.Timeout(1.0).bind(simpy.Environment())
    with pytest.raises(ValueError, match="parts must be bound in one environment"):
        rl.compose(retry, limit)


def test_a_hundred_policies_can_be_nested_and_no_more():
    env = simpy.Environment()

    def work():
        yield env.timeout(0.1)
        return "done"

    most = rl.ResiliencePolicy(*[rl.Timeout(1.0, cancel=False)] * 100)
    assert env.run(env.process(most.bind(env).execute(work))) == "done"
    with pytest.raises(ValueError, match="policies must be at most 100, one inside the other, got 101"):
        most.with_timeout(2.0)
