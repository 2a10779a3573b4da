"""Certification: finalists under seeds that the search has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .board import Board
from .space import Setting
from .statistics import mean_interval

ROUNDS = (12, 24, 48, 96, 192)
"""Seeds after which it is asked whether all is decided."""
STRESS = 10
"""Seeds under which situations that are a bit worse are played."""


@dataclass(frozen=True)
class Certificate:
    """What is known of the finalists.

    Attributes:
        meets: Those that meet the SLO, with their mean objective; the best first.
        fails: Those that do not.
        unsure: Those of which neither is sure.
        as_good: Those that meet it and surely are as good as the best, within the indifference.
        rivals: Those that meet it and may be as good as the best.
        robust: Those among all these that also meet it, on average, when things are a bit worse.
        seeds: The seeds behind it.
    """

    meets: tuple[Setting, ...]
    fails: tuple[Setting, ...]
    unsure: tuple[Setting, ...]
    as_good: tuple[Setting, ...]
    rivals: tuple[Setting, ...]
    robust: frozenset[Setting]
    seeds: range


def certify(
    board: Board,
    finalists: Sequence[Setting],
    first_seed: int,
    indifference: float | None,
    confidence: float,
    budget: int,
) -> Certificate:
    """Say which finalists meet the SLO, and which of these cannot be told from the best.

    A finalist meets the SLO if the lower limit of every margin is at least 0. The error
    of that, and of the comparisons with the best, is shared among the finalists and the
    rounds (Bonferroni); the parts of one finalist need no share, since all of them must hold.
    Those that fail, or are surely worse than the best that meets it, are played no further,
    and nothing is when all is decided or *budget* runs are spent.
    """
    problem = board.problem
    alive = [each for each in finalists if each not in board.errors]
    sure = 1 - 2 * (1 - confidence) / max(1, len(alive)) / len(ROUNDS)
    seeds = range(first_seed, first_seed)
    meets: dict[Setting, float] = {}
    fails: list[Setting] = []
    for count in ROUNDS:
        seeds = range(first_seed, first_seed + count)
        board.fill(alive, problem.situations, seeds)
        for each in alive:
            margins = board.margins(each, seeds, confidence=sure).values()
            if any(part.high < 0 for part in margins) and each not in meets:
                fails.append(each)
            elif each in meets or all(part.low >= 0 for part in margins):
                meets[each] = float(board.objective(each, seeds).mean())
        alive = [each for each in alive if each not in fails]
        best = min((each for each in alive if each in meets), key=lambda each: meets[each], default=None)
        if best is not None:
            alive = [each for each in alive if each == best or not _is_worse(board, each, best, seeds, sure)]
        if all(each in meets for each in alive) or len(board.runs) >= budget:
            break
    ordered = sorted(meets, key=lambda each: (each not in alive, meets[each]))
    as_good, rivals = _rivals(board, [each for each in ordered if each in alive], seeds, indifference, sure)
    tried = [*rivals, *(each for each in ordered if each not in rivals)][:KEPT_UNDER_STRESS]
    board.fill(tried, problem.stressed, seeds[:STRESS])
    robust = frozenset(each for each in tried if _holds(board, each, seeds[:STRESS]))
    unsure = tuple(each for each in alive if each not in meets)
    return Certificate(tuple(ordered), tuple(fails), unsure, as_good, rivals, robust, seeds)


KEPT_UNDER_STRESS = 6
"""Finalists that are tried in situations a bit worse."""


def _holds(board: Board, setting: Setting, seeds: Sequence[int]) -> bool:
    stressed = board.problem.stressed
    return not stressed or not board.violation(setting, seeds, stressed)


def _difference(board: Board, setting: Setting, best: Setting, seeds: Sequence[int]) -> np.ndarray:
    difference: np.ndarray = board.objective(setting, seeds) - board.objective(best, seeds)
    return difference


def _is_worse(board: Board, setting: Setting, best: Setting, seeds: Sequence[int], sure: float) -> bool:
    return mean_interval(_difference(board, setting, best, seeds), sure).low > 0


def _rivals(
    board: Board, meets: Sequence[Setting], seeds: Sequence[int], indifference: float | None, sure: float
) -> tuple[tuple[Setting, ...], tuple[Setting, ...]]:
    """Return those that are surely as good as the best, and all that may be."""
    if not meets:
        return (), ()
    zone = zone_of(board, meets[0], seeds, indifference)
    found = {each: mean_interval(_difference(board, each, meets[0], seeds), sure) for each in meets}
    rivals = tuple(each for each in meets if found[each].low <= zone)
    return tuple(each for each in rivals if found[each].high <= zone), rivals


def zone_of(board: Board, best: Setting, seeds: Sequence[int], indifference: float | None) -> float:
    """Return the difference of the objective that is nothing to the user; 2 % of the best's, if none is named."""
    if indifference is not None:
        return indifference
    return 0.02 * abs(float(board.objective(best, seeds).mean())) + 1e-12
