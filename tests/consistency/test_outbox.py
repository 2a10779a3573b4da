"""Database transactions, the outbox and its processor, and the naive dual write."""

from __future__ import annotations

import gc
import sqlite3

import numpy as np
import pytest
import simpy

import resilab as rl
from resilab.theory import mean_deliveries

TABLES = {"orders": "id INTEGER PRIMARY KEY, total REAL CHECK (total >= 0), created_at REAL DEFAULT (now())"}


def run(env: simpy.Environment, steps):
    return env.run(env.process(steps))


class Inbox:
    """A broker that takes some seconds for each message and may fail."""

    def __init__(self, env, seconds=0.0, fails=lambda topic, payload: False):
        self.env, self.seconds, self.fails = env, seconds, fails
        self.received: list[tuple[float, str, object]] = []

    def publish(self, topic, payload):
        if self.seconds:
            yield self.env.timeout(self.seconds)
        if self.fails(topic, payload):
            raise rl.ServiceError("broker is down")
        self.received.append((self.env.now, topic, payload))

    @property
    def payloads(self):
        return [payload for _, _, payload in self.received]


def shop(env, **times):
    database = rl.Database(**times).bind(env)
    return database, rl.Outbox().bind(database)


def write(outbox, *messages):
    """Write (aggregate, payload) messages in one transaction."""

    def work(tx):
        for aggregate, payload in messages:
            yield from outbox.create(tx, "Order", aggregate, "OrderCreated", payload)

    return outbox.database.transaction(work)


def test_a_transaction_takes_its_time_and_commits_halfway_through_the_commit():
    """Two statements of 1 s and a commit of 2 s: visible at 3 s, answered at 4 s."""
    env = simpy.Environment()
    database = rl.Database(TABLES, statement_time=1.0, commit_time=2.0).bind(env)

    def work(tx):
        yield from tx.orders.create(total=1.0)
        return (yield from tx.orders.create(total=2.0))

    process = env.process(database.transaction(work))
    env.run(until=2.9)
    assert database.commits == 0
    env.run(until=3.1)
    assert database.commits == 1
    assert process.is_alive
    assert env.run(process) == {"id": 2, "total": 2.0, "created_at": 2.0}
    assert env.now == 4.0
    assert database.frame("orders").total.tolist() == [1.0, 2.0]


def test_a_transaction_that_fails_is_rolled_back():
    """An error of the model and a constraint of the database both undo all of it."""
    env = simpy.Environment()
    database = rl.Database(TABLES).bind(env)

    def work(tx, total):
        yield from tx.orders.create(total=1.0)
        yield from tx.orders.create(total=total)
        raise ValueError("second thoughts")

    with pytest.raises(ValueError, match="second thoughts"):
        run(env, database.transaction(work, 2.0))
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        run(env, database.transaction(work, -2.0))
    assert database.rollbacks == 2
    assert database.frame("orders").empty


@pytest.mark.parametrize(("when", "rows"), [(0.5, 0), (1.5, 0), (2.4, 0), (2.6, 1)])
def test_a_crash_before_the_commit_rolls_back_and_after_it_does_not(when, rows):
    """The commit from 2 to 3 s takes effect at 2.5 s, whoever hears of it."""
    env = simpy.Environment()
    database = rl.Database(TABLES, statement_time=1.0, commit_time=1.0).bind(env)

    def work(tx):
        yield from tx.orders.create(total=1.0)
        yield from tx.execute("UPDATE orders SET total = 3")

    process = env.process(database.transaction(work))
    env.run(until=when)
    assert rl.crash(process)
    env.run()
    assert len(database.rows("orders")) == rows


@pytest.mark.filterwarnings("error")
def test_a_database_that_is_thrown_away_closes_quietly():
    """Even in the middle of a transaction: no warning and no error of a closed connection."""
    env = simpy.Environment()
    database = rl.Database(TABLES, statement_time=1.0).bind(env)

    def work(tx):
        yield from tx.orders.create(total=1.0)
        yield from tx.orders.create(total=2.0)

    env.process(database.transaction(work))
    env.run(until=1.5)
    connection = database._connection
    del env, database
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_transactions_run_one_after_the_other():
    """The second waits for the first, and sees what it has written."""
    env = simpy.Environment()
    database = rl.Database(TABLES, statement_time=1.0).bind(env)
    counts = []

    def work(tx):
        counts.append((env.now, len((yield from tx.orders.find()))))
        yield from tx.orders.create(total=1.0)

    for _ in range(3):
        env.process(database.transaction(work))
    env.run()
    assert [count for _, count in counts] == [0, 1, 2]
    assert env.now == 6.0


