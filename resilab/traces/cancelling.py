"""What a service does with calls whose caller has left: found by playing each possibility against the log."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..lab.run import simulate
from ..lab.scenario import Scenario
from ..lab.service import Service
from ..resilience.timeout import Timeout
from .of_result import trace_of
from .trace import Trace

_FEWEST = 0.01
"""Share of requests that must have ended at a limit for anything to be seen."""
_STEADY = 0.1
"""Relative spread of these durations above which there was no one limit."""
_SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Costs of cancelling that are tried, as shares of the mean time of service."""
_BLOCKS = 12
_MOST_CALLS = 40_000


class Reactions(NamedTuple):
    """What may happen to calls whose caller has left.

    Attributes:
        kept: Fields of the service that fit the log, the best first.
        found_by: What shows it.
        is_seen: Whether the log shows anything.
    """

    kept: tuple[dict[str, Any], ...]
    found_by: str
    is_seen: bool = True


_USUAL_COST = 0.2
"""Cost of cancelling that is a possibility where nothing is seen, as a share of the mean time of service."""


def unseen(service: Service, why: str) -> Reactions:
    """Return what may happen where the log does not show it; cancelling is not free by nature."""
    costly = {"on_cancel": "stop", "cancel_time": _USUAL_COST * service.latency.mean}
    return Reactions(({"on_cancel": "ignore"}, {"on_cancel": "stop"}, costly), why, is_seen=False)


def limit_of(trace: Trace) -> float | None:
    """Return the time after which the callers of a log leave, if it is one, in seconds; None if none is seen.

    Example:
        >>> limit_of(Trace(start=[0.0, 1.0], duration=[0.1, 0.5], failed=[False, True], timed_out=[False, True]))
        0.5
    """
    if trace.timed_out is None:
        return None
    bounds = trace.duration[trace.timed_out & ~np.isnan(trace.duration)]
    if len(bounds) < _FEWEST * len(trace):
        return None
    low, middle, high = np.percentile(bounds, (5, 50, 95))
    return float(middle) if high - low <= _STEADY * middle else None


def find_reactions(trace: Trace, service: Service, are_workers_known: bool) -> Reactions:
    """Return what the service may do with calls whose caller has left, by the share of successes over time.

    Args:
        trace: The log.
        service: The service, with its faults.
        are_workers_known: Whether it can be played at all.
    """
    limit = limit_of(trace)
    if limit is None:
        return unseen(service, "a log without callers that leave does not show it")
    if not are_workers_known:
        return unseen(service, "callers leave, but without workers= it cannot be played")
    if len(trace) > _MOST_CALLS:
        trace = trace.window(0.0, float(trace.start[_MOST_CALLS]))
    blocks = np.array_split(np.arange(len(trace)), _BLOCKS)
    failed = np.asarray(trace.failed)
    measured = np.array([1 - failed[block].mean() for block in blocks])
    noise = float(np.sqrt(np.mean(measured * (1 - measured) / len(blocks[0]))))
    tried: list[dict[str, Any]] = [{"on_cancel": "ignore"}, {"on_cancel": "drop_queued"}]
    tried += [{"on_cancel": "stop", "cancel_time": share * service.latency.mean} for share in _SHARES]
    fits = []
    for change in tried:
        played = _success(trace, service.replace(**change), limit, blocks)
        fits.append(float(np.sqrt(np.mean((played - measured) ** 2))))
    order = np.argsort(fits, kind="stable")
    best = fits[order[0]]
    kept = tuple(tried[place] for place in order if fits[place] <= 1.5 * best + noise)
    return Reactions(kept, f"successes of callers that leave after {limit:.3g} s, played for each possibility")


def _success(trace: Trace, service: Service, limit: float, blocks: list[np.ndarray]) -> np.ndarray:
    workload = trace.workload()
    scenario = Scenario(workload, service, Timeout(limit), duration=max(float(trace.span or 0.0), workload.duration))
    failed = np.asarray(trace_of(simulate(scenario, seed=0, record=False)).failed)
    return np.array([1 - failed[block].mean() for block in blocks])
