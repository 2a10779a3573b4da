"""What happened inside a run: one row for each notable event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Transition(str):
    """A change of state, which reads "closed -> open".

    Attributes:
        before: The state that ended.
        after: The state that began.
    """

    before: str
    after: str

    def __new__(cls, before: str, after: str) -> Transition:
        change = super().__new__(cls, f"{before} -> {after}")
        change.before, change.after = str(before), str(after)
        return change

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # how it is unpickled
        return self.before, self.after


class Event(NamedTuple):
    """One row of the log.

    Attributes:
        time: Seconds from the start of the run.
        source: Whose event it is: the name of a policy or a part.
        type: What happened, in one word.
        request_id: For which request; -1 where none is known.
        detail: More about it; a `Transition` for a change of state.
    """

    time: float
    source: str
    type: str
    request_id: int
    detail: str = ""


class EventLog:
    """Rows of time, source, type, request_id and detail, in the order they happened.

    Policies and services write here when they are bound with `log=`; it works
    in any SimPy model. A row is one append, so keep it for what is rare:
    transitions, rejections, retries, time limits, fallbacks.

    Example:
        >>> log = EventLog()
        >>> log.append(1.5, "circuit_breaker", "transition", 7, Transition("closed", "open"))
        >>> len(log)
        1
    """

    def __init__(self) -> None:
        self.rows: list[Event] = []

    def __len__(self) -> int:
        return len(self.rows)

    def append(self, time: float, source: str, type: str, request_id: int, detail: str = "") -> None:
        """Add one event; *request_id* is -1 where no request is known."""
        self.rows.append(Event(time, source, type, request_id, detail))

    def to_frame(self) -> pd.DataFrame:
        """Return the events as a DataFrame, one row an event, in order of time."""
        return events_frame(self.rows)


def events_frame(rows: Sequence[Event]) -> pd.DataFrame:
    """Return rows of a log as a DataFrame with the columns of `Event`."""
    import pandas as pd

    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(Event._fields)
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
