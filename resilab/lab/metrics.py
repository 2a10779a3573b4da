"""Headline numbers and exact time lines, derived from the rows of a run."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..events import Event, Transition
from ..validation import one_of
from .records import OUTCOMES, SUCCESS, TIMEOUT
from .world import World

QUANTITIES = ("in_flight", "queue_length", "busy_workers", "breaker_state")


class Rows(Protocol):
    """The rows of a run, as a `Result` has them."""

    @property
    def scenario(self) -> World[Any]: ...
    @property
    def horizon(self) -> float | None: ...
    @property
    def columns(self) -> dict[str, np.ndarray]: ...
    @property
    def services(self) -> tuple[str, ...]: ...
    @property
    def attempt_rows(self) -> np.ndarray | None: ...
    def attempts_array(self) -> np.ndarray: ...
    def events_rows(self) -> tuple[Event, ...]: ...


def summary(result: Rows) -> dict[str, float]:
    """Return the headline numbers of a run.

    | number | meaning |
    |---|---|
    | requests | requests that arrived |
    | success_rate, degraded_rate, rejected_rate, timeout_rate, failure_rate | shares of them |
    | open | requests that had not ended at the horizon |
    | goodput | successes per second of `duration`, up to the horizon |
    | mean_latency, p50, p95, p99 | latency in seconds of all requests that ended |
    | p50_success, p95_success, p99_success | latency in seconds of the successful ones |
    | attempts | calls that reached the service |
    | amplification | attempts / requests |
    | utilization | worker time used / worker time there was, until arrivals and work have ended |
    | wasted_work | share of the used worker time whose caller had gone |

    The last two need a recorded run, and are NaN without one or without any work.
    """
    outcome = result.columns["outcome"]
    latency = result.columns["end"] - result.columns["arrival"]
    has_ended = outcome >= 0
    total = len(outcome)
    shares = {
        f"{word}_rate": _divide(int(np.count_nonzero(outcome == code)), total) for code, word in enumerate(OUTCOMES)
    }
    sent = int(result.columns["attempts"].sum())
    ended = latency[has_ended]
    numbers = {"requests": float(total)} | shares
    numbers["open"] = float(total - len(ended))
    numbers["goodput"] = np.count_nonzero(outcome == SUCCESS) / _seconds(result)
    numbers["mean_latency"] = float(ended.mean()) if len(ended) else np.nan
    numbers |= _percentiles(ended, "") | _percentiles(latency[outcome == SUCCESS], "_success")
    numbers["attempts"] = float(sent)
    numbers["amplification"] = _divide(sent, total)
    numbers["utilization"], numbers["wasted_work"] = _worker_time(result)
    return numbers


def _divide(part: float, total: float) -> float:
    return part / total if total else np.nan


def _seconds(result: Rows) -> float:
    """Return for how long requests could arrive."""
    duration: float = result.scenario.duration  # type: ignore[assignment]
    return duration if result.horizon is None else min(duration, result.horizon)


def _percentiles(latency: np.ndarray, suffix: str) -> dict[str, float]:
    values = np.percentile(latency, (50, 95, 99)) if len(latency) else np.full(3, np.nan)
    return {f"p{p}{suffix}": float(value) for p, value in zip((50, 95, 99), values, strict=True)}


def _worker_time(result: Rows) -> tuple[float, float]:
    if result.attempt_rows is None or not len(result.attempt_rows):
        return np.nan, np.nan
    rows = result.attempt_rows
    used = rows["work_end"] - rows["work_start"]
    workers = sum(service.workers for service in result.scenario.services)
    there_was = workers * max(rows["work_end"].max(), _seconds(result))
    wasted = used[rows["outcome"] == TIMEOUT].sum()
    return _divide(float(used.sum()), float(there_was)), _divide(float(wasted), float(used.sum()))


def timeline(result: Rows, quantity: str, source: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return a quantity over time as a step function, exact and without polling.

    Args:
        result: A recorded run.
        quantity: "in_flight" (requests that have arrived and not ended), "queue_length"
            and "busy_workers" of a service, or "breaker_state" (0 closed, 1 half-open,
            2 open).
        source: The service, or the breaker as the events name it. None is the first.

    Returns:
        Times in seconds, the first 0, and the value from each on to the next.
    """
    one_of("quantity", quantity, QUANTITIES)
    if quantity == "in_flight":
        return steps(result.columns["arrival"], result.columns["end"])
    if quantity == "breaker_state":
        return _breaker_states(result, source)
    rows = result.attempts_array()
    service = 0 if source is None else result.services.index(one_of("source", source, result.services))
    rows = rows[rows["service"] == service]
    if quantity == "queue_length":
        return steps(rows["start"], rows["work_start"])
    return steps(rows["work_start"], rows["work_end"])


def steps(up: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the step function that rises by 1 at each time of *up* and falls at each of *down*.

    A NaN in *down* never falls. Changes at one instant are one step.
    """
    down = down[~np.isnan(down)]
    times = np.concatenate([[0.0], up, down])
    changes = np.concatenate([[0], np.ones(len(up), int), -np.ones(len(down), int)])
    order = np.argsort(times, kind="stable")
    times, values = times[order], np.cumsum(changes[order])
    is_last = np.append(times[1:] != times[:-1], True)
    return times[is_last], values[is_last]


def breakers(result: Rows) -> list[str]:
    """Return the names of the breakers that changed their state, in order of first change."""
    return list(dict.fromkeys(event.source for event, _ in _transitions(result)))


def _transitions(result: Rows) -> list[tuple[Event, Transition]]:
    return [
        (event, event.detail)
        for event in result.events_rows()
        if event.type == "transition" and isinstance(event.detail, Transition)
    ]


def _breaker_states(result: Rows, source: str | None) -> tuple[np.ndarray, np.ndarray]:
    levels = {"closed": 0, "half_open": 1, "open": 2}
    names = breakers(result)
    name = source or (names[0] if names else "")
    changes = [
        (event.time, levels.get(change.after, 0)) for event, change in _transitions(result) if event.source == name
    ]
    times = np.array([0.0] + [time for time, _ in changes])
    values = np.array([0] + [level for _, level in changes])
    is_last = np.append(times[1:] != times[:-1], True)
    return times[is_last], values[is_last]
