"""Does a model fit a log? Measured beside expected, phase by phase, with intervals for one more run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..lab.faults import Errors
from ..lab.metrics import steps
from ..lab.run import simulate
from ..lab.scenario import Scenario
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..resilience.timeout import Timeout
from ..validation import instance, non_negative, whole
from .calibration import Calibration
from .cancelling import limit_of
from .finding import FoundFault
from .of_result import trace_of
from .phases import find_phases, usual_time
from .reconstruction import calls_of
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd

_SHORTEST_PHASE = 1.0
_SILENCE = 50.0
"""Usual gaps between requests that make a silence."""
_LEVEL = 0.99
"""Share of the healthy time in which no more calls are under way than those of a queue that is gone."""


class Phase(NamedTuple):
    """A part of a log.

    Attributes:
        name: What holds in it.
        start, end: Seconds.
        drains: Whether a queue is left at its start, after a fault.
    """

    name: str
    start: float
    end: float
    drains: bool


class Row(NamedTuple):
    """A measure of a phase: measured, expected, and between what one more run would lie."""

    phase: str
    metric: str
    measured: float
    expected: float
    low: float
    high: float
    ok: bool


@dataclass(frozen=True, eq=False)
class Check:
    """How well a model fits a log, made by `check`.

    Attributes:
        rows: Every measure of every phase, as in `table`.
        phases: The parts of the log.
        trace: The log.
        runs: Runs of the model, as logs.
    """

    rows: tuple[Row, ...]
    phases: tuple[Phase, ...]
    trace: Trace
    runs: tuple[Trace, ...]

    @property
    def ok(self) -> bool:
        """Whether every measure is in its interval."""
        return all(row.ok for row in self.rows)

    @property
    def table(self) -> pd.DataFrame:
        """One row a measure: phase, metric, measured, expected, low, high, ok."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(Row._fields))

    def __getitem__(self, column: Any) -> Any:
        return self.table[column]

    def __repr__(self) -> str:
        wrong = self.failures()
        return f"Check({len(self.rows)} measures: {f'not within their intervals: {wrong}' if wrong else 'all fit'})"

    def _repr_html_(self) -> str:
        return str(self.table.to_html())

    def failures(self) -> str:
        """Return the measures that are not in their intervals, in words; empty if all are."""
        wrong = [row for row in self.rows if not row.ok]
        words = [f"{row.metric} in {row.phase} {row.measured:.3g} for {row.expected:.3g}" for row in wrong[:3]]
        return "; ".join(words) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")


def check(
    model: Calibration,
    trace: Trace,
    policy: Policy | None = None,
    *,
    replications: int = 20,
    tolerance: float = 0.05,
    **service: Any,
) -> Check:
    """Play a model against the arrivals of a log and compare, phase by phase.

    The intervals are for one more run, and hold together: a true model is within all of
    them 19 times of 20. They contain what is not known of the model's numbers: each run
    draws them from their intervals. A model that fails says so in every scenario that is
    made of it afterwards.

    Args:
        model: Made by `calibrate`.
        trace: The log that it was made from, or better: another one. Faults of another
            log are looked for in it; the service stays that of the model.
        policy: What the callers of the log did. None is what the log shows: a `Timeout`
            where its requests ended at one limit, else nothing.
        replications: Runs, at least 5.
        tolerance: A difference that does not matter: relative, and for shares absolute.
        **service: Fields of the service to change, for instance on_cancel="stop".

    Returns:
        The comparison: phase, metric, measured, expected, low, high, ok. Phases begin and
        end with faults and silences. Metrics: success, p50 and p95 of successes in seconds, calls,
        most_under_way, time_to_drain (seconds after a fault until no more calls are under
        way than in healthy times).

    Example:
        >>> import resilab as rl
        >>> world = rl.Scenario(rl.Poisson(rate=60), rl.Service(4, rl.Exponential(mean=0.05)), duration=60.0)
        >>> first, second = (rl.trace_of(rl.simulate(world, seed)) for seed in (1, 2))
        >>> rl.check(rl.calibrate(first), second, replications=10)
        Check(5 measures: all fit)
    """
    instance("model", model, Calibration)
    instance("trace", trace, Trace)
    whole("replications", replications, minimum=5)
    non_negative("tolerance", tolerance)
    found = model.found if trace == model.trace else _faults_of(model, trace)
    phases = _phases(trace, found)
    level = _level(trace, phases)
    workload = trace.workload()
    limit = limit_of(trace)
    around = policy or (ResiliencePolicy() if limit is None else Timeout(limit))
    runs: list[Trace] = []
    for seed in range(replications):
        drawn = model.drawn(np.random.default_rng(seed), found).replace(**service)
        scenario = Scenario(workload, drawn, around, duration=max(float(trace.span or 0.0), workload.duration))
        runs.append(trace_of(simulate(scenario, seed=seed, record=False)))
    measured = _measures(trace, phases, level)
    played = np.array([list(_measures(run, phases, level).values()) for run in runs])
    rows = _rows(measured, played, tolerance)
    result = Check(rows, phases, trace, tuple(runs))
    model.doubt(result.failures(), trace)
    return result


def _faults_of(model: Calibration, trace: Trace) -> tuple[FoundFault, ...]:
    """Return what was wrong in another log, for the service of the model."""
    calls = calls_of(trace)
    return find_phases(trace, calls, usual_time(calls, None), None, model.service.workers, None).faults


