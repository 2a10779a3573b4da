"""Each actor is killed at every event boundary of a small run; the world stays consistent."""

from __future__ import annotations

from collections import Counter
from functools import partial
from types import SimpleNamespace

import pytest
import simpy

import resilab as rl
from resilab.consistency.crash import Actor, every_crash

ORDERS = 2


def after(env, seconds):
    """What a service does for one call: it takes its time."""

    def serve():
        yield env.timeout(seconds)

    return serve


def failing_first(env, seconds, failures):
    """A service whose first calls fail."""
    calls = []

    def serve():
        yield env.timeout(seconds)
        calls.append(env.now)
        if len(calls) <= failures:
            raise rl.ServiceError("not now")

    return serve


def saga_world(declined: tuple[int, ...] = (), slow: bool = False, refunds_fail: int = 0):
    """Two orders over three services, one orchestrator that recovers when it starts."""
    env = simpy.Environment()
    inventory = rl.Inventory().bind(env, after(env, 0.13))
    payment = rl.Payment().bind(env, after(env, 1.7 if slow else 0.17))
    orders = rl.OrderRepository().bind(env, failing_first(env, 0.11, 2 if refunds_fail else 0))
    for number in declined:
        payment.effects[f"order-{number}/process_payment"] = declined_effect()
    policy = rl.ResiliencePolicy(rl.Retry(1, initial_delay=0.07, jitter="none"), rl.Timeout(0.5))
    spec = rl.CreateOrderSaga(
        inventory,
        payment,
        orders,
        policy=policy,
        compensation_policy=rl.Retry(None, initial_delay=0.05, jitter="none"),
    )
    saga_log = rl.SagaLog(write_time=0.03).bind(env)

    def orchestrate():
        saga = spec.bind(env, saga_log=saga_log)  # a new process: no memory but the log
        yield from saga.recover()
        for number in range(ORDERS):
            command = {"order_id": number, "customer_id": 1, "items": [1], "total": 5.0}
            yield from saga.execute(command, f"order-{number}")

    actor = Actor(env, orchestrate, restart_delay=0.19, name="orchestrator")
    return SimpleNamespace(env=env, actors={"orchestrator": actor}, log=saga_log, services=(inventory, payment, orders))


def declined_effect():
    from resilab.consistency.participant import Effect

    return Effect(is_declined=True)


def check_saga(world):
    """Both sagas have ended; each order is confirmed as a whole or undone as a whole, each effect once."""
    inventory, payment, orders = world.services
    assert world.log.unfinished() == []
    assert len(world.log) == ORDERS
    for number in range(ORDERS):
        words = (
            inventory.status(f"order-{number}/reserve_inventory"),
            payment.status(f"order-{number}/process_payment"),
            orders.status(str(number)),
        )
        status = world.log.state(f"order-{number}").status
        if status == "committed":
            assert words == ("reserved", "charged", "confirmed")
        else:
            assert status == "compensated"
            assert words[0] in ("released", "none")
            assert words[1] in ("refunded", "declined", "none")
            assert words[2] in ("cancelled", "none")
    for service in world.services:
        assert all(effect.done <= 1 and effect.undone <= 1 for effect in service.effects.values())


SAGAS = {
    "all is well": {},
    "one card is refused": {"declined": (1,)},
    "payment is slower than its limit": {"slow": True},
    "the order service fails at first": {"refunds_fail": 1},
}


@pytest.mark.parametrize("name", SAGAS)
def test_an_orchestrator_may_die_at_every_event_boundary(name):
    """It resumes from its log: every step and compensation takes effect once."""
    points = 0
    for point in every_crash(lambda: saga_world(**SAGAS[name])):
        check_saga(point.model)
        points += 1
    assert points > 20


def test_the_orchestrator_may_die_twice():
    """A second crash at every boundary after each third one of the first."""

    def build(first):
        world = saga_world(declined=(1,))
        for _ in range(first):
            world.env.step()
        world.actors["orchestrator"].crash()
        return world

    points = 0
    for first in range(0, 30, 3):
        for point in every_crash(partial(build, first)):
            check_saga(point.model)
            points += 1
    assert points > 150


def test_an_orchestrator_that_forgets_is_found_out():
    """The enumeration has teeth: without a log that survives, somebody is charged twice."""

    def build():
        env = simpy.Environment()
        inventory, orders = rl.Inventory().bind(env, after(env, 0.13)), rl.OrderRepository().bind(env)
        payment = rl.Payment().bind(env, after(env, 0.17))
        spec = rl.CreateOrderSaga(inventory, payment, orders)
        starts = []

        def orchestrate():
            starts.append(env.now)
            command = {"order_id": 0, "customer_id": 1, "items": [1], "total": 5.0}
            yield from spec.bind(env).execute(command, f"order-0-start-{len(starts)}")

        actor = Actor(env, orchestrate, name="orchestrator")
        return SimpleNamespace(env=env, actors={"orchestrator": actor}, payment=payment)

    charged = [(point.model.payment.frame().status == "charged").sum() for point in every_crash(build)]
    assert min(charged) == 1
    assert max(charged) == 2


