"""What the columns of well-known logs mean: told from their names, for CSV headers and JSON keys alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from .plain import PlainColumn


class Batch(NamedTuple):
    """Rows of a log, not read yet.

    Attributes:
        lines: Line of each row in the file, from 1.
        columns: The texts of each role that the log has.
        bad: Rows that could not be split: line and reason.
    """

    lines: Sequence[int] | np.ndarray
    columns: Mapping[str, Sequence[str] | PlainColumn]
    bad: list[tuple[int, str]]


BATCH = 100_000
"""Rows that are read together."""


@dataclass(frozen=True)
class Layout:
    """How a kind of log says what.

    Attributes:
        name: What wrote it.
        columns: The column of each role; empty finds them by their usual names.
        timestamp: Whether its time is the "start" or the "end" of a request.
        time_unit: Unit of times that are numbers; None tells it.
        duration_unit: Unit of durations without one; None takes it from the column's name.
        needs: Names by which the log is known.
        only: A column and the value that rows must have to be requests.
        translate: What turns a value of the outcome column into a word, or None.
    """

    name: str
    columns: Mapping[str, str | None] = field(default_factory=dict)
    timestamp: str = "start"
    time_unit: str | None = None
    duration_unit: str | None = None
    needs: frozenset[str] = frozenset()
    only: tuple[str, str] | None = None
    translate: Callable[[str], str] | None = None


ENVOY_TIMEOUTS = frozenset({"UT", "DC", "SI", "DT", "UMSDR"})
"""Envoy's response flags of a time limit, or of a caller that has gone."""


def envoy_word(flags: str) -> str:
    """Return "timeout" if one of Envoy's response flags says so; other failures have their status.

    Example:
        >>> envoy_word("UF,URX"), envoy_word("UT")
        ('', 'timeout')
    """
    return "timeout" if ENVOY_TIMEOUTS & set(flags.split(",")) else ""


_JMETER = {"start": "timeStamp", "duration": "elapsed", "status": "responseCode", "outcome": "success"}
_VEGETA = {"start": "timestamp", "duration": "latency", "status": "code", "outcome": "error", "endpoint": "url"}
_ENVOY = {"start": "start_time", "duration": "duration", "status": "response_code", "outcome": "response_flags"}
_K6 = {"start": "timestamp", "duration": "metric_value", "status": "status", "outcome": "error", "endpoint": "name"}
_TRAEFIK = {"start": "StartUTC", "duration": "Duration", "status": "DownstreamStatus", "endpoint": "RequestPath"}

KNOWN = (
    Layout("JMeter", _JMETER | {"endpoint": "label"}, "start", "ms", "ms", frozenset({"timeStamp", "elapsed"})),
    Layout(
        "k6 (CSV)",
        _K6,
        "end",
        None,
        "ms",
        frozenset({"metric_name", "timestamp", "metric_value"}),
        only=("metric_name", "http_req_duration"),
    ),
    Layout("vegeta", _VEGETA, "start", None, "ns", frozenset({"attack", "timestamp", "latency", "code"})),
    Layout(
        "Envoy (JSON)",
        _ENVOY | {"endpoint": "path"},
        "start",
        None,
        "ms",
        frozenset({"start_time", "duration", "response_code"}),
        translate=envoy_word,
    ),
    Layout("Traefik", _TRAEFIK, "start", None, "ns", frozenset({"StartUTC", "Duration", "DownstreamStatus"})),
    Layout("nginx (JSON)", {}, "end", None, "s", frozenset({"request_time", "status", "time_iso8601"})),
    Layout("nginx (JSON)", {}, "end", None, "s", frozenset({"request_time", "status", "time_local"})),
    Layout("Caddy", {"start": "ts"}, "end", "s", "s", frozenset({"ts", "duration", "status", "resp_headers"})),
)
VEGETA_HEADER = (
    *("timestamp", "code", "latency", "bytes_out", "bytes_in", "error", "body"),
    *("attack", "seq", "method", "url", "headers"),
)
"""The columns of `vegeta encode -to csv`, which writes no header."""


def known_layout(names: Collection[str]) -> Layout | None:
    """Return the layout of a well-known log with these names of columns.

    Example:
        >>> known_layout(["timeStamp", "elapsed", "label", "responseCode"]).name
        'JMeter'
    """
    given = set(names)
    found = next((layout for layout in KNOWN if layout.needs <= given), None)
    if found is None:
        return None
    columns = {role: name for role, name in found.columns.items() if name in given}
    absent = [role for role in ("status", "outcome") if role in found.columns and role not in columns]
    return replace(found, columns=dict.fromkeys(absent) | columns)


_SUMMARIES = (
    ("Locust", ("Request Count", "Median Response Time"), "log each request in an on_request listener"),
    ("Locust", ("User Count", "Requests/s"), "log each request in an on_request listener"),
    ("wrk", ("Thread Stats",), "use a load generator that writes requests (vegeta, k6), or the server's access log"),
    (
        "wrk",
        ("Running", "test @"),
        "use a load generator that writes requests (vegeta, k6), or the server's access log",
    ),
    ("hey", ("Response time histogram",), "run it with -o csv"),
    ("ab", ("This is ApacheBench",), "run it with -g, or take the server's access log"),
    ("vegeta report", ("Requests      [total",), "use `vegeta encode` on its results"),
    ("k6", ("http_reqs", "http_req_duration", "avg"), "run it with --out csv=requests.csv or --out json=requests.json"),
)


def summary_of(head: str) -> str | None:
    """Say what to log instead, if the beginning of a file is a summary without requests."""
    for tool, marks, instead in _SUMMARIES:
        if all(mark in head for mark in marks):
            return f"this is a summary of {tool}, which has no rows of requests: {instead}"
    return None
