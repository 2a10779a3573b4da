"""Columns of a delimited text that is plain: pandas reads them, each in the shape that its reader asks for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class PlainColumn:
    """One column of a text in which every line is a row of as many fields, without quotes."""

    def __init__(self, rows: bytes, names: Sequence[str], delimiter: str, name: str, values: pd.Series) -> None:
        self._source = rows, names, delimiter
        self._name = name
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    @property
    def numbers(self) -> np.ndarray | None:
        """Whole numbers or floats, where all fields are such; None elsewhere."""
        return self._values.to_numpy() if self._values.dtype in ("int64", "float64") else None

    @property
    def whole_numbers(self) -> np.ndarray | None:
        """The numbers, if all are whole."""
        return self._values.to_numpy() if self._values.dtype == "int64" else None

    @property
    def strings(self) -> pd.Series:
        """The fields as they are written."""
        if self._values.dtype == "str":
            return self._values
        return _parsed(*self._source, usecols=[self._name], dtype=str)[self._name]

    def each(self) -> tuple[list[str], np.ndarray]:
        """Return the different fields, and which of them each row has."""
        import pandas as pd

        codes, words = pd.factorize(self.strings)
        return list(words), codes


def plain_columns(rows: str, names: Sequence[str], delimiter: str) -> dict[str, PlainColumn] | None:
    """Return the columns of a text; None if a line of it is not a plain row, which another reader must look at."""
    import pandas as pd

    if not rows or not all(names) or '"' in rows or "\0" in rows:
        return None
    lines = rows.count("\n") + (not rows.endswith("\n"))
    if rows.count(delimiter) != lines * (len(names) - 1):
        return None
    try:
        data = rows.encode()
        frame = _parsed(data, names, delimiter)
    except ValueError:  # a row that is too long, or bytes that are no text
        return None
    if len(frame) != lines or not isinstance(frame.index, pd.RangeIndex):
        return None
    return {name: PlainColumn(data, names, delimiter, name, frame[name]) for name in names}


def _parsed(rows: bytes, names: Sequence[str], delimiter: str, **options: Any) -> pd.DataFrame:
    import pandas as pd

    options = {"header": None, "names": list(names), "sep": delimiter, "na_filter": False} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # a column of two kinds is read again as text
        return pd.read_csv(BytesIO(rows), **options)
