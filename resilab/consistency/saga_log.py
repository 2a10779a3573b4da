"""SagaLog: what an orchestrator writes down so that it can die at any point."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from ..engine import Steps
from ..validation import NonNegative, Spec

if TYPE_CHECKING:
    import pandas as pd

STARTED, COMPLETED, COMPENSATING, COMPENSATED, STUCK, ENDED = (
    "started",
    "completed",
    "compensating",
    "compensated",
    "stuck",
    "ended",
)


@dataclass(frozen=True)
class SagaLog(Spec):
    """A durable log of sagas: it survives the crash of whoever writes it.

    Args:
        write_time: Seconds that each write takes. It takes effect at the end.
        name: What the events call it.
    """

    write_time: NonNegative = 0.0
    name: str = "saga_log"

    def bind(self, env: simpy.Environment) -> LiveSagaLog:
        """Make the log, empty, in *env*."""
        return LiveSagaLog(self, env)


@dataclass
class SagaState:
    """What the log says of one saga.

    Attributes:
        context: The context after the last completed step, as JSON.
        completed: Names of the completed steps, in order.
        is_compensating: Whether the decision to compensate was written.
        reason: Why: keys error, outcome, cause, step and doubt (was the step in doubt).
        compensated: Names of the compensated steps, in order.
        stuck: Name -> error of the compensations that failed for good.
        status: How it has ended, or "" while it has not.
    """

    context: str = "{}"
    completed: list[str] = field(default_factory=list)
    is_compensating: bool = False
    reason: dict[str, Any] = field(default_factory=dict)
    compensated: list[str] = field(default_factory=list)
    stuck: dict[str, str] = field(default_factory=dict)
    status: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """The context after the last completed step."""
        found: dict[str, Any] = json.loads(self.context)
        return found

    def apply(self, type: str, step: str, detail: str) -> None:
        """Take over one entry of the log."""
        if type == STARTED:
            self.context = detail
        elif type == COMPLETED:
            self.completed.append(step)
            self.context = detail
        elif type == COMPENSATING:
            self.is_compensating = True
            self.reason = json.loads(detail)
        elif type == COMPENSATED:
            self.stuck.pop(step, None)
            self.compensated.append(step)
        elif type == STUCK:
            self.stuck[step] = detail
        else:
            self.status = detail


class LiveSagaLog:
    """A saga log in an environment.

    Attributes:
        spec: What it was made from.
        rows: Time, saga id, type, step and detail of each entry, in order.
    """

    COLUMNS = ("time", "saga_id", "type", "step", "detail")

    def __init__(self, spec: SagaLog, env: simpy.Environment) -> None:
        self.spec = spec
        self.env = env
        self.rows: list[tuple[float, str, str, str, str]] = []
        self._states: dict[str, SagaState] = {}

    def write(self, saga_id: str, *entries: tuple[str, str, str]) -> Steps:
        """Append entries (type, step, detail) of one saga: all of them, or none after a crash."""
        if self.spec.write_time:
            yield self.env.timeout(self.spec.write_time)
        state = self._states.setdefault(saga_id, SagaState())
        for entry in entries:
            self.rows.append((self.env.now, saga_id, *entry))
            state.apply(*entry)

    def state(self, saga_id: str) -> SagaState | None:
        """Return what is known of a saga, or None."""
        return self._states.get(saga_id)

    def unfinished(self) -> list[str]:
        """Return the sagas that have started and not ended, in order of their start."""
        return [saga_id for saga_id, state in self._states.items() if not state.status]

    def stuck(self) -> list[str]:
        """Return the sagas that ended with a failed compensation, in order of their start."""
        return [saga_id for saga_id, state in self._states.items() if state.status == STUCK]

    def __len__(self) -> int:
        return len(self._states)

    def to_frame(self) -> pd.DataFrame:
        """Return the entries as a DataFrame: time, saga_id, type, step, detail."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(self.COLUMNS))
