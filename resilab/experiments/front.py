"""pareto: the settings that no other setting beats in everything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..validation import instance, sequence
from .statistics import column

if TYPE_CHECKING:
    import pandas as pd


def pareto(
    frame: pd.DataFrame, *, maximize: str | Iterable[str] = (), minimize: str | Iterable[str] = ()
) -> pd.DataFrame:
    """Return the rows that no other row dominates: the Pareto front.

    A row dominates another if it is at least as good in every objective and better in
    one. Rows that are equal in all objectives do not dominate each other: all of them
    stay. A row with NaN in an objective is never on the front and dominates nothing.

    The front is of the means. Rows whose intervals overlap may change places with more
    replications.

    Args:
        frame: Any frame, for instance from `sweep`.
        maximize: Columns that should be large.
        minimize: Columns that should be small.

    Returns:
        The rows on the front, with their index, from the best to the worst in the first
        objective.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"success": [0.90, 0.95, 0.94], "cost": [1.0, 1.2, 1.3]})
        >>> pareto(frame, maximize="success", minimize="cost").index.tolist()
        [1, 0]
    """
    import pandas as pd

    instance("frame", frame, pd.DataFrame)
    up, down = _columns("maximize", maximize, frame), _columns("minimize", minimize, frame)
    if not up and not down:
        raise ValueError("pareto needs a column to maximize or to minimize, got neither")
    both = [name for name in up if name in down]
    if both:
        raise ValueError(f"a column must not be in maximize and in minimize, got {both[0]!r}")
    losses = np.column_stack([-column(frame, name) for name in up] + [column(frame, name) for name in down])
    rows = _front(losses)
    return frame.iloc[rows]


def _columns(kind: str, names: str | Iterable[str], frame: pd.DataFrame) -> list[str]:
    wanted = [names] if isinstance(names, str) else list(sequence(kind, names))
    for name in wanted:
        if name not in list(frame.columns):
            raise ValueError(f"{kind} must name columns of the frame, got {name!r}")
    return wanted


def _front(losses: np.ndarray) -> list[int]:
    """Return the rows of least losses, in lexical order: only earlier rows can dominate later ones."""
    usable = np.flatnonzero(~np.isnan(losses).any(axis=1))
    order = usable[np.lexsort(losses[usable].T[::-1])]
    front: list[int] = []
    for row in order:
        best = losses[front]
        is_dominated = np.all(best <= losses[row], axis=1) & np.any(best < losses[row], axis=1)
        if not is_dominated.any():
            front.append(int(row))
    return front
