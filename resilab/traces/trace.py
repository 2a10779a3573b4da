"""Trace: measured requests, read from an access log."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..distributions import Empirical
from ..lab.metrics import steps
from ..lab.workload import Replay
from ..validation import Spec, finite, non_negative, numbers, one_of, positive, since_start
from .text import TraceError

if TYPE_CHECKING:
    import pandas as pd

_NANOSECOND = 1e-9


class BadRow(NamedTuple):
    """A row that was left out of a trace.

    Attributes:
        line: Its line in the file, from 1.
        reason: Why it was left out.
        text: How the line begins.
    """

    line: int
    reason: str
    text: str


@dataclass(frozen=True, eq=False)
class Trace(Spec):
    """Measured requests in order of start; `read_trace` makes one from a log file.

    A measured duration is service time *plus queueing*. A model that replays all
    durations as service times counts the queue twice: take the service time from a
    phase without queueing (`trace.window(0, 40).latency()`), and keep the rest for
    comparison.

    Mind coordinated omission, too. A load generator that waits for an answer before it
    sends the next request sends nothing while the service hangs: the trace then lacks
    the requests that would have waited longest, and neither its arrivals nor its
    percentiles show the hang as users would have met it. Access logs of real traffic,
    and open-loop load generators, do not have this gap.

    Attributes:
        start: Seconds at which each request began, from the first one on.
        duration: Seconds from the start to the answer; NaN where the log has none.
        status: Status code of each request, 0 if it has none; None if the log has none.
        failed: Whether each request counts as failed; None if unknown.
        timed_out: Whether each request ended at a time limit, so that its duration is a
            lower bound; None if unknown.
        endpoint: What each request asked for, as the log has it; None if it does not say.
        line: Line of the log that each request comes from; None if there was no log.
        bad_rows: What was left out, as `BadRow(line, reason, text)`.
        tick: Step of the clock that wrote the log, in seconds, as far as the
            timestamps show it; at most 1.
        timestamp: What the log's clock says: "start" or "end" of a request.
        span: Seconds that the trace covers. None is up to the last start.
        understood: What the reader took the columns of the log for, in one line.

    Example:
        >>> trace = Trace(start=[0.0, 0.5, 2.0], duration=[0.1, 0.3, 0.2], failed=[False, True, False])
        >>> trace.failure_rate, trace.window(0.0, 1.0).failure_rate
        (0.3333333333333333, 0.5)
        >>> trace.workload()
        Replay(3 times to 2 s)
    """

    start: Any
    duration: Any
    status: Any = None
    failed: Any = None
    timed_out: Any = None
    endpoint: Any = None
    line: Any = None
    bad_rows: tuple[BadRow, ...] = ()
    tick: float = _NANOSECOND
    timestamp: str = "start"
    span: float | None = None
    understood: str = ""

    def __post_init__(self) -> None:
        start = since_start("start", _seconds("start", self.start))
        order = np.argsort(start, kind="stable")
        self._keep("start", start[order])
        self._keep("duration", _durations(self.duration)[_same_length("duration", self.duration, order)])
        for name, kind in _KINDS.items():
            values = getattr(self, name)
            if values is not None:
                self._keep(name, _exactly(name, values, kind)[_same_length(name, values, order)])
        object.__setattr__(self, "bad_rows", tuple(BadRow(*row) for row in self.bad_rows))
        positive("tick", self.tick)
        one_of("timestamp", self.timestamp, ("start", "end"))
        if self.span is None:
            object.__setattr__(self, "span", float(self.start[-1]))
        if non_negative("span", self.span) < self.start[-1]:
            raise ValueError(f"span must be >= the last start {self.start[-1]}, got {self.span!r}")

    def _keep(self, name: str, values: np.ndarray) -> None:
        values.setflags(write=False)
        object.__setattr__(self, name, values)

    def _fields(self) -> tuple[Any, ...]:
        names = ("start", "duration", *_KINDS, "bad_rows", "tick", "timestamp", "span", "understood")
        return tuple(getattr(self, name) for name in names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        pairs = zip(self._fields()[:-1], other._fields()[:-1], strict=True)  # not the line for the reader
        return np.array_equal(self.duration, other.duration, equal_nan=True) and all(
            np.array_equal(mine, theirs) for place, (mine, theirs) in enumerate(pairs) if place != 1
        )

    def __hash__(self) -> int:
        return hash((self.start.tobytes(), self.duration.tobytes(), self.tick, self.timestamp, self.span))

    def __reduce__(self) -> tuple[Any, ...]:
        return Trace, self._fields()

    def __repr__(self) -> str:
        bad = f", {len(self.bad_rows)} bad rows" if self.bad_rows else ""
        failed = "failures unknown" if self.failed is None else f"{self.failure_rate:.2%} failed"
        return f"Trace({len(self)} requests in {self.span:.6g} s, {failed}{bad})"

    def __len__(self) -> int:
        return len(self.start)

    @property
    def failure_rate(self) -> float:
        """Share of the requests that failed, from 0 to 1; NaN if the log does not say."""
        return float("nan") if self.failed is None else float(self.failed.mean())

    @property
    def known(self) -> np.ndarray:
        """The durations that the log has, in seconds."""
        found: np.ndarray = self.duration[~np.isnan(self.duration)]
        return found

    @property
    def rate(self) -> float:
        """Requests per second of `span`; NaN for a span of 0."""
        return len(self) / self.span if self.span else float("nan")

    def window(self, start: float, end: float) -> Trace:
        """Return the requests that begin in [*start*, *end*), for instance those of a healthy phase.

        Times of the new trace count from *start*. `bad_rows` stays that of the whole log.

        Raises:
            TraceError: No request begins there.
        """
        start, end = non_negative("start", start), finite("end", end)
        if end <= start:
            raise ValueError(f"end must be > start, got {end!r} with start={start!r}")
        first, last = np.searchsorted(self.start, (start, end))
        if first == last:
            raise TraceError(f"no request begins from {start} to {end} s; the trace covers 0 to {self.span:.6g} s")
        part = slice(first, last)
        return self.replace(start=np.maximum(self.start[part] - start, 0.0), span=end - start, **self._part(part))

    def _part(self, chosen: Any) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in ("duration", *_KINDS)}
        return {name: None if array is None else array[chosen] for name, array in values.items()}

    def where(self, chosen: Any) -> Trace:
        """Return some of the requests; times and span stay.

        Args:
            chosen: True or False for each request.

        Raises:
            TraceError: None is chosen.

        Example:
            >>> trace = Trace(start=[0.0, 0.5, 2.0], duration=[0.1, 0.3, 0.2])
            >>> len(trace.where(trace.duration > 0.15))
            2
        """
        mask = np.asarray(chosen)
        if mask.dtype != np.bool_ or mask.shape != self.start.shape:
            raise ValueError(
                f"chosen must be True or False for each of {len(self)} requests, got {reprlib.repr(chosen)}"
            )
        if not mask.any():
            raise TraceError("no request is chosen")
        return self.replace(start=self.start[mask], **self._part(mask))

    def endpoints(self) -> pd.Series:
        """Return how many requests each endpoint has, the most first; empty if the log does not say.

        What comes after `?` does not count; numbers and long identifiers in a path are `{id}`.
        """
        import pandas as pd

        names = pd.Series([] if self.endpoint is None else _without_details(self.endpoint), dtype=object)
        return names.value_counts().rename("requests").rename_axis("endpoint")

    def only(self, endpoint: str) -> Trace:
        """Return the requests of one endpoint.

        Raises:
            TraceError: There is none; the message lists the endpoints.

        Example:
            >>> trace = Trace(start=[0.0, 1.0], duration=[0.1, 0.2], endpoint=["/orders/{id}", "/health"])
            >>> trace.only("/health").duration.tolist()
            [0.2]
        """
        names = np.array([] if self.endpoint is None else _without_details(self.endpoint), dtype=object)
        if endpoint not in names:
            known = ", ".join(map(repr, self.endpoints().index[:20])) or "the log names none"
            raise TraceError(f"no request has the endpoint {endpoint!r}: {known}")
        return self.where(np.asarray(names == endpoint, dtype=np.bool_))

    def workload(self, spread: bool = True) -> Replay:
        """Return the arrivals of the trace as a workload.

        Args:
            spread: True spreads requests with equal timestamps evenly over one `tick` of
                the log's clock, in order of the log. A log in whole seconds would else
                arrive in bursts that never were. False replays the times as they are.
        """
        if not spread:
            return Replay(self.start)
        stamp = self.start if self.timestamp == "start" else self.start + np.nan_to_num(self.duration)
        ticks = np.rint((stamp - stamp.min()) / self.tick).astype(np.int64)
        _, which, counts = np.unique(ticks, return_inverse=True, return_counts=True)
        order = np.argsort(which, kind="stable")
        firsts = np.cumsum(counts) - counts
        place = np.empty(len(self))
        place[order] = np.arange(len(self)) - np.repeat(firsts, counts)
        return Replay(self.start + place / counts[which] * self.tick)

    def latency(self, of: str = "success") -> Empirical:
        """Return the measured durations as a distribution.

        They are service time plus queueing: use a `window` without queueing for
        `Service(latency=...)`.

        Args:
            of: "success", "failure" or "all" requests. Failures are often answered at
                once, or only after a time limit, so that they have a law of their own.

        Raises:
            TraceError: There is no such request.
        """
        one_of("of", of, ("success", "failure", "all"))
        values = self.duration
        if of != "all" and self.failed is not None:
            values = values[self.failed if of == "failure" else ~self.failed]
        elif of == "failure":
            values = values[:0]
        values = values[~np.isnan(values)]
        if not len(values):
            raise TraceError(f"the trace has no requests of the kind {of!r}")
        return Empirical(values)

    def in_flight(self) -> pd.Series:
        """Return how many requests are under way, as an exact step function of time.

        Requests without a duration are left out.

        Compare it with `result.timeline("in_flight")`.
        """
        import pandas as pd

        has_end = ~np.isnan(self.duration)
        times, values = steps(self.start[has_end], (self.start + self.duration)[has_end])
        return pd.Series(values, index=pd.Index(times, name="time"), name="in_flight")

    @property
    def frame(self) -> pd.DataFrame:
        """One row a request: start, end, duration in seconds, and what else is known of it."""
        import pandas as pd

        frame = pd.DataFrame({"start": self.start, "end": self.start + self.duration, "duration": self.duration})
        for name in _KINDS:
            if getattr(self, name) is not None:
                frame[name] = getattr(self, name)
        return frame

    def summary(self) -> pd.Series:
        """Return the headline numbers.

        requests, those without_duration, bad_rows, span and tick in seconds, rate per second, failure_rate;
        mean, p50, p95, p99 and max of all durations in seconds; in_flight, the mean
        number of requests under way, which is rate * mean (Little's law).
        """
        import pandas as pd

        durations = self.known if len(self.known) else np.array([np.nan])
        p50, p95, p99 = np.percentile(durations, (50, 95, 99))
        mean = float(durations.mean())
        numbers = {
            "requests": len(self),
            "without_duration": len(self) - len(self.known),
            "bad_rows": len(self.bad_rows),
            "span": self.span,
            "tick": self.tick,
            "rate": self.rate,
            "failure_rate": self.failure_rate,
            "mean": mean,
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "max": durations.max(),
            "in_flight": self.rate * mean,
        }
        return pd.Series(numbers, dtype=float, name="trace")


def _seconds(name: str, values: Any) -> np.ndarray:
    array = numbers(name, values)
    if np.ndim(values) != 1:
        raise ValueError(f"{name} must be a row of numbers, got shape {np.shape(values)}")
    return array


_IDENTIFIER = re.compile(r"(?<=/)(?:\d+|[0-9a-fA-F-]{16,})(?=/|$)", re.MULTILINE)
_QUERY = re.compile(r"[?#][^\n]*")


def _without_details(paths: Any) -> list[str]:
    """Return paths without their query, their numbers and long identifiers as {id}; all at once: they are many."""
    joined = "\n".join(str(path).replace("\n", " ") for path in paths)
    return _IDENTIFIER.sub("{id}", _QUERY.sub("", joined)).split("\n")


def _durations(values: Any) -> np.ndarray:
    """Return durations in an array; NaN is one that the log does not say."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != 1 or not len(array):
        return _seconds("duration", values)
    is_missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), dtype=np.bool_)
    if not is_missing.all():
        _seconds("duration", array[~is_missing])
    return array.astype(float)


def _exactly(name: str, values: Any, kind: type) -> np.ndarray:
    """Return *values* in an array of that kind; refuse what it would change, such as NaN in a status."""
    try:
        given = np.array(values)
        with np.errstate(invalid="ignore"):
            array: np.ndarray = given.astype(kind)
        if kind is np.object_ or (given.dtype.kind in "biufO" and np.array_equal(array, given)):
            return array
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must hold {_WORDS[kind]}, got {reprlib.repr(values)}")


_KINDS: dict[str, type] = {
    "status": np.int16,
    "failed": np.bool_,
    "timed_out": np.bool_,
    "endpoint": np.object_,
    "line": np.int64,
}
_WORDS = {np.object_: "texts", np.int16: "status codes", np.int64: "whole numbers", np.bool_: "True or False"}


def _same_length(name: str, values: Any, order: np.ndarray) -> np.ndarray:
    if np.shape(values) != order.shape:
        raise ValueError(f"{name} must be as long as start, {len(order)}, got shape {np.shape(values)}")
    return order
