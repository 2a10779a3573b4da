"""Whole columns of a log at once: the usual forms by pandas, every other value by its exact reader.

The exact readers of `columns` say what a value means. Here the common shapes are
recognised for a whole batch of rows, so that a million rows take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .columns import NANOSECONDS, BadValue, duration_reader, read_status, shown, time_reader

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
    forms: list[str] | None
    reasons: dict[int, str]


def read_times(texts: Sequence[str], unit: str | None) -> Column:
    """Return nanoseconds since 1970, or since the log's own zero."""
    values = np.zeros(len(texts), dtype=np.int64)
    forms = [""] * len(texts)
    if texts and texts[0].isdecimal() and (numbers := _whole_numbers(texts, unit)) is not None:
        return numbers
    exact: Sequence[int] = range(len(texts))
    if texts and (common := _common_iso(texts)) is not None:
        return common
    iso = [place for place, text in enumerate(texts) if _is_plain_iso(text)]
    if iso:
        stamps, good = _iso_nanoseconds([texts[place] for place in iso])
        for place, stamp in zip(np.array(iso)[good].tolist(), stamps[good].tolist(), strict=True):
            values[place] = stamp
            forms[place] = _ZONED if texts[place][-1] == "Z" else _UNZONED
        exact = [place for place, form in enumerate(forms) if not form]
    read = _remembered(time_reader(unit))
    reasons: dict[int, str] = {}
    for place in exact:
        try:
            values[place], forms[place] = read(texts[place])
        except BadValue as bad:
            reasons[place] = f"start {bad}"
    return Column(values, forms, reasons)


def _whole_numbers(texts: Sequence[str], unit: str | None) -> Column | None:
    """Return nanoseconds of whole numbers of one length, which therefore have one unit; None if they are not such."""
    width = len(texts[0])
    if width > 19 or not all(len(text) == width and text.isdecimal() and text.isascii() for text in texts):
        return None
    if width == 19 and max(texts) >= "8":
        return None
    try:
        first, form = time_reader(unit)(texts[0])
    except BadValue:
        return None
    number = int(texts[0])
    factor = first // number if number else NANOSECONDS[unit or "s"]
    numbers = np.array(texts, dtype=f"U{width}").astype(np.int64)
    if int(numbers.max()) >= 8 * 10**18 // factor:
        return None
    return Column(numbers * factor, [form] * len(texts), {})


_ZONED, _UNZONED = "a time with a time zone", "a time without a time zone"


def _common_iso(texts: Sequence[str]) -> Column | None:
    """Return times of one plain form and length, as most logs have them; None if they are not such."""
    width, count = len(texts[0]), len(texts)
    joined = "".join(texts)
    if not _is_plain_iso(texts[0]) or len(joined) != width * count or set(map(len, texts)) != {width}:
        return None
    marks = {place: texts[0][place] for place in (4, 7, 10, 13, 16)} | ({width - 1: "Z"} if texts[0][-1] == "Z" else {})
    if any(joined[place::width].count(mark) != count for place, mark in marks.items()):
        return None
    if width > 20 and not all(joined[place::width].isdecimal() for place in range(20, width - (texts[0][-1] == "Z"))):
        return None
    stamps, good = _iso_nanoseconds(list(texts))
    form = _ZONED if texts[0][-1] == "Z" else _UNZONED
    return Column(stamps, [form] * count, {}) if good.all() else None


def _is_plain_iso(text: str) -> bool:
    """Say whether a text looks like 2026-01-02T03:04:05.678Z, without an offset."""
    if not 19 <= len(text) <= 30 or text[10] not in "T " or not text[4] == text[7] == "-":
        return False
    tail = text[19:]
    is_tail = tail in ("", "Z") or (tail[0] == "." and tail[1:].removesuffix("Z").isdecimal())
    return is_tail and text[13] == text[16] == ":"


def _iso_nanoseconds(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    stamps = pd.to_datetime(pd.Index(texts, dtype=object), format="ISO8601", errors="coerce", utc=True)
    seconds = stamps.as_unit("s").asi8
    good = ~stamps.isna() & (seconds >= 0) & (seconds < 8 * 10**9)
    in_range = stamps.where(good, pd.Timestamp(0, tz="UTC"))
    return in_range.as_unit("ns").asi8, np.asarray(good)


def _remembered(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Keep the readings of one batch: clocks in whole seconds repeat themselves."""
    known: dict[str, Any] = {}

    def look_up(text: str) -> Any:
        found = known.get(text)
        if found is None:
            found = known[text] = read(text)
        return found

    return look_up


def read_durations_of(texts: Sequence[str], unit: str | None) -> Column:
    """Return seconds; NaN where the log has no value."""
    values = np.full(len(texts), np.nan)
    read = duration_reader(unit)
    reasons: dict[int, str] = {}
    exact: Sequence[int] = range(len(texts))
    if unit is not None:
        import pandas as pd

        numbers = np.array(pd.to_numeric(pd.Index(texts, dtype=object), errors="coerce"), dtype=float)
        nanoseconds = np.rint(numbers * NANOSECONDS[unit])
        with np.errstate(invalid="ignore"):
            good = (nanoseconds >= 0) & (nanoseconds <= _LONGEST) & ~np.signbit(numbers)
        values[good] = nanoseconds[good] / 1e9
        exact = np.flatnonzero(~good).tolist()
    for place in exact:
        text = texts[place].strip()
        if text.lower() in MISSING:
            continue
        try:
            values[place] = read(text) / 1e9
        except BadValue as bad:
            reasons[place] = f"duration {bad}"
    return Column(values, None, reasons)


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


def read_outcomes(statuses: Sequence[str] | None, words: Sequence[str] | None, count: int) -> Outcomes:
    """Return the status codes, and what words say; a status may be a word, too."""
    status = np.zeros(count, dtype=np.int16)
    said = np.full(count, UNSAID, dtype=np.int8)
    reasons: dict[int, str] = {}
    if words is not None:
        said[:] = _through(words, _word)
    if statuses is None:
        unsaid = np.flatnonzero(said == UNSAID).tolist() if words is not None else []
        return Outcomes(status, said, {place: f"outcome is not known: {shown(words[place])}" for place in unsaid})  # type: ignore[index]
    codes = np.array(_through(statuses, _code), dtype=np.int64)
    status[:] = np.maximum(codes, 0)
    for place in np.flatnonzero(codes < 0).tolist():
        word = _word(statuses[place])
        if word != UNSAID:
            said[place] = max(word, said[place])  # a time-out says more than a failure
        elif said[place] == UNSAID:
            reasons[place] = _why_no_status(statuses[place])
    return Outcomes(status, said, reasons)


def _through(texts: Sequence[str], read: Callable[[str], int]) -> list[int]:
    """Read each different text once."""
    known = {text: read(text) for text in set(texts)}
    return [known[text] for text in texts]


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
