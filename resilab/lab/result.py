"""Result: what a run has recorded, as arrays and as tidy DataFrames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..events import Event, events_frame
from .metrics import summary, timeline
from .records import OUTCOMES
from .world import World

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Result:
    """The rows of one run.

    Attributes:
        scenario: What was played.
        seed: The seed of its random numbers.
        horizon: Where it was stopped, or None.
        columns: Arrays of length requests: arrival, end, outcome, cause, attempts,
            client, operation. Codes index `OUTCOMES`, `causes` and the operations.
        causes: Words of the cause codes; the first is no cause.
        services: Names of the services, by number.
        attempt_rows: Array of `records.ATTEMPT`, one a call, or None.
        event_rows: The events, or None.

    Example:
        >>> import resilab as rl
        >>> result = rl.simulate(rl.Scenario(rl.Steady(rate=10), rl.Service(2, 0.1), duration=1.0))
        >>> result, len(result.attempts), result.counts()["success"]
        (Result(seed=0: 10 requests: 10 success), 10, 10)
    """

    scenario: World[Any]
    seed: int
    horizon: float | None
    columns: dict[str, np.ndarray]
    causes: tuple[str, ...]
    services: tuple[str, ...]
    attempt_rows: np.ndarray | None
    event_rows: tuple[Event, ...] | None

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {word}" for word, count in self.counts().items() if count)
        return f"Result(seed={self.seed}: {len(self)} requests: {counts})"

    def __len__(self) -> int:
        return len(self.columns["arrival"])

    @property
    def latency(self) -> np.ndarray:
        """Seconds from arrival to end of each request; NaN where it is open."""
        found: np.ndarray = self.columns["end"] - self.columns["arrival"]
        return found

    def counts(self) -> dict[str, int]:
        """Return how many requests ended in each outcome; "open" ones had not at the horizon."""
        codes = self.columns["outcome"]
        counts = {word: int(np.count_nonzero(codes == code)) for code, word in enumerate(OUTCOMES)}
        is_open = int(np.count_nonzero(codes < 0))
        return counts | {"open": is_open} if is_open else counts

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a request: request_id, client, arrival, end, latency, outcome, cause, attempts.

        A scenario with operations has a column operation, too. Times are seconds.
        """
        import pandas as pd

        columns = self.columns
        frame = pd.DataFrame(
            {
                "request_id": np.arange(len(self)),
                "client": columns["client"],
                "arrival": columns["arrival"],
                "end": columns["end"],
                "latency": self.latency,
                "outcome": pd.Categorical.from_codes(columns["outcome"], categories=OUTCOMES),
                "cause": self._causes(columns["cause"]),
                "attempts": columns["attempts"],
            }
        )
        if self.scenario.kinds:
            kinds = pd.Categorical.from_codes(columns["operation"], categories=list(self.scenario.kinds))
            frame.insert(2, "operation", kinds)
        return frame

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """One row a call that reached a service, in order of request and attempt.

        Columns: request_id, attempt (from 1), start, end (when its caller had the answer
        or left), outcome, cause, queue_time, service_time (time at a worker). With
        several services a column service, too.
        """
        import pandas as pd

        rows = self.attempts_array()
        frame = pd.DataFrame(
            {
                "request_id": rows["request_id"],
                "attempt": rows["attempt"],
                "start": rows["start"],
                "end": rows["end"],
                "outcome": pd.Categorical.from_codes(rows["outcome"], categories=OUTCOMES),
                "cause": self._causes(rows["cause"]),
                "queue_time": rows["work_start"] - rows["start"],
                "service_time": rows["work_end"] - rows["work_start"],
            }
        )
        if len(self.services) > 1:
            service = pd.Categorical.from_codes(rows["service"], categories=list(self.services))
            frame.insert(2, "service", service)
        return frame

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row a notable event: time, source, type, request_id (-1 if none), detail."""
        return events_frame(self.events_rows())

    def attempts_array(self) -> np.ndarray:
        """Return the attempts as an array of `records.ATTEMPT`: `rows["start"]` and so on."""
        if self.attempt_rows is None:
            raise ValueError("attempts were not recorded: simulate with record=True")
        return self.attempt_rows

    def events_rows(self) -> tuple[Event, ...]:
        """Return the events as `Event` tuples of time, source, type, request_id and detail."""
        if self.event_rows is None:
            raise ValueError("events were not recorded: simulate with record=True")
        return self.event_rows

    def summary(self) -> pd.Series:
        """Return the headline numbers of the run; see `resilab.lab.metrics.summary`."""
        import pandas as pd

        return pd.Series(summary(self), name="summary")

    def timeline(self, quantity: str, source: str | None = None) -> pd.Series:
        """Return a quantity as an exact step function of time; see `resilab.lab.metrics.timeline`."""
        import pandas as pd

        times, values = timeline(self, quantity, source)
        return pd.Series(values, index=pd.Index(times, name="time"), name=quantity)

    def _causes(self, codes: np.ndarray) -> pd.Categorical:
        import pandas as pd

        return pd.Categorical.from_codes(codes.astype(np.int64) - 1, categories=list(self.causes[1:]))
