"""MessagingScenario: the same frames as any run, and what delivery semantics cost."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import resilab as rl
from resilab import Consumers, MessageBroker, MessagingScenario

SHOP = MessagingScenario(
    rl.Poisson(40),
    MessageBroker(ack_deadline=2.0, latency=0.002),
    Consumers(count=4, handling_time=rl.Exponential(0.06), crash_rate=0.02, failure_rate=0.05),
    keys=50,
    duration=40.0,
)


def group_of(scenario, **changes):
    return scenario.replace(consumers=scenario.consumers[0].replace(**changes))


@pytest.mark.parametrize("seed", range(3))
def test_each_way_to_acknowledge_has_its_own_price(seed):
    """After: duplicates and no loss. Before: losses and no duplicates. Idempotent: neither."""
    after = rl.simulate(SHOP, seed).flow()
    before = rl.simulate(group_of(SHOP, acknowledge="before"), seed).flow()
    idempotent = rl.simulate(group_of(SHOP, idempotent=True), seed).flow()
    assert after["duplicates"] > 0 == after["lost"]
    assert before["lost"] > 0 == before["duplicates"]
    assert idempotent["duplicates"] == idempotent["lost"] == 0
    assert idempotent["effects"] == idempotent["published"]
    assert after["published"] == before["published"] == idempotent["published"]


def test_every_event_ends_once_and_the_frames_agree():
    result = rl.simulate(SHOP.replace(broker=SHOP.broker.replace(max_deliveries=2)), seed=5)
    flow = result.flow()
    assert sum(result.counts().values()) == len(result.requests) == flow["published"]
    assert len(result.attempts) == len(result.deliveries) == flow["deliveries"] == result.messages["deliveries"].sum()
    assert flow["dead_lettered"] == (result.requests["cause"] == "dead_letter").sum() > 0
    assert flow["effects"] == result.requests["effects"].sum()
    assert (result.requests["latency"] >= 0).all()
    assert result.timeline("busy_workers").max() == 4


def test_a_seed_gives_the_same_rows_and_other_settings_meet_the_same_luck():
    one, two = rl.simulate(SHOP, 7), rl.simulate(SHOP, 7)
    assert one.messages.equals(two.messages)
    assert one.deliveries.equals(two.deliveries)
    fast = rl.simulate(group_of(SHOP, restart_time=0.0), 7)
    assert (fast.columns["arrival"] == one.columns["arrival"]).all()
    assert fast.deliveries.query("delivery == 1")["cause"].eq("crash").sum() == pytest.approx(
        one.deliveries.query("delivery == 1")["cause"].eq("crash").sum(), abs=2
    )


def test_a_run_can_be_pickled_stopped_and_played_without_rows():
    result = rl.simulate(SHOP, 1, horizon=10.0)
    copy = pickle.loads(pickle.dumps(result))
    assert copy.flow() == result.flow()
    plain = rl.simulate(SHOP, 1, horizon=10.0, record=False)
    assert plain.counts() == result.counts()


@pytest.mark.slow
def test_each_group_gets_every_event():
    both = SHOP.replace(consumers=(SHOP.consumers[0], Consumers(count=9, name="mail")))
    result = rl.simulate(both, 1)
    assert result.requests["operation"].value_counts().nunique() == 1
    assert set(result.attempts["service"]) == {"consumers", "mail"}
    assert result.lag("mail")[1][-1] == 0


def test_the_lag_of_a_slow_group_grows_and_is_worked_off():
    slow = group_of(SHOP, crash_rate=0.0, failure_rate=0.0, faults=rl.CapacityLoss(10, 10, workers=3))
    result = rl.simulate(slow.replace(keys=0), 3)
    times, lag = result.lag()
    at = dict(zip(("before", "during", "after"), lag[np.searchsorted(times, (9, 20, 39)) - 1], strict=True))
    assert at["before"] < 20 < 100 < at["during"]
    assert at["after"] < 20
    assert lag.min() == 0


def test_a_broker_outage_fails_what_is_published_unless_it_is_tried_again():
    down = SHOP.replace(broker=SHOP.broker.replace(faults=rl.Outage(start=10, duration=5)))
    plain = rl.simulate(down, 2)
    retried = rl.simulate(down.replace(policy=rl.Retry(max_retries=10, max_delay=2.0)), 2)
    assert (plain.requests["cause"] == "broker_unavailable").sum() == pytest.approx(200, abs=60)
    assert retried.counts()["success"] == len(retried)


def test_a_publisher_without_confirmation_publishes_twice():
    """The confirmation takes longer than the publisher waits: at least once begins at the publisher."""
    impatient = SHOP.replace(
        broker=MessageBroker(latency=rl.Exponential(0.05)),
        consumers=Consumers(count=4),
        policy=rl.ResiliencePolicy(rl.Retry(max_retries=8, initial_delay=0.1), rl.Timeout(0.15)),
    )
    flow = rl.simulate(impatient, 4).flow()
    assert flow["duplicates"] > 50
    assert rl.simulate(group_of(impatient, idempotent=True), 4).flow()["duplicates"] == 0


def test_a_group_that_never_comes_back_ends_the_run_with_a_reason():
    dead = group_of(SHOP, crash_rate=1.0, restart_time=float("inf"))
    with pytest.raises(rl.UnfinishedRunError, match="no consumer is left"):
        rl.simulate(dead, 1)
    assert rl.simulate(dead, 1, horizon=50.0).counts()["open"] > 0


def test_poison_holds_up_its_key_until_it_is_dead_lettered():
    poison = group_of(SHOP, crash_rate=0.0, failure_rate=0.0, poison_rate=0.01, redelivery_delay=1.0)
    calm = rl.simulate(group_of(poison, poison_rate=0.0), 1)
    result = rl.simulate(poison, 1)
    rows = result.requests
    assert (rows["cause"] == "dead_letter").sum() == (rows["outcome"] == "failure").sum() > 0
    assert (rows.query("cause == 'dead_letter'")["attempts"] == 5).all()
    assert result.latency[result.columns["outcome"] == 0].max() > 4 > calm.latency.max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workload": 3}, "workload must be a Workload"),
        ({"consumers": ()}, "consumers must be groups with different names"),
        ({"consumers": (Consumers(), Consumers())}, "consumers must be groups with different names"),
        ({"broker": MessageBroker(topics=("orders",))}, "topics of the broker must contain 'events'"),
        ({"keys": -1}, "keys must be >= 0"),
    ],
)
def test_wrong_scenarios_are_refused(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SHOP.replace(**change)
