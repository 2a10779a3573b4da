"""What a time cursor needs to know of a picture: where its panels are, and what happened when."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..lab.metrics import breakers, timeline
from ..lab.records import OUTCOMES
from ..lab.result import Result
from ..plots.run import outcome_rates
from ..plots.style import describe, faults_of

_MOMENTS = 120


def panels_of(figure: Figure) -> list[dict[str, float]]:
    """Return the panels whose x is time: their edges as shares of the picture, from its top left, and their limits."""
    width, height = figure.bbox.size
    found = []
    for ax in figure.axes:
        if "time" in ax.get_xlabel() and ax.get_xscale() == "linear":
            (left, bottom), (right, top) = ax.bbox.get_points()
            low, high = ax.get_xlim()
            edges = {
                "left": left / width,
                "right": right / width,
                "top": 1 - top / height,
                "bottom": 1 - bottom / height,
            }
            found.append({name: round(float(value), 4) for name, value in edges.items()} | {"low": low, "high": high})
    return found


def story_of(result: Any) -> dict[str, Any]:
    """Return what happened when, in words: `times` (the beginnings of equal steps) and `words`.

    It is empty for runs that are no plain scenario.
    """
    if type(result) is not Result or not len(result):
        return {}
    edges = np.linspace(0.0, float(result.scenario.duration or 0.0), _MOMENTS + 1)
    counts = outcome_rates(result, edges)
    middle = (edges[:-1] + edges[1:]) / 2
    lines = [[f"{count} {word}" for count, word in zip(column, OUTCOMES, strict=True) if count] for column in counts.T]
    if result.event_rows is not None:
        for name, word in (("queue_length", "queue"), ("busy_workers", "busy")):
            for line, value in zip(lines, _at(middle, *timeline(result, name)), strict=True):
                line.append(f"{word} {value:.0f}")
        for name in breakers(result)[:1]:
            states = _at(middle, *timeline(result, "breaker_state", name))
            for line, value in zip(lines, states, strict=True):
                line.append(f"breaker {('closed', 'half-open', 'open')[int(value)]}")
    for fault in faults_of(result):
        for index in np.flatnonzero((middle >= fault.start) & (middle < fault.end)):
            lines[index].append(f"fault: {describe(fault)}")
    return {"step": float(edges[1]), "words": [", ".join(line) or "no arrivals" for line in lines]}


def _at(when: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    found: np.ndarray = values[np.maximum(np.searchsorted(times, when, side="right") - 1, 0)]
    return found
