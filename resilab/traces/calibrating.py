"""Makes a model from a log: what the log shows is measured, what it cannot show stays open."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..distributions import Empirical
from ..lab.faults import Errors, Fault
from ..lab.service import Service
from ..validation import instance, whole
from .calibration import Calibration
from .cancelling import Reactions, find_reactions
from .censoring import CensoredLaw, censored_law
from .parameters import parameters_of
from .phases import LEAST_FREE, Phases, find_phases, usual_time
from .reconstruction import Calls, calls_of
from .text import TraceError
from .trace import Trace
from .workers import FoundWorkers


def calibrate(
    trace: Trace,
    alone: Empirical | None = None,
    workers: int | None = None,
    faults: Iterable[Fault] | None = None,
) -> Calibration:
    """Make a model of a service from its log: workers, law, overhead, and faults, each with an interval.

    Who waited for a worker, and how long, follows from arrivals and answers: with w
    workers that take calls in order, a call begins when all but w - 1 of those before
    it have been answered. The number of workers is the one with which calls that waited
    did the same work as those that did not: durations that contain queueing are never
    taken for service times. Windows in which requests fail, work takes longer, or no
    answer comes are found by their likelihood. What the log cannot tell stays a list of
    alternatives, "not identified" in the table.

    Args:
        trace: The log, of one service.
        alone: Service times measured one at a time; see `read_durations`. None takes
            them from calls of the log that met few others.
        workers: How many calls it serves at once. None finds it from calls that waited.
        faults: What was wrong, as known. None finds it.

    Returns:
        The model. Look at its `table`, then `check` it.

    Raises:
        TraceError: The log has too few answers, or its clock is too coarse.

    Example:
        >>> import resilab as rl
        >>> service = rl.Service(4, rl.Exponential(mean=0.05), faults=rl.Slowdown(30, 5, factor=3))
        >>> run = rl.simulate(rl.Scenario(rl.Poisson(rate=60), service, duration=60.0), seed=1)
        >>> model = calibrate(rl.trace_of(run))
        >>> model.service.workers, [round(fault.start) for fault in model.faults]
        (4, [30])
    """
    instance("trace", trace, Trace)
    if alone is not None and not isinstance(alone, Empirical):
        alone = Empirical(alone)
    if workers is not None:
        whole("workers", workers, minimum=1)
    known = None if faults is None else tuple(instance("faults", fault, Fault) for fault in faults)
    calls = calls_of(trace)
    if len(calls.arrival) < 2 * LEAST_FREE:
        raise TraceError(f"a model needs at least {2 * LEAST_FREE} answered requests, the log has {len(calls.arrival)}")
    usual = usual_time(calls, alone)
    if trace.tick > usual:
        raise TraceError(
            f"the clock of the log moves in steps of {trace.tick:g} s and work takes {usual:.3g} s: who waited cannot"
            " be told. Log milliseconds"
        )
    phases = find_phases(trace, calls, usual, alone, workers, known)
    law = _law(calls, phases, alone)
    service = _service(trace, phases, law, workers)
    played = tuple(found.fault for found in phases.faults)
    are_workers_known = workers is not None or phases.workers.value is not None
    reactions = find_reactions(trace, service.replace(faults=played), are_workers_known)
    service = service.replace(**reactions.kept[0])
    return Calibration(
        service=service,
        workload=trace.workload(),
        faults=played,
        parameters=tuple(parameters_of(trace, phases, law, service, reactions, alone is not None, workers)),
        found=phases.faults,
        alternatives=_alternatives(_counts(phases.workers, service, are_workers_known), reactions, phases.workers),
        trace=trace,
        known_until=law.known_until,
        worker_range=_worker_range(phases.workers, service),
    )


def _law(calls: Calls, phases: Phases, alone: Empirical | None) -> CensoredLaw:
    """Return the law of the service: measured alone, or of calls that waited for nobody."""
    if alone is not None:
        law = CensoredLaw(np.array(alone.values), math.inf, 0.0)
    elif phases.is_free.any():
        law = censored_law(calls.duration[phases.is_free], calls.is_bound[phases.is_free])
    else:
        raise TraceError("no call of the log met few others outside its faults: measure some alone (alone=...)")
    return law._replace(values=np.maximum(law.values - phases.workers.overhead[0], 0.0))


def _service(trace: Trace, phases: Phases, law: CensoredLaw, workers: int | None) -> Service:
    failed = np.zeros(len(trace), dtype=np.bool_) if trace.failed is None else trace.failed
    failed = failed & ~_timed_out(trace) & ~phases.refused
    outside = np.ones(len(trace), dtype=np.bool_)
    for found in phases.faults:
        if isinstance(found.fault, Errors) or found.found_by == "failures per request":
            outside &= ~((trace.start >= found.start.low) & (trace.start < found.end.high))
    times = trace.duration[failed & ~np.isnan(trace.duration)]
    rate = float(failed[outside].mean()) if outside.any() else 0.0
    fields: dict[str, Any] = {"failure_rate": rate} if rate > 0 else {}
    if len(times) and np.median(times) < np.median(law.values):
        fields["failure_latency"] = Empirical(times)
    if phases.queue_limit is not None:
        fields["queue_limit"] = phases.queue_limit
    count = workers or phases.workers.value or phases.workers.likely or max(1, int(trace.in_flight().max()))
    if phases.workers.overhead[0]:
        fields["overhead"] = phases.workers.overhead[0]
    return Service(workers=count, latency=Empirical(tuple(law.values.tolist())), on_cancel="ignore", **fields)


def _timed_out(trace: Trace) -> np.ndarray:
    return np.zeros(len(trace), dtype=np.bool_) if trace.timed_out is None else np.asarray(trace.timed_out)


def _counts(found: FoundWorkers, service: Service, are_workers_known: bool) -> tuple[dict[str, Any], ...]:
    """Return the fewest workers and the most, or twice as many as are likely."""
    if are_workers_known:
        return ({},)
    return {"workers": found.low or service.workers}, {"workers": found.high or 2 * service.workers}


def _alternatives(
    counts: tuple[dict[str, Any], ...], reactions: Reactions, workers: FoundWorkers
) -> tuple[dict[str, Any], ...]:
    """Return what may be instead, of what the log cannot tell: of each reaction the best, workers, order."""
    best = {change["on_cancel"]: change for change in reversed(reactions.kept)}
    orders = ({},) if workers.is_in_order else ({"discipline": "fifo"}, {"discipline": "lifo"})
    ordered = sorted(best.values(), key=reactions.kept.index) if reactions.is_seen else list(reactions.kept)
    return tuple({**change, **count, **order} for change in ordered for count in counts for order in orders)


def _worker_range(found: FoundWorkers, service: Service) -> tuple[int, int]:
    return found.low or service.workers, found.high or service.workers
