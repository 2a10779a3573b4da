"""report: one page on a recommendation for colleagues who do not know the lab."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .picture import bars, data_url

if TYPE_CHECKING:
    import pandas as pd

    from .recommendation import Recommendation

Section = tuple[str, list[Any]]
"""A heading and its parts: paragraphs (text), tables (a DataFrame) and pictures (SVG)."""


def sections(found: Recommendation) -> list[Section]:
    """Return what the page says, in order."""
    problem = found.race.board.problem
    weights = ", ".join(f"{name} ({weight:.3g})" for name, weight in problem.weights.items())
    return [
        ("The answer", [found.verdict + ".", f"Choice: {found.chosen}. Now: {found.present}.", _code(found)]),
        (
            "The question",
            [
                f"What must hold: {problem.slo}.",
                f"What should be small where it holds: {_name(problem.minimize)}.",
                f"Situations, with their weight in that: {weights}.",
                *(f"{name}: {_short(scenario)}" for name, scenario in problem.situations.items()),
            ],
        ),
        (
            "What it brings, and what it costs",
            [
                "From runs that nothing was chosen by; limits hold the mean with "
                f"{found.confidence:.0%} confidence. `unanswered` is the share of all requests, faults included.",
                *_pictures(found),
                _rounded(found.table),
            ],
        ),
        (
            "Why not the others",
            [
                f"{len({setting for setting, _, _ in found.race.board.runs})} settings were tried in {found.runs} runs;"
                " these were left at the end, and played anew:",
                _rounded(found.finalists),
                _equals(found),
            ],
        ),
        (
            "What would change it",
            [
                "One thing moved at a time, until the objective fails on average over a few runs:",
                _rounded(found.margins),
            ],
        ),
        (
            "What is not known",
            [
                "The model knows the situations above and no others. Faults that are not among them, slow drifts,"
                " and how the service treats calls whose caller has gone are as good as what was put in.",
                _unbuilt(found),
            ],
        ),
    ]


def html_page(found: Recommendation) -> str:
    """Return the page as HTML that needs no other file."""
    body = []
    for heading, parts in sections(found):
        body.append(f"<h2>{html.escape(heading)}</h2>")
        for part in filter(lambda each: not isinstance(each, str) or each, parts):
            if not isinstance(part, str):
                body.append(part.to_html(index=False, border=0, na_rep=""))
            elif part.startswith("<svg"):
                body.append(part)
            elif part.startswith("    "):
                body.append(f"<pre>{html.escape(part)}</pre>")
            else:
                body.append(f"<p>{html.escape(part)}</p>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Recommendation</title><style>'
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .6rem;text-align:right;"
        "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}pre{background:#f5f5f5}"
        "</style></head><body>\n<h1>Recommendation</h1>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def markdown_page(found: Recommendation) -> str:
    """Return the page as Markdown."""
    lines = ["# Recommendation", ""]
    for heading, parts in sections(found):
        lines += [f"## {heading}", ""]
        for part in filter(lambda each: not isinstance(each, str) or each, parts):
            if not isinstance(part, str):
                lines += [*_markdown_table(part), ""]
            elif part.startswith("<svg"):
                lines += [f"![share of requests not answered]({data_url(part)})", ""]
            else:
                lines += [part, ""]
    return "\n".join(lines)


def _markdown_table(frame: pd.DataFrame) -> list[str]:
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [["" if _is_none(value) else str(value).replace("|", "\\|") for value in row] for row in frame.values]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.map(lambda value: float(f"{value:.4g}") if isinstance(value, float) else value)


def _code(found: Recommendation) -> str:
    return "\n".join(f"    {line}" for line in repr(found.policy).splitlines())


def _name(minimize: Any) -> str:
    return minimize if isinstance(minimize, str) else getattr(minimize, "__name__", repr(minimize))


def _short(scenario: Any) -> str:
    text = repr(scenario.replace(policy=type(scenario).__dataclass_fields__["policy"].default_factory()))
    return text if len(text) < 600 else text[:600] + " ..."


def _equals(found: Recommendation) -> str:
    if len(found.equals) < 2:
        return ""
    texts = [str(each) for each in (found.certificate.rivals if found.certificate else ()) if each != found.chosen]
    return "Cannot be told from the best: " + "; ".join(texts) + "."


def _unbuilt(found: Recommendation) -> str:
    errors = found.race.board.errors
    if not errors:
        return ""
    setting, error = next(iter(errors.items()))
    return f"{len(errors)} settings could not be played, such as {setting}: {type(error).__name__}: {error}."


def _pictures(found: Recommendation) -> Iterable[str]:
    """Return a picture for each situation: what each setting leaves unanswered."""
    if found.table.empty:
        return []
    return [
        bars(_rows(part), f"{name}: share of requests not answered in time")
        for name, part in found.table.groupby("situation", sort=False)
    ]


def _rows(part: pd.DataFrame) -> Sequence[tuple[str, float, float, float]]:
    columns = ["role", "unanswered", "unanswered_low", "unanswered_high"]
    return [(str(role), float(mean), float(low), float(high)) for role, mean, low, high in part[columns].values]
