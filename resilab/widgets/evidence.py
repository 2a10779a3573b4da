"""Evidence: the headline numbers of an explorer under more seeds, played by a worker while nobody moves."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..experiments.statistics import mean_interval
from .verdict import Figure, read_figure

Texts = dict[str, str]
Look = Callable[[Any], Texts]
Task = tuple[Callable[..., Texts], tuple[Any, ...], Callable[[Texts], None]]
SEEDS = 12
"""Seeds that are played while nobody moves a control."""


class Witnesses:
    """The headline numbers of settings under several seeds.

    Args:
        run: Plays a scenario under a seed.
        numbers: Returns the headline numbers of a run.
        first: The seed of the explorer.
    """

    def __init__(self, run: Callable[[Any, int], Any], numbers: Look, first: int) -> None:
        self._run, self._numbers, self._first = run, numbers, first
        self._scenarios: dict[Any, Any] = {}
        self._seen: dict[Any, dict[int, Texts]] = {}

    def add(self, key: Any, scenario: Any, numbers: Texts) -> None:
        """Take in what the explorer has shown."""
        self._scenarios[key] = scenario
        self._seen.setdefault(key, {})[self._first] = numbers

    def of(self, key: Any) -> dict[int, Texts]:
        """Return what is known of a setting, by seed."""
        return self._seen.get(key, {})

    def open_questions(self, keys: Iterable[Any], seeds: int, told: Callable[[], None]) -> Iterator[Task]:
        """Return which seeds of which settings are still to be played: function, arguments and who takes the answer.

        Args:
            keys: The settings.
            seeds: How many seeds.
            told: Is called after each answer.
        """
        keys = tuple(dict.fromkeys(keys))
        for seed in range(self._first + 1, self._first + seeds):
            for key in keys:
                if key in self._scenarios and seed not in self._seen[key]:
                    arguments = self._run, self._numbers, self._scenarios[key], seed
                    yield witness, arguments, partial(self._hear, key, seed, told)

    def _hear(self, key: Any, seed: int, told: Callable[[], None], numbers: Texts) -> None:
        self._seen[key][seed] = numbers
        told()


def witness(run: Callable[[Any, int], Any], numbers: Look, scenario: Any, seed: int) -> Texts:
    """Play a scenario under one seed and return its headline numbers; this travels to a worker."""
    return numbers(run(scenario, seed))


def intervals(seen: Mapping[int, Texts]) -> Texts:
    """Return mean and half the width of its 95 % interval, by label: "69.3% ± 2.1"; of what is a number."""
    found = {}
    for name, figure, values in _columns(seen):
        if len(values) > 1:
            interval = mean_interval(values)
            width = (interval.high - interval.low) / 2
            text = f"{figure.write(interval.mean)} ± {width:.{figure.decimals}f}"
            found[name] = text
    return found


def widths_of_differences(seen: Mapping[int, Texts], other: Mapping[int, Texts]) -> dict[str, float]:
    """Return half the width of the 95 % interval of the difference of two settings under the same seeds."""
    seeds = sorted(seen.keys() & other.keys())
    if len(seeds) < 2:
        return {}
    now = {name: values for name, _, values in _columns({seed: seen[seed] for seed in seeds})}
    then = {name: values for name, _, values in _columns({seed: other[seed] for seed in seeds})}
    found = {}
    for name in now.keys() & then.keys():
        if len(now[name]) == len(then[name]) == len(seeds):
            interval = mean_interval(now[name] - then[name])
            found[name] = float(interval.high - interval.low) / 2
    return found


def spread(seen: Mapping[int, Texts]) -> str:
    """Return every seed's numbers as HTML that opens on a click."""
    names = [name for name, _, _ in _columns(seen)]
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in ("seed", *names))
    rows = "".join(
        f"<tr><td>{seed}</td>" + "".join(f"<td>{html.escape(texts.get(name, ''))}</td>" for name in names) + "</tr>"
        for seed, texts in sorted(seen.items())
    )
    return f"<details><summary>{len(seen)} seeds</summary><table><tr>{head}</tr>{rows}</table></details>"


def _columns(seen: Mapping[int, Texts]) -> list[tuple[str, Figure, np.ndarray]]:
    """Return label, the way it is written, and the values in order of seed, of all that are numbers."""
    ordered = [texts for _, texts in sorted(seen.items())]
    found = []
    for name in ordered[0] if ordered else ():
        figures = [figure for texts in ordered if (figure := read_figure(texts.get(name, ""))) is not None]
        if figures and len({figure.unit for figure in figures}) == 1:
            found.append((name, figures[0], np.array([figure.value for figure in figures])))
    return found
