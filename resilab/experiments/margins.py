"""Margins: how far a number or an assumption can move before the objective fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .board import Board
from .race import Race
from .space import Setting
from .stress import with_clients, with_faults, with_load, with_workers

if TYPE_CHECKING:
    import pandas as pd

SEEDS = 6
"""Runs of each step."""
FACTORS = (1.05, 1.1, 1.25, 1.5, 2.0, 3.0)
STEPS = (1, 2, 4, 8, 16)
ASSUMPTIONS: tuple[tuple[str, Callable[[Any, Any], Any], tuple[Any, ...], str], ...] = (
    ("load", with_load, FACTORS, "x"),
    ("duration of faults", with_faults, FACTORS, "x"),
    ("workers", with_workers, (-1, -2, -4), ""),
    ("clients", with_clients, (2, 4, 8), "x"),
)
"""Name, how to change a scenario, the steps to try, and what they mean."""


def margins_of(race: Race, setting: Setting, seeds: Sequence[int]) -> pd.DataFrame:
    """Move one number of a setting at a time, and one assumption, until the objective fails.

    Returns:
        A DataFrame with a row for each: what; now; holds_from and holds_to, the last values
        tried with which every part of the SLO held on average; fails_at, the next ones tried
        (None where the end of the range was reached).
    """
    import pandas as pd

    seeds = seeds[:SEEDS]
    rows = []
    if setting.arguments is not None:
        for name, knob in race.space.knobs.items():
            if knob.is_ordered and len(knob.values) > 1:
                rows.append(_of_knob(race, setting, name, seeds))
    for name, change, steps, unit in ASSUMPTIONS:
        row = _of_assumption(race.board, setting, change, steps, seeds)
        if row is not None:
            rows.append({"what": name, "now": f"1 {unit}".strip() if unit else "as they are"} | row)
    return pd.DataFrame(rows, columns=["what", "now", "holds_from", "holds_to", "fails_at"])


def _of_knob(race: Race, setting: Setting, name: str, seeds: Sequence[int]) -> dict[str, Any]:
    knob = race.space.knobs[name]
    now = setting.get(name)
    place = knob.nearest(now)
    ends, fails = [], []
    for sign in (-1, 1):
        places = _reach(place, sign, len(knob.values))
        values = [knob.values[each] for each in places if knob.values[each] != now]
        held, failed = _last_that_holds(race.board, [setting.changed(name, value) for value in values], seeds)
        ends.append(now if held is None else held.get(name))
        fails.append(None if failed is None else failed.get(name))
    return {"what": name, "now": now, "holds_from": ends[0], "holds_to": ends[1], "fails_at": _both(fails)}


def _reach(place: int, sign: int, count: int) -> list[int]:
    """Return places to try from *place* on, in steps that grow, to the end."""
    last = count - 1 if sign > 0 else 0
    found = [place + sign * step for step in STEPS if 0 <= place + sign * step < count]
    return found if not found or found[-1] == last else [*found, last]


def _last_that_holds(
    board: Board, settings: Iterable[Setting], seeds: Sequence[int]
) -> tuple[Setting | None, Setting | None]:
    """Return the last setting before the first that fails, and that one."""
    held = None
    for setting in settings:
        board.fill([setting], board.problem.situations, seeds)
        if board.violation(setting, seeds):
            return held, setting
        held = setting
    return held, None


def _of_assumption(
    board: Board, setting: Setting, change: Callable[[Any, Any], Any], steps: Sequence[Any], seeds: Sequence[int]
) -> dict[str, Any] | None:
    """Change all situations that can be, step by step, until the objective fails in one."""
    held, failed = None, None
    for step in steps:
        changed = {name: change(each, step) for name, each in board.problem.situations.items()}
        possible = {f"{name}, {change.__name__} {step}": each for name, each in changed.items() if each is not None}
        if not possible:
            break
        there = Board(replace(board.problem, situations=possible, stressed={}), board.play, board.work, board.runs)
        there.fill([setting], possible, seeds)
        if there.violation(setting, seeds):
            failed = step
            break
        held = step
    if held is None and failed is None:
        return None
    return {"holds_from": None, "holds_to": held, "fails_at": failed}


def _both(values: list[Any]) -> Any:
    """Return the one that there is, or both."""
    found = [value for value in values if value is not None]
    return found[0] if len(found) == 1 else tuple(found) or None