@pytest.mark.parametrize("policy", [rl.ResiliencePolicy(), rl.Timeout(5.0, cancel=False), rl.Retry(3)])
def test_a_nested_transaction_is_a_clear_error(policy):
    """It would wait for itself for ever; no policy hides the mistake."""
    env = simpy.Environment()
    database = rl.Database(TABLES, statement_time=0.1).bind(env)

    def inner(tx):
        yield from tx.orders.create(total=1.0)

    def outer(tx):
        yield from policy.bind(env).execute(database.transaction, inner)

    with pytest.raises(rl.NestedTransactionError, match="pass its tx on instead of beginning another"):
        run(env, database.transaction(outer))


def test_a_transaction_cannot_be_used_after_its_end():
    """A tx that leaks out of its function has no transaction any more."""
    env = simpy.Environment()
    database = rl.Database(TABLES).bind(env)
    leaked = []

    def work(tx):
        leaked.append(tx)
        yield from tx.orders.find()

    run(env, database.transaction(work))
    with pytest.raises(RuntimeError, match="has ended: use tx inside its function only"):
        run(env, leaked[0].execute("SELECT 1"))
    with pytest.raises(AttributeError, match="a transaction has no table 'order'"):
        _ = leaked[0].order


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rl.Database({"bad name": "id"}), ValueError, "table must be an identifier, got 'bad name'"),
        (lambda: rl.Database(commit_time=-1), ValueError, "commit_time must be >= 0, got -1"),
        (lambda: rl.Outbox("1x"), ValueError, "table must be an identifier"),
        (lambda: rl.OutboxProcessor(poll_interval=0), ValueError, "poll_interval must be > 0, got 0"),
        (lambda: rl.OutboxProcessor(batch_size=0), ValueError, "batch_size must be >= 1, got 0"),
        (lambda: rl.OutboxProcessor(mode="push"), ValueError, "mode must be one of"),
        (lambda: rl.OutboxProcessor(mark="never"), ValueError, "mark must be one of"),
        (lambda: rl.OutboxProcessor(crash_rate=1), ValueError, "crash_rate must be < 1"),
        (lambda: rl.Database().bind(simpy.Environment()).frame("nope"), KeyError, "no table 'nope'"),
    ],
)
def test_impossible_values_are_refused(make, error, message):
    """Name, rule, value."""
    with pytest.raises(error, match=message):
        make()


def test_a_broker_must_be_able_to_publish():
    """Anything with publish(topic, payload) will do, nothing else."""
    _, outbox = shop(simpy.Environment())
    with pytest.raises(TypeError, match="broker must have a method publish"):
        rl.OutboxProcessor().bind(outbox, 3)


def test_the_reference_order_service_line_by_line():
    """The order and its message are committed together; then the processor publishes and marks it."""
    env = simpy.Environment()
    db = rl.Database(
        {"orders": "id INTEGER PRIMARY KEY, customer_id, total REAL"}, statement_time=0.001, commit_time=0.005
    ).bind(env)
    outbox = rl.Outbox().bind(db)

    def create_order(dto):
        def work(tx):
            order = yield from tx.orders.create(**dto)
            yield from outbox.create(
                tx, aggregate_type="Order", aggregate_id=order["id"], event_type="OrderCreated", payload=order
            )
            return order

        return db.transaction(work)

    broker = Inbox(env, 0.01)

    def process_outbox():
        messages = yield from outbox.find_unpublished()
        for msg in messages:
            yield from broker.publish(msg.event_type, msg.payload)
            yield from outbox.mark_published(msg.id)

    order = run(env, create_order({"customer_id": 7, "total": 9.5}))
    assert order == {"id": 1, "customer_id": 7, "total": 9.5}
    assert db.frame("outbox").published_at.isna().all()
    run(env, process_outbox())
    assert broker.received[0][1:] == ("OrderCreated", order)
    assert db.frame("outbox").published_at.notna().all()
    assert outbox.unpublished() == 0


def test_messages_go_out_once_and_in_order_without_faults():
    """One poll a second, 10 messages in the first, 5 more later."""
    env = simpy.Environment()
    _database, outbox = shop(env)
    broker = Inbox(env, 0.01)
    processor = rl.OutboxProcessor(poll_interval=1.0).bind(outbox, broker)
    run(env, write(outbox, *((n, n) for n in range(10))))
    env.run(until=5)
    run(env, write(outbox, *((n, n) for n in range(10, 15))))
    env.run(processor.stop())
    assert broker.payloads == list(range(15))
    assert {row[2] for row in processor.deliveries} == {1}


