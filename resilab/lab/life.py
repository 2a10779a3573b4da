"""The life of one request: where its time went, from the attempts."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from ..validation import whole
from .records import ATTEMPT_OUTCOMES

WAITING, QUEUED, SERVED, ABANDONED = "waiting", "queued", "served", "abandoned"
PHASES = (WAITING, QUEUED, SERVED, ABANDONED)
"""No call is under way; a call waits for a worker; it is at a worker; the worker goes on after its caller has left."""


class Phase(NamedTuple):
    """A part of the time of one request.

    Attributes:
        start, end: Seconds.
        what: One of `PHASES`.
        attempt: Number of the call at its service, from 1; 0 while none is under way.
        service: Name of the service, or "".
        outcome: How the call ended, at its last phase; else "".
    """

    start: float
    end: float
    what: str
    attempt: int = 0
    service: str = ""
    outcome: str = ""


class Lived(Protocol):
    """What is read of a result."""

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services, by number."""

    @property
    def goes_on(self) -> bool:
        """Whether somebody wants what a request does after its end."""

    @property
    def run_columns(self) -> dict[str, np.ndarray]:
        """The columns of the whole run."""

    def attempts_array(self) -> np.ndarray:
        """Return the attempts."""


def phases(result: Lived, request_id: int) -> list[Phase]:
    """Return the phases of a request in order of their start.

    Calls that run at once, hedges or calls of a tier within those of the tier above,
    overlap. A call that was refused by its service has no length. Nothing waits after the
    end of its request, and what a tier below still does then is for nobody, unless the
    world goes on: a message is handled after its sender was answered.

    Raises:
        ValueError: There is no such request.
    """
    count = len(result.run_columns["arrival"])
    if whole("request_id", request_id) >= count:
        raise ValueError(f"request_id must be < {count}, the number of requests, got {request_id!r}")
    arrival, over = (float(result.run_columns[name][request_id]) for name in ("arrival", "end"))
    rows = result.attempts_array()
    begin, stop = np.searchsorted(rows["request_id"], [request_id, request_id + 1])
    if math.isnan(over):
        over = math.inf
    last = math.inf if result.goes_on else over
    found: list[Phase] = []
    free = arrival  # until then some call was under way
    for row in np.sort(rows[begin:stop], order="start"):
        start, end, work_start, work_end = (float(row[name]) for name in ("start", "end", "work_start", "work_end"))
        if min(start, over) > free:
            found.append(Phase(free, min(start, over), WAITING))
        call = int(row["attempt"]), result.services[row["service"]]
        outcome = ATTEMPT_OUTCOMES[row["outcome"]] if row["outcome"] >= 0 else ""
        left = min(work_start, end)
        is_served = work_end > work_start and left < end
        if left > start or work_end <= work_start:
            found.append(Phase(start, left, QUEUED, *call, "" if is_served else outcome))
        wanted = min(end, last)
        if is_served and left < wanted:
            found.append(Phase(left, min(work_end, wanted), SERVED, *call, outcome))
        if work_end > max(work_start, wanted):
            found.append(Phase(max(work_start, wanted), work_end, ABANDONED, *call))
        free = max(free, end)
    if free < over < math.inf:
        found.append(Phase(free, over, WAITING))
    return sorted(found, key=lambda phase: phase.start)
