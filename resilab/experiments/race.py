"""The search for good settings: a race of a spread of candidates, then steps around the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .board import Board
from .space import Setting, Space
from .statistics import mean_interval

BLOCKS = (2, 4, 8)
"""Seeds after which candidates are dropped."""
START = 32
"""Settings of the first spread."""
SURE = 0.98
"""Confidence with which a candidate must be worse to be dropped."""
KEPT = 8
"""Most candidates after the last drop; twice as many after that before it."""
STRESS = 4
"""Seeds under which the candidates that are left meet situations a bit worse."""
TOPS = 2
"""Candidates around which the search goes on."""
TRIES = 6
"""How many first ones are tried so before candidates are dropped."""
HOPE = 1.5
"""Standard errors by which a candidate may miss the SLO and still be followed, if it is better else."""


@dataclass
class Race:
    """A search on a board: seeds are blocks, in which every candidate meets the same luck.

    Candidates are dropped only after whole blocks, so that the search is the same on any
    number of workers: if they surely miss the SLO while another does not, or are surely worse
    than one that surely meets it.

    Attributes:
        board: The runs.
        space: The settings.
        seed: The first seed.
        budget: Runs from which on the search looks no further.
    """

    board: Board
    space: Space
    seed: int
    budget: int

    def search(self, start: Sequence[Setting]) -> list[Setting]:
        """Return the candidates that are left, the best first."""
        alive = self._heats(list(dict.fromkeys([*start, *self.space.spread(START)])))
        step = max(1, max((len(knob.values) for knob in self.space.knobs.values()), default=1) // 4)
        while True:
            tops = self.best(alive, TOPS)
            known = {setting for setting, _, _ in self.board.runs} | self.board.errors.keys()
            near = [each for top in tops if top.arguments is not None for each in self.space.around(top, step)]
            new = [each for each in dict.fromkeys(near) if each not in known]
            if new and len(self.board.runs) < self.budget:
                alive = self._heats([*alive, *new])
            if self.best(alive, TOPS) == tops or len(self.board.runs) >= self.budget:
                if step == 1 or len(self.board.runs) >= self.budget:
                    return self.ranked(alive)
                step = max(1, step // 2)

    def seeds(self, count: int) -> range:
        """Return the seeds of the first blocks."""
        return range(self.seed, self.seed + count)

    def _heats(self, settings: list[Setting]) -> list[Setting]:
        """Play candidates block by block and drop those that are behind."""
        names = self.board.problem.situations
        for count in BLOCKS:
            seeds = self.seeds(count)
            self.board.fill(settings, names, seeds)
            self._stress_the_first(settings, seeds)
            settings = self._drop(settings, seeds)
            if count > BLOCKS[0]:
                settings = self.best(settings, KEPT * BLOCKS[-1] // count, seeds)
            self.board.doing = f"{len(settings)} settings left; best so far: {self.ranked(settings, seeds)[0]}"
        good = [each for each in settings if not self.board.violation(each, self.seeds(BLOCKS[-1]))]
        self.board.fill(good, self.board.problem.stressed, self.seeds(STRESS))
        return settings

    def _stress_the_first(self, settings: list[Setting], seeds: Sequence[int]) -> None:
        """Try the first in situations a bit worse, and the next that is first then, so that no cliff leads."""
        stressed = self.board.problem.stressed
        for _ in range(TRIES if stressed else 0):
            first = self.ranked(settings, seeds)[0]
            if self.board.violation(first, seeds) or self._is_tried(first, seeds):
                return
            self.board.fill([first], stressed, seeds[:STRESS])

    def _is_tried(self, setting: Setting, seeds: Sequence[int]) -> bool:
        names = self.board.problem.stressed
        return all(len(self.board.numbers(setting, name, seeds[:STRESS])) == len(seeds[:STRESS]) for name in names)

    def best(self, settings: Iterable[Setting], count: int, seeds: Sequence[int] | None = None) -> list[Setting]:
        """Return the first *count* settings, and half as many that may be better if they meet the SLO at all."""
        hopeful = self.ranked(settings, seeds, HOPE)[: (count + 1) // 2]
        return list(dict.fromkeys([*self.ranked(settings, seeds)[:count], *hopeful]))

    def ranked(
        self, settings: Iterable[Setting], seeds: Sequence[int] | None = None, hope: float = 0.0
    ) -> list[Setting]:
        """Return settings in order: least missed, least missed under stress, least objective."""
        seeds = self.seeds(BLOCKS[-1]) if seeds is None else seeds
        return sorted(settings, key=lambda each: (*self._rank(each, seeds, hope), str(each)))

    def _rank(self, setting: Setting, seeds: Sequence[int], hope: float = 0.0) -> tuple[float, float, float]:
        board, stressed = self.board, self.board.problem.stressed
        missed = board.violation(setting, seeds, hope=hope)
        if missed:
            return missed, math.inf, math.inf
        is_tried = stressed and board.numbers(setting, next(iter(stressed)), seeds[:STRESS])
        fragile = board.violation(setting, seeds[:STRESS], stressed) if is_tried else 0.0
        return missed, fragile, float(board.objective(setting, seeds).mean())

    def _drop(self, settings: list[Setting], seeds: Sequence[int]) -> list[Setting]:
        first = self.ranked(settings, seeds)[0]
        best = self._rank(first, seeds)
        alive = [first]
        confidence = 2 * SURE - 1
        for setting in settings:
            if setting == first or setting in self.board.errors:
                continue
            missed, fragile, _ = self._rank(setting, seeds)
            if not best[0] and missed:
                margins = self.board.margins(setting, seeds, confidence=confidence)
                if any(each.high < 0 for each in margins.values()):
                    continue
            elif not missed and not (best[1] < fragile):
                difference = self.board.objective(setting, seeds) - self.board.objective(first, seeds)
                if mean_interval(difference, confidence).low > 0 and self._is_sure(first, seeds, confidence):
                    continue
            alive.append(setting)
        return alive

    def _is_sure(self, setting: Setting, seeds: Sequence[int], confidence: float) -> bool:
        """Return whether a setting surely meets the SLO."""
        return all(each.low >= 0 for each in self.board.margins(setting, seeds, confidence=confidence).values())
