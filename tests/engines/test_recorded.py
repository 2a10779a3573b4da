"""What real engines did with a configuration, and what the lab does with the same text: attempts within 5 %."""

from __future__ import annotations

import json

import numpy as np
import pytest

from resilab import configs

from .proxies import lab_plays
from .record import CASES, TABLE, text_of

ROWS = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]
SEEDS = range(1, 6)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['engine']}: {row['case']}" for row in ROWS])
def test_lab_sends_as_many_attempts_as_the_engine(row):
    """The policy comes from the text that the engine has read; where luck decides, the lab's is another."""
    name = "orders" if row["engine"] == "envoy" else "shop.Orders"
    policy = configs.read(row["text"], row["engine"], name).policy
    options = {name: row[name] for name in ("at_once", "failure_rate", "seconds") if name in row}
    ours = np.mean([lab_plays(policy, row["calls"], seed=seed, **options) for seed in SEEDS], axis=0)
    assert ours[0] == pytest.approx(row["attempts"], rel=0.05)
    assert ours[1] == pytest.approx(row["successes"], rel=0.05, abs=0.02 * row["calls"])


def test_table_has_all_cases_in_both_directions():
    """Each case of the script is in the table; what the lab writes for it now is what the engine has read."""
    assert [row["case"] for row in ROWS] == [case["case"] for case in CASES]
    for row, case in zip(ROWS, CASES, strict=True):
        assert text_of(case) == row["text"]
