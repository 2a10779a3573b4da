"""When did each call of a log begin to be served? Reconstructed from arrivals and answers alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .trace import Trace

_FEW = 5
"""Callers that leave for themselves alone: their work was long, not the queue."""
_APART = 20.0
"""Usual times of service after which what one caller left behind has nothing to do with the next."""


@dataclass(frozen=True, eq=False)
class Calls:
    """The calls of a log that used a worker, in order of arrival.

    A call that failed at once (in less than a fifth of the usual time) did no work.

    Attributes:
        arrival, end: Seconds.
        met: How many calls were under way when each arrived.
        freed: All ends, in order: a worker becomes free at each.
        is_bound: Whether the end was a time limit, which says nothing of the work.
        is_haunted: Whether work whose caller has left may have been under way unseen.
    """

    arrival: np.ndarray
    end: np.ndarray
    met: np.ndarray
    freed: np.ndarray
    is_bound: np.ndarray
    is_haunted: np.ndarray

    @property
    def answers(self) -> np.ndarray:
        """The ends that were answers, in order, in seconds."""
        return np.sort(self.end[~self.is_bound])

    @property
    def duration(self) -> np.ndarray:
        """Seconds from arrival to answer."""
        found: np.ndarray = self.end - self.arrival
        return found

    def starts(self, workers: int) -> np.ndarray:
        """Return when each call began to be served, if so many workers take calls in order of arrival.

        Call i waits until all but *workers* - 1 of the calls before it have been
        answered: whatever the law of the service, however long its queue.
        """
        begun = self.arrival.copy()
        if workers < len(begun):
            begun[workers:] = np.maximum(begun[workers:], self.freed[: len(begun) - workers])
        return begun


def calls_of(trace: Trace) -> Calls:
    """Return the calls that used a worker."""
    has_end = ~np.isnan(trace.duration)
    failed = np.zeros(len(trace), dtype=np.bool_) if trace.failed is None else trace.failed
    answered = trace.duration[has_end & ~failed]
    usual = float(np.median(answered)) if len(answered) else 0.0
    used = has_end & ~(failed & (trace.duration < usual / 5))
    arrival, end = trace.start[used], (trace.start + trace.duration)[used]
    freed = np.sort(end)
    met = np.arange(len(arrival)) - np.searchsorted(freed, arrival, side="right")
    timed_out = np.zeros(len(arrival), dtype=np.bool_) if trace.timed_out is None else trace.timed_out[used]
    return Calls(arrival, end, np.maximum(met, 0), freed, timed_out, _haunted(arrival, end, timed_out, usual))


def _haunted(arrival: np.ndarray, end: np.ndarray, timed_out: np.ndarray, usual: float) -> np.ndarray:
    """Return which calls come while, or not long after, others left: three times as long as it went on."""
    found = np.zeros(len(arrival), dtype=np.bool_)
    if not timed_out.any():
        return found
    first, last = arrival[timed_out], np.maximum.accumulate(end[timed_out])
    breaks = np.flatnonzero(first[1:] > last[:-1] + _APART * usual) + 1
    for part in np.split(np.arange(len(first)), breaks):
        if len(part) < _FEW:
            continue
        start, stop = first[part[0]], last[part[-1]]
        found |= (arrival >= start) & (arrival < stop + 3 * (stop - start) + _APART * usual)
    return found
