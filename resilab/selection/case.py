"""Case: one claim of the tables, as two scenarios and a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from ..experiments.measures import headline
from ..lab.records import DEGRADED, SUCCESS
from ..lab.result import Result
from ..validation import Spec, word
from ..worlds.outbox_result import OutboxRunResult
from ..worlds.saga_result import CONSISTENT, SagaRunResult

UNITS = ("%", "s", "calls")


@dataclass(frozen=True)
class Case(Spec):
    """What a pattern changes, with and without it, under the same luck.

    Args:
        table: "pattern_table" or "when_to_use".
        row: Row of that table: its first column.
        pattern: The pattern in question.
        side: "protection", on a day with the failure it is made for, or "price", on a
            healthy day.
        claim: What the table says.
        metric: What is measured, in words.
        unit: "%" (of a share from 0 to 1), "s" or "calls".
        better: "higher" or "lower".
        without: The scenario without the pattern.
        with_pattern: The scenario with it.
        measure: Returns the number of a result.
        day: What happens on that day, in words.
        record: Whether *measure* looks at attempts or events.
    """

    table: Annotated[str, word("pattern_table", "when_to_use")]
    row: str
    pattern: str
    side: Annotated[str, word("protection", "price")]
    claim: str
    metric: str
    unit: Annotated[str, word(*UNITS)]
    better: Annotated[str, word("higher", "lower")]
    without: Any
    with_pattern: Any
    measure: Callable[[Any], float]
    day: str
    record: bool = False


@dataclass(frozen=True)
class Number(Spec):
    """A number of the summary of a run, as a measure."""

    name: str

    def __call__(self, result: Result) -> float:
        return headline(result)[self.name]


@dataclass(frozen=True)
class SuccessRate(Spec):
    """Share of successes among the requests of one operation, and of one stretch of time.

    Args:
        operation: Number of the operation; None is all.
        start: First arrival in seconds.
        end: Last arrival in seconds.
        counts_degraded: Whether any answer is good enough.
    """

    operation: int | None = None
    start: float = 0.0
    end: float = float("inf")
    counts_degraded: bool = False

    def __call__(self, result: Result) -> float:
        columns = result.columns
        chosen = (columns["arrival"] >= self.start) & (columns["arrival"] < self.end)
        if self.operation is not None:
            chosen &= columns["operation"] == self.operation
        good = (SUCCESS, DEGRADED) if self.counts_degraded else (SUCCESS,)
        return float(np.isin(columns["outcome"][chosen], good).mean())


def most_in_flight(result: Result) -> float:
    """Return the largest number of requests in flight at once."""
    return float(result.timeline("in_flight").max())


def most_in_service(result: Result) -> float:
    """Return the largest number of calls inside the service at once, at a worker or in its queue."""
    rows = result.attempts_array()
    begin, end = rows["start"], rows["work_end"]
    times = np.concatenate([begin, end])
    changes = np.concatenate([np.ones(len(begin)), -np.ones(len(end))])
    return float(np.cumsum(changes[np.lexsort((changes, times))]).max())


def half_done(result: SagaRunResult) -> float:
    """Return the share of orders that are reserved or charged, and not confirmed."""
    return 1 - sum(result.verdicts().get(word, 0) for word in CONSISTENT) / len(result)


def lost_messages(result: OutboxRunResult) -> float:
    """Return the share of orders that nobody ever heard of."""
    return result.flow()["lost"] / len(result)
