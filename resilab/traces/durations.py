"""Reads files of durations alone, for instance service times measured one at a time."""

from __future__ import annotations

import os
import warnings

import numpy as np

from ..distributions import Empirical
from .columns import BadValue, is_duration, known_unit, number_to_nanoseconds, split_unit
from .text import Lines, TraceError, read_text
from .values import read_durations_of


def read_durations(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    unit: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> Empirical:
    """Read a file of durations alone, one a line, as a distribution.

    Such a file is what a service measured one request at a time leaves: its service
    time, without queueing. See `calibrate(alone=...)`.

    Args:
        path: A file with a column of durations, plain or packed by gzip or zstd; with or
            without a header, and with other columns or not.
        column: Name of the column. None takes the only one, or the one with a usual name.
        unit: "s", "ms", "us", "ns" for values without one. None takes it from the name
            of the column (`duration_ms`).
        delimiter: One character; None tells it from the first line.
        encoding: Encoding of the text, unless it begins with a byte order mark.

    Returns:
        The durations in seconds, each equally likely.

    Raises:
        TraceError: The file has no such column, no unit, or no good value.

    Warns:
        UserWarning: Some lines are no durations; they are left out.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "alone.csv"
        >>> _ = file.write_text("duration_ms\\n12.5\\n80\\n31\\n")
        >>> read_durations(file).values
        (0.0125, 0.08, 0.031)
    """
    given = known_unit("unit", unit)
    lines = Lines(read_text(path, encoding), delimiter)
    first = lines.head(1)
    if first and _is_value(first[0]):
        names, rows = ["the only column"], [(number, [line]) for number, line in lines.plain()]
    else:
        names = lines.header()
        rows = [(number, row) for number, row in lines.rows(len(names)) if not isinstance(row, str)]
    place = _place(names, column)
    given = given or split_unit(names[place])[1]
    found = read_durations_of([fields[place].strip() for _, fields in rows], given)
    values = np.delete(found.values, list(found.reasons))
    kept = values[~np.isnan(values)]
    if any(reason.startswith("duration has no unit") for reason in found.reasons.values()):
        raise TraceError(f"the unit of {path} is unknown: say it with unit='ms' (or 's', 'us', 'ns')")
    if not len(kept):
        raise TraceError(f"{path} has no durations: {next(iter(found.reasons.values()), 'it has no rows')}")
    left_out = len(found.values) - len(kept)
    if left_out:
        warnings.warn(f"{left_out} of {len(found.values)} rows of {path} are no durations; left out", stacklevel=2)
    return Empirical(kept)


def _is_value(text: str) -> bool:
    try:
        number_to_nanoseconds(text.strip().rstrip("smunµ "), "s")
    except BadValue:
        return False
    return True


def _place(names: list[str], column: str | None) -> int:
    if column is not None:
        if column not in names:
            raise TraceError(f"the column {column!r} must be in the header, which has {names}")
        return names.index(column)
    usual = [place for place, name in enumerate(names) if is_duration(name)] if len(names) > 1 else [0]
    if len(usual) != 1:
        raise TraceError(f"no one column is known as the duration: {names[:20]}; say it with column=...")
    return usual[0]
