"""MessageBroker: delivery at least once, order per key, deadlines, dead letters, outages."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

import resilab as rl
from resilab import ConsumerCrashError, IdempotentConsumer, MessageBroker
from resilab.randomness import KeyedDraws, uniform


def publish(env, broker, *messages, topic="t"):
    """Publish (time, payload) or (time, payload, key) each at its time; return the errors."""
    errors = []

    def publisher(time, payload, key=None):
        yield env.timeout(time)
        try:
            yield from broker.publish(topic, payload, key=key)
        except rl.BrokerUnavailableError:
            errors.append(payload)

    for message in messages:
        env.process(publisher(*message))
    return errors


def recorder(env, seconds=0.0):
    """Return a handler that takes *seconds*, and the list of (end, payload) it fills."""
    handled = []

    def handler(message):
        yield env.timeout(seconds)
        handled.append((env.now, message.payload))

    return handler, handled


def test_each_group_gets_every_message_and_one_consumer_of_it_handles_it():
    env = simpy.Environment()
    broker = MessageBroker().bind(env)
    mail, mailed = recorder(env, 1.0)
    ship, shipped = recorder(env, 1.0)
    broker.subscribe("t", mail, concurrency=2)
    broker.subscribe("t", ship, group="shipping")
    publish(env, broker, (0, "a"), (0, "b"))
    env.run()
    assert mailed == [(1, "a"), (1, "b")]
    assert shipped == [(1, "a"), (2, "b")]
    assert set(broker.messages["group"]) == {"handler", "shipping"}


def test_a_second_subscription_of_one_name_joins_the_group():
    env = simpy.Environment()
    broker = MessageBroker().bind(env)
    handler, handled = recorder(env, 1.0)
    first = broker.subscribe("t", handler, group="g")
    assert broker.subscribe("t", handler, group="g") is first
    assert broker.subscribe("t", handler) is not broker.subscribe("t", handler)
    publish(env, broker, (0, "a"), (0, "b"))
    env.run()
    assert len(first.consumers) == 2
    assert len(handled) == 3 * 2


def test_subscribe_as_a_decorator_returns_the_handler():
    env = simpy.Environment()
    broker = MessageBroker().bind(env)
    seen = []

    @broker.subscribe("t", group="g")
    def handle(message):
        seen.append(message.payload)

    publish(env, broker, (0, 1), (1, 2))
    env.run()
    assert seen == [1, 2]
    assert handle(rl.Message(9, "t", 3, None, 9, 0.0)) is None


def test_a_message_before_the_subscription_is_unrouted():
    env = simpy.Environment()
    broker = MessageBroker().bind(env)
    publish(env, broker, (0, "a"))
    env.run()
    broker.subscribe("t", print)
    assert list(broker.messages["status"]) == ["unrouted"]


def test_unknown_topics_are_refused_by_name():
    env = simpy.Environment()
    broker = MessageBroker(topics=("order.created",)).bind(env)
    with pytest.raises(rl.UnknownTopicError, match=r"topic must be one of 'order.created', got 'order.creatd'"):
        broker.subscribe("order.creatd", print)

    def shop():
        policy = rl.ResiliencePolicy(rl.Fallback("hidden"), rl.Retry()).bind(env)
        yield from policy.execute(broker.publish, "order.creatd")

    env.process(shop())
    with pytest.raises(rl.UnknownTopicError):
        env.run()


def test_an_error_gives_the_message_back_until_it_is_dead_lettered():
    env = simpy.Environment()
    broker = MessageBroker(max_deliveries=3, redelivery_delay=2.0, dead_letter_topic="dead").bind(env)
    dead, buried = recorder(env)

    @broker.subscribe("t")
    def fail(message):
        yield env.timeout(1)
        raise ValueError("no")

    broker.subscribe("dead", dead)
    publish(env, broker, (0, "a"))
    env.run()
    rows = broker.deliveries.query("topic == 't'")
    assert list(rows["start"]) == [0, 3, 6]
    assert list(rows["outcome"]) == ["refused"] * 3
    assert list(rows["cause"]) == ["ValueError"] * 3
    assert [message.payload for message in broker.dead_letters] == ["a"]
    assert buried == [(7, "a")]
    assert list(broker.messages["status"]) == ["dead_lettered", "acknowledged"]


def test_a_slow_handler_gets_company_after_the_deadline_and_its_late_answer_is_ignored():
    env = simpy.Environment()
    log = rl.EventLog()
    broker = MessageBroker(ack_deadline=2.0, max_deliveries=3).bind(env, log=log)
    handler, handled = recorder(env, 5.0)
    broker.subscribe("t", handler, concurrency=3)
    publish(env, broker, (0, "a"))
    env.run()
    assert handled == [(5, "a"), (7, "a"), (9, "a")]
    assert list(broker.deliveries["is_duplicate"]) == [False, True, True]
    assert list(broker.messages["status"]) == ["dead_lettered"]
    assert [row[2] for row in log.rows].count("late_ack") == 3


def test_an_acknowledgement_at_exactly_the_deadline_is_in_time():
    env = simpy.Environment()
    broker = MessageBroker(ack_deadline=2.0).bind(env)
    handler, handled = recorder(env, 2.0)
    broker.subscribe("t", handler)
    publish(env, broker, (0, "a"))
    env.run()
    assert handled == [(2, "a")]
    assert list(broker.messages["status"]) == ["acknowledged"]


def test_a_crashed_consumer_leaves_its_message_to_the_deadline():
    env = simpy.Environment()
    broker = MessageBroker(ack_deadline=10).bind(env)
    handler, handled = recorder(env, 2.0)
    group = broker.subscribe("t", handler, concurrency=1)
    publish(env, broker, (0, "a"), (0, "b"))
    env.run(until=1)
    group.consumers[0].crash(restart_after=3)
    group.consumers[0].crash(restart_after=99)  # it is down already
    env.run()
    assert handled == [(6, "b"), (12, "a")]
    assert list(broker.deliveries["outcome"]) == ["expired", "acknowledged", "acknowledged"]
    assert group.consumers[0].crashes == 1


def test_a_handler_can_let_its_consumer_crash():
    env = simpy.Environment()
    broker = MessageBroker(ack_deadline=5).bind(env)
    tries = []

    @broker.subscribe("t", group="g")
    def fragile(message):
        yield env.timeout(1)
        tries.append(env.now)
        if len(tries) == 1:
            raise ConsumerCrashError("out of memory", 2.0)

    publish(env, broker, (0, "a"))
    env.run()
    assert tries == [1, 6]
    assert list(broker.deliveries["cause"]) == ["crash", ""]


@pytest.mark.parametrize(("mode", "handled"), [("after", 1), ("before", 0)])
def test_acknowledging_first_turns_a_crash_into_a_loss(mode, handled):
    env = simpy.Environment()
    broker = MessageBroker(ack_deadline=5).bind(env)
    handler, _ = recorder(env, 2.0)
    group = broker.subscribe("t", handler, acknowledge=mode)
    publish(env, broker, (0, "a"))
    env.run(until=1)
    group.consumers[0].crash()
    env.run()
    assert list(broker.messages["status"]) == ["acknowledged"]
    assert list(broker.messages["handled"]) == [handled]


def test_messages_of_one_key_are_handled_in_order_even_when_one_comes_again():
    env = simpy.Environment()
    broker = MessageBroker(redelivery_delay=5.0).bind(env)
    handled = []

    @broker.subscribe("t", concurrency=4)
    def handler(message):
        yield env.timeout(1)
        if message.payload == "a1" and env.now < 2:
            raise OSError("once")
        handled.append((env.now, message.payload))

    publish(env, broker, (0, "a1", "a"), (0, "a2", "a"), (0, "b1", "b"), (0, "b2", "b"))
    env.run()
    assert handled == [(1, "b1"), (2, "b2"), (7, "a1"), (8, "a2")]


def test_a_dead_letter_lets_its_key_go_on():
    env = simpy.Environment()
    broker = MessageBroker(max_deliveries=1).bind(env)
    handled = []

    @broker.subscribe("t")
    def handler(message):
        yield env.timeout(1)
        if message.payload == "poison":
            raise ValueError
        handled.append(message.payload)

    publish(env, broker, (0, "poison", "a"), (0, "good", "a"))
    env.run()
    assert handled == ["good"]


def test_an_unordered_group_does_not_wait_for_keys():
    env = simpy.Environment()
    broker = MessageBroker().bind(env)
    handler, handled = recorder(env, 1.0)
    broker.subscribe("t", handler, concurrency=2, ordered=False)
    publish(env, broker, (0, "a1", "a"), (0, "a2", "a"))
    env.run()
    assert handled == [(1, "a1"), (1, "a2")]


@pytest.mark.parametrize(("mode", "errors", "published"), [("error", ["b"], [0]), ("hang", [], [0, 10])])
def test_an_outage_refuses_or_delays_publishers(mode, errors, published):
    env = simpy.Environment()
    broker = MessageBroker(faults=rl.Outage(start=5, duration=5, mode=mode)).bind(env)
    handler, _ = recorder(env)
    broker.subscribe("t", handler)
    refused = publish(env, broker, (0, "a"), (5, "b"))
    env.run()
    assert refused == errors
    assert list(broker.messages["published"]) == published
    assert broker.refusals == len(errors)


def test_an_outage_loses_acknowledgements_and_delivers_nothing():
    env = simpy.Environment()
    broker = MessageBroker(faults=rl.Outage(start=5, duration=10), ack_deadline=8).bind(env)
    handler, handled = recorder(env, 2.0)
    broker.subscribe("t", handler)
    publish(env, broker, (4, "a"))
    env.run()
    assert handled == [(6, "a"), (17, "a")]
    assert list(broker.deliveries["outcome"]) == ["expired", "acknowledged"]


@pytest.mark.parametrize(("durable", "status"), [(True, "acknowledged"), (False, "lost")])
def test_only_a_durable_broker_keeps_its_messages_through_an_outage(durable, status):
    env = simpy.Environment()
    broker = MessageBroker(faults=rl.Outage(start=5, duration=10), durable=durable, ack_deadline=4).bind(env)
    handler, _ = recorder(env, 3.0)
    broker.subscribe("t", handler)
    publish(env, broker, (0, "early", "k"), (4, "a", "k"), (4, "b", "k"), (20, "later", "k"))
    env.run()
    assert list(broker.messages["status"]) == ["acknowledged", status, status, "acknowledged"]


def test_manual_acknowledgement_and_its_misuse():
    env = simpy.Environment()
    broker = MessageBroker(max_deliveries=2).bind(env)
    answers = []

    @broker.subscribe("t", acknowledge="manual", group="g")
    def handler(delivery):
        yield env.timeout(1)
        answers.append(delivery.nack() if delivery.number == 1 else delivery.ack())
        if delivery.message.payload == "twice":
            delivery.ack()

    publish(env, broker, (0, "a"))
    env.run()
    assert answers == [True, True]
    assert list(broker.messages["handled"]) == [1]
    publish(env, broker, (0, "twice"))
    with pytest.raises(rl.AcknowledgementError, match="message 1 must be answered once"):
        env.run()


def test_a_publisher_that_gives_up_on_the_confirmation_has_published():
    """The wire takes 1 s each way: who leaves after 1.5 s and repeats makes one event of two messages."""
    env = simpy.Environment()
    broker = MessageBroker(latency=1.0).bind(env, seed=0)
    work, handled = recorder(env)
    consumer = IdempotentConsumer(env, work)
    broker.subscribe("t", consumer)
    policy = rl.ResiliencePolicy(
        rl.Fallback("gave up"), rl.Retry(max_retries=1, initial_delay=0, jitter="none"), rl.Timeout(1.5)
    )

    def publish_once():
        yield from broker.publish("t", "order 7", event_id=7)

    env.process(policy.bind(env, seed=0).execute(publish_once))
    env.run()
    assert broker.published == 2
    assert handled == [(2, "order 7")]
    assert consumer.skipped == 1


def test_an_idempotent_consumer_takes_over_after_a_failure():
    env = simpy.Environment()
    broker = MessageBroker(ack_deadline=1, max_deliveries=None).bind(env)
    tries = []

    def work(message):
        tries.append(env.now)
        yield env.timeout(2.5)
        if len(tries) == 1:
            raise OSError("once")

    consumer = IdempotentConsumer(env, work)
    broker.subscribe("t", consumer, concurrency=3)
    publish(env, broker, (0, "a"))
    env.run()
    assert tries == [0, 2.5]
    assert consumer.skipped >= 1


def test_the_lag_counts_what_is_not_settled():
    env = simpy.Environment()
    broker = MessageBroker().bind(env)
    handler, _ = recorder(env, 1.0)
    group = broker.subscribe("t", handler)
    publish(env, broker, (0, 1, "k"), (0, 2, "k"), (0, 3))
    env.run(until=0.5)
    assert group.lag == 3
    env.run()
    assert group.lag == 0


def test_a_handler_must_be_a_generator_function_or_return_none():
    env = simpy.Environment()
    broker = MessageBroker().bind(env)
    broker.subscribe("t", lambda message: 7)
    publish(env, broker, (0, 1))
    with pytest.raises(rl.NotAGeneratorError, match="got 7"):
        env.run()


@pytest.mark.slow
def test_a_message_that_comes_again_for_ever_ends_the_run():
    env = simpy.Environment()
    broker = MessageBroker(max_deliveries=None).bind(env)

    @broker.subscribe("t")
    def fail(message):
        raise ValueError

    publish(env, broker, (0, 1))
    with pytest.raises(rl.UnfinishedRunError, match="set max_deliveries"):
        env.run()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ack_deadline": 0}, "ack_deadline must be > 0, got 0"),
        ({"max_deliveries": 0}, "max_deliveries must be >= 1, got 0"),
        ({"redelivery_delay": -1}, "redelivery_delay must be >= 0, got -1"),
        ({"latency": -1}, "latency must be >= 0, got -1"),
    ],
)
def test_wrong_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MessageBroker(**fields)
    with pytest.raises(TypeError, match="faults must be Outages"):
        MessageBroker(faults=(rl.Slowdown(1, 2),))


def test_wrong_subscriptions_are_refused():
    broker = MessageBroker().bind(simpy.Environment())
    for options in ({"concurrency": 0}, {"acknowledge": "never"}, {"max_deliveries": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            broker.subscribe("t", print, **options)
    with pytest.raises(ValueError, match="marked by subscribe"):
        broker.register(object())


@pytest.mark.slow
@pytest.mark.parametrize(("p", "limit", "dead", "deliveries"), [(0.2, 3, 0.008, 1.24), (0.5, 5, 0.03125, 1.9375)])
def test_dead_letters_and_deliveries_have_their_probabilities(p, limit, dead, deliveries):
    """Each delivery fails with probability p: geometric, cut at the limit."""
    env = simpy.Environment()
    broker = MessageBroker(max_deliveries=limit).bind(env)
    draws = KeyedDraws(5, "failures", uniform)
    count = 20_000
    numbers = iter(range(10 * count))

    @broker.subscribe("t")
    def flaky(message):
        if draws(next(numbers)) < p:
            raise OSError
        return None

    publish(env, broker, *((0, number) for number in range(count)))
    env.run()
    rows = broker.messages
    share = (rows["status"] == "dead_lettered").mean()
    assert abs(share - dead) <= 5 * math.sqrt(dead * (1 - dead) / count)
    assert abs(rows["deliveries"].mean() - deliveries) <= 5 * rows["deliveries"].std() / math.sqrt(count)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "deadline"), [(1.0, 1.0), (1.0, 3.0), (0.5, 2.0)])
def test_the_share_of_redelivered_messages_is_exponential_in_the_deadline(mean, deadline):
    env = simpy.Environment()
    broker = MessageBroker(max_deliveries=None, ack_deadline=deadline).bind(env)
    count = 10_000
    seconds = iter(np.random.default_rng(3).exponential(mean, 20 * count))

    @broker.subscribe("t", concurrency=100_000)
    def slow(message):
        yield env.timeout(next(seconds))

    publish(env, broker, *((0, number) for number in range(count)))
    env.run()
    expired = (broker.deliveries["outcome"] == "expired").mean()
    p = math.exp(-deadline / mean)
    assert abs(expired - p) <= 5 * math.sqrt(p * (1 - p) / len(broker.deliveries))
    assert (broker.messages["status"] == "acknowledged").all()


@settings(max_examples=60, deadline=None)
@given(
    sends=st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["a", "b", None])), min_size=1, max_size=12),
    work=st.floats(0.1, 4),
    ack_deadline=st.floats(0.5, 6),
    consumers=st.integers(1, 3),
    crashes=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 2), st.floats(0, 5)), max_size=4),
    outage=st.one_of(st.none(), st.tuples(st.floats(0, 20), st.floats(0.5, 5))),
)
def test_nothing_is_lost_and_each_key_stays_in_order(sends, work, ack_deadline, consumers, crashes, outage):
    """Whatever crashes when: every stored message is handled, in order per key at first sight."""
    env = simpy.Environment()
    faults = () if outage is None else rl.Outage(*outage)
    broker = MessageBroker(ack_deadline=ack_deadline, max_deliveries=None, faults=faults).bind(env)
    handled = []

    def handler(message):
        yield env.timeout(min(work, 0.9 * ack_deadline))
        handled.append(message)

    consumer = IdempotentConsumer(env, handler)
    group = broker.subscribe("t", consumer, concurrency=consumers)
    refused = publish(env, broker, *((time, number, key) for number, (time, key) in enumerate(sends)))

    def crash(time, number, restart_after):
        yield env.timeout(time)
        group.consumers[number % consumers].crash(restart_after)

    for each in crashes:
        env.process(crash(*each))
    env.run()
    assert broker.published == len(sends) - len(refused)
    assert sorted(message.id for message in handled) == list(range(broker.published))
    assert (broker.messages["status"] == "acknowledged").all()
    assert group.lag == 0
    for key in ("a", "b"):
        ids = [message.id for message in handled if message.key == key]
        assert ids == sorted(ids)


def test_a_user_can_crash_a_consumer_at_every_moment_without_loss():
    """Enumerate the moments of a small run; at each one, the consumer dies."""
    for moment in np.arange(0, 8.01, 0.5):
        env = simpy.Environment()
        broker = MessageBroker(ack_deadline=3, latency=0.5).bind(env, seed=0)
        done = []

        def handler(message, env=env, done=done):
            yield env.timeout(1.5)
            done.append(message.payload)

        group = broker.subscribe("t", IdempotentConsumer(env, handler))
        publish(env, broker, (0, 1, "k"), (0, 2, "k"), (2, 3, "k"))
        env.run(until=moment or None) if moment else None
        group.consumers[0].crash(1.0)
        env.run()
        assert done == [1, 2, 3], moment
