"""One request of the shown run, followed: where its time went."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np

from ..lab.life import ABANDONED, PHASES, QUEUED, SERVED, WAITING, Phase, phases
from ..lab.result import Result
from .parts import button

_COLOURS = {WAITING: "#c9c9c9", QUEUED: "#8aa4c8", SERVED: "#0b5d8a", ABANDONED: "#c9a27a"}
_WORDS = {
    WAITING: "waits for a permit or for the next try",
    QUEUED: "in the queue",
    SERVED: "at a worker",
    ABANDONED: "worked on for nobody",
}
_MOST_WORDS = 8


class Following(ipywidgets.VBox):
    """A bar of the time of one request, and its story in words; empty until one is chosen.

    The request stays the same when a control moves: under the same luck one sees what a
    setting does to it.

    Args:
        now: Returns the shown run.
    """

    def __init__(self, now: Callable[[], Any]) -> None:
        self._now = now
        self.request_id: int | None = None
        self.text = ipywidgets.HTML()
        buttons = [
            button("Before", "The request before", lambda: self.follow((self.request_id or 0) - 1)),
            button("Next", "The next request", lambda: self.follow((self.request_id or 0) + 1)),
            button("Leave", "Follow no request", lambda: self.follow(None)),
        ]
        super().__init__([self.text, ipywidgets.HBox(buttons)])
        self.refresh()

    def at(self, time: float) -> None:
        """Follow the first request that arrives at *time* or later, else the last one."""
        result = self._now()
        if _can_be_followed(result):
            arrivals = result.run_columns["arrival"]
            self.follow(min(int(np.searchsorted(arrivals, time)), len(arrivals) - 1))

    def follow(self, request_id: int | None) -> None:
        """Follow the request of this number, the nearest if there is none; None follows no request."""
        self.request_id = request_id
        self.refresh()

    def refresh(self) -> None:
        """Show the same request of the run that is shown now."""
        self.layout.display = "none"
        if self.request_id is None:
            return
        result = self._now()
        if _can_be_followed(result):
            self.request_id = min(max(self.request_id, 0), len(result.run_columns["arrival"]) - 1)
            self.text.value = story(result, self.request_id)
            self.layout.display = ""


def _can_be_followed(result: Any) -> bool:
    return isinstance(result, Result) and result.attempt_rows is not None and len(result) > 0


def story(result: Result, request_id: int) -> str:
    """Return the life of a request as HTML: a sentence, a bar, and what the colours mean."""
    row = {name: values[request_id] for name, values in result.run_columns.items()}
    outcome = _ending(result, request_id)
    life = phases(result, request_id)
    start, end = float(row["arrival"]), max([phase.end for phase in life], default=float(row["end"]))
    head = f"<b>Request {request_id}</b>, arrives at {start:.2f} s: {html.escape(outcome)}."
    if not life:
        return f"<div>{head} No call of it reached a service.</div>"
    words = [_words(phase) for phase in life]
    if len(words) > _MOST_WORDS:
        words = [*words[: _MOST_WORDS - 1], f"and {len(words) - _MOST_WORDS + 1} more"]
    legend = " ".join(
        f'<i style="background:{_COLOURS[what]}"></i>{_WORDS[what]}'
        for what in PHASES
        if any(phase.what == what for phase in life)
    )
    return (
        f"<div>{head} {'; '.join(words).capitalize()}.</div>"
        f'<div class="resilab-phases" role="img" aria-label="{html.escape("; ".join(words))}">'
        f"{''.join(_bars(life, start, end))}</div>"
        f'<div class="resilab-phase-words">{legend}</div>'
    )


def _ending(result: Result, request_id: int) -> str:
    frame = result.requests.set_index("request_id")
    if request_id not in frame.index:
        return "not in this part of the run"
    row = frame.loc[request_id]
    if not isinstance(row["outcome"], str):
        return "not ended yet"
    cause = f" ({row['cause']})" if isinstance(row["cause"], str) else ""
    return f"{row['outcome']}{cause} after {row['latency']:.2f} s"


def _words(phase: Phase) -> str:
    length = phase.end - phase.start
    if phase.what == WAITING:
        return f"waits {length:.2f} s"
    if phase.what == ABANDONED:
        return f"{length:.2f} s of work on call {phase.attempt} for nobody"
    if phase.what == QUEUED and not length:
        return f"call {phase.attempt} is refused"
    place = "queued" if phase.what == QUEUED else "served"
    outcome = f", {phase.outcome}" if phase.outcome else ""
    return f"call {phase.attempt} {place} {length:.2f} s{outcome}"


def _bars(life: list[Phase], start: float, end: float) -> list[str]:
    """Return a block for each phase; calls that overlap lie in rows of their own."""
    span, rows, bars = max(end - start, 1e-9), [start], []
    for phase in life:
        row = next((number for number, free in enumerate(rows) if phase.start >= free - 1e-9), len(rows))
        rows[row : row + 1] = [phase.end]
        left, width = 100 * (phase.start - start) / span, 100 * (phase.end - phase.start) / span
        style = f"left:{left:.2f}%;width:max({width:.2f}%,2px);top:{18 * row}px;background:{_COLOURS[phase.what]}"
        bars.append(f'<span style="{style}" title="{html.escape(_words(phase))}"></span>')
    return [f'<span style="width:0;height:{18 * len(rows)}px;position:static;display:block"></span>', *bars]
