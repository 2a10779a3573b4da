"""The columns of an access log: which is which, and what their values mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .text import TraceError

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Nanoseconds of each unit. Times are whole nanoseconds until the very end: floats since 1970 are not exact."""
ROLES = ("start", "duration", "status", "outcome", "endpoint")
OPTIONAL = {"status", "outcome", "endpoint"}

_UNIT_WORDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "msecs", "milli", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "usecs", "micro", "micros", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nano", "nanos", "nanosecond", "nanoseconds"), "ns"),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_START_NAMES = _words(
    "start start_time start_timestamp start_at started started_at begin began request_start arrival arrived_at"
)
_NEUTRAL_NAMES = _words("timestamp time time_stamp ts datetime date_time time_local time_iso8601 logged_at event_time")
_END_NAMES = _words("end end_time end_timestamp ended ended_at finish finished finished_at completed completed_at")
_DURATION_NAMES = _words(
    "duration latency elapsed elapsed_time response_time request_time time_taken took total_time processing_time"
    " request_duration response_duration duration_time request_latency"
)
_STATUS_NAMES = _words(
    "status status_code http_status http_status_code http_code code response_code response_status sc_status"
)
_OUTCOME_NAMES = _words("outcome result success succeeded ok verdict")
_ENDPOINT_NAMES = _words("path uri url endpoint route operation operation_name label request_uri path_template")
_MAX_LENGTH = 100
_MAX_DURATION = 10**9 * NANOSECONDS["s"]
MAX_TIME = 8 * 10**18  # nanoseconds from 1970 to 2223; differences stay within 64 bits
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCHS = (("s", 10**8, 10**11), ("ms", 10**11, 10**14), ("us", 10**14, 10**17), ("ns", 10**17, 10**20))
_MONTH_WORDS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {word: i for i, word in enumerate(_MONTH_WORDS, start=1)}

_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_PARTS = re.compile(r"(\d+\.?\d*|\.\d+)\s*(h|ms|us|ns|m|s)", re.ASCII)
_PART_NANOSECONDS = NANOSECONDS | {"m": 60 * 10**9, "h": 3600 * 10**9}
_ZONE = r"(?:\s*(Z|z|UTC|GMT|[+-]\d\d:?\d\d|[+-]\d\d))?"
_CLOCK = r"(\d\d):?(\d\d):?(\d\d)(?:[.,](\d+))?"
ISO = re.compile(rf"(\d{{4}})([-/]?)(\d\d)\2(\d\d)(?:[Tt_]|\s+){_CLOCK}{_ZONE}", re.ASCII)
COMMON_LOG = re.compile(rf"\[?(\d\d?)[/ -]([A-Za-z]{{3}})[/ -](\d{{4}})[: ]{_CLOCK}{_ZONE}\]?", re.ASCII)
_STATUS = re.compile(r"\+?0*(\d{1,3})(?:\.0+)?", re.ASCII)


class BadValue(Exception):
    """A value of a row cannot be read; the argument says why."""


def known_unit(name: str, unit: Any) -> str | None:
    """Return a unit by its usual spelling, or None for None."""
    if unit is None:
        return None
    found = _UNIT_WORDS.get(str(unit).replace("µ", "u").replace("μ", "u").lower())
    if found is None:
        raise TraceError(f"{name} must be one of 's', 'ms', 'us', 'ns', got {unit!r}")
    return found


def split_unit(header: str) -> tuple[str, str | None]:
    """Split a column's name into its words in snake case and its unit, if it has one.

    Example:
        >>> split_unit("responseTimeMs"), split_unit("elapsed (seconds)"), split_unit("latency")
        (('response_time', 'ms'), ('elapsed', 's'), ('latency', None))
    """
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", header.replace("µ", "u").replace("μ", "u"))
    words = [word for word in re.split(r"[\W_]+", text.lower()) if word]
    unit = _UNIT_WORDS.get(words[-1]) if len(words) > 1 else None
    if unit:
        words.pop()
        if words[-1] == "in" and len(words) > 1:
            words.pop()
    return "_".join(words), unit


def named_once(header: Sequence[str]) -> None:
    """Refuse a header that names a column twice; columns without a name do not count."""
    seen: set[str] = set()
    for name in header:
        if name and name in seen:
            raise TraceError(f"the header must name each column once, got {name!r} twice")
        seen.add(name)


