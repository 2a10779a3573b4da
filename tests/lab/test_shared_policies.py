"""What clients share, and what each has of its own."""

from __future__ import annotations

import pytest

import resilab as rl

DOWN = rl.Service(100, 0.01, faults=rl.Outage(0.0, 50.0))
POLICY = rl.ResiliencePolicy(
    rl.Retry(3, 0.01, jitter="none", budget=rl.RetryBudget.token_bucket(max_tokens=1.0, ratio=0.0)),
    rl.CircuitBreaker(failure_threshold=5, volume_threshold=0, timeout=100.0, half_open_max_calls=1),
)
SCENARIO = rl.Scenario(rl.Steady(rate=20), DOWN, POLICY, duration=10.0, clients=20)


def test_one_breaker_for_all_clients_and_a_budget_for_each():
    """One breaker opens after five failures of anybody; each client spends the one retry that its budget allows."""
    alone, shared = (rl.simulate(SCENARIO.replace(shared=kinds)) for kinds in ((), rl.CircuitBreaker))
    assert len(shared.attempts) == 5
    assert len(alone.attempts) > 50
    turns = shared.events[shared.events["type"] == "transition"]
    assert turns[["source", "detail"]].to_numpy().tolist() == [["circuit_breaker", "closed -> open"]]


def test_a_budget_for_all_clients_is_spent_once():
    plain = SCENARIO.replace(policy=POLICY.policies[0])
    alone, shared = (rl.simulate(plain.replace(shared=kinds)) for kinds in ((), (rl.Retry,)))
    retries = [len(result.attempts) - len(result) for result in (alone, shared)]
    assert retries == [20, 1]


def test_sharing_changes_nothing_with_one_client():
    one = SCENARIO.replace(clients=1)
    first, second = (rl.simulate(one.replace(shared=kinds)) for kinds in ((), (rl.CircuitBreaker, rl.Retry)))
    assert first.requests.equals(second.requests)


@pytest.mark.parametrize("wrong", [rl.CircuitBreaker(), "circuit_breaker", int])
def test_what_is_no_kind_of_policy_is_refused(wrong):
    with pytest.raises(TypeError, match="shared must be"):
        SCENARIO.replace(shared=(wrong,))