def outbox_world():
    """An order service that creates three orders, a processor, a broker and a consumer."""
    env = simpy.Environment()
    database = rl.Database(statement_time=0.03, commit_time=0.04).bind(env)
    outbox = rl.Outbox().bind(database)
    service = rl.OrderService(database, outbox)
    broker = rl.MessageBroker(latency=0.02, ack_deadline=0.5, max_deliveries=None).bind(env, seed=1)
    handled = Counter()
    sequence = []
    processor = rl.OutboxProcessor(poll_interval=0.23, batch_size=2, mark="batch", restart_delay=0.11).bind(
        outbox, broker
    )

    def create():
        have = {row["id"] for row in database.rows("orders")}
        for number in range(1, 4):
            if number not in have:
                yield from service.create_order({"id": number, "total": 5.0})
        processor.stop()

    mailbox = simpy.Store(env)

    def receive(delivery):
        """Hand the delivery over to the consumer, which answers when it is done."""
        yield mailbox.put(delivery)

    def consume():
        while True:
            delivery = yield mailbox.get()
            yield env.timeout(0.05)
            if not handled[delivery.message.event_id]:  # idempotent: acts once for each event
                handled[delivery.message.event_id] += 1
                sequence.append(delivery.message.payload["id"])
            yield env.timeout(0.01)
            delivery.ack()

    subscription = broker.subscribe("OrderCreated", receive, group="mail", acknowledge="manual")
    actors = {
        "order_service": Actor(env, create, restart_delay=0.07, name="order_service"),
        "outbox_processor": processor.actor,
        "consumer": Actor(env, consume, restart_delay=0.13, name="consumer"),
    }
    return SimpleNamespace(
        env=env, actors=actors, database=database, handled=handled, sequence=sequence, subscription=subscription
    )


def test_order_service_processor_and_consumer_may_die_at_every_event_boundary():
    """Every order is announced and handled, nothing else is, and nothing twice."""
    points = Counter()
    for point in every_crash(outbox_world):
        points[point.actor] += 1
        world = point.model
        orders = [row["id"] for row in world.database.rows("orders")]
        assert orders == [1, 2, 3]
        assert all(row["published_at"] is not None for row in world.database.rows("outbox"))
        assert len(world.database.rows("outbox")) == 3
        assert {copy.message.payload["id"] for copy in world.subscription.copies} == {1, 2, 3}
        assert sorted(world.sequence) == [1, 2, 3]
        assert all(copy.status == "acknowledged" for copy in world.subscription.copies)
    assert min(points.values()) > 10
    assert len(points) == 3


def dual_write_world(order):
    """The same order service, with two writes instead of a transaction."""
    env = simpy.Environment()
    database = rl.Database(statement_time=0.03, commit_time=0.04).bind(env)
    seen = []

    def publish(topic, payload):
        yield env.timeout(0.05)
        seen.append(payload["id"])
        yield env.timeout(0.05)

    service = rl.DualWriteOrderService(database, publish, order)

    def create():
        for number in range(1, 3):
            if not any(row["id"] == number for row in database.rows("orders")):
                yield from service.create_order({"id": number, "total": 5.0})

    def client():  # it does not come back: the order of a dead service is asked for once
        yield from create()

    return SimpleNamespace(env=env, actors={"order_service": Actor(env, client)}, database=database, seen=seen)


@pytest.mark.parametrize("order", ["commit_first", "publish_first", "publish_inside"])
def test_the_enumeration_finds_what_is_wrong_with_a_dual_write(order):
    """Some boundary loses a message or announces an order too often or too early."""
    wrong = 0
    for point in every_crash(lambda: dual_write_world(order)):
        orders = [row["id"] for row in point.model.database.rows("orders")]
        wrong += Counter(orders) != Counter(point.model.seen)
    assert wrong > 0


def test_crash_of_a_plain_process_reaches_finally_blocks_and_no_policy():
    """A fallback, a retry and a breaker around the work do not swallow it, and no permit leaks."""
    env = simpy.Environment()
    trace = []
    bulkhead = rl.Bulkhead(1).bind(env)
    policy = rl.ResiliencePolicy(rl.Fallback("cached"), rl.Retry(3), rl.CircuitBreaker()).bind(env)

    def work():
        try:
            yield env.timeout(10)
        finally:
            trace.append(env.now)

    process = env.process(policy.execute(bulkhead.execute, work))
    env.run(until=3)
    assert rl.crash(process, "power cut")
    env.run()
    assert trace == [3]
    assert bulkhead.available == 1
    assert not process.is_alive
    assert not rl.crash(process)


@pytest.mark.parametrize("cancel", [True, False])
def test_a_crash_at_the_instant_at_which_the_work_fails(cancel):
    """The failure that nobody hears any more does not end the run."""
    env = simpy.Environment()
    timeout = rl.Timeout(5.0, cancel=cancel).bind(env)

    def work():
        yield env.timeout(1)
        raise rl.ServiceError("no")

    process = env.process(timeout.execute(work))
    env.timeout(1).callbacks.append(lambda _: rl.crash(process))
    env.run()
    assert not process.is_alive


def test_an_actor_starts_again_and_writes_it_down():
    """Its events say when it died, why, and when it was back."""
    env, log, starts = simpy.Environment(), rl.EventLog(), []

    def work():
        starts.append(env.now)
        yield env.timeout(5)

    actor = rl.Actor(env, work, restart_delay=2.0, name="worker", log=log)
    env.run(until=3)
    assert actor.is_up
    assert actor.crash("power cut")
    env.run(until=4)
    assert not actor.is_up
    assert not actor.crash()
    env.run(actor.process)
    assert starts == [0, 5]
    assert (env.now, actor.crashes) == (10, 1)
    assert log.rows == [(3, "worker", "crash", -1, "power cut"), (5, "worker", "restart", -1, "")]


def test_an_error_of_an_actor_is_not_a_crash():
    """A bug in the model ends the run as in any SimPy process."""
    env = simpy.Environment()

    def work():
        yield env.timeout(1)
        raise KeyError("bug")

    rl.Actor(env, work)
    with pytest.raises(KeyError, match="bug"):
        env.run()
