"""SagaRunResult: what became of each order, step and compensation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..consistency.orchestrator import STEP_COLUMNS
from ..consistency.saga_log import COMPENSATING, LiveSagaLog
from ..lab.result import Result

if TYPE_CHECKING:
    import pandas as pd

ORDER_COLUMNS = (
    "request_id",
    "saga_id",
    "status",
    "failed_step",
    "in_doubt",
    "inventory",
    "payment",
    "orders",
    "verdict",
)
CONSISTENT = ("confirmed", "undone")
"""The two verdicts that an order may have: all was done, or nothing is left of it."""


@dataclass(frozen=True, eq=False, repr=False)
class SagaRunResult(Result):
    """A `Result` with orders, steps and the saga log.

    Attributes:
        order_rows: Rows of `orders`.
        step_rows: Rows of `steps`.
        log_rows: Rows of `saga_log`.
    """

    order_rows: tuple[tuple[Any, ...], ...] = ()
    step_rows: tuple[tuple[Any, ...], ...] = ()
    log_rows: tuple[tuple[Any, ...], ...] = ()

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row an order: what the saga says, and what the services hold in the end.

        Columns: request_id, saga_id, status (committed, compensated, stuck, abandoned
        without compensation, or open),
        failed_step, in_doubt (was that step), inventory, payment and orders (the state
        that each service has it in), verdict. The verdict is "confirmed" (reserved,
        charged, confirmed, each once), "undone" (nothing of it is left), or says in
        words what is wrong.
        """
        import pandas as pd

        return pd.DataFrame(self.order_rows, columns=list(ORDER_COLUMNS))

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row an execution or compensation of a step; see `LiveSaga.frame`."""
        import pandas as pd

        return pd.DataFrame(self.step_rows, columns=list(STEP_COLUMNS))

    @cached_property
    def saga_log(self) -> pd.DataFrame:
        """One row an entry of the log: time, saga_id, type, step, detail."""
        import pandas as pd

        return pd.DataFrame(self.log_rows, columns=list(LiveSagaLog.COLUMNS))

    def verdicts(self) -> dict[str, int]:
        """Count orders by verdict, the most frequent first."""
        return dict(Counter(row[-1] for row in self.order_rows).most_common())

    def flow(self) -> dict[str, int]:
        """Count orders: committed, compensated, abandoned, stuck, inconsistent; and compensations.

        Inconsistent is an order that is neither confirmed as a whole nor undone.
        """
        status = Counter(row[2] for row in self.order_rows)
        counts = {word: status[word] for word in ("committed", "compensated", "abandoned", "stuck")}
        counts["inconsistent"] = sum(row[-1] not in CONSISTENT for row in self.order_rows if row[2] != "open")
        counts["compensations"] = sum(row[3] == "compensate" for row in self.step_rows)
        return counts

    def decision_times(self) -> np.ndarray:
        """Return the seconds from arrival until it was written down whether an order commits.

        One number for each order for which that happened, in order of the decisions. A
        request ends later if there is something to compensate.
        """
        arrival = {row[1]: self.columns["arrival"][row[0]] for row in self.order_rows}
        decisions = [row for row in self.log_rows if row[2] == COMPENSATING or row[4] == "committed"]
        return np.array([row[0] - arrival[row[1]] for row in decisions if row[1] in arrival])

    def _rows_of(self, chosen: np.ndarray) -> dict[str, Any]:
        return {"order_rows": tuple(self.order_rows[number] for number in chosen)}

    def summary(self, *, warmup: float = 0.0, within: float | None = None) -> pd.Series:
        """Return the headline numbers of `Result.summary`, those of `flow`, and p95_decision."""
        numbers = super().summary(warmup=warmup, within=within)
        for name, value in self.flow().items():
            numbers[name] = float(value)
        times = self.decision_times()
        numbers["p95_decision"] = float(np.percentile(times, 95)) if len(times) else np.nan
        return numbers
