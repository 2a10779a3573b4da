"""The table of a model: every number with its interval, and what shows it."""

from __future__ import annotations

import math

import numpy as np

from ..lab.faults import Errors, Outage, Slowdown
from ..lab.service import Service
from .calibration import NOT_IDENTIFIED, Parameter
from .cancelling import Reactions
from .censoring import CensoredLaw
from .finding import FoundFault, block_means
from .phases import Phases
from .trace import Trace
from .workers import FoundWorkers

_VISIBLE = 7.0
"""Standard deviations that a fault must stand out by, among all windows of a log."""

_LOOKS_THE_SAME = "with so few workers, a process that stood still may look the same"


def parameters_of(
    trace: Trace,
    phases: Phases,
    law: CensoredLaw,
    service: Service,
    reactions: Reactions,
    is_alone: bool,
    workers: int | None,
) -> list[Parameter]:
    """Return the rows of the table."""
    by = f"{len(law.values):,} times measured alone" if is_alone else "calls that waited for nobody"
    rows = [_workers(phases.workers, workers, bool(law.beyond)), *_service_time(law, by)]
    if not phases.workers.is_in_order:
        rows.append(Parameter("discipline", NOT_IDENTIFIED, "fifo", "lifo", "calls overtake others"))
    elif phases.workers.value is not None:
        rows.append(Parameter("overhead", *phases.workers.overhead, "calls that waited against those that did not"))
    rate = service.failure_rate
    rows.append(Parameter("failure rate", rate, *_rate_interval(trace, rate), "all requests outside of faults"))
    if service.queue_limit is not None:
        limit = service.queue_limit
        why = f"{int(phases.refused.sum()):,} requests that failed at once, when most calls were under way"
        rows.append(Parameter("queue limit", limit, limit, limit, why))
    for number, found in enumerate(phases.faults, start=1):
        rows += _fault(f"fault {number}, {type(found.fault).__name__.lower()}", found)
    rows += _visible(trace, law, rate)
    return [*rows, *_reactions(reactions)]


def _workers(found: FoundWorkers, given: int | None, is_censored: bool) -> Parameter:
    if given is not None:
        return Parameter("workers", given, given, given, "given")
    if found.value is not None:
        shown_by = "calls that waited" if found.is_in_order else "answers while many waited"
        return Parameter("workers", found.value, found.low, found.high, f"{found.waited:,} {shown_by}")
    why = "calls ended at a limit" if is_censored else "no calls that surely waited, or not in order of arrival"
    if found.low is not None:
        why = f"{found.waited:,} calls that may have waited" if found.waited else "no call that may have waited"
    return Parameter("workers", NOT_IDENTIFIED, found.low or 1, found.high or math.inf, why)


def _service_time(law: CensoredLaw, by: str) -> list[Parameter]:
    values = np.random.default_rng(0).permutation(law.values)  # a law of lower bounds comes in order of size
    rows = [Parameter("service time, mean", float(values.mean()), *interval(block_means(values)), by)]
    for percent in (50, 95):
        low, value, high = _quantile_interval(values, percent / 100)
        rows.append(Parameter(f"service time, p{percent}", value, low, high, by))
    if law.beyond:
        why = f"{law.beyond:.1%} of the calls ended at a limit; a lognormal tail is assumed"
        name = f"service time beyond {law.known_until:.3g} s"
        rows.append(Parameter(name, NOT_IDENTIFIED, law.known_until, math.inf, why))
    return rows


def _reactions(reactions: Reactions) -> list[Parameter]:
    """Return what happens to calls whose caller has left, as far as the log shows it."""
    words = list(dict.fromkeys(change["on_cancel"] for change in reactions.kept))
    times = [change.get("cancel_time", 0.0) for change in reactions.kept if change["on_cancel"] == "stop"]
    why = reactions.found_by
    rows = [Parameter("on_cancel", words[0] if len(words) == 1 else NOT_IDENTIFIED, words[0], words[-1], why)]
    if times:
        value = times[0] if len(words) == 1 else NOT_IDENTIFIED
        rows.append(Parameter("cancel_time", value, min(times), max(times), why))
    return rows


def _fault(name: str, found: FoundFault) -> list[Parameter]:
    rows = [
        Parameter(f"{name}: start", *found.start, found.found_by),
        Parameter(f"{name}: end", *found.end, found.found_by),
    ]
    if found.size is not None:
        words = {Errors: "rate", Slowdown: "factor"}
        rows.append(Parameter(f"{name}: {words.get(type(found.fault), 'size')}", *found.size, found.found_by))
    if isinstance(found.fault, Outage) and found.fault.mode != "error":
        mode = found.fault.mode
        why = found.found_by if found.is_mode_sure else _LOOKS_THE_SAME
        rows.append(Parameter(f"{name}: mode", mode, mode, mode if found.is_mode_sure else "freeze", why))
    return rows


def _visible(trace: Trace, law: CensoredLaw, failure_rate: float) -> list[Parameter]:
    """Return the smallest faults of ten seconds that would have been found."""
    calls = max(trace.rate * 10.0, 1.0)
    deviation = float(np.log(np.maximum(law.values, 1e-9)).std())
    factor = math.exp(_VISIBLE * deviation / math.sqrt(calls))
    usual = max(failure_rate, 1 / max(len(trace), 1))
    rate = min(1.0, 25.0 / calls + 3 * math.sqrt(usual / calls))
    return [
        Parameter("smallest slowdown seen", factor, 1.0, factor, "a lesser one of 10 s would not be found"),
        Parameter("smallest errors seen", rate, 0.0, rate, "a lower rate for 10 s would not be found"),
    ]


def interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _quantile_interval(values: np.ndarray, share: float) -> tuple[float, float, float]:
    """Return a quantile between order statistics that hold it with 95 %."""
    width = 1.96 * math.sqrt(share * (1 - share) / len(values))
    low, value, high = np.quantile(values, np.clip([share - width, share, share + width], 0.0, 1.0))
    return float(low), float(value), float(high)


def _rate_interval(trace: Trace, rate: float) -> tuple[float, float]:
    """Return Wilson's interval."""
    count = len(trace)
    centre, width = rate + 1.92 / count, 1.96 * math.sqrt(rate * (1 - rate) / count + 0.9604 / count**2)
    scale = 1 + 3.84 / count
    return max(0.0, (centre - width) / scale), min(1.0, (centre + width) / scale)
