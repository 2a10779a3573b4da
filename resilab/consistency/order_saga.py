"""The examples of the reference: the create-order saga and the order service."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import simpy

from ..engine import Steps
from ..errors import TimeoutExceededError
from ..events import EventLog
from ..resilience.base import Policy
from ..resilience.filters import ErrorFilter
from ..resilience.policy import ResiliencePolicy
from ..validation import Spec, one_of
from .database import LiveDatabase, Row, Transaction
from .outbox import LiveOutbox
from .participant import LiveParticipant, Participant
from .saga import Saga
from .saga_steps import COMPENSATION_POLICY, SagaContext, SagaStep

ORDERS = "id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id, total REAL, created_at REAL DEFAULT (now())"
"""Columns of the orders table."""


@dataclass(frozen=True)
class Inventory(Participant):
    """The service that reserves what an order needs, with the fields of `Participant`.

    Example:
        >>> Inventory(decline_rate=0.1).decline_rate
        0.1

    Source: `inventory` of the reference document's create-order saga.
    """

    name: str = "inventory"
    done: str = "reserved"
    undone: str = "released"

    def bind(self, env: simpy.Environment, serve: Callable[[], Any] | None = None, *, seed: int = 0) -> LiveInventory:
        return LiveInventory(self, env, serve, seed)


class LiveInventory(LiveParticipant):
    """An inventory in an environment."""

    def reserve(self, items: Any, key: str) -> Steps:
        """Reserve *items*; the value is the id of the reservation, which is *key*."""
        return self.do(key, len(items))

    def cancel_reservation(self, reservation_id: str) -> Steps:
        """Release a reservation, or forbid one that has not happened yet."""
        return self.undo(reservation_id)


@dataclass(frozen=True)
class Payment(Participant):
    """The service that charges and refunds customers, with the fields of `Participant`.

    Example:
        >>> Payment(decline_rate=0.1).decline_rate
        0.1

    Source: `payment` of the reference document's create-order saga.
    """

    name: str = "payment"
    done: str = "charged"
    undone: str = "refunded"

    def bind(self, env: simpy.Environment, serve: Callable[[], Any] | None = None, *, seed: int = 0) -> LivePayment:
        return LivePayment(self, env, serve, seed)


class LivePayment(LiveParticipant):
    """A payment service in an environment."""

    def charge(self, customer_id: Any, total: float, key: str) -> Steps:
        """Charge *total*; the value is the id of the payment, which is *key*."""
        return self.do(key, total)

    def refund(self, payment_id: str) -> Steps:
        """Refund a payment, or forbid one that has not happened yet."""
        return self.undo(payment_id)


@dataclass(frozen=True)
class OrderRepository(Participant):
    """The service that confirms and cancels orders, with the fields of `Participant`.

    Example:
        >>> OrderRepository(decline_rate=0.1).decline_rate
        0.1

    Source: `orderRepo` of the reference document's create-order saga.
    """

    name: str = "orders"
    done: str = "confirmed"
    undone: str = "cancelled"

    def bind(
        self, env: simpy.Environment, serve: Callable[[], Any] | None = None, *, seed: int = 0
    ) -> LiveOrderRepository:
        return LiveOrderRepository(self, env, serve, seed)


class LiveOrderRepository(LiveParticipant):
    """An order repository in an environment."""

    def confirm(self, order_id: Any) -> Steps:
        """Confirm an order; its id is the key."""
        return self.do(str(order_id))

    def cancel(self, order_id: Any) -> Steps:
        """Cancel an order, confirmed or not yet."""
        return self.undo(str(order_id))


@dataclass(frozen=True)
class CreateOrderSaga(Spec):
    """Reserve the items, charge the customer, confirm the order; or undo what was done.

    Args:
        inventory: A live service with `reserve(items, key)` and `cancel_reservation(id)`.
        payment: A live service with `charge(customer_id, total, key)` and `refund(id)`.
        orders: A live service with `confirm(order_id)` and `cancel(order_id)`.
        timeout: Seconds that each step may take, retries included. None is no limit.
        policy: Policies around each step.
        compensation_policy: Policies around each compensation.
        doubtful_errors: Errors after which a step may have taken effect; see `Saga`.
        compensate_doubt: Whether a step that may have taken effect is undone; see `Saga`.

    Example:
        >>> env = simpy.Environment()
        >>> services = Inventory().bind(env), Payment().bind(env), OrderRepository().bind(env)
        >>> saga = CreateOrderSaga(*services).bind(env)
        >>> command = {"order_id": 1, "customer_id": 7, "items": ["book"], "total": 9.5}
        >>> env.run(env.process(saga.execute(command))).success
        True

    Source: `CreateOrderSaga` of the reference document.
    """

    inventory: Any
    payment: Any
    orders: Any
    timeout: float | None = None
    policy: Policy = field(default_factory=ResiliencePolicy)
    compensation_policy: Policy = COMPENSATION_POLICY
    doubtful_errors: ErrorFilter = TimeoutExceededError
    compensate_doubt: bool = True

    def __post_init__(self) -> None:
        for name, method in (("inventory", "reserve"), ("payment", "charge"), ("orders", "confirm")):
            if not hasattr(getattr(self, name), method):
                raise TypeError(f"{name} must be a live service with {method}, got {getattr(self, name)!r}")
        _ = self.saga  # its steps check the other fields

    @property
    def saga(self) -> Saga:
        """The steps as a `Saga`."""
        options: dict[str, Any] = {"policy": self.policy, "timeout": self.timeout}
        return Saga(
            SagaStep("reserve_inventory", self._reserve, self._cancel_reservation, **options),
            SagaStep("process_payment", self._charge, self._refund, **options),
            SagaStep("confirm_order", self._confirm, self._cancel, **options),
            compensation_policy=self.compensation_policy,
            doubtful_errors=self.doubtful_errors,
            compensate_doubt=self.compensate_doubt,
            name="create_order",
        )

    def bind(
        self, env: simpy.Environment, *, saga_log: Any = None, seed: int | None = None, log: EventLog | None = None
    ) -> Any:
        """Make an orchestrator in *env*; see `Saga.bind`."""
        return self.saga.bind(env, saga_log=saga_log, seed=seed, log=log)

    def _reserve(self, context: SagaContext) -> Steps:
        context.reservation_id = yield from self.inventory.reserve(context.items, context.key)

    def _cancel_reservation(self, context: SagaContext) -> Steps:
        # In doubt the id was never heard of; the key by which it was asked for is known.
        yield from self.inventory.cancel_reservation(context.get("reservation_id", context.key))

    def _charge(self, context: SagaContext) -> Steps:
        context.payment_id = yield from self.payment.charge(context.customer_id, context.total, context.key)

    def _refund(self, context: SagaContext) -> Steps:
        yield from self.payment.refund(context.get("payment_id", context.key))

    def _confirm(self, context: SagaContext) -> Steps:
        yield from self.orders.confirm(context.order_id)

    def _cancel(self, context: SagaContext) -> Steps:
        yield from self.orders.cancel(context.order_id)


class OrderService:
    """Create orders, and write the message about each in the same transaction.

    Args:
        database: A live database; the table orders is made if it is not there.
        outbox: A live outbox in it.

    Source: `OrderService` of the reference document.
    """

    def __init__(self, database: LiveDatabase, outbox: LiveOutbox) -> None:
        self.database = database
        self.outbox = outbox
        database.create_table("orders", ORDERS)

    def create_order(self, order: Mapping[str, Any]) -> Steps:
        """Create an order; the value is its row. `order["id"]` may be given or left to the database."""
        return self.database.transaction(self._create, order)

    def _create(self, tx: Transaction, order: Mapping[str, Any]) -> Steps:
        row = yield from tx.orders.create(**order)
        yield from self.outbox.create(tx, "Order", row["id"], "OrderCreated", row)
        return row


class DualWriteOrderService:
    """Create orders, and publish the message about each as a second write: do not do this.

    Args:
        database: A live database; the table orders is made if it is not there.
        broker: Anything with a method `publish(topic, payload)`.
        order: "commit_first" loses the message when the service dies in between or the
            publish fails. "publish_first" announces orders that never come to be:
            phantoms. "publish_inside" publishes before the commit of the open
            transaction: phantoms, too, and it holds the database for the time of the
            publish.
    """

    def __init__(self, database: LiveDatabase, broker: Any, order: str = "commit_first") -> None:
        self.database = database
        self.order = one_of("order", order, ("commit_first", "publish_first", "publish_inside"))
        self._publish = getattr(broker, "publish", broker)
        database.create_table("orders", ORDERS)

    def create_order(self, order: Mapping[str, Any]) -> Steps:
        """Create an order, whose id must be given if it is published first; the value is its row."""
        if self.order == "publish_first":
            yield from self._announce(dict(order))
            return (yield from self.database.transaction(self._insert, order))
        row = yield from self.database.transaction(self._insert, order)
        if self.order == "commit_first":
            yield from self._announce(row)
        return row

    def _insert(self, tx: Transaction, order: Mapping[str, Any]) -> Steps:
        row = yield from tx.orders.create(**order)
        if self.order == "publish_inside":
            yield from self._announce(row)
        return row

    def _announce(self, row: Row) -> Steps:
        answer = self._publish("OrderCreated", json.loads(json.dumps(row)))
        if hasattr(answer, "throw"):
            yield from answer
