"""Reads a log into a trace: what cannot be read is counted, never guessed."""

from __future__ import annotations

import gc
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..validation import instance, one_of, sequence, whole
from .columns import known_unit
from .opening import open_log
from .rows import Reader
from .text import TraceError
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd

FAILURE_CODES = frozenset({0, 408, 429, 499, *range(500, 600)})
"""Status codes that count as failures: 500 to 599, 408, 429, 499, and 0, a load generator's word for "no answer"."""


def read_trace(
    path: str | os.PathLike[str] | pd.DataFrame,
    *,
    columns: Mapping[str, str | None] | None = None,
    timestamp: str | None = None,
    time_unit: str | None = None,
    duration_unit: str | None = None,
    failure: Container[int] = FAILURE_CODES,
    endpoint: str | None = None,
    rows: int | None = None,
    header: Sequence[str] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
    strict: bool = False,
) -> Trace:
    """Read the requests of a log; what kind of log it is, its content says.

    Known are access logs of nginx and Apache (common or combined, with a time at the end
    or as `key=value`, and JSON), Envoy (text and JSON), AWS load balancers, Traefik and
    Caddy; requests of k6, vegeta and JMeter; spans of OpenTelemetry and Jaeger; any CSV,
    JSON lines, key=value lines, Parquet, or DataFrame with a time, a duration and a
    status or an outcome. Files may be packed by gzip or zstd. `Trace.understood` says in
    a line what was understood. A summary without requests is refused, with what to log.

    Times are ISO 8601 with or without a time zone, common log format
    (`10/Oct/2000:13:55:36 -0700`), seconds, or seconds, milliseconds, microseconds or
    nanoseconds since 1970. Times with different zones are brought to one. Times without
    a zone are taken as they are; beware of the hour in which daylight saving ends.

    **A row whose duration is missing is still a request**, with its outcome: proxies
    write `-` or -1 for a server that never answered. Its duration is NaN. Words such as
    "timeout" or "reset", in place of the status or in a column of their own, are
    outcomes. Requests that ended at a time limit (by such a word, or status 408, 499,
    504) are `timed_out`: their duration is a lower bound.

    A row that cannot be read is left out, counted, and reported with its line and the
    reason: in a warning, and in `Trace.bad_rows`. So is a row whose time has another
    form than most rows have, for instance no time zone. Blank lines are skipped.

    Args:
        path: The file, or a DataFrame.
        columns: Names of the columns of "start", "duration", "status", "outcome" and
            "endpoint", where usual names (timestamp, latency_ms, http_status, ...) do
            not say it. All but the first two may be None: the log has none.
        timestamp: Whether the time of a row is the "start" of its request or its "end".
            nginx and most proxies write the end; Apache writes the start. None is what
            is known of the kind of log, else the start.
        time_unit: Unit of times that are numbers: "s", "ms", "us", "ns". None takes it
            from the column's name (`start_ms`), else from the size of the numbers; small
            ones are seconds.
        duration_unit: Unit of durations without one. None takes it from the column's
            name (`duration_ms`, `elapsed seconds`). A unit at the value (`12ms`,
            `1m30s`) always counts.
        failure: Status codes that count as failed. By default 500 to 599, 408, 429, 499
            and 0.
        endpoint: Keep the requests of this endpoint alone; numbers and long identifiers
            in a path are `{id}`, what comes after `?` does not count. See
            `Trace.endpoints`.
        rows: Read at most so many rows, from the beginning. None reads all.
        header: Names of the columns of a file that has no header line.
        delimiter: One character; None tells it from the first line.
        decimal: "," reads `12,5` as 12.5.
        encoding: Encoding of the text, unless it begins with a byte order mark.
        strict: True refuses a file with a bad row.

    Returns:
        The requests, their times counted from the first start.

    Raises:
        TraceError: The file is no readable log, has no good row, or does not say what a
            column means; the message says how to name it.

    Example:
        >>> import pathlib, tempfile
        >>> log = pathlib.Path(tempfile.mkdtemp()) / "access.csv"
        >>> rows = ["timestamp,status,latency", "2026-01-01T00:00:00Z,200,12ms", "2026-01-01T00:00:02Z,503,1s"]
        >>> _ = log.write_text("\\n".join(rows))
        >>> trace = read_trace(log)
        >>> trace, trace.duration.tolist()
        (Trace(2 requests in 2 s, 50.00% failed), [0.012, 1.0])
        >>> trace.understood
        'CSV: timestamp is the start, latency the duration, status the status; 2 requests, 0 rows left out'
    """
    timestamp = None if timestamp is None else one_of("timestamp", timestamp, ("start", "end"))
    one_of("decimal", decimal, (".", ","))
    if not isinstance(failure, Container) or isinstance(failure, str):
        raise TypeError(f"failure must be a set of status codes, got {failure!r}")
    if columns is not None:
        instance("columns", columns, Mapping)
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n'):
        raise TraceError(f"delimiter must be one character, got {delimiter!r}")
    most = None if rows is None else whole("rows", rows, minimum=1)
    names = None if header is None else [str(name) for name in sequence("header", header)]
    lines, found = open_log(path, columns, names, delimiter, encoding, known_unit("duration_unit", duration_unit))
    layout, batches = found
    reader = Reader(layout, columns, timestamp, known_unit("time_unit", time_unit), duration_unit, decimal, encoding)
    with _collector_at_rest():
        for batch in batches:
            reader.read(batch, lines, None if most is None else most - len(reader))
            if most is not None and len(reader) >= most:
                break
    return reader.trace("the frame" if lines is None else path, failure, strict, endpoint)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Let no garbage be looked for: millions of rows have no cycles, and are looked through in vain again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
