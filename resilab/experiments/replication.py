"""replicate: one scenario under many seeds; intervals: what the runs say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from ..validation import instance, ratio
from .jobs import Job, seeds_of
from .measures import measures
from .options import Options, play_options, shows_options, work_options
from .runs import Workers
from .statistics import column, mean_interval, run_interval

if TYPE_CHECKING:
    import pandas as pd


@shows_options(Options)
def replicate(
    scenario: Any,
    replications: int = 20,
    seed: int = 0,
    metrics: Any = None,
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Play a scenario under several seeds and return one row a replication.

    Rows of one run are not independent of one another: a long queue meets many
    requests. Runs under different seeds are, and `intervals` turns them into means
    with limits.

    Args:
        scenario: Anything that `simulate` plays.
        replications: How many runs, at least 1.
        seed: Seed of the first; the others have the seeds after it. A row is played
            again by `simulate(scenario, seed)`.
        metrics: What to keep: None is the summary; a name or names of it; a function of
            the result that returns a number or a dict of numbers; several functions as
            a dict of name -> function, or a list with names among them.
        horizon: As in `simulate`.
        record: Whether runs record attempts and events. None does so for functions and for
            numbers of the summary that need it; False makes functions faster that do not.
        run: Plays (scenario, seed) and returns a result, instead of `simulate`. With
            *metrics* as a function, any model of your own can be replicated.
        warmup: Seconds from the start whose arrivals are left out of all that is measured: a
            queue that begins empty is too short at first. None leaves out none.
        n_jobs: Worker processes; -1 is one a core, 1 none. None starts workers only if
            more than a second of work is left after a short trial.
        client: A `dask.distributed.Client`: its cluster does the runs.
        cache: Folder in which finished runs are kept, by scenario, seed, metrics and the
            package's code. What is there is not run again. Functions and classes count by
            their code, the globals that it reads and what it calls; what cannot be seen is
            refused with a TypeError. See `resilab.experiments.fingerprints`.
        progress: Whether to show a progress bar. None shows one for long work.

    Returns:
        A DataFrame with the column `seed` and one column a metric, in order of seed. An
        interrupt (Ctrl-C) returns the finished rows with a warning.

    Example:
        >>> import resilab as rl
        >>> scenario = rl.Scenario(rl.Poisson(rate=8), rl.Service(workers=1, latency=0.1), duration=50.0)
        >>> replicate(scenario, replications=3, metrics=["requests"]).seed.tolist()
        [0, 1, 2]
    """
    import pandas as pd

    wanted = measures(metrics)
    seeds = seeds_of(replications, seed)
    jobs = [Job(scenario, each, wanted, **play_options(options)) for each in seeds]
    results = Workers(**work_options(options)).run(jobs)
    rows = [{"seed": each} | result for each, result in zip(seeds, results, strict=True) if isinstance(result, dict)]
    return pd.DataFrame(rows, columns=None if rows else ["seed"])


def intervals(frame: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Return mean and confidence limits of each number in a frame of replications.

    `low` and `high` hold the true mean in 95 of 100 experiments like this one, also if
    the runs are few and skewed (see `mean_interval`). They say nothing about where a
    single run ends up: `run_low` and `run_high` hold one more run in 95 of 100 (see
    `run_interval`). Where a single request ends up is told by its percentiles.

    Args:
        frame: From `replicate`: one row a run. The column `seed` is left out.
        confidence: From 0 to 1.

    Returns:
        A DataFrame with a row a metric: mean, low, high, run_low, run_high, replications.
        NaN values are left out of the count. One replication has no limits.

    Example:
        >>> import pandas as pd
        >>> intervals(pd.DataFrame({"seed": [0, 1, 2], "p99": [1.0, 2.0, 3.0]})).round(2)
                mean   low  high  run_low  run_high  replications
        metric
        p99      2.0 -0.48  4.48    -2.97      6.97             3
    """
    import pandas as pd

    ratio("confidence", confidence)
    instance("frame", frame, pd.DataFrame)
    rows = {}
    for name in frame.columns.drop("seed", errors="ignore"):
        values = column(frame, name)
        found, run = mean_interval(values, confidence), run_interval(values, confidence)
        limits = {"low": found.low, "high": found.high, "run_low": run.low, "run_high": run.high}
        rows[name] = {"mean": found.mean} | limits | {"replications": found.count}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")