def find_columns(
    header: Sequence[str], columns: Mapping[str, str | None] | None, timestamp: str
) -> dict[str, int | None]:
    """Return the index of the column of each role; a role that is mapped to None has none."""
    named = {("start" if role == "timestamp" else role): name for role, name in (columns or {}).items()}
    unknown = set(named) - set(ROLES)
    if unknown or len(named) != len(columns or {}):
        listed = "'start' (or 'timestamp'), 'duration', 'status', 'outcome', 'endpoint'"
        raise TraceError(f"columns must map {listed}, got {columns!r}")
    indices: dict[str, int | None] = {}
    for role in ("start", "duration", "outcome", "endpoint", "status"):
        if role not in named:
            indices[role] = _guess_column(header, role, timestamp, indices.get("outcome") is not None)
        elif named[role] is None and role in OPTIONAL:
            indices[role] = None
        elif named[role] in header:
            indices[role] = list(header).index(named[role])  # type: ignore[arg-type]
        else:
            raise TraceError(
                f"the column {named[role]!r} for {role} must be in the header, which has {_listed(header)}"
            )
    return indices


def is_duration(name: str) -> bool:
    """Say whether a column has a usual name of a duration."""
    return split_unit(name)[0] in _DURATION_NAMES


def only_ends(header: Sequence[str]) -> bool:
    """Say whether a header has a time of the end and none that may be the start."""
    bases = {split_unit(name)[0] for name in header}
    return bool(bases & _END_NAMES) and not bases & (_START_NAMES | _NEUTRAL_NAMES)


