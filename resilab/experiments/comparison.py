"""compare: paired differences between variants under common random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ..validation import instance, ratio
from .jobs import Job, seeds_of
from .measures import measures
from .options import Options, play_options, shows_options, work_options
from .runs import Workers
from .statistics import Interval, mean_interval, replications_needed

if TYPE_CHECKING:
    import pandas as pd


@shows_options(Options)
def compare(
    variants: Mapping[str, Any],
    baseline: str | None = None,
    replications: int = 20,
    seed: int = 0,
    metrics: Any = None,
    *,
    confidence: float = 0.95,
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Compare variants with a baseline, seed by seed.

    Under one seed every variant meets the same arrivals and the same luck, so that
    much of the noise cancels in the difference. The interval is that of the mean of
    the differences of the pairs (see `mean_interval`); a pair in which a side has no
    such number (NaN) counts nowhere, neither in the means nor in the difference.

    Each interval is made to hold its own difference in 95 of 100 experiments. Of many
    rows, some will be wrong: decide beforehand which metric you ask.

    Args:
        variants: Name -> scenario, two or more.
        baseline: The name to compare with; None is the first.
        replications: Pairs of runs, at least 2.
        seed: Seed of the first pair; the others have the seeds after it.
        metrics: As in `replicate`.
        confidence: From 0 to 1.
        **options: As in `replicate`.

    Returns:
        A DataFrame with a row for each variant but the baseline and each metric:
        variant, metric, baseline (its mean), mean (the variant's), difference (variant
        minus baseline), difference_low and difference_high (limits of the interval of
        the difference), replications (pairs in which both are numbers), verdict. It is
        "higher" or "lower" if the interval excludes 0, "equal" if every pair is, and
        else "cannot tell yet: about N more replications": with those, a true
        difference as large as the one seen would show in 4 of 5 experiments.

    Example:
        >>> import resilab as rl
        >>> plain = rl.Scenario(rl.Poisson(rate=8), rl.Service(workers=1, latency=0.1), duration=50.0)
        >>> frame = compare({"plain": plain, "again": plain}, replications=2, metrics="p99")
        >>> frame[["difference", "verdict"]].values.tolist()
        [[0.0, 'equal']]
    """
    import pandas as pd

    ratio("confidence", confidence)
    names = list(instance("variants", variants, Mapping))
    if len(names) < 2:
        raise ValueError(f"variants must be at least 2, got {names!r}")
    base = names[0] if baseline is None else baseline
    if base not in names:
        raise ValueError(f"baseline must be one of {', '.join(map(repr, names))}, got {base!r}")
    seeds = seeds_of(replications, seed)
    if len(seeds) < 2:
        raise ValueError(f"replications must be >= 2, got {replications}")
    wanted = measures(metrics)
    how = play_options(options)
    jobs = [Job(variants[name], each, wanted, label=repr(name), **how) for each in seeds for name in names]
    results = iter(Workers(**work_options(options)).run(jobs))
    pairs = [dict(zip(names, row, strict=True)) for row in zip(*[results] * len(names), strict=True)]
    rows = []
    for name in names:
        if name != base:
            complete = [(pair[base], pair[name]) for pair in pairs if pair[base] is not None and pair[name] is not None]
            rows += [{"variant": name} | row for row in _compare(complete, confidence)]
    columns = ["variant", "metric", "baseline", "mean", *difference_columns(mean_interval(np.empty(0))), "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _compare(pairs: list[tuple[dict[str, float], dict[str, float]]], confidence: float) -> list[dict[str, Any]]:
    rows = []
    for metric in dict.fromkeys(metric for before, after in pairs for metric in before if metric in after):
        before = np.array([pair[0].get(metric, math.nan) for pair in pairs])
        after = np.array([pair[1].get(metric, math.nan) for pair in pairs])
        found, means = paired(before, after, confidence)
        columns = dict(zip(("baseline", "mean"), means, strict=True)) | difference_columns(found)
        rows.append({"metric": metric} | columns | {"verdict": verdict(found, confidence)})
    return rows


def paired(before: np.ndarray, after: np.ndarray, confidence: float) -> tuple[Interval, tuple[float, float]]:
    """Return the interval of the differences of pairs, and the means of both sides over the same pairs."""
    is_whole = np.isfinite(before) & np.isfinite(after)
    before, after = before[is_whole], after[is_whole]
    return mean_interval(after - before, confidence), (mean_interval(before).mean, mean_interval(after).mean)


def difference_columns(found: Interval) -> dict[str, float]:
    """Return the columns that tell of the differences of pairs."""
    return {
        "difference": found.mean,
        "difference_low": found.low,
        "difference_high": found.high,
        "replications": found.count,
    }


def verdict(difference: Interval, confidence: float = 0.95) -> str:
    """Say in words what an interval of a difference tells."""
    if difference.count == 0:
        return "no data"
    if difference.count == 1:
        return "cannot tell yet: one pair has no interval"
    if difference.mean == 0 == difference.deviation:
        return "equal"
    if difference.low > 0:
        return "higher"
    if difference.high < 0:
        return "lower"
    needed = replications_needed(difference.mean, difference.deviation, confidence)
    if math.isinf(needed):
        return "cannot tell yet: over a million more replications"
    return f"cannot tell yet: about {_rounded(max(1, needed - difference.count)):,} more replications"


def _rounded(count: float) -> int:
    """Round up to two digits: the number is an estimate."""
    unit: int = 10 ** max(0, int(math.log10(count)) - 1)
    return math.ceil(count / unit) * unit
