"""Result: what a run has recorded, as arrays and as tidy DataFrames."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from ..events import Event, events_frame
from ..validation import non_negative, positive, ratio, warn_user
from .life import Phase, phases
from .metrics import ShortRunWarning, answered_within, doubts, recovery, summary, timeline, utilization
from .records import ATTEMPT_OUTCOMES, OUTCOMES
from .world import World

if TYPE_CHECKING:
    import pandas as pd


class Part(NamedTuple):
    """The part of a run that a window shows.

    Attributes:
        start, end: The seconds in which its requests arrive.
        ids: Rows of its requests in the whole run.
        columns: The columns of the whole run.
    """

    start: float
    end: float
    ids: np.ndarray
    columns: dict[str, np.ndarray]


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
        part: Which part of a run this is; None is all of it. See `window`.

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
    part: Part | None = None

    goes_on: ClassVar[bool] = False
    """Whether somebody wants what a request does after its end."""

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
                "request_id": self.ids,
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
        or left), outcome (that of a request, or "cancelled": another copy of a hedge has
        won), cause, queue_time, service_time (time at a worker). With several services a
        column service, too.
        """
        import pandas as pd

        rows = self.attempts_array()
        if self.part is not None:
            rows = rows[np.isin(rows["request_id"], self.ids)]
        frame = pd.DataFrame(
            {
                "request_id": rows["request_id"],
                "attempt": rows["attempt"],
                "start": rows["start"],
                "end": rows["end"],
                "outcome": pd.Categorical.from_codes(rows["outcome"], categories=ATTEMPT_OUTCOMES),
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

    @property
    def ids(self) -> np.ndarray:
        """Numbers of the requests in the run."""
        return np.arange(len(self)) if self.part is None else self.part.ids

    @property
    def run_columns(self) -> dict[str, np.ndarray]:
        """The columns of the whole run."""
        return self.columns if self.part is None else self.part.columns

    @property
    def span(self) -> tuple[float, float]:
        """The seconds in which requests arrive, from and to; rates are over these."""
        if self.part is not None:
            return self.part.start, self.part.end
        duration = float(self.scenario.duration or math.inf)
        return 0.0, duration if self.horizon is None else min(duration, self.horizon)

    def window(self, start: float, end: float | None = None) -> Self:
        """Return the part of the run whose requests arrive from *start* on and before *end*.

        It has the same measures and frames, over that time alone. Time lines, pictures
        and events stay those of the whole run.

        Args:
            start: Seconds, at least 0.
            end: Seconds, above *start*; None is the end of the arrivals.

        Example:
            >>> import resilab as rl
            >>> service = rl.Service(2, 0.1, faults=rl.Outage(start=1.0, duration=1.0))
            >>> result = rl.simulate(rl.Scenario(rl.Steady(rate=10), service, duration=3.0))
            >>> [result.window(second, second + 1).answered_within(0.2) for second in (0, 1, 2)]
            [1.0, 0.0, 1.0]
        """
        non_negative("start", start)
        last = self.span[1] if end is None else positive("end", end)
        if last <= start:
            raise ValueError(f"end must be > start, got {last!r} with start={start!r}")
        arrival = self.columns["arrival"]
        chosen = np.flatnonzero((arrival >= start) & (arrival < last))
        columns = {name: values[chosen] for name, values in self.columns.items()}
        part = Part(start, last, self.ids[chosen], self.run_columns)
        return dataclasses.replace(self, columns=columns, part=part, **self._rows_of(chosen))

    def _rows_of(self, chosen: np.ndarray) -> dict[str, Any]:
        """Return what else a result has of these requests; a world with rows of its own says so."""
        return {}

    def summary(self, *, warmup: float = 0.0, within: float | None = None) -> pd.Series:
        """Return the headline numbers of the run; see `resilab.lab.metrics.summary`.

        Args:
            warmup: Seconds whose arrivals are left out: a queue that begins empty is too
                short at first.
            within: Seconds; adds `answered_within`, the share of requests that were
                answered in that time.

        Warns:
            ShortRunWarning: The percentiles of so short a run are off.
        """
        import pandas as pd

        part = self if not warmup else self.window(warmup)
        for doubt in doubts(part):
            warn_user(doubt, ShortRunWarning)
        numbers = summary(part)
        if within is not None:
            numbers["answered_within"] = part.answered_within(within)
        return pd.Series(numbers, name="summary")

    def answered_within(self, seconds: float, *, counts_degraded: bool = False) -> float:
        """Return the share of the requests that were answered within so many seconds.

        State objectives so, not as a percentile: p99 of a run with a time limit is the
        limit, and percentiles look splendid where most requests are refused at once.
        "p99 of answers is at most T, and nothing fails" is a share of 0.99.

        Args:
            seconds: From the arrival; an answer at exactly that time counts.
            counts_degraded: Whether the answer of a fallback counts, too.

        Example:
            >>> import resilab as rl
            >>> result = rl.simulate(rl.Scenario(rl.Poisson(rate=8), rl.Service(1, 0.1), duration=60.0))
            >>> round(result.answered_within(0.1), 2), result.answered_within(60.0)
            (0.21, 1.0)
        """
        return answered_within(self, seconds, counts_degraded=counts_degraded)

    def utilization(self) -> pd.Series:
        """Return for each service the share of its worker time in `span` that was used."""
        import pandas as pd

        return pd.Series(utilization(self), name="utilization", dtype=float)

    def recovery(self, after: float, *, share: float = 0.95, within: float = math.inf, step: float = 1.0) -> float:
        """Return how long the run takes to be well again, and stays so.

        Requests are looked at by the second in which they arrive: a *step* is well if at
        least *share* of its requests succeed within *within* seconds.

        Args:
            after: Seconds at which the cause is gone, for instance the end of a fault.
            share: Share of successes that counts as well, above 0.
            within: Longest time of a success that counts, in seconds.
            step: Length of the steps in seconds.

        Returns:
            Seconds from *after* to the end of the last step that is not well; 0 if all
            are; infinity if the run is not well at its end, that is, not within the run.

        Example:
            >>> import resilab as rl
            >>> service = rl.Service(10, 0.1, faults=rl.Outage(start=5.0, duration=5.0, mode="hang"))
            >>> plain = rl.Scenario(rl.Steady(rate=80), service, rl.Timeout(0.5), duration=60.0)
            >>> rl.simulate(plain).recovery(after=10.0)
            18.0
        """
        non_negative("after", after)
        positive("share", ratio("share", share))
        positive("within", within, allow_infinite=True)
        positive("step", step)
        if after >= self.span[1]:
            raise ValueError(f"after must be < {self.span[1]}, when the last requests arrive, got {after!r}")
        return recovery(self, after, share, within, step)

    def life(self, request_id: int) -> pd.DataFrame:
        """Return where the time of one request went: one row a phase, in order of start.

        Columns: start, end (seconds), what ("waiting" while no call is under way, "queued",
        "served", or "abandoned" while the worker goes on after its caller has left), attempt,
        service, outcome (how the call ended, at its last phase).

        Args:
            request_id: A number of the column of `requests`.

        Example:
            >>> import resilab as rl
            >>> service = rl.Service(1, 0.4, faults=rl.Errors(start=0.0, duration=0.5, rate=1.0))
            >>> policy = rl.Retry(1, 0.25, jitter="none")
            >>> result = rl.simulate(rl.Scenario(rl.Steady(rate=1), service, policy, duration=1.0))
            >>> result.life(0)[["what", "start", "end", "outcome"]].values.tolist()
            [['served', 0.0, 0.4, 'failure'], ['waiting', 0.4, 0.65, ''], ['served', 0.65, 1.05, 'success']]
        """
        import pandas as pd

        return pd.DataFrame(phases(self, request_id), columns=list(Phase._fields))

    def timeline(self, quantity: str, source: str | None = None) -> pd.Series:
        """Return a quantity as an exact step function of time; see `resilab.lab.metrics.timeline`."""
        import pandas as pd

        times, values = timeline(self, quantity, source)
        return pd.Series(values, index=pd.Index(times, name="time"), name=quantity)

    def _causes(self, codes: np.ndarray) -> pd.Categorical:
        import pandas as pd

        return pd.Categorical.from_codes(codes.astype(np.int64) - 1, categories=list(self.causes[1:]))
