"""OutboxRunResult: what became of each order and of the message about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..lab.result import Result

if TYPE_CHECKING:
    import pandas as pd

MESSAGE_COLUMNS = ("request_id", "order_id", "created_at", "published_at", "delay", "publications", "effects", "status")
STATUSES = ("published", "lost", "phantom", "waiting", "neither")


@dataclass(frozen=True, eq=False, repr=False)
class OutboxRunResult(Result):
    """A `Result` with messages and the tables of the database.

    Attributes:
        message_rows: Rows of `messages`.
        tables: Name -> (columns, rows) of each table at the end.
        transactions: How many transactions the database has committed, polls included.
    """

    goes_on = True

    message_rows: tuple[tuple[Any, ...], ...] = ()
    tables: dict[str, tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]] = field(default_factory=dict)
    transactions: int = 0

    @cached_property
    def messages(self) -> pd.DataFrame:
        """One row an order that somebody asked for.

        Columns: request_id, order_id, created_at (NaN if there is no such order),
        published_at (when the broker first had its message), delay (from one to the
        other), publications (how often the broker got it), effects (how often the
        consumer acted on it), status: "published", "lost" (an order without message),
        "phantom" (a message without order), "waiting" (it is in the outbox still) or
        "neither" (order and message were both given up).
        """
        import pandas as pd

        return pd.DataFrame(self.message_rows, columns=list(MESSAGE_COLUMNS))

    def frame(self, table: str) -> pd.DataFrame:
        """Return a table of the database at the end: "orders" or "outbox"."""
        import pandas as pd

        if table not in self.tables:
            raise KeyError(f"no table {table!r}, only {', '.join(self.tables)}")
        columns, rows = self.tables[table]
        return pd.DataFrame(list(rows), columns=list(columns))

    def delays(self) -> np.ndarray:
        """Return the delay of each published message that has an order, in order of the orders."""
        return np.array([row[4] for row in self.message_rows if row[7] == "published"])

    def flow(self) -> dict[str, int]:
        """Count orders and messages: orders, publications, duplicates, effects, lost, phantoms, waiting.

        A duplicate is a publication beyond the first of its message.
        """
        status = Counter(row[7] for row in self.message_rows)
        publications = [row[5] for row in self.message_rows]
        return {
            "orders": status["published"] + status["lost"] + status["waiting"],
            "publications": sum(publications),
            "duplicates": sum(max(0, number - 1) for number in publications),
            "effects": sum(row[6] for row in self.message_rows),
            "lost": status["lost"],
            "phantoms": status["phantom"],
            "waiting": status["waiting"],
        }

    def _rows_of(self, chosen: np.ndarray) -> dict[str, Any]:
        return {"message_rows": tuple(self.message_rows[number] for number in chosen)}

    def summary(self, *, warmup: float = 0.0, within: float | None = None) -> pd.Series:
        """Return the headline numbers of `Result.summary` and `flow`, transactions, mean_delay, p95_delay."""
        numbers = super().summary(warmup=warmup, within=within)
        for name, value in self.flow().items():
            numbers[name] = float(value)
        numbers["transactions"] = float(self.transactions)
        delays = self.delays()
        numbers["mean_delay"] = float(delays.mean()) if len(delays) else np.nan
        numbers["p95_delay"] = float(np.percentile(delays, 95)) if len(delays) else np.nan
        return numbers
