"""LiveSaga: the orchestrator that executes, compensates and resumes sagas."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import simpy

from ..engine import Steps, request_of, steps_of
from ..errors import NEVER_HANDLED, ResilienceError
from ..events import EventLog
from ..resilience.base import Policy
from ..resilience.filters import ErrorFilter, error_filter
from ..resilience.policy import ResiliencePolicy
from ..resilience.timeout import Timeout
from .saga_log import COMPENSATED, COMPENSATING, COMPLETED, ENDED, STARTED, STUCK, LiveSagaLog, SagaState
from .saga_steps import SagaContext, SagaResult, SagaStep

if TYPE_CHECKING:
    import pandas as pd

STEP_COLUMNS = ("saga_id", "request_id", "step", "kind", "start", "end", "outcome", "cause", "attempts")


class _Tally:
    """How many attempts of one step were begun, and how many have answered for sure."""

    __slots__ = ("answered", "begun")

    def __init__(self) -> None:
        self.begun = 0
        self.answered = 0


class SagaPlan(Protocol):
    """What the orchestrator reads of a `Saga`."""

    @property
    def steps(self) -> tuple[SagaStep, ...]: ...
    @property
    def compensation_policy(self) -> Policy: ...
    @property
    def doubtful_errors(self) -> ErrorFilter: ...
    @property
    def compensate_doubt(self) -> bool: ...
    @property
    def name(self) -> str: ...


class LiveSaga:
    """An orchestrator of one kind of saga.

    It keeps nothing that matters but in its log: after a crash, bind a new one with
    the same log, or go on with this one, and `recover`.

    Attributes:
        spec: What it was made from.
        saga_log: Where it writes down what it does.
        rows: One row an execution or compensation of a step, see `frame`.
    """

    def __init__(
        self, spec: SagaPlan, env: simpy.Environment, saga_log: LiveSagaLog, seed: int | None, log: EventLog | None
    ) -> None:
        self.spec = spec
        self.env = env
        self.saga_log = saga_log
        self.rows: list[tuple[str, int, str, str, float, float, str, str, int]] = []
        self._log = log
        self._running: set[str] = set()
        self._named = 0
        self._is_doubtful = error_filter("doubtful_errors", spec.doubtful_errors)
        self._execute = {}
        self._compensate = {}
        for step in spec.steps:
            limit = () if step.timeout is None else (Timeout(step.timeout),)
            policies = ResiliencePolicy(*limit, step.policy)
            name = f"{spec.name}/{step.name}"
            self._execute[step.name] = policies.bind(env, seed=seed, log=log, name=name).around(self._attempt)
            undo = ResiliencePolicy(step.compensation_policy or spec.compensation_policy)
            undo_live = undo.bind(env, seed=seed, log=log, name=f"{name}/compensation")
            self._compensate[step.name] = undo_live.around(self._undo)

    def execute(self, command: Any = (), saga_id: str | None = None) -> Steps:
        """Run a saga to its end: `result = yield from saga.execute(command)`.

        Args:
            command: Fields of the context: a mapping or a dataclass.
            saga_id: Its name. A saga that was started under it is resumed, not started
                again. None makes a new name.

        Returns:
            A generator to `yield from`; its value is a `SagaResult`. A failed step
            raises nothing.
        """
        if saga_id is None:
            self._named = max(self._named, len(self.saga_log)) + 1  # others may not be in the log yet
            saga_id = f"{self.spec.name}-{self._named}"
        if self.saga_log.state(saga_id) is None:
            context = SagaContext(saga_id, _fields(command))
            return self._run(saga_id, context)
        return self.resume(saga_id)

    def resume(self, saga_id: str) -> Steps:
        """Go on with a saga where its log ends; of one that has ended, return the result."""
        if self.saga_log.state(saga_id) is None:
            raise KeyError(f"no saga {saga_id!r} in the log")
        return self._run(saga_id, None)

    def recover(self) -> Steps:
        """Resume all unfinished sagas, one after the other; the value is their results."""
        results = []
        for saga_id in self.saga_log.unfinished():
            results.append((yield from self.resume(saga_id)))
        return results

    def repair(self, saga_id: str) -> Steps:
        """Try the failed compensations of a stuck saga again; the value is the new result."""
        state = self.saga_log.state(saga_id)
        if state is None or state.status != STUCK:
            raise ValueError(f"repair needs a stuck saga, got {saga_id!r}")
        state.stuck.clear()
        state.status = ""
        return self.resume(saga_id)

    def frame(self) -> pd.DataFrame:
        """Return what the steps did as a DataFrame, one row an execution or compensation.

        Columns: saga_id, request_id (-1 if none), step, kind ("execute" or
        "compensate"), start, end, outcome, cause, attempts. The outcome "crashed" is
        that of a step during which the orchestrator died.
        """
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(STEP_COLUMNS))

    def _run(self, saga_id: str, context: SagaContext | None) -> Steps:
        if saga_id in self._running:
            raise RuntimeError(f"saga {saga_id!r} is running already")
        self._running.add(saga_id)
        try:
            is_resumed = context is None
            if context is None:
                context = SagaContext(saga_id, self._state(saga_id).fields)
                self._note("resumed", saga_id)
            else:
                yield from self._write(saga_id, (STARTED, "", _encode(context)))
            state = self._state(saga_id)
            if not state.status and not state.is_compensating:
                yield from self._go_forward(context, state, is_resumed)
            if not state.status:
                yield from self._go_back(context, state)
            return self._result(saga_id, context, state)
        finally:
            self._running.discard(saga_id)

    def _go_forward(self, context: SagaContext, state: SagaState, is_resumed: bool) -> Steps:
        saga_id = context.saga_id
        steps = self.spec.steps
        for index in range(len(state.completed), len(steps)):
            step = steps[index]
            tally = _Tally()
            call = self._execute[step.name]
            try:
                yield from self._record(call, "execute", step, context.for_step(step.name), tally)
            except NEVER_HANDLED:
                raise
            except Exception as error:
                # After a crash nobody knows whether the step was under way: it is in doubt, too.
                doubt = self.spec.compensate_doubt and (is_resumed or tally.begun > tally.answered)
                reason = json.dumps(_reason(step, error, doubt))
                self._note("compensating", f"{saga_id}: {step.name}: {error}{' (in doubt)' if doubt else ''}")
                yield from self._write(saga_id, (COMPENSATING, step.name, reason))
                return
            is_resumed = False
            entries = [(COMPLETED, step.name, _encode(context))]
            if index + 1 == len(steps):
                entries.append((ENDED, "", "committed"))
            yield from self._write(saga_id, *entries)

    def _go_back(self, context: SagaContext, state: SagaState) -> Steps:
        saga_id = context.saga_id
        names = [*state.completed, state.reason["step"]] if state.reason["doubt"] else state.completed
        steps = {step.name: step for step in self.spec.steps}
        for name in reversed(names):
            if name in state.compensated or name in state.stuck:
                continue
            step = steps[name]
            try:
                if step.compensate is None:
                    raise RuntimeError(f"{name} is in doubt, and nothing can undo it")
                call = self._compensate[name]
                yield from self._record(call, "compensate", step, context.for_step(name), _Tally())
            except NEVER_HANDLED:
                raise
            except Exception as error:
                self._note("stuck", f"{saga_id}: {name}: {error}")
                yield from self._write(saga_id, (STUCK, name, _text(error)))
            else:
                yield from self._write(saga_id, (COMPENSATED, name, ""))
        yield from self._write(saga_id, (ENDED, "", STUCK if state.stuck else COMPENSATED))

    def _record(self, call: Any, kind: str, step: SagaStep, context: SagaContext, tally: _Tally) -> Steps:
        start = self.env.now
        outcome, cause = "success", ""
        try:
            yield from call(step, context, tally)
        except simpy.Interrupt:
            outcome = cause = "crashed"
            raise
        except Exception as error:
            outcome, cause = _outcome(error), _cause(error)
            raise
        finally:
            request = request_of(self.env.active_process)
            id = -1 if request is None else request.id
            row = (context.saga_id, id, step.name, kind, start, self.env.now, outcome, cause, tally.begun)
            self.rows.append(row)

    def _attempt(self, step: SagaStep, context: SagaContext, tally: _Tally) -> Steps:
        """Execute a step once; an attempt that is interrupted has no sure answer."""
        tally.begun += 1
        try:
            yield from steps_of(step.execute, (context,))
        except simpy.Interrupt:
            raise
        except Exception as error:
            if not self._is_doubtful(error):
                tally.answered += 1
            raise
        tally.answered += 1

    def _undo(self, step: SagaStep, context: SagaContext, tally: _Tally) -> Steps:
        tally.begun += 1
        yield from steps_of(step.compensate, (context,))  # None was refused before

    def _write(self, saga_id: str, *entries: tuple[str, str, str]) -> Steps:
        return self.saga_log.write(saga_id, *entries)

    def _state(self, saga_id: str) -> SagaState:
        state = self.saga_log.state(saga_id)
        assert state is not None
        return state

    def _result(self, saga_id: str, context: SagaContext, state: SagaState) -> SagaResult:
        reason = state.reason
        return SagaResult(
            success=state.status == "committed",
            error=reason.get("error"),
            status=state.status,
            saga_id=saga_id,
            failed_step=reason.get("step"),
            completed=tuple(state.completed),
            compensated=tuple(state.compensated),
            failed_compensations=tuple(state.stuck.items()),
            outcome=reason.get("outcome", "success"),
            cause=reason.get("cause", ""),
            context=context.to_dict(),
        )

    def _note(self, type: str, detail: str) -> None:
        if self._log is not None:
            request = request_of(self.env.active_process)
            self._log.append(self.env.now, self.spec.name, type, -1 if request is None else request.id, detail)


def _fields(command: Any) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(command) and not isinstance(command, type):
        return dataclasses.asdict(command)
    return dict(command)


def _encode(context: SagaContext) -> str:
    try:
        return json.dumps(context.to_dict())
    except TypeError as error:
        raise TypeError(f"the context of {context.saga_id} must hold values that JSON can hold: {error}") from None


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _outcome(error: BaseException) -> str:
    return error.outcome if isinstance(error, ResilienceError) else "failure"


def _cause(error: BaseException) -> str:
    return error.cause if isinstance(error, ResilienceError) else type(error).__name__


def _reason(step: SagaStep, error: Exception, doubt: bool) -> dict[str, Any]:
    return {
        "step": step.name,
        "error": _text(error),
        "outcome": _outcome(error),
        "cause": _cause(error),
        "doubt": doubt,
    }
