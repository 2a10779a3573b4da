"""FleetResult: a run's rows, and what its replicas and their probes did."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..health.probe import PROBES
from ..lab.records import FAILURE, TIMEOUT
from ..lab.result import Result
from .ejection import REASONS, Ejected

if TYPE_CHECKING:
    import pandas as pd

STATES = ("ready", "not ready", "starting", "terminating", "back-off")
"""What a replica is doing, in the words of `FleetResult.replicas`."""


@dataclass(frozen=True, eq=False, repr=False)
class FleetResult(Result):
    """The rows of one run of a fleet.

    Attributes:
        end: Where the clock stood at the end, in seconds; probes go on for a while after
            the last request.
        routes: (request_id, attempt, replica) of each call that reached a replica.
        state_rows: (time, replica, state of its container, is it ready) at each change.
        probe_rows: (replica, probe, start, end, success, reason) of each probe.
        ejection_rows: An `Ejected` for each ejection.
    """

    end: float = math.nan
    routes: tuple[tuple[int, int, int], ...] = ()
    state_rows: tuple[tuple[float, int, str, bool], ...] = ()
    probe_rows: tuple[tuple[int, str, float, float, bool, str], ...] = ()
    ejection_rows: tuple[Ejected, ...] = ()

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """One row a call that reached a replica, as in `Result.attempts`, with its replica."""
        frame = super().attempts.copy()
        rows = np.array(sorted(self.routes), dtype=np.int64).reshape(-1, 3)
        frame.insert(2, "replica", rows[:, 2].astype(np.int32))
        return frame

    @cached_property
    def replicas(self) -> pd.DataFrame:
        """One row a stay of a replica in a state: replica, state, start, end in seconds.

        States: "ready", "not ready" (it runs, and the balancer leaves it out), "starting",
        "terminating" and "back-off". A replica that terminates while it is still ready
        is "terminating"; see `ready_replicas` and `ejected_replicas` for whom the balancer
        sends to.
        """
        import pandas as pd

        columns = list(zip(*self.stays(), strict=True)) or [(), (), (), ()]
        return pd.DataFrame(
            {
                "replica": pd.Series(columns[0], dtype="int32"),
                "state": pd.Categorical(columns[1], categories=STATES),
                "start": pd.Series(columns[2], dtype="float64"),
                "end": pd.Series(columns[3], dtype="float64"),
            }
        )

    def stays(self) -> list[tuple[int, str, float, float]]:
        """Return the rows of `replicas` as tuples."""
        found: list[tuple[int, str, float, float]] = []
        for number in range(self.scenario.fleet.replicas):  # type: ignore[attr-defined]
            own = [row for row in self.state_rows if row[1] == number]
            ends = [row[0] for row in own[1:]] + [self.end]
            for (start, _, state, is_ready), end in zip(own, ends, strict=True):
                word = ("ready" if is_ready else "not ready") if state == "running" else state
                if found and found[-1][:2] == (number, word) and found[-1][3] == start:
                    found[-1] = (*found[-1][:3], end)
                elif end > start:
                    found.append((number, word, start, end))
        return found

    @cached_property
    def probes(self) -> pd.DataFrame:
        """One row a probe: replica, probe, start, end, success, reason (why it failed)."""
        import pandas as pd

        columns = list(zip(*self.probe_rows, strict=True)) or [()] * 6
        return pd.DataFrame(
            {
                "replica": pd.Series(columns[0], dtype="int32"),
                "probe": pd.Categorical(columns[1], categories=PROBES),
                "start": pd.Series(columns[2], dtype="float64"),
                "end": pd.Series(columns[3], dtype="float64"),
                "success": pd.Series(columns[4], dtype="bool"),
                "reason": pd.Series(columns[5], dtype="str"),
            }
        )

    @cached_property
    def ejections(self) -> pd.DataFrame:
        """One row an ejection: replica, start, end (NaN: away to the end of the run), reason."""
        import pandas as pd

        frame = pd.DataFrame(self.ejection_rows, columns=list(Ejected._fields))
        types = {"replica": "int32", "start": "float64", "end": "float64"}
        return frame.astype(types).assign(reason=pd.Categorical(frame["reason"], categories=REASONS))

    def ready_replicas(self) -> pd.Series:
        """Return how many replicas are ready, as an exact step function of time; those that are ejected are, too."""
        import pandas as pd

        ready: dict[int, bool] = {}
        steps: dict[float, int] = {0.0: 0}
        for time, number, _, is_ready in self.state_rows:
            ready[number] = is_ready
            steps[time] = sum(ready.values())
        return pd.Series(steps, name="ready_replicas").rename_axis("time")

    def ejected_replicas(self) -> pd.Series:
        """Return how many replicas are ejected, as an exact step function of time."""
        import pandas as pd

        changes = [(row.start, 1) for row in self.ejection_rows]
        changes += [(row.end, -1) for row in self.ejection_rows if not math.isnan(row.end)]
        steps: dict[float, int] = {0.0: 0}
        count = 0
        for time, change in sorted(changes):
            count += change
            steps[time] = count
        return pd.Series(steps, name="ejected_replicas").rename_axis("time")

    def restarts(self) -> int:
        """Return how many containers were started again."""
        return len(self.restart_times())

    def restart_times(self, replica: int | None = None) -> list[float]:
        """Return when containers of one replica, or of all, were started again, in seconds."""
        last: dict[int, str] = {}
        times = []
        for time, number, state, _ in self.state_rows:
            if last.get(number) == "back-off" != state and replica in (None, number):
                times.append(time)
            last[number] = state
        return times

    def lost_calls(self, replica: int | None = None) -> int:
        """Return how many calls of one replica, or of all, failed or timed out."""
        rows = self.attempts
        is_bad = rows["outcome"].cat.codes.isin((FAILURE, TIMEOUT))
        if replica is not None:
            is_bad &= rows["replica"] == replica
        return int(is_bad.sum())

    def headline(self) -> dict[str, str]:
        """Return what an explorer writes above the picture of a fleet."""
        counts, total = self.counts(), max(1, len(self))
        shares = {word: f"{counts[word] / total:.1%}" for word in ("success", "rejected", "timeout", "failure")}
        ready = [count for time, count in self.ready_replicas().items() if time < self.scenario.duration]
        return {"requests": str(len(self)), **shares, "restarts": str(self.restarts()), "fewest ready": str(min(ready))}
