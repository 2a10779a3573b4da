"""Durations as libraries write them, to seconds and back."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from .documents import Node

_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0,
    "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|sec|min|s|m|h|d)")
_ISO = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?", re.IGNORECASE)
_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?")


def seconds(node: Node, bare: float | None = None) -> float:
    """Return a duration in seconds.

    Args:
        node: "500ms", "2s", "1m30s", ISO 8601 ("PT0.5S"), .NET's "00:00:02", or a number.
        bare: Seconds of one unit of a number without a unit; None refuses such a number.
    """
    text = node.text().strip()
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if bare is None:
            node.refuse(f'must be a duration with its unit, such as "1s", got {node.value!r}')
        if number < 0 or not math.isfinite(number):
            node.refuse(f"must be >= 0, got {node.value!r}")
        return float(Decimal(text) * Decimal(str(bare)))
    if text.upper().startswith("PT") and (found := _ISO.fullmatch(text)) and any(found.groups()):
        hours, minutes, rest = (Decimal(part or 0) for part in found.groups())
        return float(hours * 3600 + minutes * 60 + rest)
    if found := _SPAN.fullmatch(text):
        days, hours, minutes, rest = (Decimal(part or 0) for part in found.groups())
        return float(days * 86400 + hours * 3600 + minutes * 60 + rest)
    if text and not _PARTS.sub("", text).strip():
        return float(sum(Decimal(amount) * Decimal(str(_UNITS[unit])) for amount, unit in _PARTS.findall(text)))
    return node.refuse(f"must be a duration, got {node.value!r}")  # type: ignore[no-any-return]


def positive(node: Node) -> float:
    """Return a duration with its unit, which must be above 0, in seconds."""
    found = seconds(node)
    if not found:
        node.refuse(f"must be > 0, got {node.value!r}")
    return found


def _shortest(number: float, places: int) -> str:
    return f"{number:.{places}f}".rstrip("0").rstrip(".")


def with_unit(duration: float) -> str:
    """Return "250ms", "2s" or "1500ms": whole milliseconds, as Spring and Go read them."""
    milliseconds = round(duration * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def proto(duration: float) -> str:
    """Return "0.25s": seconds with up to nine places, as protobuf's JSON has them."""
    return f"{_shortest(duration, 9)}s"


def span(duration: float) -> str:
    """Return "00:00:02" or "00:00:00.2500000": .NET's TimeSpan, to 100 ns."""
    ticks = round(duration * 10_000_000)
    whole, rest = divmod(ticks, 10_000_000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{f'{days}.' if days else ''}{hour:02}:{minute:02}:{second:02}{f'.{rest:07}' if rest else ''}"


def milliseconds(duration: float) -> int:
    """Return whole milliseconds."""
    return round(duration * 1000)


def whole_seconds(duration: float) -> int:
    """Return whole seconds, at least 1."""
    return max(1, round(duration))


def plain(number: float, places: int = 9) -> Any:
    """Return a number as configurations show it: 0.2, 3."""
    rounded = round(number, places)
    return int(rounded) if rounded == int(rounded) else rounded