def test_a_broker_that_is_a_plain_function_will_do():
    """It publishes in no time."""
    env = simpy.Environment()
    _database, outbox = shop(env)
    seen = []
    processor = rl.OutboxProcessor().bind(outbox, lambda topic, payload: seen.append((env.now, topic, payload)))
    run(env, write(outbox, (1, "hello")))
    env.run(processor.stop())
    assert seen == [(1.0, "OrderCreated", "hello")]


def test_the_message_broker_gets_key_and_event_id():
    """Duplicates of one message have one event_id, so that an idempotent consumer sees it once."""
    env = simpy.Environment()
    _database, outbox = shop(env)
    broker = rl.MessageBroker().bind(env, seed=1)
    seen = []

    def consume(message):
        yield env.timeout(0.01)
        seen.append((message.key, message.event_id, message.payload))

    broker.subscribe("OrderCreated", consume)
    processor = rl.OutboxProcessor(mark="batch", crash_rate=0.5).bind(outbox, broker, seed=2)
    run(env, write(outbox, (7, "a"), (8, "b"), (7, "c")))
    env.run(processor.stop())
    env.run()
    assert len(seen) > 3
    assert set(seen) == {("Order/7", 1, "a"), ("Order/8", 2, "b"), ("Order/7", 3, "c")}


def test_a_failed_publish_holds_back_its_aggregate_and_nobody_else():
    """Order per aggregate survives a message that cannot go out for a while."""
    env = simpy.Environment()
    _database, outbox = shop(env)
    broker = Inbox(env, 0.01, fails=lambda topic, payload: payload == "a1" and env.now < 3.5)
    processor = rl.OutboxProcessor(poll_interval=1.0).bind(outbox, broker)
    run(env, write(outbox, ("A", "a1"), ("B", "b1"), ("A", "a2"), ("B", "b2")))
    env.run(processor.stop())
    assert broker.payloads == ["b1", "b2", "a1", "a2"]


def test_without_order_later_messages_overtake():
    """The same fault with order="none": a2 comes before a1."""
    env = simpy.Environment()
    _database, outbox = shop(env)
    broker = Inbox(env, 0.01, fails=lambda topic, payload: payload == "a1" and env.now < 3.5)
    processor = rl.OutboxProcessor(poll_interval=1.0, order="none").bind(outbox, broker)
    run(env, write(outbox, ("A", "a1"), ("A", "a2")))
    env.run(processor.stop())
    assert broker.payloads == ["a2", "a1"]


def test_a_policy_guards_each_publish():
    """A retry bridges a broker that fails every other time, within one poll."""
    env = simpy.Environment()
    _database, outbox = shop(env)
    calls = []
    broker = Inbox(env, 0.01, fails=lambda topic, payload: len(calls) % 2 == 0 or calls.append(1))
    broker.fails = lambda topic, payload: calls.append(1) or len(calls) % 2 == 1
    policy = rl.Retry(1, initial_delay=0.1, jitter="none")
    processor = rl.OutboxProcessor(policy=policy).bind(outbox, broker)
    run(env, write(outbox, (1, 1), (2, 2), (3, 3)))
    env.run(until=1.9)
    assert broker.payloads == [1, 2, 3]
    env.run(processor.stop())


def test_the_batch_size_caps_the_throughput():
    """b messages a poll: b / (interval + b publishes) messages per second."""
    env = simpy.Environment()
    _database, outbox = shop(env)
    broker = Inbox(env, 0.05)
    rl.OutboxProcessor(poll_interval=0.5, batch_size=10).bind(outbox, broker)
    run(env, write(outbox, *((n, n) for n in range(1000))))
    env.run(until=50)
    assert len(broker.received) == pytest.approx(50 * 10 / (0.5 + 10 * 0.05), abs=10)


def test_a_crash_after_the_publish_repeats_the_sequence_from_the_first_unmarked():
    """With marks per batch the delivered sequence steps back to the start of the batch, never further."""
    env = simpy.Environment()
    log = rl.EventLog()
    _database, outbox = shop(env)
    broker = Inbox(env, 0.01)
    processor = rl.OutboxProcessor(batch_size=5, mark="batch", crash_rate=0.2, restart_delay=1.0).bind(
        outbox, broker, seed=2, log=log
    )
    run(env, write(outbox, *((1, n) for n in range(50))))
    env.run(processor.stop())
    assert processor.actor.crashes > 5
    assert [row[2] for row in log.rows].count("crash") == processor.actor.crashes
    first = list(dict.fromkeys(broker.payloads))
    assert first == list(range(50))
    for before, after in zip(broker.payloads, broker.payloads[1:], strict=False):
        assert after == before + 1 or after == before - before % 5


