"""A Hypothesis state machine over saga, outbox and broker: whatever crashes whenever, they agree in the end."""

from __future__ import annotations

from collections import defaultdict

import simpy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import resilab as rl

ACTORS = ("orchestrator", "outbox_processor", "consumer")
MOMENTS = st.sampled_from([0.01, 0.02, 0.03, 0.05, 0.08, 0.13, 0.34, 1.0])


class Shop(RuleBasedStateMachine):
    """Orders are charged, confirmed in a database together with a message, and shipped; anything may fail.

    At any time: no phantom, in order per key. In the end: at least once, no loss, and
    every order is charged and confirmed, or neither.
    """

    def __init__(self):
        super().__init__()
        self.env = env = simpy.Environment()
        self.is_down = False
        self.commands: list[tuple[int, bool, bool]] = []  # durable: who has asked for what
        self.payment = rl.Payment().bind(env, self._after(0.05))
        self.shipping = rl.Participant("shipping", "shipped", "returned").bind(env, self._after(0.04))
        self.database = rl.Database({"orders": "id INTEGER PRIMARY KEY, status TEXT"}, 0.01, 0.02).bind(env)
        self.outbox = rl.Outbox().bind(self.database)
        self.broker = rl.MessageBroker(latency=0.01, ack_deadline=0.4, max_deliveries=None).bind(env, seed=1)
        self.deliveries = simpy.Store(env)
        self.handled: dict[str, list[int]] = defaultdict(list)
        for topic in ("OrderConfirmed", "OrderCancelled"):
            self.broker.subscribe(topic, self._receive, group=f"consumer of {topic}", acknowledge="manual")
        self.saga_log = rl.SagaLog(write_time=0.01).bind(env)
        policy = rl.ResiliencePolicy(rl.Retry(1, initial_delay=0.02, jitter="none"), rl.Timeout(0.2))
        undo = rl.Retry(None, initial_delay=0.05, jitter="none")
        self.spec = rl.Saga(
            rl.SagaStep("charge", self._charge, self._refund, policy=policy),
            rl.SagaStep("confirm", self._confirm, self._cancel, policy=policy),
            rl.SagaStep("ship", self._ship, self._return, policy=policy),
            compensation_policy=undo,
        )
        processor = rl.OutboxProcessor(poll_interval=0.1, batch_size=3, mark="batch", restart_delay=0.07)
        self.processor = processor.bind(self.outbox, self)
        self.actors = {
            "orchestrator": rl.Actor(env, self._orchestrate, restart_delay=0.06),
            "outbox_processor": self.processor.actor,
            "consumer": rl.Actor(env, self._consume, restart_delay=0.05),
        }

    # The world

    def _after(self, seconds):
        def serve():
            yield self.env.timeout(seconds)

        return serve

    def publish(self, topic, payload, *, key, event_id):
        if self.is_down:
            raise rl.BrokerUnavailableError("down")
        return self.broker.publish(topic, payload, key=key, event_id=event_id)

    def _charge(self, ctx):
        if ctx.is_declined:
            raise rl.DeclinedError("card refused")
        yield from self.payment.charge(1, 5.0, ctx.key)

    def _refund(self, ctx):
        yield from self.payment.refund(ctx.key)

    def _confirm(self, ctx):
        yield from self.database.transaction(self._set_status, ctx.order_id, "confirmed", "OrderConfirmed")

    def _cancel(self, ctx):
        yield from self.database.transaction(self._set_status, ctx.order_id, "cancelled", "OrderCancelled")

    def _set_status(self, tx, order_id, status, event):
        """Idempotent by the order's own row; a cancelled order stays cancelled."""
        rows = yield from tx.orders.find(id=order_id)
        if not rows:
            yield from tx.orders.create(id=order_id, status=status)
        elif rows[0]["status"] != "cancelled" and rows[0]["status"] != status:
            yield from tx.orders.update({"id": order_id}, status=status)
        else:
            return
        yield from self.outbox.create(tx, "Order", order_id, event, {"order": order_id})

    def _ship(self, ctx):
        if ctx.is_lost:
            yield self.env.timeout(0.03)
            raise rl.ServiceError("no carrier")
        yield from self.shipping.do(ctx.key)

    def _return(self, ctx):
        yield from self.shipping.undo(ctx.key)

    def _orchestrate(self):
        saga = self.spec.bind(self.env, saga_log=self.saga_log)
        yield from saga.recover()
        while True:
            for order_id, is_declined, is_lost in self.commands[len(self.saga_log) :]:
                command = {"order_id": order_id, "is_declined": is_declined, "is_lost": is_lost}
                yield from saga.execute(command, f"order-{order_id}")
            yield self.env.timeout(0.05)

    def _receive(self, delivery):
        yield self.deliveries.put(delivery)

    def _consume(self):
        while True:
            delivery = yield self.deliveries.get()
            yield self.env.timeout(0.02)
            message = delivery.message
            if message.event_id not in self.handled[message.key]:
                self.handled[message.key].append(message.event_id)
            yield self.env.timeout(0.01)
            delivery.ack()

    # What can happen

    @rule(is_declined=st.booleans(), is_lost=st.booleans())
    def place_order(self, is_declined, is_lost):
        self.commands.append((len(self.commands), is_declined, is_lost))

    @rule(seconds=MOMENTS)
    def wait(self, seconds):
        self.env.run(until=self.env.now + seconds)

    @rule(name=st.sampled_from(ACTORS), seconds=MOMENTS)
    def crash(self, name, seconds):
        self.env.run(until=self.env.now + seconds)
        self.actors[name].crash()

    @rule()
    def break_or_mend_the_broker(self):
        self.is_down = not self.is_down

    # What must hold

    @invariant()
    def no_phantom(self):
        committed = {row["id"] for row in self.database.rows("outbox")}
        copies = [copy for subscription in self.broker.subscriptions.values() for copy in subscription.copies]
        assert {copy.message.event_id for copy in copies} <= committed

    def teardown(self):
        self.is_down = False
        self.env.run(until=self.env.now + 10 + 2 * len(self.commands))
        assert self.saga_log.unfinished() == []
        assert len(self.saga_log) == len(self.commands)
        assert self.outbox.unpublished() == 0
        messages = self.database.rows("outbox")
        assert sorted(id for ids in self.handled.values() for id in ids) == [row["id"] for row in messages]
        for copies in (subscription.copies for subscription in self.broker.subscriptions.values()):
            first: dict[str, list[int]] = defaultdict(list)
            for copy in copies:
                if copy.message.event_id not in first[copy.message.key]:
                    first[copy.message.key].append(copy.message.event_id)
            assert all(ids == sorted(ids) for ids in first.values())
        status = {row["id"]: row["status"] for row in self.database.rows("orders")}
        for order_id, is_declined, is_lost in self.commands:
            is_confirmed = status.get(order_id) == "confirmed"
            is_charged = self.payment.status(f"order-{order_id}/charge") == "charged"
            is_shipped = self.shipping.status(f"order-{order_id}/ship") == "shipped"
            assert is_confirmed == is_charged == is_shipped
            assert not (is_confirmed and (is_declined or is_lost))


TestShop = Shop.TestCase
TestShop.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
