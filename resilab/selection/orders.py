"""Orders of a shop, with and without a saga, with and without an outbox."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import simpy

from ..consistency.database import Database
from ..consistency.orders import (
    CreateOrderSaga,
    DualWriteOrderService,
    Inventory,
    OrderRepository,
    OrderService,
    Payment,
)
from ..consistency.outbox import Outbox
from ..consistency.outbox_processor import OutboxProcessor
from ..consistency.saga_log import SagaLog
from ..distributions import Exponential
from ..engine import Steps
from ..errors import ResilienceError
from ..lab.service import Service
from ..lab.workload import Poisson
from ..validation import Spec, non_negative, positive, ratio


@dataclass(frozen=True)
class Orders:
    """What became of the orders of a day.

    Attributes:
        durations: Seconds from the order to its end, compensations included.
        reservations: Reservations that are still held.
        confirmed: Orders that are confirmed.
    """

    durations: tuple[float, ...]
    reservations: int
    confirmed: int


@dataclass(frozen=True)
class OrderDay(Spec):
    """Orders over inventory, payment and order service, which take 50 ms each.

    Args:
        rate: Orders per second.
        duration: Seconds in which orders arrive.
        decline_rate: Share of the payments that are declined.
        has_saga: Whether a saga undoes what was done; otherwise a failed order is left.
        write_time: Seconds that each write to the log of the saga takes.
    """

    rate: float = 5.0
    duration: float = 40.0
    decline_rate: float = 0.0
    has_saga: bool = True
    write_time: float = 0.005

    def __post_init__(self) -> None:
        positive("rate", self.rate)
        positive("duration", self.duration)
        ratio("decline_rate", self.decline_rate)
        non_negative("write_time", self.write_time)

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> Orders:
        """Play the day; see `rl.simulate`."""
        env = simpy.Environment()

        def bind(spec: Any) -> Any:
            service = Service(20, Exponential(0.05), name=spec.name).bind(env, seed=seed)
            return spec.bind(env, service.request, seed=seed)

        inventory, payment, orders = (
            bind(Inventory()),
            bind(Payment(decline_rate=self.decline_rate)),
            bind(OrderRepository()),
        )
        saga = CreateOrderSaga(inventory, payment, orders).bind(
            env, saga_log=SagaLog(write_time=self.write_time).bind(env), seed=seed
        )
        durations = []

        def plain(number: int) -> Steps:
            key = str(number)
            yield from inventory.reserve(["book"], key)
            yield from payment.charge(number, 10.0, key)
            yield from orders.confirm(number)

        def order(number: int, arrival: float) -> Steps:
            yield env.timeout(arrival)
            if self.has_saga:
                command = {"order_id": number, "customer_id": number, "items": ["book"], "total": 10.0}
                yield from saga.execute(command, f"order-{number}")
            else:
                with suppress(ResilienceError):  # nobody undoes what was done
                    yield from plain(number)
            durations.append(env.now - arrival)

        for number, arrival in enumerate(Poisson(self.rate).arrivals(self.duration, seed).tolist()):
            env.process(order(number, arrival))
        env.run(horizon)
        return Orders(tuple(durations), _held(inventory), _held(orders))


def _held(participant: Any) -> int:
    return sum(effect.done > effect.undone for effect in participant.effects.values())


def half_done(result: Orders) -> float:
    """Return the share of orders whose reservation is held although they are not confirmed."""
    return (result.reservations - result.confirmed) / len(result.durations)


def order_time(result: Orders) -> float:
    """Return the mean time of an order, in seconds."""
    return sum(result.durations) / len(result.durations)


@dataclass(frozen=True)
class Messages:
    """What became of the messages of a day.

    Attributes:
        created: When each committed order was made, by its id.
        delivered: When the message about it first arrived, by its id.
    """

    created: dict[int, float]
    delivered: dict[int, float]


@dataclass(frozen=True)
class MessageDay(Spec):
    """Orders in a database, and a message about each over a broker that takes 10 ms.

    Args:
        rate: Orders per second.
        duration: Seconds in which orders arrive.
        outage: Seconds for which the broker fails, from a third of the duration on.
        has_outbox: Whether the message is written in the transaction of the order, and
            relayed once a second; otherwise it is published after the commit.
    """

    rate: float = 5.0
    duration: float = 40.0
    outage: float = 0.0
    has_outbox: bool = True

    def __post_init__(self) -> None:
        positive("rate", self.rate)
        positive("duration", self.duration)
        non_negative("outage", self.outage)

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> Messages:
        """Play the day; see `rl.simulate`."""
        env = simpy.Environment()
        database = Database().bind(env)
        delivered: dict[int, float] = {}
        created: dict[int, float] = {}
        begin = self.duration / 3

        def publish(topic: str, payload: Any) -> Steps:
            yield env.timeout(0.01)
            if begin <= env.now < begin + self.outage:
                raise ConnectionError("the broker is away")
            delivered.setdefault(payload["id"], env.now)

        service: OrderService | DualWriteOrderService
        if self.has_outbox:
            outbox = Outbox().bind(database)
            relay = OutboxProcessor(poll_interval=1.0).bind(outbox, publish, seed=seed)
            service = OrderService(database, outbox)
        else:
            service = DualWriteOrderService(database, publish)

        def order(number: int, arrival: float) -> Steps:
            yield env.timeout(arrival)
            with suppress(ConnectionError):  # the order is committed, its message is gone
                yield from service.create_order({"id": number, "customer_id": number, "total": 10.0})

        for number, arrival in enumerate(Poisson(self.rate).arrivals(self.duration, seed).tolist()):
            created[number] = arrival
            env.process(order(number, arrival))
        env.run(self.duration + self.outage + 5.0 if horizon is None else horizon)
        if self.has_outbox:
            env.run(relay.stop())
        return Messages(created, delivered)


def lost_messages(result: Messages) -> float:
    """Return the share of orders that nobody ever heard of."""
    return 1 - len(result.delivered) / len(result.created)


def message_delay(result: Messages) -> float:
    """Return the mean time from an order to its message, in seconds."""
    delays = [time - result.created[number] for number, time in result.delivered.items()]
    return sum(delays) / len(delays)
