"""Columns that pandas has read already, of a frame or of a delimited text that is plain."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from .text import Lines

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("int64", "float64")
_ALL = slice(None)


class PlainColumn:
    """One column, as numbers where all of it are such, and as text.

    Args:
        values: What pandas has read.
        as_text: Returns the values of some rows as they are written.
    """

    def __init__(self, values: pd.Series, as_text: Callable[[Any], list[str]]) -> None:
        self._values = values
        self._as_text = as_text

    def __len__(self) -> int:
        return len(self._values)

    @property
    def numbers(self) -> np.ndarray | None:
        """Whole numbers or floats, if it has nothing else."""
        return self._values.to_numpy() if self._values.dtype in _NUMBERS else None

    def texts(self, rows: slice = _ALL) -> list[str]:
        """Return the fields of some rows as they are written."""
        return self._as_text(rows)

    def take(self, places: np.ndarray) -> PlainColumn:
        """Return the column of some rows."""
        return PlainColumn(self._values.iloc[places], lambda rows: self._as_text(places[rows]))

    def each(self) -> tuple[list[str], np.ndarray]:
        """Return the different fields as text, and which of them each row has."""
        import pandas as pd

        if self._values.dtype in ("int64", "str") and not self._values.hasnans:
            codes, words = pd.factorize(self._values)
        else:
            codes, words = pd.factorize(np.array(self.texts(), dtype=object))
        return [str(word) for word in words], codes


def plain_columns(lines: Lines, names: Sequence[str]) -> dict[str, PlainColumn] | None:
    """Return the columns of what follows; None if a line of it is not a plain row, and needs another reader."""
    import pandas as pd

    count = _plain_rows(lines.rest()[1], names, lines.delimiter)
    if not count:
        return None

    def parsed(**options: Any) -> pd.DataFrame:
        data = BytesIO(lines.rest()[1].encode())  # made anew: what is kept is memory
        options |= {"header": None, "names": list(names), "sep": lines.delimiter, "na_filter": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # a column of two kinds is read again as text
            return pd.read_csv(data, **options)

    @cache
    def strings(name: str) -> pd.Series:
        return frame[name] if frame[name].dtype == "str" else parsed(usecols=[name], dtype=str)[name]

    def column(name: str) -> PlainColumn:
        return PlainColumn(frame[name], lambda rows: strings(name).iloc[rows].tolist())

    try:
        frame = parsed()
    except ValueError:  # a row that is too long, or bytes that are no text
        return None
    if len(frame) != count or not isinstance(frame.index, pd.RangeIndex):
        return None
    return {name: column(name) for name in names}


def _plain_rows(rows: str, names: Sequence[str], delimiter: str) -> int:
    """Return how many rows there are, if their separators are as many as they must be; else 0."""
    if not rows or not all(names) or '"' in rows or "\0" in rows:
        return 0
    count = rows.count("\n") + (not rows.endswith("\n"))
    return count if rows.count(delimiter) == count * (len(names) - 1) else 0


def frame_columns(frame: pd.DataFrame) -> dict[str, PlainColumn]:
    """Return the columns of a frame; its dates and time spans as nanoseconds."""
    import pandas as pd

    columns = {}
    for place, label in enumerate(frame.columns):
        values, key = frame.iloc[:, place].reset_index(drop=True), str(label)
        if values.dtype.kind in "mM":
            index = pd.DatetimeIndex(values) if values.dtype.kind == "M" else pd.TimedeltaIndex(values)
            key = key if values.dtype.kind == "M" else f"{key}_ns"
            values = pd.Series(index.as_unit("ns").asi8, dtype="Int64").mask(values.isna())
            values = values if values.hasnans else values.astype("int64")
        columns[key] = PlainColumn(values, partial(_texts, values))
    return columns


def _texts(values: pd.Series, rows: Any) -> list[str]:
    column = values.iloc[rows]
    if column.dtype == "str":
        texts: list[str] = column.fillna("").tolist()
        return texts
    return ["" if gone else _text(value) for value, gone in zip(column, column.isna(), strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)
