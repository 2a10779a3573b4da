"""Columns that pandas has read already, of a frame or of a delimited text that is plain."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("int64", "float64")


class PlainColumn:
    """One column, as numbers where all of it are such, and as text.

    Args:
        values: What pandas has read.
        texts: Returns the fields as they are written; asked for where they are needed.
    """

    def __init__(self, values: pd.Series, texts: Callable[[], Sequence[str]]) -> None:
        self._values = values
        self.texts = texts

    def __len__(self) -> int:
        return len(self._values)

    @property
    def numbers(self) -> np.ndarray | None:
        """Whole numbers or floats, if it has nothing else."""
        return self._values.to_numpy() if self._values.dtype in _NUMBERS else None

    def each(self) -> tuple[list[str], np.ndarray]:
        """Return the different fields as text, and which of them each row has."""
        import pandas as pd

        if self._values.dtype in ("int64", "str") and not self._values.hasnans:
            codes, words = pd.factorize(self._values)
        else:
            codes, words = pd.factorize(np.array(self.texts(), dtype=object))
        return [str(word) for word in words], codes


def plain_columns(rows: str, names: Sequence[str], delimiter: str) -> dict[str, PlainColumn] | None:
    """Return the columns of a text; None if a line of it is not a plain row, which another reader must look at."""
    import pandas as pd

    if not rows or not all(names) or '"' in rows or "\0" in rows:
        return None
    lines = rows.count("\n") + (not rows.endswith("\n"))
    if rows.count(delimiter) != lines * (len(names) - 1):
        return None

    def parsed(**options: Any) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # a column of two kinds is read again as text
            return pd.read_csv(BytesIO(data), header=None, names=list(names), sep=delimiter, na_filter=False, **options)

    def column(name: str) -> PlainColumn:
        values = frame[name]

        def texts() -> list[str]:
            is_text = values.dtype == "str"
            found: list[str] = (values if is_text else parsed(usecols=[name], dtype=str)[name]).tolist()
            return found

        return PlainColumn(values, texts)

    try:
        data = rows.encode()
        frame = parsed()
    except ValueError:  # a row that is too long, or bytes that are no text
        return None
    if len(frame) != lines or not isinstance(frame.index, pd.RangeIndex):
        return None
    return {name: column(name) for name in names}


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


def _texts(column: pd.Series) -> list[str]:
    if column.dtype == "str":
        texts: list[str] = column.fillna("").tolist()
        return texts
    return ["" if gone else _text(value) for value, gone in zip(column, column.isna(), strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)
