"""Times of a whole column at once: those that are written like the first of their length, digit by digit in arrays.

`columns.time_reader` says what a time means. Here its forms are recognised for many rows
together; whatever differs in any way is left to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .columns import COMMON_LOG, EPOCHS, ISO, MAX_TIME, MONTHS, NANOSECONDS, BadValue, time_reader

_DIGITS = 19
"""More digits do not fit into 64 bits."""
_EXACT = 10**6
"""Seconds below which a float tells nanoseconds apart."""
_CLOCK = ("hour", "minute", "second", "fraction")
_ISO_FIELDS = dict(zip((1, 3, 4, 5, 6, 7, 8), ("year", "month", "day", *_CLOCK), strict=True))
_COMMON_FIELDS = dict(zip((1, 2, 3, 4, 5, 6, 7), ("day", "word", "year", *_CLOCK), strict=True))
"""Which group of a form is which field; the last one is the fraction."""


class Alike(NamedTuple):
    """Times of some rows.

    Attributes:
        places: Which rows.
        nanoseconds: Since 1970, or since the log's own zero.
        form: The form in which all are written.
    """

    places: np.ndarray
    nanoseconds: np.ndarray
    form: str


def times_alike(texts: Sequence[str], unit: str | None) -> Iterator[Alike]:
    """Yield the times that are written like others; rows that are not yielded need a closer look."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        chosen = texts if len(places) == len(texts) else [texts[place] for place in places.tolist()]
        joined = "".join(chosen)
        if length == 0 or not joined.isascii():
            continue
        signs = np.frombuffer(joined.encode(), dtype=np.uint8).reshape(len(chosen), length).T.copy()
        for find in (_calendar, _numbers):
            for found in find(chosen[0], signs, unit):
                yield Alike(places[found.places], found.nanoseconds, found.form)


def times_in_numbers(numbers: np.ndarray, unit: str | None) -> Iterator[Alike]:
    """Yield whole numbers by the unit that their size tells, and seconds that a float holds to the nanosecond."""
    if numbers.dtype == np.int64:
        yield from _scaled(np.arange(len(numbers)), numbers, 1, unit)
    elif unit in (None, "s"):
        places = np.flatnonzero((numbers >= 0) & (numbers < _EXACT))
        form = "number of s" if unit else "plain seconds"
        yield Alike(places, np.rint(numbers[places] * 1e9).astype(np.int64), form)


def _calendar(first: str, signs: np.ndarray, unit: str | None) -> Iterator[Alike]:
    """Yield the dates with their fields where the first one has them, and all else equal to it."""
    names = _COMMON_FIELDS if (match := COMMON_LOG.fullmatch(first)) else _ISO_FIELDS
    match = match or ISO.fullmatch(first)
    if match is None:
        return
    try:
        stamp, form = time_reader(unit)(first)
    except BadValue:
        return
    fields = {name: slice(*match.span(place)) for place, name in names.items() if match[place]}
    is_fixed = np.ones(len(first), dtype=bool)
    for place in fields.values():
        is_fixed[place] = False
    good = np.all(signs[is_fixed] == signs[is_fixed, :1], axis=0)
    values = {}
    for name, place in fields.items():
        values[name], are_good = _months(signs[place]) if name == "word" else _whole(signs[place])
        good &= are_good
    year, day, hour, minute, second = (values[name] for name in ("year", "day", "hour", "minute", "second"))
    month = values["word" if "word" in values else "month"]
    width = len(match[max(names)] or "")
    good &= (year >= 1970) & (year < 2223) & (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    months = np.where(good, 12 * (year - 1970) + month - 1, 0).astype("M8[M]")
    before = months.astype("M8[D]").astype(np.int64)
    good &= (day >= 1) & (day <= (months + 1).astype("M8[D]").astype(np.int64) - before) & (width <= 9)
    if not good[0]:
        return
    seconds = np.where(good, ((before + day - 1) * 24 + hour) * 3600 + minute * 60 + second, 0)
    nanoseconds = seconds * 10**9 + (values["fraction"] * 10 ** (9 - width) if width else 0)
    nanoseconds += stamp - int(nanoseconds[0])  # the zone
    good &= (nanoseconds >= 0) & (nanoseconds < MAX_TIME)
    yield Alike(np.flatnonzero(good), nanoseconds[good], form)


def _numbers(first: str, signs: np.ndarray, unit: str | None) -> Iterator[Alike]:
    """Yield the numbers that have their point where the first one has it."""
    point = first.find(".")
    is_digit = np.ones(len(first), dtype=bool)
    good = np.ones(signs.shape[1], dtype=bool)
    if point >= 0:
        is_digit[point] = False
        good = signs[point] == ord(".")
    if not 1 <= is_digit.sum() <= _DIGITS:
        return
    digits, are_good = _whole(signs[is_digit])
    places = np.flatnonzero(good & are_good)
    yield from _scaled(places, digits[places], 10 ** (len(first) - 1 - point) if point >= 0 else 1, unit)


def _scaled(places: np.ndarray, digits: np.ndarray, parts: int, unit: str | None) -> Iterator[Alike]:
    """Yield numbers, counted in so many parts of their unit, as nanoseconds."""
    known = [(unit, 0, MAX_TIME)] if unit else [("s", 0, EPOCHS[0][1]), *EPOCHS]
    whole = digits // parts
    for name, low, high in known:
        factor = NANOSECONDS[name]
        good = (whole >= low) & (whole < min(high, MAX_TIME // factor))
        if parts <= factor and good.any():
            form = f"number of {name}" if unit else f"{name} since 1970" if low else "plain seconds"
            yield Alike(places[good], digits[good] * (factor // parts), form)


def _whole(signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the whole numbers in columns of digits, and where all signs are digits."""
    digits = signs - ord("0")  # what is below wraps around, and is large
    numbers = np.zeros(signs.shape[1], dtype=np.int64)
    for row in digits:
        numbers = 10 * numbers + row
    return numbers, np.all(digits <= 9, axis=0)


def _months(signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the months of columns of three letters, and where there is one."""
    codes, which = np.unique(signs.astype(np.int64).T @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    numbers = [MONTHS.get(int(code).to_bytes(3).decode().lower(), 0) for code in codes.tolist()]
    found = np.array(numbers, dtype=np.int64)[which]
    return found, found > 0
