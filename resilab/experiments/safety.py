"""safe_load: the load up to which a system comes back by itself after a fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from ..lab.faults import Fault
from ..lab.records import SUCCESS
from ..lab.result import Result
from ..validation import Spec, finite, function, instance, positive, ratio, sequence, whole
from .jobs import Job
from .measures import Measures
from .options import WorkOptions, shows_options
from .runs import Workers

if TYPE_CHECKING:
    import pandas as pd

ALWAYS, NEVER = 0.95, 0.05
"""Shares of seeds that count as all and as none."""


@dataclass(frozen=True)
class ComesBack(Spec):
    """Measures a run: whether enough of the requests that arrive in a stretch of time succeed."""

    start: float
    end: float
    answered: float

    def __call__(self, result: Result) -> float:
        arrival, outcome = result.columns["arrival"], result.columns["outcome"]
        chosen = (arrival >= self.start) & (arrival < self.end)
        return float(chosen.any() and (outcome[chosen] == SUCCESS).mean() >= self.answered)


@dataclass(frozen=True)
class SafeLoad:
    """Up to which load a system comes back.

    Attributes:
        load: Where half of the seeds come back, between the nearest loads that were tried.
        low: The largest load tried at which 95 % of the seeds or more come back.
        high: The smallest load tried at which 5 % or fewer do.
        tried: Load -> share of the seeds that came back.
        seeds: How many seeds each load was tried with.
    """

    load: float
    low: float
    high: float
    tried: dict[float, float]
    seeds: int

    @property
    def table(self) -> pd.DataFrame:
        """One row a load that was tried: load, comes_back and the 95 % limits of that share (Wilson's)."""
        import pandas as pd

        rows = [(load, share, *_wilson(share, self.seeds)) for load, share in sorted(self.tried.items())]
        return pd.DataFrame(rows, columns=["load", "comes_back", "comes_back_low", "comes_back_high"])


@shows_options(WorkOptions)
def safe_load(
    build: Callable[[float], Any],
    trigger: Fault,
    low: float = 0.05,
    high: float = 1.0,
    *,
    answered: float = 0.9,
    recovery: float = 60.0,
    window: float = 20.0,
    seeds: int = 10,
    steps: int = 6,
    seed: int = 0,
    **options: Unpack[WorkOptions],
) -> SafeLoad:
    """Find the load up to which a system comes back by itself after a fault.

    Retries can keep a system down after its cause has gone. It has come back if, *recovery*
    seconds after the end of the fault, a share *answered* of the requests that arrive in the
    next *window* seconds succeeds. Later than that no run is played: it is decided. Between
    loads at which all and at which no seeds come back, luck decides; both ends are found by
    bisection, which takes more load to be worse.

    Args:
        build: Makes the scenario of a load, in the unit that you like: `build(0.8)`.
        trigger: The fault, which is added to the service.
        low: The smallest load to try.
        high: The largest.
        answered: Share of successes of a system that is back, from 0 to 1.
        recovery: Seconds after the end of the fault in which it may come back.
        window: Seconds in which it is looked at then.
        seeds: Runs of each load.
        steps: Halvings of the range; 6 leave 1/64 of it.
        seed: The first seed.
        **options: n_jobs, client, cache and progress, as in `replicate`.

    Example:
        >>> import resilab as rl
        >>> def build(load):
        ...     return rl.Scenario(rl.Poisson(30 * load), rl.Service(3, 0.1), rl.Timeout(1.0), duration=1.0)
        >>> found = safe_load(build, rl.Outage(5, 2), recovery=5.0, window=5.0, seeds=2, steps=2, progress=False)
        >>> found.low
        0.7625

    Source: N. Bronson and others, Metastable Failures in Distributed Systems, HotOS 2021: two
    tries a request are stable below half of the capacity.
    """
    function("build", build)
    instance("trigger", trigger, Fault)
    if not finite("low", low) < finite("high", high):
        raise ValueError(f"high must be > low, got {low!r} to {high!r}")
    tried: dict[float, float] = {}
    count = whole("seeds", seeds, minimum=1)
    first = whole("seed", seed)

    def share(load: float) -> float:
        if load not in tried:
            jobs = [
                _job(build(load), trigger, each, ratio("answered", answered), recovery, window, f"load {load:.6g}")
                for each in range(first, first + count)
            ]
            tried[load] = _mean(Workers(**options, title=f"load {load:.4g}").run(jobs))
        return tried[load]

    ends = []
    for wanted in (ALWAYS, 0.5, NEVER):
        ends.append(_bisect(share, low, high, wanted, whole("steps", steps, minimum=1)))
    (all_come, _), (half_below, half_above), (_, none_comes) = ends
    middle = (half_below + half_above) / 2 if math.isfinite(half_above) and math.isfinite(half_below) else all_come
    return SafeLoad(middle, all_come, none_comes, dict(sorted(tried.items())), count)


@shows_options(WorkOptions)
def recovery_map(
    build: Callable[[float], Any],
    trigger: Fault,
    loads: Iterable[float],
    durations: Iterable[float],
    *,
    answered: float = 0.9,
    recovery: float = 60.0,
    window: float = 20.0,
    seeds: int = 5,
    seed: int = 0,
    **options: Unpack[WorkOptions],
) -> pd.DataFrame:
    """Play every load with every length of a fault, and return the share of seeds that come back.

    Args:
        build, trigger, answered, recovery, window, seeds, seed, **options: As in `safe_load`.
        loads: The loads: columns.
        durations: Seconds that the fault lasts: rows.
    """
    import pandas as pd

    columns, rows = sequence("loads", loads), sequence("durations", durations)
    places = [(length, load) for length in rows for load in columns]
    jobs = []
    for length, load in places:
        fault = replace(trigger, duration=positive("durations", length))
        label = f"load {load:.6g}, {length:.6g} s"
        jobs += [_job(build(load), fault, seed + each, answered, recovery, window, label) for each in range(seeds)]
    results = Workers(**options).run(jobs)
    shares = [_mean(results[start : start + seeds]) for start in range(0, len(results), seeds)]
    table = [shares[start : start + len(columns)] for start in range(0, len(shares), len(columns))]
    return pd.DataFrame(table, pd.Index(rows, name="duration"), pd.Index(columns, name="load"))


def _job(scenario: Any, trigger: Fault, seed: int, answered: float, recovery: float, window: float, label: str) -> Job:
    start = trigger.end + positive("recovery", recovery)
    end = start + positive("window", window)
    service = scenario.service.replace(faults=(*scenario.service.faults, trigger))
    wanted = Measures((), (("back", ComesBack(start, end, answered)),))
    return Job(scenario.replace(service=service, duration=end), seed, wanted, horizon=end + window, label=label)


def _mean(results: Sequence[Any]) -> float:
    """Return the share of runs that came back, of those that an interrupt left."""
    values = [result["back"] for result in results if isinstance(result, dict)]
    if not values:
        raise KeyboardInterrupt
    return float(sum(values)) / len(values)


def _bisect(share: Callable[[float], float], low: float, high: float, wanted: float, steps: int) -> tuple[float, float]:
    """Return the largest load whose share is at least *wanted*, and the smallest above it whose is less."""
    if share(low) < wanted:
        return -math.inf, low
    if share(high) >= wanted:
        return high, math.inf
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) >= wanted else (low, middle)
    return low, high


def _wilson(share: float, count: int) -> tuple[float, float]:
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - reach), min(1.0, middle + reach)
