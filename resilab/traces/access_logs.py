"""Access logs in lines of text: common and combined logs, Envoy's, AWS load balancers', key=value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from .layouts import BATCH, Batch, Layout, envoy_word
from .text import Lines, TraceError

Row = dict[str, str]
Columns = dict[str, list[str]]
Finish = Callable[[Columns], Columns]
Rows = tuple[Layout, Iterator[Batch]]

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_REQUEST = r'"(?:[A-Z]+ )?(?P<endpoint>[^" ]*)[^"]*"'
_ACCESS = (
    rf"\S+ [^\[\n]*\[(?P<start>\d\d?/[A-Za-z]{{3}}/\d{{4}}:[^\]\n]+)\] "
    rf"(?:{_REQUEST}|{_QUOTED}) (?P<status>\d{{1,3}}|-) (?:\d+|-)(?: {_QUOTED} {_QUOTED})?(?P<tail>.*)"
)
_ENVOY = (
    rf"\[(?P<start>\d{{4}}-\d\d-\d\dT[^\]]+)\] {_REQUEST} (?P<status>\d{{1,3}}) (?P<outcome>\S+)(?P<between>.*?)"
    rf" \d+ \d+ (?P<duration>\d+|-) (?:\d+|-)(?P<tail>.*)"
)
_LOAD_BALANCER = (
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
        matches = [match for line in head if (match := re.fullmatch(pattern, line))]
        if len(matches) > len(head) / 2:
            layout, finish = make([match.groupdict("") for match in matches], duration_unit)
            return layout, _matched(lines, re.compile(f"^{pattern}$", re.MULTILINE), finish)
    if sum(len(_PAIR.findall(line)) >= 3 for line in head) > len(head) / 2:
        return Layout("key=value"), _paired(lines)
    return None


def _matched(lines: Lines, pattern: re.Pattern[str], finish: Finish) -> Iterator[Batch]:
    """Yield the lines that have the form of the log; a block in which all have it is matched at once."""
    names = sorted(pattern.groupindex, key=lambda name: pattern.groupindex[name])
    for numbers, block in lines.chunks(BATCH):
        bad: list[tuple[int, str]] = []
        are_short = max(map(len, block)) <= _LONGEST_LINE
        found = pattern.findall("\n".join(block)) if are_short else []
        if len(found) != len(block):  # each match is at least a line: equal counts are one each
            matches = [
                (number, pattern.fullmatch(line) if len(line) <= _LONGEST_LINE else None)
                for number, line in zip(numbers, block, strict=True)
            ]
            bad = [(number, "it has another form than the first lines") for number, match in matches if not match]
            numbers = [number for number, match in matches if match]
            found = [match.groups("") for _, match in matches if match]
        columns = list(map(list, zip(*found, strict=True))) if found else [[] for _ in names]
        yield Batch(numbers, finish(dict(zip(names, columns, strict=True))), bad)


def _paired(lines: Lines) -> Iterator[Batch]:
    """Yield lines of key=value."""
    for numbers, block in lines.chunks(BATCH):
        pairs = [dict(_PAIR.findall(line)) if len(line) <= _LONGEST_LINE else {} for line in block]
        rows = list(zip(numbers, pairs, strict=True))
        good = [(number, {key: value.strip('"') for key, value in row.items()}) for number, row in rows if row]
        bad = [(number, "it has no key=value") for number, row in rows if not row]
        yield Batch([number for number, _ in good], columns_of([row for _, row in good]), bad)


def columns_of(rows: Sequence[Row]) -> Columns:
    """Return rows as columns."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, "") for row in rows] for name in names}


def _envoy(_: list[Row], __: str | None) -> tuple[Layout, Finish]:
    columns = {role: role for role in ("start", "duration", "status", "outcome", "endpoint")}
    layout = Layout("Envoy", columns, "start", None, "ms", translate=envoy_word)
    return layout, lambda columns: columns


def _load_balancer(_: list[Row], __: str | None) -> tuple[Layout, Finish]:
    def finish(columns: Columns) -> Columns:
        parts = zip(columns["before"], columns["during"], columns["after"], strict=True)
        columns["duration"] = ["" if "-" in "".join(each) else f"{sum(map(float, each)):.6f}" for each in parts]
        return columns

    columns = {role: role for role in ("start", "duration", "status", "endpoint")}
    return Layout("AWS load balancer", columns | {"outcome": None}, "end", None, "s"), finish


def _common(first: list[Row], duration_unit: str | None) -> tuple[Layout, Finish]:
    """Find the duration behind a common or combined log: key=value, or a number that only servers mean."""
    pairs = [dict(_PAIR.findall(row["tail"])) for row in first]
    key = next((name for name in _DURATION_KEYS if sum(name in pair for pair in pairs) > len(pairs) / 2), None)
    place = None if key else _longest_time([_TOKEN.findall(row["tail"]) for row in first])
    if key is None and place is None:
        raise TraceError(
            "this is a common or combined log without a duration. Log one: nginx's log_format with $request_time"
            " at its end, Apache's LogFormat with %D"
        )
    find = _value_of(key) if key else _token_at(place or 0)
    where = f"{key}=" if key else "the number at its end"

    def finish(columns: Columns) -> Columns:
        columns["duration"] = [find(tail) for tail in columns["tail"]]
        return columns

    return _unit([find(row["tail"]) for row in first], where, duration_unit), finish


def _value_of(key: str) -> Callable[[str], str]:
    pattern = re.compile(rf'(?<![\w.-]){re.escape(key)}=("[^"]*"|[^\s,;]*)')

    def find(tail: str) -> str:
        match = pattern.search(tail)
        return match[1].strip('"') if match else ""

    return find


def _token_at(place: int) -> Callable[[str], str]:
    def find(tail: str) -> str:
        tokens = _TOKEN.findall(tail) if '"' in tail else tail.split()
        return tokens[place].strip('"') if place < len(tokens) else ""

    return find


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


def _unit(values: list[str], where: str, given: str | None) -> Layout:
    """Return the layout by the form of its durations: nginx writes 0.012 s at the end, Apache 12345 us of the start."""
    columns = {role: role for role in ("start", "duration", "status", "endpoint")} | {"outcome": None}
    plain = [value for value in values if value not in ("", "-")]
    if any("." in value or value[-1:].isalpha() for value in plain):
        return Layout(f"nginx, duration from {where}", columns, "end", None, given or "s")
    middle = median(map(int, plain)) if plain and all(value.isdigit() for value in plain) else 0
    if given is None and middle < _LEAST_MICROSECONDS:
        raise TraceError(f"the unit of {where} ({plain[:3]}) is unknown: say it with duration_unit='ms' (or 's', 'us')")
    return Layout(f"Apache, duration from {where}", columns, "start", None, given or "us")
