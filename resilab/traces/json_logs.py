"""Logs in JSON: one object a line, lists of objects, k6's points, and spans of OpenTelemetry and Jaeger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from .access_logs import Row, Rows, columns_of
from .layouts import BATCH, Batch, Layout, known_layout, summary_of
from .text import Lines, TraceError

_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)
_SPANS = {role: role for role in ("start", "duration", "status", "outcome", "endpoint")}
_STATUS_KEYS = ("http.response.status_code", "http.status_code")
_GRPC_KEYS = ("rpc.grpc.status_code", "rpc.response.status_code")
_GRPC = {
    **dict.fromkeys(("1", "CANCELLED"), "cancelled"),
    **dict.fromkeys(("4", "DEADLINE_EXCEEDED"), "deadline exceeded"),
    **dict.fromkeys(("8", "RESOURCE_EXHAUSTED"), "rejected"),
    **dict.fromkeys(("2", "UNKNOWN", "10", "ABORTED", "12", "UNIMPLEMENTED", "13", "INTERNAL"), "error"),
    **dict.fromkeys(("14", "UNAVAILABLE", "15", "DATA_LOSS"), "error"),
}
"""Codes of gRPC that are no answer; NOT_FOUND and the like are answers, as a 404 is."""


def json_log(lines: Lines) -> Rows | None:
    """Return the rows of a log in JSON; None if it is none."""
    first = next(iter(lines.head(1)), "").lstrip()
    if first[:1] not in ("{", "[") or (first[0] == "[" and first[1:].strip()[:1] not in ("", "{", "]")):
        return None
    try:
        one = _decoded(first)
    except ValueError:
        return _whole(lines)
    if isinstance(one, list) or ("data" in one and isinstance(one["data"], list)):
        return _whole(lines)
    if "resourceSpans" in one or "resource_spans" in one:
        return _spans(((number, span) for number, document in _objects(lines) for span in _open_telemetry(document)))
    if {"type", "metric"} <= set(one):
        layout = Layout("k6 (JSON)", _SPANS, "end", None, "ms")
        return layout, _batches(_points(lines))
    records = ((number, _flat(record) if record is not None else None) for number, record in _objects(lines))
    names = _flat(one)
    for line in lines.head(20):
        try:
            names |= _flat(_decoded(line))
        except (ValueError, TypeError, AttributeError):
            continue
    if message := summary_of(first):
        raise TraceError(message)
    return known_layout(names) or Layout("JSON lines"), _batches(records)


def _decoded(text: str) -> Any:
    """Return JSON with its numbers as they are written; what nests too deep is no log."""
    try:
        if text[:1] == "{":  # the way of most lines, which looks for no white space around
            found, end = _DECODER.raw_decode(text)
            if end == len(text):
                return found
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nests too deep") from None


def _objects(lines: Lines) -> Iterator[tuple[int, Any]]:
    """Yield the object of each line; None for a line that has none."""
    for number, line in lines.plain():
        try:
            found = _decoded(line)
        except ValueError:
            found = None
        yield number, found if isinstance(found, dict) else None


def _flat(record: dict[str, Any]) -> Row:
    """Return an object with the keys of one level below as its own, where it has none of that name."""
    if all(type(value) is str for value in record.values()):
        return record
    row: Row = {}
    for key, value in record.items():
        if type(value) is str:
            row[key] = value
            continue
        if isinstance(value, dict):
            for inner, deep in value.items():
                if inner not in record and not isinstance(deep, dict | list):
                    row.setdefault(inner, _text(deep))
        elif not isinstance(value, list):
            row[key] = _text(value)
    return row


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _batches(records: Iterable[tuple[int, Row | None]]) -> Iterator[Batch]:
    """Yield the rows by the ten thousand: so many objects at once cost the collector of garbage little."""
    left = iter(records)
    while part := list(islice(left, BATCH // 10)):
        bad = [(number, "it is no JSON object") for number, row in part if row is None]
        rows = [(number, row) for number, row in part if row is not None]
        yield Batch([number for number, _ in rows], columns_of([row for _, row in rows]), bad)


def _points(lines: Lines) -> Iterator[tuple[int, Row | None]]:
    """Yield the requests of k6's points: those of the metric http_req_duration."""
    for number, point in _objects(lines):
        if point is None or not isinstance(point.get("data"), dict):
            yield number, None
        elif point.get("metric") == "http_req_duration" and point.get("type") == "Point":
            data = point["data"]
            tags = _object(data.get("tags"))
            outcome = "timeout" if _text(tags.get("error_code")) == "1050" else _text(tags.get("error"))
            status, name = _text(tags.get("status")), _text(tags.get("name"))
            row = {"start": _text(data.get("time")), "duration": _text(data.get("value")), "status": status}
            yield number, row | {"outcome": outcome, "endpoint": name}


