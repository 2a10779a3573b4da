"""Headline numbers and exact time lines, derived from the rows of a run."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from ..events import Event, Transition
from ..validation import non_negative, one_of
from .records import CANCELLED, DEGRADED, OUTCOMES, SUCCESS, TIMEOUT
from .world import World

QUANTITIES = ("in_flight", "queue_length", "busy_workers", "breaker_state")


PERCENTILES = (50.0, 95.0, 99.0, 99.9)


class ShortRunWarning(UserWarning):
    """A number of a run stands on too few requests, or on a queue that was still filling."""


class Rows(Protocol):
    """The rows of a run, as a `Result` has them."""

    @property
    def scenario(self) -> World[Any]: ...
    @property
    def horizon(self) -> float | None: ...
    @property
    def span(self) -> tuple[float, float]: ...
    @property
    def ids(self) -> np.ndarray: ...
    @property
    def run_columns(self) -> dict[str, np.ndarray]: ...
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

    Rates are over `span`, the seconds in which requests arrive (up to the horizon), or the
    window that was asked for: never over the time in which the rest drains.

    | number | meaning |
    |---|---|
    | requests | requests that arrived |
    | success_rate, degraded_rate, rejected_rate, timeout_rate, failure_rate | shares of them |
    | open | requests that had not ended at the horizon |
    | goodput | successes that ended within the span, per second |
    | mean_latency, p50, p95, p99, p99_9 | latency in seconds of all requests that ended |
    | p50_success, p95_success, p99_success, p99_9_success | latency in seconds of the successful ones |
    | attempts | calls that reached the service |
    | amplification | attempts / requests |
    | utilization | share of the worker time within the span that was used, of the busiest service |
    | wasted_work | share of the used worker time whose caller had gone |

    The last two need a recorded run, and are NaN without one or without any work;
    `utilization` gives those of every service.
    """
    columns, (start, end) = result.columns, result.span
    outcome = columns["outcome"]
    latency = columns["end"] - columns["arrival"]
    total = len(outcome)
    shares = {
        f"{word}_rate": _divide(int(np.count_nonzero(outcome == code)), total) for code, word in enumerate(OUTCOMES)
    }
    sent = int(columns["attempts"].sum())
    is_success = outcome == SUCCESS
    ended = latency[outcome >= 0]
    numbers = {"requests": float(total)} | shares
    numbers["open"] = float(total - len(ended))
    numbers["goodput"] = _goodput(result.run_columns, start, end)
    numbers["mean_latency"] = float(ended.mean()) if len(ended) else np.nan
    numbers |= _percentiles(ended, "") | _percentiles(latency[is_success], "_success")
    numbers["attempts"] = float(sent)
    numbers["amplification"] = _divide(sent, total)
    used = list(utilization(result).values())
    numbers["utilization"] = max(used) if used else np.nan
    numbers["wasted_work"] = _wasted_work(result)
    return numbers


def answered_within(result: Rows, seconds: float, *, counts_degraded: bool = False) -> float:
    """Return the share of the requests that were answered within *seconds*; see `Result.answered_within`."""
    columns = result.columns
    good = columns["outcome"] == SUCCESS
    if counts_degraded:
        good |= columns["outcome"] == DEGRADED
    limit = non_negative("seconds", seconds, allow_infinite=True) * (1 + 1e-9)  # exactly that long is in time
    in_time = columns["end"] - columns["arrival"] <= limit
    return _divide(int(np.count_nonzero(good & in_time)), len(good))


def recovery(result: Rows, after: float, share: float, within: float, step: float) -> float:
    """Return the seconds from *after* until the run is well and stays so; see `Result.recovery`."""
    columns = result.columns
    arrival = columns["arrival"]
    good = (columns["outcome"] == SUCCESS) & (columns["end"] - arrival <= within)
    end = result.span[1]
    edges = np.append(np.arange(after, end, step), end)
    total, _ = np.histogram(arrival, edges)
    answered, _ = np.histogram(arrival[good], edges)
    ill = np.flatnonzero(answered < share * total)
    if not len(ill):
        return 0.0
    last = int(ill[-1])
    return float(edges[last + 1] - after) if last + 1 < len(total) else math.inf


def utilization(result: Rows) -> dict[str, float]:
    """Return for each service the share of its worker time within the span that was used."""
    rows = result.attempt_rows
    if rows is None or not len(rows):
        return {}
    start, end = result.span
    by_number = np.bincount(rows["service"], _used(rows, start, end), len(result.services))
    names = {name: number for number, name in enumerate(result.services)}
    return {
        service.name: _divide(float(by_number[names[service.name]]), service.workers * (end - start))
        for service in result.scenario.services
        if service.name in names
    }


def _used(rows: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return the worker time of each attempt within a span."""
    used: np.ndarray = np.minimum(rows["work_end"], end) - np.maximum(rows["work_start"], start)
    clipped: np.ndarray = np.maximum(used, 0.0)
    return clipped


def doubts(result: Rows) -> list[str]:
    """Return why the percentiles of a run should not be trusted, in words; empty if nothing speaks against them."""
    found = []
    total, (start, end) = len(result.columns["outcome"]), result.span
    if 0 < total < FEWEST:
        found.append(f"p99 of fewer than {FEWEST} requests is too low on average: play longer, or look at p95")
    load, rate = result.scenario.load
    if start == 0 and total and 0 < load < 1:
        # Relaxation time of M/M/c: how long a queue remembers that it began empty.
        relaxation = load / (rate * (1 - math.sqrt(load)) ** 2)
        if end < 5 * relaxation:
            found.append(
                "the queue begins empty, and the run is too short for its load to fill it:"
                " leave out a warmup, and play longer"
            )
    return found


FEWEST = 300
"""Requests from which on p99 is less than 3 % too low on average (measured on M/M/1)."""


def _divide(part: float, total: float) -> float:
    return part / total if total else np.nan


def _percentiles(latency: np.ndarray, suffix: str) -> dict[str, float]:
    values = np.percentile(latency, PERCENTILES) if len(latency) else np.full(len(PERCENTILES), np.nan)
    names = (f"p{p:g}".replace(".", "_") for p in PERCENTILES)
    return {f"{name}{suffix}": float(value) for name, value in zip(names, values, strict=True)}


def _goodput(columns: dict[str, np.ndarray], start: float, end: float) -> float:
    """Return the successes per second that ended in the span, whenever they arrived."""
    ended = columns["end"][columns["outcome"] == SUCCESS]
    return _divide(int(np.count_nonzero((ended >= start) & (ended < end))), end - start)


def _wasted_work(result: Rows) -> float:
    rows = result.attempt_rows
    if rows is None or not len(rows):
        return np.nan
    if len(result.run_columns["outcome"]) != len(result.columns["outcome"]):
        rows = rows[np.isin(rows["request_id"], result.ids)]
    used = rows["work_end"] - rows["work_start"]
    wasted = used[np.isin(rows["outcome"], (TIMEOUT, CANCELLED))].sum()
    return _divide(float(wasted), float(used.sum()))


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
