"""SagaScenario: orders that need three services to agree, and the run that plays them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import simpy

from ..consistency.crash import crash, is_crash
from ..consistency.orchestrator import LiveSaga
from ..consistency.order_saga import CreateOrderSaga, Inventory, OrderRepository, Payment
from ..consistency.saga_log import SagaLog
from ..consistency.saga_steps import COMPENSATION_POLICY, SagaResult, nothing_to_undo
from ..engine import Steps, at, interrupt, request_of, start
from ..errors import ResilienceError
from ..lab.run import Run, Stream
from ..lab.service import Service
from ..lab.workload import Poisson, Workload
from ..lab.world import World
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import NonNegative, Positive, Ratio, Rule, non_negative, sequence
from .saga_result import SagaRunResult

STEPS = ("reserve_inventory", "process_payment", "confirm_order")
"""The steps of an order, in order; each belongs to one service."""


def _service(name: str) -> Service:
    return Service(workers=20, latency=0.05, on_cancel="ignore", name=name)


def _times(name: str, values: Any) -> tuple[float, ...]:
    return tuple(sorted(non_negative(name, time) for time in sequence(name, values)))


@dataclass(frozen=True)
class SagaScenario(World[SagaRunResult]):
    """Create orders over an inventory, a payment and an order service.

    Each order reserves, charges and confirms; each service may be slow, fail, decline
    or hang. What was done is undone when a later step fails. `rl.simulate` plays it:
    a request is an order, a success is a committed saga.

    Args:
        workload: When orders arrive.
        inventory: The service that reserves. What was sent to it goes on when its
            caller has gone, as with any remote service: say `on_cancel="ignore"`.
        payment: The service that charges.
        orders: The service that confirms.
        out_of_stock: Share of reservations that are declined, from 0 to 1.
        declined: Share of charges that are declined, from 0 to 1.
        timeout: Seconds that each step may take, retries included. None is no limit.
        policy: Policies around each step.
        compensation_policy: Policies around each compensation.
        compensate: False leaves everything as it is when a step fails: no saga at all.
        compensate_doubt: False takes a step that timed out for one without effect.
        idempotent: False makes services that do a thing again when asked again.
        log_write_time: Seconds of each write to the saga log.
        crashes: Times at which the orchestrator dies, with all sagas under way.
        restart_delay: Seconds from a crash until it is up again and resumes them.
        duration: Simulated seconds in which orders arrive.

    Example:
        >>> from resilab import simulate
        >>> result = simulate(SagaScenario(declined=0.2, duration=20.0), seed=1)
        >>> sorted(result.verdicts())
        ['confirmed', 'undone']
    """

    workload: Workload = field(default_factory=lambda: Poisson(rate=10))
    inventory: Service = field(default_factory=lambda: _service("inventory"))
    payment: Service = field(default_factory=lambda: _service("payment"))
    orders: Service = field(default_factory=lambda: _service("orders"))
    out_of_stock: Ratio = 0.0
    declined: Ratio = 0.0
    timeout: Positive | None = None
    policy: Policy = field(default_factory=ResiliencePolicy)
    compensation_policy: Policy = COMPENSATION_POLICY
    compensate: bool = True
    compensate_doubt: bool = True
    idempotent: bool = True
    log_write_time: NonNegative = 0.0
    crashes: Annotated[tuple[float, ...], Rule(_times, "times >= 0")] = ()
    restart_delay: Positive = 1.0
    duration: Positive = 60.0

    def __post_init__(self) -> None:
        for name in ("inventory", "payment", "orders"):
            object.__setattr__(self, name, getattr(self, name).replace(name=name))

    @property
    def services(self) -> tuple[Service, ...]:
        """The services of the three steps."""
        return (self.inventory, self.payment, self.orders)

    def participants(self) -> tuple[Inventory, Payment, OrderRepository]:
        """Return the three services as participants."""
        return (
            Inventory(decline_rate=self.out_of_stock, idempotent=self.idempotent),
            Payment(decline_rate=self.declined, idempotent=self.idempotent),
            OrderRepository(idempotent=self.idempotent),
        )

    def saga(self, inventory: Any, payment: Any, orders: Any) -> CreateOrderSaga:
        """Return the saga over three live services."""
        return CreateOrderSaga(
            inventory,
            payment,
            orders,
            timeout=self.timeout,
            policy=self.policy,
            compensation_policy=self.compensation_policy,
            compensate_doubt=self.compensate_doubt,
        )

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> SagaRunResult:
        return _SagaRun(self, seed, record).result_at(horizon)


class _SagaRun(Run):
    """One run: the orchestrator, the services, and the orders under way."""

    scenario: SagaScenario

    def __init__(self, scenario: SagaScenario, seed: int, record: bool) -> None:
        super().__init__(scenario, seed, record, [Stream("", scenario.workload)])
        env = self.env
        services = {service.name: self.bind(service) for service in scenario.services}
        self.participants = [spec.bind(env, services[spec.name].request, seed=seed) for spec in scenario.participants()]
        spec = scenario.saga(*self.participants).saga
        if not scenario.compensate:
            spec = spec.replace(steps=tuple(step.replace(compensate=nothing_to_undo) for step in spec.steps))
        self.saga_log = SagaLog(scenario.log_write_time).bind(env)
        self.saga: LiveSaga = spec.bind(env, saga_log=self.saga_log, seed=seed, log=self.log)
        self._works: dict[Any, None] = {}  # in order, so that a crash has one order, too
        self._is_up: simpy.Event | None = None
        if scenario.crashes:
            start(env, self._crash_at(scenario.crashes))

        self.calls = [[self._order]]

    def result_at(self, horizon: float | None) -> SagaRunResult:
        """Play to the end, or to the horizon."""
        self.play(horizon)
        return self.result(
            SagaRunResult,
            horizon,
            order_rows=tuple(self._order_row(number) for number in range(self.count)),
            step_rows=tuple(row for row in self.saga.rows if self.scenario.compensate or row[3] == "execute"),
            log_rows=tuple(self.saga_log.rows),
        )

    def _order(self) -> Steps:
        request: Any = request_of(self.env.active_process)
        number = request.id
        command = {"order_id": number, "customer_id": number, "items": [number], "total": 10.0}
        if self.scenario.crashes:
            result = yield from self._outlive_crashes(request, command)
        else:
            result = yield from self.saga.execute(command, _saga_id(number))
        if not result.success:
            raise _error(result)

    def _outlive_crashes(self, request: Any, command: dict[str, Any]) -> Steps:
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


class FailedOrderError(ResilienceError):
    """An order that was not confirmed ends as its failed step has ended."""

    def __init__(self, message: str | None, outcome: str, cause: str) -> None:
        super().__init__(message, outcome, cause)
        self.outcome, self.cause = outcome, cause  # type: ignore[misc]  # of this error, not of its class

    def __str__(self) -> str:
        return str(self.args[0])


def _error(result: SagaResult) -> FailedOrderError:
    if result.is_stuck:
        return FailedOrderError(f"{result.saga_id} is stuck: {result.failed_compensations}", "failure", "stuck")
    return FailedOrderError(result.error, result.outcome, result.cause)
