"""The headline numbers of a run, and what a picture says to readers who do not see it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..lab.metrics import summary
from ..lab.records import SUCCESS
from ..lab.result import Result

_MOST_NUMBERS = 9


def headline(result: Any) -> dict[str, str]:
    """Return the shares of the outcomes, latency and amplification as texts; of other runs the first numbers."""
    if type(result) is not Result:
        numbers = dict(result.summary()) if hasattr(result, "summary") else {}
        return {name.replace("_", " "): f"{value:.4g}" for name, value in list(numbers.items())[:_MOST_NUMBERS]}
    numbers = summary(result)
    texts = {"requests": f"{numbers['requests']:.0f}", "success": f"{numbers['success_rate']:.1%}"}
    texts |= {word: f"{numbers[f'{word}_rate']:.1%}" for word in ("degraded", "rejected", "timeout", "failure")}
    columns = result.columns
    latency = (columns["end"] - columns["arrival"])[columns["outcome"] == SUCCESS]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        texts[f"{name} of successes"] = f"{np.quantile(latency, share):.2f} s" if len(latency) else "none"
    texts["calls per request"] = f"{numbers['amplification']:.2f}"
    return texts


def words_of(figure: Any, numbers: dict[str, str], kept: dict[str, str]) -> str:
    """Say what the picture shows: its axes, and the numbers of the run and of the kept one."""
    panels = []
    for ax in figure.axes:
        titles = [ax.get_title(loc) for loc in ("left", "center", "right")]
        words = [each for each in (*titles, " over ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))) if each]
        panels += [": ".join(words)] if words else []
    lines = [f"Picture: {'; '.join(panels)}." if panels else "Picture."]
    for name, texts in (("now", numbers), ("baseline", kept)):
        if texts:
            lines.append(f"{name}: " + ", ".join(f"{label} {text}" for label, text in texts.items()))
    return "\n".join(lines)
