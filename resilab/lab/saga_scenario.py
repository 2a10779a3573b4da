"""SagaScenario: orders that need three services to agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..consistency.orders import CreateOrderSaga, Inventory, OrderRepository, Payment
from ..consistency.saga import COMPENSATION_POLICY
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import Spec, instance, non_negative, positive, ratio, sequence
from .saga_result import SagaRunResult
from .scenario import Operation
from .service import Service
from .workload import Poisson, Workload

STEPS = ("reserve_inventory", "process_payment", "confirm_order")
"""The steps of an order, in order; each belongs to one service."""


def _service(name: str) -> Service:
    return Service(workers=20, latency=0.05, on_cancel="ignore", name=name)


@dataclass(frozen=True)
class SagaScenario(Spec):
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
    out_of_stock: float = 0.0
    declined: float = 0.0
    timeout: float | None = None
    policy: Policy = field(default_factory=ResiliencePolicy)
    compensation_policy: Policy = COMPENSATION_POLICY
    compensate: bool = True
    compensate_doubt: bool = True
    idempotent: bool = True
    log_write_time: float = 0.0
    crashes: tuple[float, ...] = ()
    restart_delay: float = 1.0
    duration: float = 60.0

    def __post_init__(self) -> None:
        instance("workload", self.workload, Workload)
        for name in ("inventory", "payment", "orders"):
            service = instance(name, getattr(self, name), Service)
            object.__setattr__(self, name, service.replace(name=name))
        ratio("out_of_stock", self.out_of_stock)
        ratio("declined", self.declined)
        if self.timeout is not None:
            positive("timeout", self.timeout)
        instance("policy", self.policy, Policy)
        instance("compensation_policy", self.compensation_policy, Policy)
        non_negative("log_write_time", self.log_write_time)
        crashes = tuple(non_negative("crashes", time) for time in sequence("crashes", self.crashes))
        object.__setattr__(self, "crashes", tuple(sorted(crashes)))
        positive("restart_delay", self.restart_delay)
        positive("duration", self.duration)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """None: every request is an order."""
        return ()

    @property
    def parts(self) -> tuple[Operation, ...]:
        """The three services, as what a run consists of."""
        services = (self.inventory, self.payment, self.orders)
        return tuple(Operation(service.name, self.workload, service) for service in services)

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
        """Play it; call `rl.simulate(scenario, seed)` instead."""
        from .saga_run import SagaRun

        return SagaRun(self, seed, record).play(horizon)
