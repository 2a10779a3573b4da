"""coverage: how often the intervals of experiments hold the truth, measured on queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..theory import mmc
from ..validation import positive, sequence, whole
from .statistics import mean_interval, run_interval

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("mean_latency", "p50", "p99", "success_rate", "answered_within")
FAILURES = 0.02
"""Share of requests that fail by chance."""
LIMIT = 2.0
"""After how many mean latencies a request counts as failed."""
FASTER = 0.95
"""Service time of the variant, as a share of that of the baseline."""
_AT_ONCE = 2000


def coverage(
    load: float = 0.8,
    workers: int = 1,
    requests: int = 3000,
    *,
    replications: Iterable[int] = (5, 10, 20),
    experiments: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Repeat an experiment on a queue many times and count how often its intervals hold the truth.

    The queue is M/M/c with first come first served, empty at the start, played by the
    recursion of Kiefer and Wolfowitz for all runs at once. The truth is what a run *of
    this length* gives on average, found from all the runs: of p99, for instance, the
    mean of the runs' own 99th percentiles. What a short run tells wrongly of a long one
    (it starts empty, and its percentiles are too low) is another matter, that no interval
    over replications can show.

    Args:
        load: Arrival rate over capacity, above 0 and below 1.
        workers: Servers of the queue, at least 1.
        requests: Requests of each run.
        replications: Sizes of the experiments, each at least 2.
        experiments: How many experiments of the largest size; the others share its runs.
        confidence: What the intervals claim, from 0 to 1.
        seed: Of the random numbers.

    Returns:
        A DataFrame of shares from 0 to 1, indexed by kind and replications, with a column
        for each of mean_latency, p50, p99, success_rate (2 % fail by chance, and all above
        two mean latencies) and answered_within (the mean latency). Kinds are "single" (the
        interval for the mean), "paired" (that of the difference to a queue that is 5 %
        faster, under the same luck) and "one more run" (the interval for it).

    Example:
        >>> table = coverage(load=0.5, requests=200, replications=[10], experiments=200)
        >>> bool(table.loc[("single", 10), "mean_latency"] > 0.9)
        True

    Source: J. Kiefer, J. Wolfowitz, On the theory of queues with many servers (1955).
    """
    import pandas as pd

    if not 0 < positive("load", load) < 1:
        raise ValueError(f"load must be above 0 and below 1, got {load!r}")
    sizes = [whole("replications", size, minimum=2) for size in sequence("replications", replications)]
    count = whole("experiments", experiments, minimum=1) * max(sizes)
    whole("requests", requests, minimum=2)
    first, second = _runs(load, whole("workers", workers, minimum=1), requests, count, seed)
    rows: dict[tuple[str, int], list[float]] = {}
    for kind, columns, holds in (
        ("single", first, _holds),
        ("paired", second - first, _holds),
        ("one more run", first, _holds_next),
    ):
        for size in sizes:
            rows[kind, size] = [holds(values, size, confidence) for values in columns]
    index = pd.MultiIndex.from_tuples(list(rows), names=["interval", "replications"])
    return pd.DataFrame(list(rows.values()), index, columns=list(MEASURES))


def _holds(values: np.ndarray, size: int, confidence: float) -> float:
    """Return the share of experiments whose interval holds the mean of all values."""
    truth = values.mean()
    found = [mean_interval(part, confidence) for part in values[: len(values) // size * size].reshape(-1, size)]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def _holds_next(values: np.ndarray, size: int, confidence: float) -> float:
    """Return the share of experiments whose interval for one more run holds the run after them."""
    parts = values[: len(values) // (size + 1) * (size + 1)].reshape(-1, size + 1)
    found = [run_interval(part[:-1], confidence) for part in parts]
    return float(np.mean([each.low <= part[-1] <= each.high for each, part in zip(found, parts, strict=True)]))


def _runs(load: float, workers: int, requests: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the measures of runs of the queue and of a faster one, both of shape (measures, count)."""
    generator = np.random.default_rng(seed)
    mean = mmc(load * workers, workers, 1.0).mean_latency
    first, second = [], []
    for start in range(0, count, _AT_ONCE):
        shape = (requests, min(_AT_ONCE, count - start))
        gaps, work = generator.exponential(1 / (load * workers), shape), generator.exponential(1.0, shape)
        is_good = generator.random(shape) >= FAILURES
        first.append(_measured(_latencies(gaps, work, workers), is_good, mean))
        second.append(_measured(_latencies(gaps, work * FASTER, workers), is_good, mean))
    return np.concatenate(first, axis=1), np.concatenate(second, axis=1)


def _latencies(gaps: np.ndarray, work: np.ndarray, workers: int) -> np.ndarray:
    """Return the latency of each request (rows) of each run (columns)."""
    busy = np.zeros((workers, gaps.shape[1]))  # seconds of work that each server still has, the least first
    latencies = np.empty_like(work)
    for request in range(len(work)):
        np.maximum(busy - gaps[request], 0.0, out=busy)
        busy.sort(axis=0)
        busy[0] += work[request]
        latencies[request] = busy[0]
    return latencies


def _measured(latencies: np.ndarray, is_good: np.ndarray, mean: float) -> np.ndarray:
    p50, p99 = np.percentile(latencies, (50, 99), axis=0)
    success = (is_good & (latencies <= LIMIT * mean)).mean(axis=0)
    return np.stack([latencies.mean(axis=0), p50, p99, success, (latencies <= mean).mean(axis=0)])
