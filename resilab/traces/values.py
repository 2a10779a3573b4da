"""Whole columns of a log at once: the usual forms by pandas, every other value by its exact reader.

The exact readers of `columns` say what a value means. Here the common shapes are
recognised for a whole batch of rows, so that a million rows take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .clocks import times_alike, times_in_numbers
from .columns import NANOSECONDS, BadValue, duration_reader, read_status, shown, time_reader
from .layouts import BATCH
from .plain import PlainColumn

Fields = Sequence[str] | PlainColumn
"""The fields of a column."""
MISSING = frozenset({"", "-", "-1", "-1.0", "-1.000", "nan", "null", "none", "n/a"})
"""Words for "no value", in small letters; load balancers write -1 for a time that never was."""
_TIMEOUT = re.compile(r"time[ds]?[\s_-]?out|deadline|cancell?ed|client[\s_-]?closed", re.IGNORECASE)
_FAILURE = re.compile(
    r"reset|refus|err|fail|exception|abort|unavailable|reject|overload|unreach|broken|dropped|\bshed\b"
    r"|no[\s_-]?(response|answer)|^(false|ko|eof|nok)$",
    re.IGNORECASE,
)
_SUCCESS = re.compile(r"success\w*|succeeded|ok|true|pass(ed)?|completed?|answered", re.IGNORECASE)
SUCCEEDED, FAILED, TIMED_OUT, UNSAID = 0, 1, 2, -1
"""What a word says of a request."""
TIMEOUT_CODES = frozenset({408, 499, 504})
"""Status codes of a time limit: the request's own, the caller's, the gateway's. Their durations are lower bounds."""

_LONGEST = 10**9 * NANOSECONDS["s"]


class Column(NamedTuple):
    """The values of a column.

    Attributes:
        values: One an entry; what they are where `reasons` has an entry does not count.
        forms: The form in which each was written, or None.
        reasons: Why a value cannot be read, by its place.
    """

    values: np.ndarray
    forms: np.ndarray | None
    reasons: dict[int, str]


def texts_of(fields: Fields, rows: slice = slice(None)) -> Sequence[str]:
    """Return the fields of some rows as they are written."""
    return fields.texts(rows) if isinstance(fields, PlainColumn) else fields[rows]


def read_times(fields: Fields, unit: str | None) -> Column:
    """Return nanoseconds since 1970, or since the log's own zero."""
    values, forms = np.zeros(len(fields), dtype=np.int64), np.full(len(fields), "", dtype=object)
    reasons: dict[int, str] = {}
    numbers = fields.numbers if isinstance(fields, PlainColumn) else None
    read = _remembered(time_reader(unit))
    for first in range(0, len(fields), BATCH):
        rows = slice(first, first + BATCH)
        texts = [] if numbers is not None else texts_of(fields, rows)
        alike = times_alike(texts, unit) if numbers is None else times_in_numbers(numbers[rows], unit)
        missing = np.ones(len(values[rows]), dtype=bool)
        for found in alike:
            missing[found.places] = False
            values[first + found.places], forms[first + found.places] = found.nanoseconds, found.form
        for place in np.flatnonzero(missing).tolist():
            texts = texts or texts_of(fields, rows)
            try:
                values[first + place], forms[first + place] = read(texts[place])
            except BadValue as bad:
                reasons[first + place] = f"start {bad}"
    return Column(values, forms, reasons)