@pytest.mark.parametrize(
    ("rate", "batch", "value"),
    [
        (0.01, 1, 1.0101),
        (0.1, 1, 1.1111),
        (0.01, 10, 1.0573),
        pytest.param(0.01, 100, 1.732, marks=pytest.mark.slow),
        (0.001, 100, 1.0523),
    ],
)
def test_deliveries_per_message_are_those_of_theory(rate, batch, value):
    """20 replications within 4.5 standard errors of ((1 - e)^-b - 1) / (e b)."""
    assert mean_deliveries(rate, batch) == pytest.approx(value, rel=5e-5)
    messages = {(0.01, 100): 12000, (0.001, 100): 2000}.get((rate, batch), 800)
    means = np.array([deliveries_per_message(rate, batch, messages, seed) for seed in range(20)])
    margin = 4.5 * means.std(ddof=1) / np.sqrt(20)
    assert abs(means.mean() - value) <= margin
    assert margin <= 0.05 * value


def deliveries_per_message(rate, batch, messages, seed):
    env = simpy.Environment()
    _database, outbox = shop(env)
    broker = Inbox(env)
    spec = rl.OutboxProcessor(batch_size=batch, mode="exhaustive", mark="batch", crash_rate=rate)
    run(env, write(outbox, *((n, n) for n in range(messages))))
    processor = spec.bind(outbox, broker, seed=seed)
    env.run(processor.stop())
    assert set(broker.payloads) == set(range(messages))
    return len(broker.received) / messages


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "value"), [("gated", 0.965), ("exhaustive", 0.53643), ("ticker", 0.68)])
def test_mean_lag_of_each_mode_is_that_of_theory(mode, value):
    """Commits at 10/s, a poll each second, 30 ms a publish: 20 replications of 80 s."""
    means = np.array([mean_lag(mode, seed) for seed in range(20)])
    margin = 4.5 * means.std(ddof=1) / np.sqrt(20)
    assert abs(means.mean() - value) <= margin
    assert margin <= 0.05 * value


def mean_lag(mode, seed, seconds=80.0):
    env = simpy.Environment()
    _database, outbox = shop(env)
    processor = rl.OutboxProcessor(poll_interval=1.0, batch_size=None, mode=mode).bind(outbox, Inbox(env, 0.03))

    def commits():
        for time in rl.Poisson(rate=10).arrivals(seconds, seed):
            yield env.timeout(time - env.now)
            yield from write(outbox, (1, 1))

    env.run(env.process(commits()))
    env.run(processor.stop())
    lags = [lag for time, _, number, lag in processor.deliveries if time - lag > seconds / 10]
    return np.mean(lags)


def crash_in_between(order):
    """Create two orders with the service dying in the middle of the second."""
    env = simpy.Environment()
    database = rl.Database(statement_time=0.1, commit_time=0.2).bind(env)
    broker = Inbox(env, 1.0)
    service = rl.DualWriteOrderService(database, broker, order)
    run(env, service.create_order({"id": 1, "total": 1.0}))
    process = env.process(service.create_order({"id": 2, "total": 2.0}))
    env.run(until=env.now + {"commit_first": 0.5, "publish_first": 1.15, "publish_inside": 1.15}[order])
    rl.crash(process)
    env.run()
    return {row["id"] for row in database.rows("orders")}, {payload["id"] for payload in broker.payloads}


def test_dual_write_commit_first_loses_messages():
    """The order is there, and nobody will ever hear of it."""
    assert crash_in_between("commit_first") == ({1, 2}, {1})


@pytest.mark.parametrize("order", ["publish_first", "publish_inside"])
def test_dual_write_publish_first_announces_phantoms(order):
    """Everybody hears of an order that does not exist."""
    assert crash_in_between(order) == ({1}, {1, 2})


@pytest.mark.parametrize("when", np.arange(0.05, 3.0, 0.1).round(2).tolist())
def test_the_outbox_has_neither_losses_nor_phantoms(when):
    """Wherever the order service dies, orders and messages agree in the end."""
    env = simpy.Environment()
    database, outbox = shop(env, statement_time=0.1, commit_time=0.2)
    broker = Inbox(env, 1.0)
    service = rl.OrderService(database, outbox)
    processor = rl.OutboxProcessor(poll_interval=0.3).bind(outbox, broker)
    process = env.process(service.create_order({"total": 1.0}))
    env.run(until=when)
    rl.crash(process)
    env.run(processor.stop())
    assert [row["id"] for row in database.rows("orders")] == [payload["id"] for payload in broker.payloads]
