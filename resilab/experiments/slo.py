"""SLO: what is asked of a service, as shares that one run can tell; and what its runs cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..lab.metrics import summary
from ..lab.records import DEGRADED, SUCCESS
from ..lab.result import Result
from ..validation import NonNegative, Positive, Ratio, Spec, function

CONSTRAINTS = ("answered", "during", "ended", "amplification")
"""The parts of an `SLO` that a run fulfils or not."""


@dataclass(frozen=True)
class SLO(Spec):
    """What is asked of a service, from the caller's side.

    A share of requests has a mean and an interval over runs, a percentile has not: "p99 at
    most 0.8 s" is asked for as 99 % answered within 0.8 s. A refused request is not answered.

    Args:
        within: Seconds within which an answer counts.
        answered: Share of requests that are answered within that time.
        amplification: Most calls per request, or None.
        recovery: Seconds after the end of a fault from which on *answered* holds again:
            requests that arrive earlier, since the fault began, are left out of it. None
            leaves out none.
        during: Share of the requests left out that are answered in time, or None.
        ended: Share of all requests that have ended within *within*, refused or not: how
            many must not be kept waiting. None asks for none.
        counts_degraded: Whether the answer of a `Fallback` counts.

    Example:
        >>> SLO(answered=0.99, within=0.8, amplification=1.2, recovery=5.0).asks
        {'answered': 0.99, 'amplification': 1.2}
    """

    within: Positive
    answered: Ratio = 0.99
    amplification: Positive | None = None
    recovery: NonNegative | None = None
    during: Ratio | None = None
    ended: Ratio | None = None
    counts_degraded: bool = False

    def __post_init__(self) -> None:
        if self.during is not None and self.recovery is None:
            raise ValueError("during must not be given without recovery, which says when a fault is over")

    @property
    def asks(self) -> dict[str, float]:
        """What a run must reach, by name; amplification is the only one that must not be exceeded."""
        return {name: getattr(self, name) for name in CONSTRAINTS if getattr(self, name) is not None}

    def margins(self, numbers: dict[str, float]) -> dict[str, float]:
        """Return how far a run is on the right side of each part; NaN where it has no such requests."""
        return {
            name: (asked - numbers[name]) / asked if name == "amplification" else numbers[name] - asked
            for name, asked in self.asks.items()
        }

    def numbers(self, result: Result) -> dict[str, float]:
        """Return what a run has reached: answered, during, ended, amplification and unanswered, the share of all."""
        columns = result.columns
        arrival, outcome = columns["arrival"], columns["outcome"]
        in_time = result.latency <= self.within * (1 + 1e-9)  # False where it is open
        good = (SUCCESS, DEGRADED) if self.counts_degraded else (SUCCESS,)
        answered = in_time & np.isin(outcome, good)
        is_out = np.zeros(len(arrival), bool)
        if self.recovery is not None:
            for fault in result.scenario.faults:
                is_out |= (arrival >= fault.start) & (arrival < fault.end + self.recovery)
        return {
            "answered": _mean(answered[~is_out]),
            "during": _mean(answered[is_out]),
            "ended": _mean(in_time & (outcome >= 0)),
            "amplification": _mean(columns["attempts"]),
            "unanswered": 1 - _mean(answered),
        }

    def __str__(self) -> str:
        texts = [f"{self.answered:.4g} of requests answered within {self.within:.4g} s"]
        if self.recovery is not None:
            texts.append(f"again {self.recovery:.4g} s after a fault")
        if self.during is not None:
            texts.append(f"{self.during:.4g} of those before that")
        if self.ended is not None:
            texts.append(f"{self.ended:.4g} ended in that time, refused or not")
        if self.amplification is not None:
            texts.append(f"at most {self.amplification:.4g} calls per request")
        return ", ".join(texts)


@dataclass(frozen=True)
class Cost(Spec):
    """What a month costs: lost requests and extra calls, on healthy days and in incidents.

    Situations with faults are incidents, and happen *incidents* times a month each, for
    the duration of their scenario; the others share the rest of the month.

    Args:
        lost_request: Cost of a request that is not answered as the `SLO` asks.
        extra_call: Cost of a call beyond one for each request.
        incidents: Incidents of each kind a month.
    """

    lost_request: NonNegative
    extra_call: NonNegative = 0.0
    incidents: NonNegative = 1.0

    def of(self, numbers: dict[str, float]) -> float:
        """Return the cost per request of a run."""
        return self.lost_request * numbers["unanswered"] + self.extra_call * max(0.0, numbers["amplification"] - 1)

    def weight(self, situation: Any, calm: int) -> float:
        """Return the share of the month that a situation takes, with *calm* situations without faults."""
        month = 30 * 86_400.0
        if situation.faults:
            return self.incidents * float(situation.duration or 0.0) / month
        return 1.0 / calm


Objective = str | Cost | Callable[[Any], float]


@dataclass(frozen=True)
class Score(Spec):
    """Measures a run: its numbers for an SLO, and `objective`, which should be small."""

    slo: SLO
    minimize: Objective

    def __post_init__(self) -> None:
        if not isinstance(self.minimize, str | Cost):
            function("minimize", self.minimize)

    def __call__(self, result: Result) -> dict[str, float]:
        numbers = self.slo.numbers(result)
        return numbers | {"objective": self._objective(result, numbers)}

    def _objective(self, result: Result, numbers: dict[str, float]) -> float:
        if isinstance(self.minimize, Cost):
            return self.minimize.of(numbers)
        if not isinstance(self.minimize, str):
            return float(self.minimize(result))
        known = numbers if self.minimize in numbers else numbers | summary(result)
        if self.minimize not in known:
            raise ValueError(f"minimize must be among {', '.join(known)}, got {self.minimize!r}")
        return known[self.minimize]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
