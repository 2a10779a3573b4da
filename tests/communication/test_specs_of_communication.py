"""Specs of communication are values: they hash, pickle, compare, print and change."""

from __future__ import annotations

import pickle

import pytest

import resilab as rl

SPECS = (
    rl.ConnectionPool(10, acquire_timeout=0.5, connect_time=rl.Exponential(0.1)),
    rl.MessageBroker(topics=("a", "b"), faults=rl.Outage(1, 2)),
    rl.ServiceClient(rl.Retry(), latency=0.01, failures=(500, 503)),
    rl.Deadline(1.0),
    rl.Downstream(rl.Service(1, 0.1), rl.Timeout(1.0), share=0.5),
    rl.chain(rl.Service(1, 0.1, name="a"), rl.Service(1, 0.1, name="b"), policy=rl.Retry()),
    rl.Consumers(3, rl.Exponential(0.1), faults=rl.CapacityLoss(1, 2)),
    rl.MessagingScenario(rl.Poisson(10), consumers=(rl.Consumers(), rl.Consumers(name="mail")), duration=9.0),
    rl.Response(404, "no such product"),
    rl.Order(7, "Ann"),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_a_spec_is_a_value(spec):
    copy = pickle.loads(pickle.dumps(spec))
    assert copy == spec
    assert hash(copy) == hash(spec)
    assert type(spec).__name__ in repr(spec)


@pytest.mark.parametrize("spec", SPECS[:-1], ids=lambda spec: type(spec).__name__)
def test_replacing_nothing_changes_nothing(spec):
    assert spec.replace() == spec


def test_a_pool_inside_a_time_out_limits_wait_and_call_together():
    """Timeout outside the pool limits both; inside it, the call alone."""
    service = rl.Service(9, 1.0)
    both, call = (
        rl.simulate(rl.Scenario(rl.Replay((0.0, 0.0)), service, policy=rl.ResiliencePolicy(*policies)))
        for policies in (
            (rl.Timeout(1.5), rl.ConnectionPool(1)),
            (rl.ConnectionPool(1), rl.Timeout(1.5)),
        )
    )
    assert both.counts() == {"success": 1, "degraded": 0, "rejected": 0, "timeout": 1, "failure": 0}
    assert call.counts()["success"] == 2
    assert list(call.requests["end"]) == [1.0, 2.0]


def test_a_client_under_a_pool_works_over_tiers():
    """Policies of every kind compose, at every tier."""
    policy = rl.ResiliencePolicy(
        rl.Deadline(2.0), rl.ConnectionPool(5, acquire_timeout=1.0), rl.ServiceClient(rl.Retry(2), latency=0.01)
    )
    tiers = rl.chain(rl.Service(5, 0.05, name="api"), rl.Service(5, 0.05, name="leaf", failure_rate=0.3), policy=policy)
    scenario = rl.Scenario(rl.Poisson(10), tiers, policy=policy, duration=20.0)
    one, two = rl.simulate(scenario, 1), rl.simulate(scenario, 1)
    assert one.requests.equals(two.requests)
    assert sum(one.counts().values()) == len(one)
    assert one.counts()["success"] > 0.5 * len(one)
    assert set(one.requests["cause"].dropna()) <= {"status_500", "pool_timeout", "timeout"}
