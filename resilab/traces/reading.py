"""Reads an access log into a trace: what cannot be read is counted, never guessed."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from ..validation import instance, one_of, sequence
from .columns import BadValue, duration_reader, find_columns, known_unit, read_status, split_unit, time_reader
from .text import Lines, TraceError, is_damaged, read_text
from .trace import BadRow, Trace

FAILURE_CODES = frozenset({0, *range(500, 600)})
"""Status codes that count as failures: 500 to 599, and 0, by which load generators write "no answer"."""


def read_trace(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str | None] | None = None,
    timestamp: str = "start",
    time_unit: str | None = None,
    duration_unit: str | None = None,
    failure: Container[int] = FAILURE_CODES,
    header: Sequence[str] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
    strict: bool = False,
) -> Trace:
    """Read an access log: a CSV file with a time, a duration and a status for each request.

    Plain and gzip files are told apart by their content; the delimiter is a comma, a
    semicolon or a tab. Times are ISO 8601 with or without a time zone, common log
    format (`10/Oct/2000:13:55:36 -0700`), seconds, or seconds, milliseconds,
    microseconds or nanoseconds since 1970. Times with different zones are brought to
    one. Times without a zone are taken as they are; beware of the hour in which
    daylight saving ends.

    A row that cannot be read is left out, counted, and reported with its line and the
    reason: in a warning, and in `Trace.bad_rows`. So is a row whose time has another
    form than most rows have, for instance no time zone. Blank lines are skipped.

    Args:
        path: The file.
        columns: Names of the columns of "start", "duration" and "status", where usual
            names (timestamp, latency_ms, http_status, ...) do not say it. "status" may
            be None: the log has none, and failures are unknown.
        timestamp: Whether the time of a row is the "start" of its request or its "end".
            nginx and most proxies write the end; Apache writes the start.
        time_unit: Unit of times that are numbers: "s", "ms", "us", "ns". None takes it
            from the column's name (`start_ms`), else from the size of the numbers; small
            ones are seconds.
        duration_unit: Unit of durations without one. None takes it from the column's
            name (`duration_ms`, `elapsed seconds`). A unit at the value (`12ms`,
            `1m30s`) always counts.
        failure: Status codes that count as failed. By default 500 to 599 and 0; for a
            log in which "too many requests" is the service's fault, {429, *range(500, 600)}.
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
    """
    one_of("timestamp", timestamp, ("start", "end"))
    one_of("decimal", decimal, (".", ","))
    if not isinstance(failure, Container) or isinstance(failure, str):
        raise TypeError(f"failure must be a set of status codes, got {failure!r}")
    if columns is not None:
        instance("columns", columns, Mapping)
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n'):
        raise TraceError(f"delimiter must be one character, got {delimiter!r}")
    lines = Lines(read_text(path, encoding), delimiter)
    names = lines.header() if header is None else [str(name) for name in sequence("header", header)]
    if "\0" in "".join(names) or is_damaged("".join(names)):
        raise TraceError(f"{path} is not {encoding} text; name its encoding: encoding='utf-16', 'latin-1', ...")
    reader = _Reader(names, columns, timestamp, known_unit("time_unit", time_unit), duration_unit, decimal)
    reader.read(lines, encoding)
    return reader.trace(path, timestamp, failure, strict)


class _Reader:
    """Reads rows into columns of nanoseconds, and keeps account of bad ones."""

    def __init__(
        self,
        names: Sequence[str],
        columns: Mapping[str, str | None] | None,
        timestamp: str,
        time_unit: str | None,
        duration_unit: str | None,
        decimal: str,
    ) -> None:
        indices = find_columns(names, columns, timestamp)
        self._width = len(names)
        self._start, self._duration, self._status = (indices[role] for role in ("start", "duration", "status"))
        self._name = names[self._duration]  # type: ignore[index]
        unit = known_unit("duration_unit", duration_unit) or split_unit(self._name)[1]
        number = _identity if decimal == "." else _with_point
        time_unit = time_unit or split_unit(names[self._start])[1]  # type: ignore[index]
        self._values: list[tuple[str, int | None, Callable[[str], Any]]] = [
            ("start", self._start, time_reader(time_unit)),
            ("duration", self._duration, _after(number, duration_reader(unit))),
            ("status", self._status, read_status),
        ]
        if decimal == ",":
            self._values[0] = ("start", self._start, _after(number, self._values[0][2]))
        self.rows: list[tuple[int, str, int, int, int]] = []
        self.bad: list[BadRow] = []
        self._without_unit = 0

    def read(self, lines: Lines, encoding: str) -> None:
        """Read all rows."""
        for number, fields in lines.rows(self._width):
            reason = fields if isinstance(fields, str) else self._read_row(number, fields, encoding)
            if reason:
                self.bad.append(BadRow(number, reason, lines.text_at(number)))
        self._keep_one_form(lines)

    def _read_row(self, number: int, fields: list[str], encoding: str) -> str:
        """Keep a row, or return why it is bad."""
        row = "".join(fields)
        if not row.isascii() and is_damaged(row):
            return f"it is not {encoding} text; name its encoding: encoding='latin-1'"
        values: list[Any] = []
        for role, index, read in self._values:
            try:
                values.append(0 if index is None else read(fields[index]))
            except BadValue as bad:
                self._without_unit += str(bad).startswith("has no unit")
                return f"{role} {bad}"
        (time, form), duration, status = values
        self.rows.append((number, form, time, duration, status))
        return ""

    def _keep_one_form(self, lines: Lines) -> None:
        """Leave out rows whose time is written in another form than most."""
        counts = Counter(row[1] for row in self.rows).most_common(2)
        if len(counts) < 2:
            return
        (usual, count), (other, others) = counts
        if count == others:
            raise TraceError(
                f"start mixes forms that cannot be compared: {count} rows with {usual}, {others} with {other}"
            )
        for number, form, *_ in self.rows:
            if form != usual:
                reason = f"start is {form}, most rows have {usual}"
                self.bad.append(BadRow(number, reason, lines.text_at(number)))
        self.rows = [row for row in self.rows if row[1] == usual]
        self.bad.sort()

    def trace(self, path: Any, timestamp: str, failure: Container[int], strict: bool) -> Trace:
        """Return what was read, and report what was not."""
        bad = self.bad
        if not self.rows and self._without_unit:
            raise TraceError(
                f"the unit of column {self._name!r} is unknown: say it with duration_unit='ms' (or 's', 'us', 'ns'), "
                f"or name the column {self._name + '_ms'!r}"
            )
        report = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3]) + ("; ..." if len(bad) > 3 else "")
        if not self.rows:
            raise TraceError(f"{path} has no good rows: {report or 'it ends after its header'}")
        if bad:
            text = f"{len(bad)} of {len(bad) + len(self.rows)} rows of {path} are bad: {report}"
            if strict:
                raise TraceError(text)
            warnings.warn(f"{text}. They are left out; see Trace.bad_rows", stacklevel=3)
        line, _, times, durations, statuses = zip(*self.rows, strict=True)
        stamp, duration = np.array(times, dtype=np.int64), np.array(durations, dtype=np.int64)
        start = stamp if timestamp == "start" else stamp - duration
        status = None if self._status is None else np.array(statuses, dtype=np.int16)
        codes = {} if status is None else {code: code in failure for code in set(statuses)}
        return Trace(
            start=(start - start.min()) / 1e9,
            duration=duration / 1e9,
            status=status,
            failed=None if status is None else [codes[code] for code in statuses],
            line=line,
            bad_rows=tuple(bad),
            tick=_tick(stamp),
            timestamp=timestamp,
        )


def _tick(stamp: np.ndarray) -> float:
    """Return the largest power of ten nanoseconds, up to a second, that divides all differences."""
    step = int(np.gcd.reduce(stamp - stamp.min()))
    exponent = 0
    while exponent < 9 and step and step % 10 ** (exponent + 1) == 0:
        exponent += 1
    return float(10**exponent / 1e9)


def _identity(text: str) -> str:
    return text


def _with_point(text: str) -> str:
    return text.replace(",", ".")


def _after(first: Callable[[str], str], then: Callable[[str], Any]) -> Callable[[str], Any]:
    return then if first is _identity else lambda text: then(first(text))
