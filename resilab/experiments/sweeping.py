"""sweep: one scenario under many settings."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..validation import function, instance, ratio, sequence, warn_user
from .jobs import Job, seeds_of
from .measures import measures
from .runs import Workers
from .statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd


def sweep(
    build: Callable[..., Any],
    *,
    settings: Iterable[Mapping[str, Any]] | None = None,
    replications: int = 5,
    seed: int = 0,
    metrics: Any = None,
    confidence: float = 0.95,
    horizon: float | None = None,
    record: bool | None = None,
    run: Callable[[Any, int], Any] | None = None,
    warmup: float | None = None,
    n_jobs: int | None = None,
    client: Any = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    **grid: Iterable[Any],
) -> pd.DataFrame:
    """Play a scenario under many settings and return one row a setting.

    All settings meet the same seeds, thus the same arrivals and the same luck.

    Args:
        build: Makes a scenario of one setting: `build(max_retries=1, timeout=0.5)`. It is
            called here, not in the workers, so that it may be a lambda.
        settings: A list of settings, each a dict of arguments of *build*.
        replications: Runs of each setting, at least 1.
        seed: Seed of the first run of each setting; the others have the seeds after it.
        metrics: As in `replicate`.
        confidence: Of the limits, from 0 to 1.
        horizon, record, run, warmup, n_jobs, client, cache, progress: As in `replicate`.
        watch: Called with each run when it has ended, in any order: a dict of the
            setting, the seed and the numbers.
        **grid: Arguments of *build*, each with its list of values: every combination is
            a setting, the last argument changes fastest. With *settings* as well, each of
            those is combined with the grid.

    Returns:
        A DataFrame with a row a setting, in order: one column an argument; for each
        metric its mean over the replications as `metric` and the limits of its interval
        as `metric_low` and `metric_high` (NaN for one replication), and, for a metric that
        some run could not tell (NaN), `metric_replications`, the runs that did;
        `replications`, the runs of the setting; and `error`, empty or why the setting could
        not be built or run. Such a setting has NaN in its numbers. If no setting works, the first error
        is raised. An interrupt (Ctrl-C) returns the settings that have runs, with a warning.

    Example:
        >>> import resilab as rl
        >>> def build(workers):
        ...     return rl.Scenario(rl.Poisson(rate=8), rl.Service(workers, latency=0.1), duration=20.0)
        >>> frame = sweep(build, workers=[1, 2, 0], replications=2, metrics="requests")
        >>> frame.error.tolist()
        ['', '', 'ValueError: workers must be >= 1, got 0']
    """
    import pandas as pd

    function("build", build)
    if watch is not None:
        function("watch", watch)
    options = {"replications": replications, "seed": seed, "confidence": confidence, "horizon": horizon}
    _refuse_lists(
        options | {"record": record, "warmup": warmup, "n_jobs": n_jobs, "cache": cache, "progress": progress}
    )
    ratio("confidence", confidence)
    wanted = measures(metrics)
    points = _points(settings, grid)
    seeds = seeds_of(replications, seed)
    scenarios, errors = _build(build, points)
    jobs, owners = [], []
    for number, scenario in scenarios.items():
        for each in seeds:
            jobs.append(Job(scenario, each, wanted, horizon, record, run, warmup, f"the setting {points[number]}"))
            owners.append(number)

    def tell(number: int, result: Any) -> None:
        point = points[owners[number]]
        numbers = {"error": _text(result)} if isinstance(result, BaseException) else result
        if not point.keys().isdisjoint(numbers):
            raise ValueError(f"settings must not be named like metrics, got {point.keys() & numbers.keys()}")
        if watch is not None:
            watch(point | {"seed": jobs[number].seed} | numbers)

    workers = Workers(n_jobs, client, cache, progress, tell, keeps_errors=True)
    runs: dict[int, list[dict[str, float]]] = {}
    for number, result in zip(owners, workers.run(jobs), strict=True):
        if isinstance(result, dict):
            runs.setdefault(number, []).append(result)
        elif result is not None:
            errors.setdefault(number, result)
    if errors and not runs:
        raise next(iter(errors.values()))
    if errors:
        warn_user(f"{len(errors)} of {len(points)} settings have errors; see the column error")
    rows = [
        point | _numbers(runs.get(number, []), confidence) | {"error": _text(errors.get(number))}
        for number, point in enumerate(points)
        if number in runs or number in errors
    ]
    return _frame(pd.DataFrame(rows), points)


def _refuse_lists(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if isinstance(value, Iterable) and not isinstance(value, str | bytes):
            raise TypeError(
                f"{name} is an option of sweep and must be a single value, got {value!r}: an argument of build that"
                f" is called {name} can only be varied with settings=[{{{name!r}: ...}}, ...]"
            )


def _points(settings: Iterable[Mapping[str, Any]] | None, grid: dict[str, Iterable[Any]]) -> list[dict[str, Any]]:
    if settings is None and not grid:
        raise ValueError("sweep needs settings or a grid, got neither")
    for name, values in grid.items():
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"{name} must be a list of values, got {values!r}")
    lists = {name: [_plain(value) for value in values] for name, values in grid.items()}
    for name, values in lists.items():
        if not values:
            raise ValueError(f"{name} must be a list of values, got an empty one")
    starts: list[dict[str, Any]] = [{}]
    if settings is not None:
        starts = [dict(instance("settings", each, Mapping)) for each in sequence("settings", settings)]
    combinations = [dict(zip(lists, each, strict=True)) for each in itertools.product(*lists.values())]
    points = [start | combination for start in starts for combination in combinations]
    if not points:
        raise ValueError("settings must not be empty, got []")
    return points


def _plain(value: Any) -> Any:
    """Return a numpy number as a Python number."""
    return value.item() if isinstance(value, np.generic) else value


def _build(build: Callable[..., Any], points: list[dict[str, Any]]) -> tuple[dict[int, Any], dict[int, BaseException]]:
    scenarios: dict[int, Any] = {}
    errors: dict[int, BaseException] = {}
    for number, point in enumerate(points):
        try:
            scenarios[number] = build(**point)
        except Exception as error:
            error.add_note(f"in the setting {point}")
            errors[number] = error
    return scenarios, errors


def _text(error: BaseException | None) -> str:
    if error is None:
        return ""
    return f"{type(error).__name__}: {error}"


def _numbers(runs: list[dict[str, float]], confidence: float) -> dict[str, float]:
    row: dict[str, float] = {}
    for metric in dict.fromkeys(name for run in runs for name in run):
        found = mean_interval(np.array([run.get(metric, np.nan) for run in runs]), confidence)
        row |= {metric: found.mean, f"{metric}_low": found.low, f"{metric}_high": found.high}
        row[f"{metric}_replications"] = found.count
    return row | {"replications": len(runs)}


def _frame(frame: pd.DataFrame, points: list[dict[str, Any]]) -> pd.DataFrame:
    """Put the columns in order: settings, numbers, replications, error. All are there for no rows, too.

    How many runs could tell a metric is said only if that were not all.
    """
    names = list(dict.fromkeys(name for point in points for name in point))
    last = ["replications", "error"]
    frame = frame.reindex(columns=names + [name for name in frame.columns if name not in names + last] + last)
    counts = [name for name in frame.columns if str(name).endswith("_replications") and name not in names]
    has_run = frame["replications"] > 0
    told = [name for name in counts if (frame[name] == frame["replications"])[has_run].all()]
    return frame.drop(columns=told)
