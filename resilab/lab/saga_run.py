"""Play a saga scenario."""

from __future__ import annotations

from typing import Any

import simpy

from ..consistency.crash import crash, is_crash
from ..consistency.orchestrator import LiveSaga
from ..consistency.saga import SagaResult, nothing_to_undo
from ..consistency.saga_log import SagaLog
from ..engine import Request, Steps, interrupt, start
from ..errors import ResilienceError
from .ordering import OrderRun, at
from .saga_result import SagaRunResult
from .saga_scenario import STEPS, SagaScenario

_OUTCOMES: dict[tuple[str, str], type[ResilienceError]] = {}


class SagaRun(OrderRun):
    """One run: the orchestrator, the services, and the orders under way."""

    def __init__(self, scenario: SagaScenario, seed: int, record: bool) -> None:
        super().__init__(scenario, seed, record, (scenario.inventory, scenario.payment, scenario.orders))
        env = self.env
        self.participants = [
            spec.bind(env, self.services[spec.name].request, seed=seed) for spec in scenario.participants()
        ]
        spec = scenario.saga(*self.participants).saga
        if not scenario.compensate:
            spec = spec.replace(steps=tuple(step.replace(compensate=nothing_to_undo) for step in spec.steps))
        self.saga_log = SagaLog(scenario.log_write_time).bind(env)
        self.saga: LiveSaga = spec.bind(env, saga_log=self.saga_log, seed=seed, log=self.log)
        self._works: dict[Any, None] = {}  # in order, so that a crash has one order, too
        self._is_up: simpy.Event | None = None
        if scenario.crashes:
            start(env, self._crash_at(scenario.crashes))

    def play(self, horizon: float | None) -> SagaRunResult:
        """Play to the end, or to the horizon."""
        fields = self.run(horizon)
        count = len(fields["columns"]["arrival"])
        return SagaRunResult(
            **fields,
            order_rows=tuple(self._order_row(number) for number in range(count)),
            step_rows=tuple(row for row in self.saga.rows if self.scenario.compensate or row[3] == "execute"),
            log_rows=tuple(self.saga_log.rows),
        )

    def handle(self, request: Request) -> Steps:
        number = request.id
        command = {"order_id": number, "customer_id": number, "items": [number], "total": 10.0}
        if self.scenario.crashes:
            result = yield from self._outlive_crashes(request, command)
        else:
            result = yield from self.saga.execute(command, _saga_id(number))
        if not result.success:
            raise _error(result)

    def _outlive_crashes(self, request: Request, command: dict[str, Any]) -> Steps:
        """Execute a saga, and resume it whenever the orchestrator is up again."""
        env = self.env
        while True:
            if self._is_up is not None:
                yield self._is_up
                continue
            work = start(env, self.saga.execute(command, _saga_id(request.id)), request)
            self._works[work] = None
            try:
                return (yield work)
            except simpy.Interrupt as signal:
                if not is_crash(signal):
                    work.defused = True
                    if work.is_alive:
                        interrupt(work, signal.cause)
                    raise
            finally:
                self._works.pop(work, None)

    def _crash_at(self, times: tuple[float, ...]) -> Steps:
        env = self.env
        for time in times:
            if time < env.now:
                continue  # it is down already
            yield at(env, time)
            if len(self.columns.arrays["end"]) and not self.open and env.now > self.scenario.duration:
                return
            self._note("crash", f"{len(self._works)} sagas under way")
            self._is_up = env.event()
            for work in list(self._works):
                crash(work)
            yield env.timeout(self.scenario.restart_delay)
            self._note("restart", f"{len(self.saga_log.unfinished())} sagas to resume")
            is_up, self._is_up = self._is_up, None
            is_up.succeed()

    def _note(self, type: str, detail: str) -> None:
        if self.log is not None:
            self.log.append(self.env.now, "orchestrator", type, -1, detail)

    def _order_row(self, number: int) -> tuple[Any, ...]:
        saga_id = _saga_id(number)
        state = self.saga_log.state(saga_id)
        inventory, payment, orders = self.participants
        keys = (f"{saga_id}/{STEPS[0]}", f"{saga_id}/{STEPS[1]}", str(number))
        words = []
        counts = []
        for service, key in zip((inventory, payment, orders), keys, strict=True):
            effect = service.effects.get(key)
            counts.append(0 if effect is None else max(0, effect.done - effect.undone))
            words.append(service.status(key))
        status = "open" if state is None or not state.status else state.status
        if status == "compensated" and not self.scenario.compensate:
            status = "abandoned"
        reason: dict[str, Any] = {} if state is None else state.reason
        verdict = _verdict(counts)
        return (number, saga_id, status, reason.get("step"), reason.get("doubt", False), *words, verdict)


def _saga_id(number: int) -> str:
    return f"order-{number}"


def _verdict(counts: list[int]) -> str:
    """Say in words what is left of an order: how often it was reserved, charged, confirmed."""
    if counts == [1, 1, 1]:
        return "confirmed"
    if counts == [0, 0, 0]:
        return "undone"
    words = []
    for count, done in zip(counts, ("reserved", "charged", "confirmed"), strict=True):
        if count:
            words.append(done if count == 1 else f"{done} {count} times")
    return ", ".join(words) + ("" if counts[2] else ", not confirmed")


def _error(result: SagaResult) -> ResilienceError:
    """Return an error that ends the order's request as its failed step has ended."""
    if result.is_stuck:
        return _error_of("failure", "stuck")(f"{result.saga_id} is stuck: {result.failed_compensations}")
    return _error_of(result.outcome, result.cause)(result.error)


def _error_of(outcome: str, cause: str) -> type[ResilienceError]:
    kind = _OUTCOMES.get((outcome, cause))
    if kind is None:
        kind = type("FailedOrderError", (ResilienceError,), {"outcome": outcome, "cause": cause})
        _OUTCOMES[outcome, cause] = kind
    return kind