def _phases(trace: Trace, found: tuple[FoundFault, ...]) -> tuple[Phase, ...]:
    """Cut a log where faults begin and end, and where requests come again after a silence."""
    span = float(trace.span or 0.0)
    names = {(each.fault.start, each.fault.end): type(each.fault).__name__.lower() for each in found}
    silent = np.diff(trace.start) > max(_SHORTEST_PHASE, _SILENCE / max(trace.rate, 1e-9))
    resumed = trace.start[1:][silent].tolist()
    edges = sorted({0.0, span, *resumed, *(min(max(time, 0.0), span) for window in names for time in window)})
    phases: list[Phase] = []
    for start, end in pairwise(edges):
        if end - start < min(_SHORTEST_PHASE, span / 2):
            continue
        within = [name for (first, last), name in names.items() if first < end - 1e-9 and last > start + 1e-9]
        before = [(last, each) for each in found if (last := each.fault.end) <= start + 1e-9]
        after = max(before, key=lambda pair: pair[0])[1].fault if before else None
        word = " and ".join(within) or (f"after {type(after).__name__.lower()}" if after else "healthy")
        drains = not within and after is not None and not isinstance(after, Errors)
        phases.append(Phase(f"{start:.0f}-{end:.0f} s, {word}", start, end, drains))
    return tuple(phases) or (Phase(f"0-{span:.0f} s, all", 0.0, span, drains=False),)


def _level(trace: Trace, phases: tuple[Phase, ...]) -> float:
    """Return how many calls are under way at most in healthy times, but for a hundredth of them."""
    healthy = [phase for phase in phases if phase.name.endswith("healthy")] or list(phases[:1])
    times, values = _under_way(trace)
    seconds = np.diff(np.append(times, times[-1]))
    inside = np.zeros(len(times), dtype=np.bool_)
    for phase in healthy:
        inside |= (times >= phase.start) & (times < phase.end)
    order = np.argsort(values[inside], kind="stable")
    shares = np.cumsum(seconds[inside][order])
    place = min(int(np.searchsorted(shares, _LEVEL * shares[-1])), len(order) - 1)
    return float(values[inside][order][place])


def _under_way(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    has_end = ~np.isnan(trace.duration)
    return steps(trace.start[has_end], (trace.start + trace.duration)[has_end])


def _measures(trace: Trace, phases: tuple[Phase, ...], level: float) -> dict[tuple[str, str], float]:
    """Return every measure of every phase."""
    failed = np.zeros(len(trace), dtype=np.bool_) if trace.failed is None else trace.failed
    times, values = _under_way(trace)
    found = {}
    for phase in phases:
        inside = (trace.start >= phase.start) & (trace.start < phase.end)
        answered = trace.duration[inside & ~failed]
        answered = answered[~np.isnan(answered)]
        p50, p95 = np.percentile(answered, (50, 95)) if len(answered) else (np.nan, np.nan)
        first, last = np.searchsorted(times, (phase.start, phase.end))
        most = values[max(first - 1, 0) : max(last, 1)].max(initial=0)
        numbers = {
            "success": 1 - failed[inside].mean() if inside.any() else np.nan,
            "p50": p50,
            "p95": p95,
            "calls": inside.sum(),
            "most_under_way": most,
        }
        if phase.drains:
            calm = np.flatnonzero(values[first:last] <= level)
            numbers["time_to_drain"] = times[first + calm[0]] - phase.start if len(calm) else phase.end - phase.start
        found.update({(phase.name, metric): float(number) for metric, number in numbers.items()})
    return found


def _rows(measured: dict[tuple[str, str], float], played: np.ndarray, tolerance: float) -> tuple[Row, ...]:
    """Compare, with intervals that hold together for one more run; on a logarithmic scale but for shares."""
    count = len(played)
    factor = _student(1 - 0.025 / len(measured), count - 1) * np.sqrt(1 + 1 / count)
    rows = []
    for ((phase, metric), value), numbers in zip(measured.items(), played.T, strict=True):
        expected = float(numbers.mean())
        if metric == "calls":  # the arrivals of the log are played: one more run would have others
            low, high = expected - 1.96 * np.sqrt(expected), expected + 1.96 * np.sqrt(expected)
        elif metric == "success":
            half = factor * float(numbers.std(ddof=1))
            low, high = expected - half, expected + half
        else:
            logs = np.log(np.maximum(numbers, 1e-9))
            low, high = np.exp(logs.mean() + np.array([-1, 1]) * factor * logs.std(ddof=1))
        slack = tolerance if metric == "success" else tolerance * abs(expected)
        slack = max(slack, 1.0) if metric == "most_under_way" else slack  # a call more or less
        low, high = max(min(low, expected - slack), 0.0), max(high, expected + slack)
        high = min(high, 1.0) if metric == "success" else high
        is_ok = bool(low - 1e-9 <= value <= high + 1e-9) or bool(np.isnan(value) and np.isnan(expected))
        rows.append(Row(phase, metric, value, expected, float(low), float(high), is_ok))
    return tuple(rows)


def _student(share: float, freedom: int) -> float:
    """Return a quantile of Student's law, by the expansion of Cornish and Fisher.

    Example:
        >>> round(_student(0.975, 19), 2), round(_student(0.9992, 19), 1)
        (2.09, 3.7)
    """
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
