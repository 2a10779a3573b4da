"""MessagingResult: what became of each event, message and delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..communication.message import deliveries_frame, messages_frame
from ..lab.metrics import steps
from ..lab.result import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class MessagingResult(Result):
    """A `Result` with messages and deliveries.

    Attributes:
        message_rows: Rows of `messages`.
        delivery_rows: Rows of `deliveries`.
        effects: How many times each request took effect; more than 1 is a duplicate.
    """

    goes_on = True

    message_rows: tuple[tuple[Any, ...], ...] = ()
    delivery_rows: tuple[tuple[Any, ...], ...] = ()
    effects: np.ndarray = field(default_factory=lambda: np.empty(0, int))

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row an event and group, as in `Result.requests`, with how many times it took effect."""
        frame = super().requests.copy()
        frame["effects"] = self.effects
        return frame

    @cached_property
    def messages(self) -> pd.DataFrame:
        """One row a message and group; see `LiveMessageBroker.messages`."""
        return messages_frame(list(self.message_rows))

    @cached_property
    def deliveries(self) -> pd.DataFrame:
        """One row a delivery; see `LiveMessageBroker.deliveries`."""
        return deliveries_frame(list(self.delivery_rows))

    def flow(self) -> dict[str, int]:
        """Count events by group: published, deliveries, effects, duplicates, lost, dead_lettered, waiting.

        A duplicate is an effect beyond the first of its event. Lost is an event that
        nobody will handle and nobody knows of: a dead letter is kept, and counted apart.
        """
        outcome = self.columns["outcome"]
        cause = np.array(self.causes)[self.columns["cause"]]
        return {
            "published": len({(row[1], row[3]) for row in self.message_rows if row[3]}),
            "deliveries": int(self.columns["attempts"].sum()),
            "effects": int(self.effects.sum()),
            "duplicates": int(np.maximum(self.effects - 1, 0).sum()),
            "lost": int(np.count_nonzero(cause == "lost")),
            "dead_lettered": int(np.count_nonzero(cause == "dead_letter")),
            "waiting": int(np.count_nonzero(outcome < 0)),
        }

    def lag(self, group: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return how many messages the broker holds for a group, as an exact step function.

        Args:
            group: Name of the group; None is the first.

        Returns:
            Times in seconds, and the lag from each on to the next.
        """
        name = self.services[0] if group is None else group
        times = np.array([(row[5], row[7]) for row in self.message_rows if row[3] == name]).reshape(-1, 2)
        return steps(times[:, 0], times[:, 1])

    def _rows_of(self, chosen: np.ndarray) -> dict[str, Any]:
        return {"effects": self.effects[chosen]}

    def summary(self, *, warmup: float = 0.0, within: float | None = None) -> pd.Series:
        """Return the headline numbers of `Result.summary`, those of `flow`, and the largest lag."""
        numbers = super().summary(warmup=warmup, within=within)
        for name, value in self.flow().items():
            if name != "waiting":
                numbers[name] = float(value)
        numbers["max_lag"] = float(max(self.lag(group)[1].max() for group in self.services))
        return numbers
