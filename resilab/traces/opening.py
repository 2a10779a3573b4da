"""Opens a log: tells what kind it is, and yields its rows as columns of text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .access_logs import Rows, access_log
from .columns import named_once
from .json_logs import json_log
from .layouts import BATCH, VEGETA_HEADER, Batch, Layout, known_layout, summary_of
from .plain import frame_columns, plain_columns
from .text import Lines, TraceError, begins_with, is_damaged, read_text

if TYPE_CHECKING:
    import pandas as pd

_VEGETA_ROW = re.compile(r"\d{18,19},\d{1,3},\d+,\d+,\d+,.*", re.ASCII)


def open_log(
    source: Any,
    columns: Mapping[str, str | None] | None,
    header: Sequence[str] | None,
    delimiter: str | None,
    encoding: str,
    duration_unit: str | None,
) -> tuple[Lines | None, Rows]:
    """Return the lines of a log, if it has some, and its rows with what is known of their kind."""
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return None, _frame(source, "DataFrame")
    if isinstance(source, str | os.PathLike) and begins_with(source, b"PAR1"):
        return None, _frame(_parquet(source), "Parquet")
    lines = Lines(read_text(source, encoding), delimiter)
    if header is None and delimiter is None:
        known = json_log(lines) or access_log(lines, duration_unit)
        if known is not None:
            return lines, known
        if lines.head(1) and _VEGETA_ROW.fullmatch(lines.head(1)[0]):
            header = VEGETA_HEADER
        elif message := summary_of("\n".join(line[:1000] for line in lines.head(30))):
            raise TraceError(message)
    names = list(header) if header is not None else lines.header()
    if "\0" in "".join(names) or is_damaged("".join(names)):
        raise TraceError(f"{source} is not {encoding} text; name its encoding: encoding='utf-16', 'latin-1', ...")
    named_once(names)
    layout = (None if columns else known_layout(names)) or Layout("CSV")
    return lines, (layout, _delimited(lines, names))


def _delimited(lines: Lines, names: Sequence[str]) -> Iterator[Batch]:
    """Yield rows of fields; every batch has all columns, also without rows."""
    yield Batch([], {name: [] for name in names}, [])
    if (columns := plain_columns(lines, names)) is not None:
        first, _ = lines.rest()
        yield Batch(np.arange(first, first + len(columns[names[0]])), columns, [])
        return
    for block in lines.blocks(len(names), BATCH):
        yield Batch(block.lines, dict(zip(names, block.columns, strict=True)), block.bad)


def _parquet(path: Any) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise TraceError(f"{path} is a Parquet file: pip install pyarrow to read it") from None
    except Exception as error:  # its readers have errors of their own
        raise TraceError(f"{path} is damaged Parquet data: {str(error)[:200]}") from None


def _frame(frame: pd.DataFrame, name: str) -> Rows:
    """Return the rows of a frame."""
    named_once([str(label) for label in frame.columns])
    columns = frame_columns(frame)
    return known_layout(columns) or Layout(name), iter([Batch(np.arange(1, len(frame) + 1), columns, [])])
