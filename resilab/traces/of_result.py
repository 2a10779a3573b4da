"""A run as a log would have it."""

from __future__ import annotations

import numpy as np

from ..lab.records import DEGRADED, SUCCESS, TIMEOUT
from ..lab.result import Result
from .trace import Trace


def trace_of(result: Result) -> Trace:
    """Return a run as a log would have it: starts, durations and outcomes of its requests.

    Example:
        >>> import resilab as rl
        >>> run = rl.simulate(rl.Scenario(rl.Steady(rate=10), rl.Service(2, 0.1), duration=1.0))
        >>> rl.trace_of(run)
        Trace(10 requests in 1 s, 0.00% failed)
    """
    arrival, latency, outcome = result.columns["arrival"], result.latency, result.columns["outcome"]
    return Trace(
        start=arrival,
        duration=latency,
        failed=~np.isin(outcome, (SUCCESS, DEGRADED)),
        timed_out=outcome == TIMEOUT,
        span=max(float(result.scenario.duration or 0.0), float(arrival[-1])),
    )