def _guess_column(header: Sequence[str], role: str, timestamp: str, has_outcome: bool) -> int | None:
    bases = [split_unit(name)[0] for name in header]
    names = {
        "start": _NEUTRAL_NAMES | (_START_NAMES if timestamp == "start" else _END_NAMES),
        "duration": _DURATION_NAMES,
        "status": _STATUS_NAMES,
        "outcome": _OUTCOME_NAMES,
        "endpoint": _ENDPOINT_NAMES,
    }[role]
    found = [index for index, base in enumerate(bases) if base in names]
    if len(found) == 1:
        return found[0]
    if role in ("outcome", "endpoint"):
        return found[0] if found else None
    if role == "status" and not found and has_outcome:
        return None
    if found:
        listed = _listed([header[index] for index in found])
        raise TraceError(f"several columns may be the {role}: {listed}; say which: columns={{{role!r}: ...}}")
    if role == "start":
        others = _END_NAMES if timestamp == "start" else _START_NAMES
        other = next((header[index] for index, base in enumerate(bases) if base in others), None)
        if other is not None:
            kind = "end" if timestamp == "start" else "start"
            raise TraceError(f"the column {other!r} says when requests {kind}: read it with timestamp={kind!r}")
    hint = " or, for a log without one, columns={'status': None}" if role == "status" else ""
    separator = "" if len(header) > 1 else "; one that separates by something else than , ; or tab needs delimiter=..."
    raise TraceError(
        f"no column is known as the {role}; the header has {_listed(header)}. "
        f"Name it: columns={{{role!r}: ...}}{hint}; a file without a header line needs header=[...]{separator}"
    )


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(repr(name[:40]) for name in names[:20])
    return text + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def shown(text: str) -> str:
    """Return a value for a message, not too long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _comma_hint(text: str) -> str:
    """Return how to read a number with a decimal comma, if *text* looks like one."""
    return " (a decimal comma needs decimal=',')" if _DECIMAL_COMMA.fullmatch(text) else ""


def number_to_nanoseconds(text: str, unit: str) -> int:
    """Return a plain number of *unit* as whole nanoseconds, exact down to them."""
    match = _NUMBER.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            raise BadValue(f"is not finite: {shown(text)}")
        raise BadValue(f"is not a number: {shown(text)}{_comma_hint(text)}")
    sign, digits, exponent = match.groups()
    factor = NANOSECONDS[unit]
    if exponent:
        value = float(digits + exponent)
        if value >= 1e21:
            raise BadValue(f"is too large: {shown(text)}")
        nanoseconds = round(value * factor)
    else:
        whole, _, fraction = digits.partition(".")
        nanoseconds = int(whole or "0") * factor
        if fraction:
            nanoseconds += round(int(fraction) * factor / 10 ** len(fraction))
    if sign == "-" and nanoseconds:
        raise BadValue(f"is negative: {shown(text)}")
    return nanoseconds


def duration_reader(unit: str | None) -> Callable[[str], int]:
    """Return a function from a value to nanoseconds; *unit* is that of values without one."""

    def read(text: str) -> int:
        text = text.strip()
        if text in ("", "-"):
            raise BadValue("is missing")
        if unit is not None and text[-1:].isdigit():
            nanoseconds = number_to_nanoseconds(text, unit)
        else:
            nanoseconds = _with_unit(text, unit)
        if nanoseconds > _MAX_DURATION:
            raise BadValue(f"is longer than 30 years: {shown(text)}")
        return nanoseconds

    return read


def _with_unit(text: str, unit: str | None) -> int:
    """Read a value such as "12ms", "1.5 s" or "1m30s"."""
    plain = text.replace("µ", "u").replace("μ", "u")
    sign, plain = (plain[0], plain[1:]) if plain[0] in "+-" else ("", plain)
    position = nanoseconds = 0
    while len(text) <= _MAX_LENGTH and (part := _PARTS.match(plain, position)):
        number, word = part.groups()
        whole, _, fraction = number.partition(".")
        factor = _PART_NANOSECONDS[word]
        nanoseconds += int(whole or "0") * factor + round(int(fraction or "0") * factor / 10 ** len(fraction))
        position = part.end()
    if not position or position != len(plain):
        nanoseconds = number_to_nanoseconds(text, unit or "s")
        if unit is None:
            raise BadValue(f"has no unit: {shown(text)}")
        return nanoseconds
    if sign == "-" and nanoseconds:
        raise BadValue(f"is negative: {shown(text)}")
    return nanoseconds


def time_reader(unit: str | None) -> Callable[[str], tuple[int, str]]:
    """Return a function from a value to nanoseconds and the form in which it was written.

    *unit* is that of numbers; None tells seconds, and seconds, milliseconds,
    microseconds and nanoseconds since 1970, by their size.
    """

    def read(text: str) -> tuple[int, str]:
        text = text.strip()
        if text in ("", "-"):
            raise BadValue("is missing")
        if len(text) > _MAX_LENGTH:
            raise BadValue(f"is not a time: {shown(text)}")
        if match := ISO.fullmatch(text):
            year, _, month, day, *clock = match.groups()
            nanoseconds, form = _calendar(text, year, int(month), day, *clock)
        elif match := COMMON_LOG.fullmatch(text):
            day, word, year, *clock = match.groups()
            nanoseconds, form = _calendar(text, year, MONTHS.get(word.lower(), 0), day, *clock)
        else:
            nanoseconds, form = _number_of_time(text, unit)
        if not 0 <= nanoseconds < MAX_TIME:
            raise BadValue(f"is not between 1970 and 2223: {shown(text)}")
        return nanoseconds, form

    return read


def _number_of_time(text: str, unit: str | None) -> tuple[int, str]:
    try:
        if unit is not None:
            return number_to_nanoseconds(text, unit), f"number of {unit}"
        seconds = number_to_nanoseconds(text, "s")
    except BadValue as bad:
        if str(bad).startswith("is not a number"):
            raise BadValue(
                f"is not a time with seconds in ISO 8601 or common log format, and not a number: "
                f"{shown(text)}{_comma_hint(text)}"
            ) from None
        raise
    number = seconds // NANOSECONDS["s"]
    for epoch_unit, low, high in EPOCHS:
        if low <= number < high:
            return number_to_nanoseconds(text, epoch_unit), f"{epoch_unit} since 1970"
    return seconds, "plain seconds"


def _calendar(
    text: str,
    year: str,
    month: int,
    day: str,
    hour: str,
    minute: str,
    second: str,
    fraction: str | None,
    zone: str | None,
) -> tuple[int, str]:
    try:
        time = datetime(int(year), month, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError as error:
        raise BadValue(f"is not a time ({error}): {shown(text)}") from None
    passed = time - _EPOCH
    seconds = passed.days * 86_400 + passed.seconds
    if zone is not None and zone[0] in "+-":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or "0"))
        if offset >= timedelta(days=1) or int(zone[3:].lstrip(":") or "0") >= 60:
            raise BadValue(f"has no such time zone: {shown(text)}")
        seconds -= int(offset.total_seconds()) * (-1 if zone[0] == "-" else 1)
    nanoseconds = seconds * NANOSECONDS["s"] + int((fraction or "0")[:9].ljust(9, "0"))
    return nanoseconds, "a time without a time zone" if zone is None else "a time with a time zone"


def read_status(text: str) -> int:
    """Return a status code from 0 (no answer) to 999."""
    text = text.strip()
    if text in ("", "-"):
        raise BadValue("is missing")
    match = _STATUS.fullmatch(text)
    if match is None:
        raise BadValue(f"is not a status code from 0 to 999: {shown(text)}")
    return int(match.group(1))
