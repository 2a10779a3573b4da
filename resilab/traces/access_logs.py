"""Access logs in lines of text: common and combined logs, Envoy's, AWS load balancers', key=value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from .layouts import BATCH, Batch, Layout, envoy_word
from .text import Lines, TraceError

Row = dict[str, str]
Rows = tuple[Layout, Iterator[Batch]]

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_REQUEST = r'"(?:[A-Z]+ )?(?P<endpoint>[^" ]*)[^"]*"'
_ACCESS = re.compile(
    rf"\S+ [^\[]*\[(?P<start>\d\d?/[A-Za-z]{{3}}/\d{{4}}:[^\]]+)\] "
    rf"(?:{_REQUEST}|{_QUOTED}) (?P<status>\d{{1,3}}|-) (?:\d+|-)(?: {_QUOTED} {_QUOTED})?(?P<tail>.*)"
)
_ENVOY = re.compile(
    rf"\[(?P<start>\d{{4}}-\d\d-\d\dT[^\]]+)\] {_REQUEST} (?P<status>\d{{1,3}}) (?P<outcome>\S+)(?P<between>.*?)"
    rf" \d+ \d+ (?P<duration>\d+|-) (?:\d+|-)(?P<tail>.*)"
)
_LOAD_BALANCER = re.compile(
    rf"(?:(?:https?|h2|grpcs?|wss?) )?(?P<start>\d{{4}}-\d\d-\d\dT\S+Z) (?P<target>\S+) \S+ \S+"
    rf" (?P<before>-?[\d.]+) (?P<during>-?[\d.]+) (?P<after>-?[\d.]+) (?P<status>\d{{3}}|-) \S+ \S+ \S+ {_REQUEST}.*"
)
_TOKEN = re.compile(rf"{_QUOTED}|\S+")
_PAIR = re.compile(r'(?<![\w.-])([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|[^\s,;]*)')
_DURATION_KEYS = (
    *("request_time", "rt", "duration", "duration_ms", "duration_us", "time_taken", "took", "response_time"),
    *("total_time", "elapsed", "latency", "D", "urt", "upstream_response_time", "upstream_time"),
)
"""Keys of a duration behind a common log, the whole request before the time of the server behind."""
_LONGEST_LINE = 10_000  # what is longer is damaged, and patterns would take their time
_LEAST_MICROSECONDS = 1000
"""A median below this is no whole number of microseconds, or no web service."""


def access_log(lines: Lines, duration_unit: str | None) -> Rows | None:
    """Return the rows of a text log of a known kind; None if it is none."""
    head = [line for line in lines.head(50) if len(line) <= _LONGEST_LINE]
    if not head:
        return None
    for pattern, make in ((_ACCESS, _common), (_ENVOY, _envoy), (_LOAD_BALANCER, _load_balancer)):
        matches = [match for line in head if (match := pattern.fullmatch(line))]
        if len(matches) > len(head) / 2:
            layout, read = make([match.groupdict() for match in matches], duration_unit)
            return layout, _batches(lines, lambda line, pattern=pattern, read=read: _by(pattern, read, line))  # type: ignore[misc]
    if sum(len(_PAIR.findall(line)) >= 3 for line in head) > len(head) / 2:
        return Layout("key=value"), _batches(lines, _pairs)
    return None


def _by(pattern: re.Pattern[str], read: Callable[[Row], Row], line: str) -> Row | None:
    match = pattern.fullmatch(line) if len(line) <= _LONGEST_LINE else None
    return None if match is None else read(match.groupdict(""))


def _batches(lines: Lines, read: Callable[[str], Row | None]) -> Iterator[Batch]:
    """Yield the rows by the hundred thousand; a row lacks what its line lacks."""
    batch, rows, numbers = Batch([], {}, []), list[Row](), list[int]()
    for number, line in lines.plain():
        row = read(line)
        if row is None:
            batch.bad.append((number, "it has another form than the first lines"))
            continue
        rows.append(row)
        numbers.append(number)
        if len(rows) == BATCH:
            yield Batch(numbers, columns_of(rows), batch.bad)
            batch, rows, numbers = Batch([], {}, []), [], []
    yield Batch(numbers, columns_of(rows), batch.bad)


def columns_of(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return rows as columns."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, "") for row in rows] for name in names}


def _pairs(line: str) -> Row | None:
    if len(line) > _LONGEST_LINE:
        return None
    row = {key: value.strip('"') for key, value in _PAIR.findall(line)}
    return row or None


def _envoy(_: list[Row], __: str | None) -> tuple[Layout, Callable[[Row], Row]]:
    columns = {role: role for role in ("start", "duration", "status", "outcome", "endpoint")}
    layout = Layout("Envoy", columns, "start", None, "ms", translate=envoy_word)
    return layout, lambda row: row


def _load_balancer(_: list[Row], __: str | None) -> tuple[Layout, Callable[[Row], Row]]:
    def read(row: Row) -> Row:
        parts = [row[name] for name in ("before", "during", "after")]
        is_missing = any(part.startswith("-") for part in parts)
        row["duration"] = "" if is_missing else f"{sum(map(float, parts)):.6f}"
        return row

    columns = {role: role for role in ("start", "duration", "status", "endpoint")}
    return Layout("AWS load balancer", columns | {"outcome": None}, "end", None, "s"), read


def _common(first: list[Row], duration_unit: str | None) -> tuple[Layout, Callable[[Row], Row]]:
    """Find the duration behind a common or combined log: key=value, or a number that only servers mean."""
    columns = {role: role for role in ("start", "duration", "status", "endpoint")} | {"outcome": None}
    pairs = [dict(_PAIR.findall(row["tail"])) for row in first]
    key = next((name for name in _DURATION_KEYS if sum(name in pair for pair in pairs) > len(pairs) / 2), None)
    if key is not None:
        values = [pair[key].strip('"') for pair in pairs if key in pair]

        def read(row: Row) -> Row:
            row["duration"] = dict(_PAIR.findall(row["tail"])).get(key, "").strip('"')
            return row

        return _unit(columns, values, f"{key}=", duration_unit), read
    tails = [_TOKEN.findall(row["tail"]) for row in first]
    place = _longest_time(tails)
    if place is None:
        raise TraceError(
            "this is a common or combined log without a duration. Log one: nginx's log_format with $request_time"
            " at its end, Apache's LogFormat with %D"
        )

    def read_place(row: Row) -> Row:
        tokens = _TOKEN.findall(row["tail"])
        row["duration"] = tokens[place].strip('"') if place < len(tokens) else ""
        return row

    values = [tokens[place].strip('"') for tokens in tails if place < len(tokens)]
    return _unit(columns, values, "the number at its end", duration_unit), read_place


def _longest_time(tails: list[list[str]]) -> int | None:
    """Return which token is a time: the largest of those that are numbers, for a request contains its parts."""
    sums: dict[int, float] = {}
    for place in range(max(map(len, tails), default=0)):
        values = [tokens[place].strip('"') for tokens in tails if place < len(tokens)]
        numbers = [float(value) for value in values if re.fullmatch(r"\d+(\.\d+)?", value)]
        known = len(numbers) + sum(value == "-" for value in values)
        if numbers and known > len(tails) / 2:
            sums[place] = sum(numbers) / len(numbers)
    return max(sums, key=lambda place: sums[place]) if sums else None


def _unit(columns: dict[str, str | None], values: list[str], where: str, given: str | None) -> Layout:
    """Return the layout by the form of its durations: nginx writes 0.012 s at the end, Apache 12345 us of the start."""
    plain = [value for value in values if value not in ("", "-")]
    if any("." in value or value[-1:].isalpha() for value in plain):
        return Layout(f"nginx, duration from {where}", columns, "end", None, given or "s")
    middle = median(map(int, plain)) if plain and all(value.isdigit() for value in plain) else 0
    if given is None and middle < _LEAST_MICROSECONDS:
        raise TraceError(f"the unit of {where} ({plain[:3]}) is unknown: say it with duration_unit='ms' (or 's', 'us')")
    return Layout(f"Apache, duration from {where}", columns, "start", None, given or "us")
