"""scorecard: measure every row of both tables, with and without the pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ..experiments.comparison import difference_columns, paired
from ..experiments.jobs import Job, seeds_of
from ..experiments.measures import Measures
from ..experiments.options import WorkOptions, shows_options
from ..experiments.runs import Workers
from ..experiments.statistics import Interval
from ..validation import instance, ratio, sequence
from .case import Case
from .cases import all_cases

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "table",
    "row",
    "pattern",
    "side",
    "claim",
    "day",
    "metric",
    "unit",
    "without",
    "with_pattern",
    "difference",
    "difference_low",
    "difference_high",
    "replications",
    "verdict",
)


@shows_options(WorkOptions)
def scorecard(
    replications: int = 10,
    seed: int = 0,
    cases: Any = None,
    *,
    confidence: float = 0.95,
    **options: Unpack[WorkOptions],
) -> pd.DataFrame:
    """Measure what each pattern of `pattern_table` and `when_to_use` is worth, and what it costs.

    Each row of the tables has two days: one with the failure that the pattern is made
    for, and a healthy one. Both are played with and without the pattern, under the
    same luck, and the differences of the pairs give the interval.

    Args:
        replications: Pairs of runs of each row, at least 2.
        seed: Seed of the first pair.
        cases: `Case`s to measure. None is all rows of both tables.
        confidence: Of the intervals, from 0 to 1.
        **options: n_jobs, client, cache and progress, as in `replicate`.

    Returns:
        A DataFrame with two rows for each row of the tables: table, row, pattern, side
        ("protection" or "price"), claim, day, metric, unit, without, with_pattern (means),
        difference (with minus without), difference_low, difference_high, replications and verdict:
        "protects" or "costs" if the interval excludes 0 on that side, "harms" or
        "gains" if on the other, and else "not seen". Shares are from 0 to 1, times in
        seconds.

    Example:
        >>> frame = scorecard(replications=3, cases=all_cases()[:1], progress=False)
        >>> frame.loc[0, ["row", "side", "verdict"]].tolist()
        ['Circuit Breaker', 'protection', 'protects']
    """
    import pandas as pd

    cases = all_cases() if cases is None else sequence("cases", cases)
    for case in cases:
        instance("cases", case, Case)
    ratio("confidence", confidence)
    seeds = seeds_of(replications, seed)
    if len(seeds) < 2:
        raise ValueError(f"replications must be >= 2, got {replications}")
    jobs = []
    for case in cases:
        wanted = Measures(names=(), functions=(("value", case.measure),))
        for each in seeds:
            for scenario in (case.without, case.with_pattern):
                jobs.append(Job(scenario=scenario, seed=each, measures=wanted, record=case.record, label=case.row))
    results = Workers(**options).run(jobs)
    values = np.array([result["value"] if isinstance(result, dict) else np.nan for result in results])
    pairs = values.reshape(len(cases), len(seeds), 2)
    rows = [_row(case, pair[:, 0], pair[:, 1], confidence) for case, pair in zip(cases, pairs, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(case: Case, without: np.ndarray, with_pattern: np.ndarray, confidence: float) -> dict[str, Any]:
    found, means = paired(without, with_pattern, confidence)
    words = {name: getattr(case, name) for name in COLUMNS[:8]}
    columns = dict(zip(("without", "with_pattern"), means, strict=True)) | difference_columns(found)
    return words | columns | {"verdict": _verdict(case, found)}


def _verdict(case: Case, difference: Interval) -> str:
    """Say what the interval tells about the claim."""
    is_up, is_down = difference.low > 0, difference.high < 0
    if not is_up and not is_down:
        return "not seen"
    is_better = is_up == (case.better == "higher")
    if case.side == "protection":
        return "protects" if is_better else "harms"
    return "gains" if is_better else "costs"