def _whole(lines: Lines) -> Rows:
    """Return the rows of a file that is one JSON document."""
    text = "\n".join(line for _, line in lines.plain())
    try:
        document = _decoded(text)
    except ValueError as error:
        raise TraceError(f"this begins like JSON and is none: {str(error)[:200]}") from None
    if message := summary_of(text[:100_000]):
        raise TraceError(message)
    if isinstance(document, dict) and ("resourceSpans" in document or "resource_spans" in document):
        return _spans((place, span) for place, span in enumerate(_open_telemetry(document), start=1))
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        return _spans((place, span) for place, span in enumerate(_jaeger(document["data"]), start=1))
    if not isinstance(document, list):
        raise TraceError("this is one JSON object, and no list of requests or spans")
    records = [(place, _flat(row) if isinstance(row, dict) else None) for place, row in enumerate(document, start=1)]
    names = {name: "" for _, row in records[:20] for name in row or ()}
    return known_layout(names) or Layout("a JSON list"), _batches(records)


def _spans(spans: Iterable[tuple[int, dict[str, str]]]) -> Rows:
    """Return requests as servers saw them; where no span is a server's, those that nobody in the file called."""
    found = list(spans)
    servers = [(place, span) for place, span in found if span["kind"] == "server"]
    if not servers:
        servers = [(place, span) for place, span in found if not span["parent"]]
    kept = [(place, {role: span[role] for role in _SPANS}) for place, span in servers]
    name = f"spans, {len(kept)} of {len(found)} are requests"
    return Layout(name, _SPANS, "start", "ns", "ns"), _batches(kept)


def _open_telemetry(document: Any) -> Iterator[dict[str, str]]:
    """Yield the spans of an OTLP document."""
    for resource in _list(document, "resourceSpans", "resource_spans"):
        for scope in _list(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            for span in _list(scope, "spans"):
                tags = {_text(tag.get("key")): tag.get("value") for tag in _list(span, "attributes")}
                values = {key: next(iter(value.values()), "") for key, value in tags.items() if isinstance(value, dict)}
                start, end = (_text(span.get(key)) for key in ("startTimeUnixNano", "endTimeUnixNano"))
                status = _object(span.get("status"))
                is_error = _text(status.get("code")) in ("2", "STATUS_CODE_ERROR")
                yield {
                    "kind": "server" if _text(span.get("kind")) in ("2", "SPAN_KIND_SERVER") else "",
                    "parent": _text(span.get("parentSpanId")),
                    "start": start,
                    "duration": _difference(start, end),
                    "status": _status(values),
                    "outcome": _span_outcome(is_error, _text(status.get("message")), values),
                    "endpoint": _text(span.get("name")),
                }


def _jaeger(traces: list[Any]) -> Iterator[dict[str, str]]:
    """Yield the spans of a Jaeger document, whose times are microseconds."""
    for trace in traces:
        for span in _list(trace, "spans"):
            tags = {_text(tag.get("key")): tag.get("value") for tag in _list(span, "tags")}
            start, duration = (_text(span.get(key)) for key in ("startTime", "duration"))
            yield {
                "kind": "server" if _text(tags.get("span.kind")) == "server" else "",
                "parent": "child" if span.get("references") else "",
                "start": start + "000" if start.isdecimal() else start,
                "duration": duration + "000" if duration.isdecimal() else duration,
                "status": _status(tags),
                "outcome": _span_outcome(_text(tags.get("error")) == "true", "", tags),
                "endpoint": _text(span.get("operationName")),
            }


def _list(document: Any, *keys: str) -> list[dict[str, Any]]:
    """Return the objects in the list of the first of the keys that there is."""
    found: Any = next((document[key] for key in keys if isinstance(document, dict) and key in document), [])
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _difference(start: str, end: str) -> str:
    if not (start.isdecimal() and end.isdecimal() and len(start) < 30 and len(end) < 30):
        return ""
    return str(int(end) - int(start))


def _status(tags: dict[str, Any]) -> str:
    return next((_text(tags[key]) for key in _STATUS_KEYS if key in tags), "")


def _span_outcome(is_error: bool, message: str, tags: dict[str, Any]) -> str:
    """Return the word of a span: its code of gRPC says it, else its error, whose message names a time-out."""
    code = next((_text(tags[key]).upper() for key in _GRPC_KEYS if key in tags), "")
    if code:
        return _GRPC.get(code, "ok")
    if is_error:
        return f"error {message}"
    return "" if _status(tags) else "ok"
