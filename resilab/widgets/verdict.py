"""The verdict: what changed against another run, in words and colours, and the table of numbers."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass

from ..lab.records import OUTCOMES

GOOD, BAD, EVEN = "#1b7f5c", "#b3261e", "#75797e"
_MORE_IS_BETTER = {"success"}
_LESS_IS_BETTER = {"rejected", "timeout", "failure", "p50 of successes", "p99 of successes", "calls per request"}
_NUMBER = re.compile(r"^\s*([-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?)\s*(.*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A headline number that was read from its text: value, decimals and what follows, such as a unit."""

    value: float
    decimals: int
    unit: str

    def write(self, value: float, *, sign: bool = False) -> str:
        """Return another *value* as this one is written."""
        text = f"{value:+.{self.decimals}f}" if sign else f"{value:.{self.decimals}f}"
        gap = " " if self.unit and self.unit != "%" else ""
        return text.replace("-", "\N{MINUS SIGN}") + gap + self.unit


def read_figure(text: str) -> Figure | None:
    """Return the number that a text begins with, or None: "69.3%", "0.25 s", "1.5"."""
    match = _NUMBER.match(str(text))
    if match is None:
        return None
    digits = match[1].replace(",", "")
    decimals = len(digits.partition(".")[2]) if "e" not in digits.lower() else 3
    return Figure(float(digits), decimals, match[2].strip())


@dataclass(frozen=True)
class Change:
    """How one number differs from that of another run.

    Attributes:
        name: Label of the number.
        text: The difference, with sign and unit; shares differ in points.
        colour: Whether that is good, bad, or not known or not sure.
    """

    name: str
    text: str
    colour: str


def changes(numbers: dict[str, str], other: dict[str, str], widths: dict[str, float] | None = None) -> list[Change]:
    """Return what differs between two sets of headline numbers.

    Args:
        numbers: Label and text of each number.
        other: Those of the run that it is held against.
        widths: Half the width of the interval of a difference, by label. A difference within
            it is grey.
    """
    found = []
    for name, text in numbers.items():
        now, before = read_figure(text), read_figure(other.get(name, ""))
        if now is None or before is None or now.unit != before.unit or name == "requests":
            continue
        difference = now.value - before.value
        if difference == 0 or not math.isfinite(difference):
            continue
        unit = "points" if now.unit == "%" else now.unit
        shown = Figure(difference, max(now.decimals, before.decimals), unit)
        is_sure = widths is None or abs(difference) > widths.get(name, 0.0)
        found.append(Change(name, shown.write(difference, sign=True), _colour(name, difference) if is_sure else EVEN))
    return found


def _colour(name: str, difference: float) -> str:
    if name in _MORE_IS_BETTER:
        return GOOD if difference > 0 else BAD
    if name in _LESS_IS_BETTER:
        return GOOD if difference < 0 else BAD
    return EVEN


def verdict_line(found: list[Change], against: str) -> str:
    """Return the line as HTML: the changes *against* a run that has this name."""
    if not found:
        return f'<span style="opacity:.7">no difference from the {html.escape(against)}</span>'
    parts = [f'{html.escape(each.name)} <b style="color:{each.colour}">{html.escape(each.text)}</b>' for each in found]
    return f"against the {html.escape(against)}: {', '.join(parts)}"


def table(numbers: dict[str, str], kept: dict[str, str], evidence: dict[str, str] | None = None) -> str:
    """Return the headline numbers as a table in HTML; outcomes that nobody had are left out."""
    names = [name for name in numbers if name not in OUTCOMES or not all(map(_is_zero, _texts(name, numbers, kept)))]
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)

    def row(title: str, texts: dict[str, str]) -> str:
        cells = "".join(f"<td>{html.escape(str(texts.get(name, '')))}</td>" for name in names)
        return f'<tr><th scope="row">{title}</th>{cells}</tr>'

    rows = row("now", numbers) + (row("baseline", kept) if kept else "")
    rows += row("seeds", evidence) if evidence else ""
    return f'<table role="status" aria-label="headline numbers"><tr><td></td>{head}</tr>{rows}</table>'


def _texts(name: str, *rows: dict[str, str]) -> list[str]:
    return [row[name] for row in rows if name in row]


def _is_zero(text: str) -> bool:
    figure = read_figure(text)
    return figure is not None and figure.value == 0 and figure.unit == "%"
