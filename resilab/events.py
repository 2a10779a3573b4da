"""What happened inside a run: one row for each notable event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class EventLog:
    """Rows of time, source, type, request_id and detail, in the order they happened.

    Policies and services write here when they are bound with `log=`; it works
    in any SimPy model. A row is one append, so keep it for what is rare:
    transitions, rejections, retries, time limits, fallbacks.

    Example:
        >>> log = EventLog()
        >>> log.append(1.5, "circuit_breaker", "transition", 7, "closed -> open")
        >>> len(log)
        1
    """

    COLUMNS = ("time", "source", "type", "request_id", "detail")

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, str, int, str]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def append(self, time: float, source: str, type: str, request_id: int, detail: str = "") -> None:
        """Add one event; *request_id* is -1 where no request is known."""
        self.rows.append((time, source, type, request_id, detail))

    def to_frame(self) -> pd.DataFrame:
        """Return the events as a DataFrame, one row an event, in order of time."""
        import pandas as pd

        columns: list[Any] = list(zip(*self.rows, strict=True)) or [()] * len(self.COLUMNS)
        time, source, type_, request_id, detail = columns
        return pd.DataFrame(
            {
                "time": pd.Series(time, dtype="float64"),
                "source": pd.Series(source, dtype="str").astype("category"),
                "type": pd.Series(type_, dtype="str").astype("category"),
                "request_id": pd.Series(request_id, dtype="int64"),
                "detail": pd.Series(detail, dtype="str"),
            }
        )
