"""Measures: which numbers of a run an experiment keeps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..lab.metrics import ShortRunWarning, answered_within, summary
from ..lab.result import Result
from ..validation import Spec

NEED_RECORDS = frozenset({"utilization", "wasted_work"})
"""Numbers of the summary that need the attempts of a run."""


_WITHIN = re.compile(r"answered_within\((\d+\.?\d*)\)")
"""Asks for the share that was answered within so many seconds: "answered_within(0.8)"."""


@dataclass(frozen=True)
class Measures(Spec):
    """The numbers to keep of each run.

    Attributes:
        names: Numbers of the summary to keep; None is all of them.
        functions: Pairs of name and function of the result; an empty name takes the
            dict of numbers that the function returns.
    """

    names: tuple[str, ...] | None = None
    functions: tuple[tuple[str, Callable[[Any], Any]], ...] = ()

    @property
    def needs_records(self) -> bool:
        """Whether the runs must record attempts and events."""
        return self.names is None or bool(self.functions) or bool(NEED_RECORDS.intersection(self.names))

    def of(self, result: Any) -> dict[str, float]:
        """Return the numbers of one run."""
        numbers: dict[str, float] = {}
        if self.names is None or self.names:
            numbers = self._chosen(headline(result), result)
        for name, function in self.functions:
            value = function(result)
            if isinstance(value, Mapping):
                numbers |= {key: _number(key, number) for key, number in value.items()}
            else:
                key = name or getattr(function, "__name__", "value").replace("<lambda>", "value")
                numbers[key] = _number(key, value)
        return numbers

    def _chosen(self, numbers: dict[str, float], result: Any) -> dict[str, float]:
        if self.names is None:
            return numbers
        for name in self.names:
            if limit := _WITHIN.fullmatch(name):
                numbers[name] = answered_within(result, float(limit[1]))
        unknown = [name for name in self.names if name not in numbers]
        if unknown:
            raise ValueError(f"metrics must be among {', '.join(numbers)}, got {unknown[0]!r}")
        return {name: numbers[name] for name in self.names}


def headline(result: Any) -> dict[str, float]:
    """Return the summary of a run as a dict, without pandas where that is possible."""
    if type(result).__dict__.get("summary", Result.summary) is Result.summary and isinstance(result, Result):
        return summary(result)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShortRunWarning)  # for whoever looks at a single run
        found = dict(result.summary())
    return {str(name): _number(str(name), value) for name, value in found.items()}


def measures(metrics: Any) -> Measures:
    """Return *metrics*, in any of the forms that experiments accept, as `Measures`."""
    if isinstance(metrics, Measures):
        return metrics
    if metrics is None:
        return Measures()
    if isinstance(metrics, str):
        return Measures((metrics,))
    if callable(metrics):
        return Measures((), (("", metrics),))
    if isinstance(metrics, Mapping):
        metrics = list(metrics.items())
    elif not isinstance(metrics, Iterable):
        raise TypeError(f"metrics must be names, a function or a dict of functions, got {metrics!r}")
    names, functions = [], []
    for item in metrics:
        if isinstance(item, str):
            names.append(item)
        elif isinstance(item, tuple) and len(item) == 2 and callable(item[1]):
            functions.append(item)
        elif callable(item):
            functions.append(("", item))
        else:
            raise TypeError(f"metrics must be names, a function or a dict of functions, got {item!r}")
    if not names and not functions:
        raise ValueError("metrics must not be empty")
    return Measures(tuple(names), tuple(functions))


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"metric {name!r} must be a number, got {value!r}") from None
