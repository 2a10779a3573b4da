"""Rows of a log, batch by batch, into a trace; bad ones are counted."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..validation import warn_user
from .columns import find_columns, known_unit, only_ends, split_unit
from .layouts import Batch, Layout
from .plain import PlainColumn
from .text import Lines, TraceError, is_damaged
from .trace import BadRow, Trace
from .values import (
    FAILED,
    TIMED_OUT,
    TIMEOUT_CODES,
    UNSAID,
    Column,
    Fields,
    read_durations_of,
    read_outcomes,
    read_times,
    texts_of,
)

_FEW = 10
_DAY = 86_400 * 10**9  # in nanoseconds


class _Part(NamedTuple):
    """The good rows of a batch."""

    line: np.ndarray
    stamp: np.ndarray
    forms: np.ndarray
    duration: np.ndarray
    status: np.ndarray
    said: np.ndarray
    endpoint: np.ndarray | None


class Reader:
    """Reads batches of texts into arrays, and keeps account of bad rows."""

    def __init__(
        self,
        layout: Layout,
        columns: Mapping[str, str | None] | None,
        timestamp: str | None,
        time_unit: str | None,
        duration_unit: str | None,
        decimal: str,
        encoding: str,
    ) -> None:
        self._layout = layout
        self._columns = columns
        self._timestamp = timestamp
        self._time_unit = time_unit or layout.time_unit
        self._duration_unit = known_unit("duration_unit", duration_unit) or layout.duration_unit
        self._decimal = decimal
        self._encoding = encoding
        self._names: dict[str, str | None] | None = None
        self._parts: list[_Part] = []
        self._bad: list[BadRow] = []
        self._without_unit = 0
        self._not_requests = 0
        self._lines: Lines | None = None

    def __len__(self) -> int:
        return sum(len(part.line) for part in self._parts)

    def read(self, batch: Batch, lines: Lines | None, most: int | None) -> None:
        """Read a batch, at most so many rows of it."""
        self._lines = lines
        names = self._names_in(batch)
        numbers, texts = batch.lines, batch.columns
        if only := self._layout.only:
            chosen = np.flatnonzero(_objects(texts.get(only[0], [])) == only[1])
            self._not_requests += len(numbers) - len(chosen)
            numbers, texts = _taken(chosen, numbers, texts)
        if most is not None and len(numbers) > most:
            numbers, texts = _taken(np.arange(most), numbers, texts)
        for number, reason in batch.bad:
            self._leave_out(number, reason)
        count = len(numbers)
        reasons = self._damaged(texts)
        start = read_times(self._pick(texts, names["start"], count, True), self._time_unit)
        duration = read_durations_of(self._pick(texts, names["duration"], count, True), self._duration_unit)
        status = None if names["status"] is None else self._pick(texts, names["status"], count)
        words = None if names["outcome"] is None else self._pick(texts, names["outcome"], count)
        if words is not None and self._layout.translate is not None:
            words = [self._layout.translate(word) for word in texts_of(words)]
        outcomes = read_outcomes(status, words, count)
        knows_nothing = {} if status is not None or words is not None else _missing(duration)
        for found in (start.reasons, duration.reasons, outcomes.reasons, knows_nothing):
            reasons = found | reasons
        for place in sorted(reasons):
            self._leave_out(numbers[place], reasons[place])
        good = np.ones(count, dtype=bool)
        good[list(reasons)] = False
        endpoints = None if names["endpoint"] is None else self._pick(texts, names["endpoint"], count)
        self._parts.append(
            _Part(
                np.array(numbers, dtype=np.int64)[good],
                start.values[good],
                start.forms[good] if start.forms is not None else np.full(int(good.sum()), "", dtype=object),
                duration.values[good],
                outcomes.status[good],
                outcomes.said[good],
                None if endpoints is None else _objects(endpoints)[good],
            )
        )

    def _names_in(self, batch: Batch) -> dict[str, str | None]:
        """Find the columns, once: in the first batch."""
        if self._names is None:
            header = list(batch.columns)
            given = dict(self._layout.columns) | dict(self._columns or {})
            if "timestamp" in (self._columns or {}):
                given.pop("start", None)
            if self._timestamp is None:
                self._timestamp = "end" if not given and only_ends(header) else self._layout.timestamp
            indices = find_columns(header, given or None, self._timestamp)
            self._names = {role: None if index is None else header[index] for role, index in indices.items()}
            self._time_unit = self._time_unit or split_unit(str(self._names["start"]))[1]
            self._duration_unit = self._duration_unit or split_unit(str(self._names["duration"]))[1]
        return self._names

    def _pick(self, texts: Mapping[str, Fields], name: str | None, count: int, is_number: bool = False) -> Fields:
        fields = texts.get(str(name), ())
        if not len(fields):
            return [""] * count
        is_comma = is_number and self._decimal == ","
        return [value.replace(",", ".") for value in texts_of(fields)] if is_comma else fields

    def _damaged(self, texts: Mapping[str, Fields]) -> dict[int, str]:
        """Return the rows with bytes that are no text; a plain column has none."""
        found = {}
        for values in texts.values():
            if isinstance(values, PlainColumn):
                continue
            joined = "".join(values)
            if joined.isascii() or not is_damaged(joined):
                continue
            for place, value in enumerate(values):
                if is_damaged(value):
                    found[place] = f"it is not {self._encoding} text; name its encoding: encoding='latin-1'"
        return found

    def _leave_out(self, number: int, reason: str) -> None:
        self._without_unit += reason.startswith("duration has no unit")
        self._bad.append(BadRow(int(number), reason, "" if self._lines is None else self._lines.text_at(number)))

    def trace(self, source: Any, failure: Container[int], strict: bool, endpoint: str | None) -> Trace:
        """Return what was read, and report what was not."""
        part = self._together()
        if not len(part.line) and self._without_unit:
            name = (self._names or {}).get("duration")
            raise TraceError(
                f"the unit of column {name!r} is unknown: say it with duration_unit='ms' (or 's', 'us', 'ns'), "
                f"or name the column {f'{name}_ms'!r}"
            )
        bad = sorted(self._bad)
        report = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3]) + ("; ..." if len(bad) > 3 else "")
        if not len(part.line):
            raise TraceError(f"{source} has no good rows: {report or 'it ends after its header'}")
        if bad:
            text = f"{len(bad)} of {len(bad) + len(part.line)} rows of {source} are bad: {report}"
            if strict:
                raise TraceError(text)
            warnings.warn(f"{text}. They are left out; see Trace.bad_rows", stacklevel=3)
        trace = self._trace_of(part, failure, tuple(bad))
        return trace if endpoint is None else trace.only(endpoint)

    def _together(self) -> _Part:
        """Join the batches; leave out rows whose time is written in another form than most."""
        parts = self._parts
        forms = np.concatenate([part.forms for part in parts] or [np.zeros(0, dtype=object)])
        asked = [part.endpoint for part in parts if part.endpoint is not None]
        endpoints = np.concatenate(asked) if asked else None
        whole = _Part(
            np.concatenate([part.line for part in parts] or [np.zeros(0, dtype=np.int64)]),
            np.concatenate([part.stamp for part in parts] or [np.zeros(0, dtype=np.int64)]),
            forms,
            np.concatenate([part.duration for part in parts] or [np.zeros(0)]),
            np.concatenate([part.status for part in parts] or [np.zeros(0, dtype=np.int16)]),
            np.concatenate([part.said for part in parts] or [np.zeros(0, dtype=np.int8)]),
            endpoints,
        )
        counts = Counter(forms.tolist() if (forms != forms[:1]).any() else forms[:1].tolist()).most_common(2)
        if len(counts) < 2:
            return whole
        (usual, count), (other, others) = counts
        if count == others:
            raise TraceError(
                f"start mixes forms that cannot be compared: {count} rows with {usual}, {others} with {other}"
            )
        keep = forms == usual
        for number, form in zip(whole.line[~keep].tolist(), forms[~keep], strict=True):
            self._leave_out(number, f"start is {form}, most rows have {usual}")
        line, stamp, forms, duration, status, said, names = whole
        names = None if names is None else names[keep]
        return _Part(line[keep], stamp[keep], forms[keep], duration[keep], status[keep], said[keep], names)

    def _trace_of(self, part: _Part, failure: Container[int], bad: tuple[BadRow, ...]) -> Trace:
        names = self._names or {}
        has_status, has_words = names["status"] is not None, names["outcome"] is not None
        failed = timed_out = None
        if has_status or has_words:
            codes = [code for code in np.unique(part.status).tolist() if has_status and code in failure]
            failed = np.isin(part.status, codes)
            if has_status:  # a status without a number has its word instead
                failed &= (part.status > 0) | (part.said == UNSAID)
            timed_out = part.said == TIMED_OUT
            failed |= (part.said == FAILED) | timed_out
            timed_out = timed_out | (failed & np.isin(part.status, list(TIMEOUT_CODES)))
        passed = np.nan_to_num(np.rint(part.duration * 1e9)).astype(np.int64)
        start = part.stamp if self._timestamp == "start" else part.stamp - passed
        _warn_of_lonely_row(start, part.line)
        return Trace(
            start=(start - start.min()) / 1e9,
            duration=part.duration,
            status=part.status if has_status else None,
            failed=failed,
            timed_out=timed_out,
            endpoint=part.endpoint,
            line=part.line,
            bad_rows=bad,
            tick=_tick(part.stamp),
            timestamp=self._timestamp or "start",
            understood=self._understood(len(part.line), int(np.isnan(part.duration).sum()), len(bad)),
        )

    def _understood(self, count: int, missing: int, bad: int) -> str:
        names = {role: name for role, name in (self._names or {}).items() if name is not None}
        is_start = f"{names.pop('start')} is the {self._timestamp}"
        unit = f" in {self._duration_unit}" if self._duration_unit and not split_unit(names["duration"])[1] else ""
        is_duration = f"{names.pop('duration')} the duration{unit}"
        others = [f"{name} the {role}" for role, name in names.items()]
        without = f" ({missing} without a duration)" if missing else ""
        left = f", {self._not_requests} rows that are no requests" if self._not_requests else ""
        what = ", ".join([is_start, is_duration, *others])
        return f"{self._layout.name}: {what}; {count:,} requests{without}, {bad:,} rows left out{left}"


def _taken(
    places: np.ndarray, numbers: Sequence[int] | np.ndarray, texts: Mapping[str, Fields]
) -> tuple[np.ndarray, dict[str, Fields]]:
    """Return some of the rows."""
    listed = places.tolist()
    fields: dict[str, Fields] = {
        name: values.take(places) if isinstance(values, PlainColumn) else [values[place] for place in listed]
        for name, values in texts.items()
    }
    return np.asarray(numbers, dtype=np.int64)[places], fields


def _objects(fields: Fields) -> np.ndarray:
    if not isinstance(fields, PlainColumn):
        return np.array(fields, dtype=object)
    words, codes = fields.each()
    texts: np.ndarray = np.array(words, dtype=object)[codes]
    return texts


def _missing(duration: Column) -> dict[int, str]:
    """Return the rows that say neither how long nor how they ended."""
    return dict.fromkeys(np.flatnonzero(np.isnan(duration.values)).tolist(), "duration is missing")


def _tick(stamp: np.ndarray) -> float:
    """Return the largest power of ten nanoseconds, up to a second, that divides all differences."""
    step = int(np.gcd.reduce(stamp - stamp.min()))
    exponent = 0
    while exponent < 9 and step and step % 10 ** (exponent + 1) == 0:
        exponent += 1
    return float(10**exponent / 1e9)


def _warn_of_lonely_row(start: np.ndarray, line: np.ndarray) -> None:
    """Warn of a time that is days away from all others, and makes nearly all of the span."""
    if len(start) < _FEW:
        return
    order = np.argsort(start, kind="stable")
    gaps = np.diff(start[order])
    widest = int(gaps.argmax())
    if gaps[widest] > _DAY and gaps[widest] > 0.99 * (start[order[-1]] - start[order[0]]):
        is_late = widest >= len(gaps) / 2
        place = line[order[widest + 1 if is_late else widest]]
        days = gaps[widest] / _DAY
        warn_user(f"line {place} is {days:.3g} days away from the rows beside it: is its time right?")