def _remembered(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Keep the readings of one batch: clocks in whole seconds repeat themselves."""
    known: dict[str, Any] = {}

    def look_up(text: str) -> Any:
        found = known.get(text)
        if found is None:
            found = known[text] = read(text)
        return found

    return look_up


def read_durations_of(fields: Fields, unit: str | None) -> Column:
    """Return seconds; NaN where the log has no value."""
    numbers = fields.numbers if isinstance(fields, PlainColumn) and unit is not None else None
    texts = texts_of(fields) if numbers is None else []
    values = np.full(len(fields), np.nan)
    missing = np.ones(len(fields), dtype=bool)
    for part in _plain_numbers(texts, unit) if numbers is None else [_Numbers(slice(None), numbers, unit or "s")]:
        nanoseconds = np.rint(part.numbers * NANOSECONDS[part.unit])
        with np.errstate(invalid="ignore"):
            good = (nanoseconds >= 0) & (nanoseconds <= _LONGEST) & ~np.signbit(part.numbers)
        values[part.places] = np.where(good, nanoseconds / 1e9, np.nan)
        missing[part.places] = ~good
    places = np.flatnonzero(missing).tolist()
    texts = texts_of(fields) if places and numbers is not None else texts
    read = duration_reader(unit)
    reasons: dict[int, str] = {}
    for place in places:
        text = texts[place].strip()
        if text.lower() in MISSING:
            continue
        try:
            values[place] = read(text) / 1e9
        except BadValue as bad:
            reasons[place] = f"duration {bad}"
    return Column(values, None, reasons)


class _Numbers(NamedTuple):
    """Durations that are plain numbers: which rows, NaN where it is another text after all, and their unit."""

    places: Any
    numbers: np.ndarray
    unit: str


def _plain_numbers(texts: Sequence[str], unit: str | None) -> Iterator[_Numbers]:
    """Yield numbers of *unit*, or those with a unit behind them, as `12.5ms`."""
    if unit is not None:
        yield _Numbers(slice(None), _to_numbers(texts), unit)
        return
    ends = [text[-2:] for text in texts]
    for end, name in {end: _UNITS[end] for end in set(ends) & _UNITS.keys()}.items():
        size = len(name)
        places = [place for place, each in enumerate(ends) if each == end and texts[place][:-size].isascii()]
        bare = [texts[place][:-size] for place in places]
        are_plain = np.array([text.replace(".", "", 1).isdecimal() for text in bare], dtype=bool)
        yield _Numbers(places, np.where(are_plain, _to_numbers(bare), np.nan), name)


_UNITS = {"ms": "ms", "us": "us", "ns": "ns"} | {f"{digit}s": "s" for digit in "0123456789"}


def _to_numbers(texts: Sequence[str]) -> np.ndarray:
    import pandas as pd

    return np.array(pd.to_numeric(pd.Index(texts, dtype=object), errors="coerce"), dtype=float)


class Outcomes(NamedTuple):
    """What the status and the words of a batch say.

    Attributes:
        status: Codes; 0 where there is none.
        said: SUCCEEDED, FAILED, TIMED_OUT or UNSAID, as words say it.
        reasons: Why a value cannot be read, by its place.
    """

    status: np.ndarray
    said: np.ndarray
    reasons: dict[int, str]


def read_outcomes(statuses: Fields | None, words: Fields | None, count: int) -> Outcomes:
    """Return the status codes, and what words say; a status may be a word, too."""
    status = np.zeros(count, dtype=np.int16)
    said = np.full(count, UNSAID, dtype=np.int8)
    reasons: dict[int, str] = {}
    if words is not None:
        said[:] = _through(words, _word)
    if statuses is None:
        unsaid = np.flatnonzero(said == UNSAID).tolist() if words is not None else []
        texts = texts_of(words) if unsaid and words is not None else []
        return Outcomes(status, said, {place: f"outcome is not known: {shown(texts[place])}" for place in unsaid})
    codes = _through(statuses, _code)
    status[:] = np.maximum(codes, 0)
    without = np.flatnonzero(codes < 0).tolist()
    texts = texts_of(statuses) if without else []
    for place in without:
        word = _word(texts[place])
        if word != UNSAID:
            said[place] = max(word, said[place])  # a time-out says more than a failure
        elif said[place] == UNSAID:
            reasons[place] = _why_no_status(texts[place])
    return Outcomes(status, said, reasons)


def _through(fields: Fields, read: Callable[[str], int]) -> np.ndarray:
    """Read each different text once."""
    if isinstance(fields, PlainColumn):
        words, which = fields.each()
        codes: np.ndarray = np.array([read(word) for word in words], dtype=np.int64)[which]
        return codes
    known = {text: read(text) for text in set(fields)}
    return np.array([known[text] for text in fields], dtype=np.int64)


def _word(text: str) -> int:
    """Return what a word says; whoever waits no longer sees a lower bound, so a cancelled call is timed out."""
    text = text.strip()
    if _TIMEOUT.search(text):
        return TIMED_OUT
    if _SUCCESS.fullmatch(text):
        return SUCCEEDED
    return FAILED if _FAILURE.search(text) else UNSAID


def _code(text: str) -> int:
    try:
        return read_status(text)
    except BadValue:
        return -1


def _why_no_status(text: str) -> str:
    try:
        read_status(text)
    except BadValue as bad:
        return f"status {bad}"
    return f"status is not known: {shown(text)}"
