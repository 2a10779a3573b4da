"""ResiliencePolicy: nesting, order, and use in somebody's own SimPy model."""

import itertools

import pytest
import simpy

import resilab as rl
from resilab import engine

PARTS = {
    "fallback": rl.Fallback("guest"),
    "retry": rl.Retry(3, 0.1, jitter="none"),
    "breaker": rl.CircuitBreaker(2, 1, 1.0, 1),
    "bulkhead": rl.Bulkhead(1, max_queue=0),
    "timeout": rl.Timeout(1.0),
}


def fails(env):
    yield env.timeout(0.05)
    raise rl.ServiceError("down")


def run(env, live, fn, *args):
    seen = []

    def caller():
        try:
            seen.append((yield from live.execute(fn, *args)))
        except Exception as error:
            seen.append(type(error))

    engine.start(env, caller())
    env.run()
    return seen[0]


def test_the_builder_equals_the_constructor():
    built = (
        rl.ResiliencePolicy()
        .with_timeout(5.0)
        .with_retry(max_retries=3, initial_delay=1.0, max_delay=10.0, backoff_multiplier=2)
        .with_circuit_breaker(failure_threshold=5, success_threshold=3, timeout=30.0, volume_threshold=10)
        .with_bulkhead(10)
        .with_fallback("Guest")
    )
    assert built == rl.ResiliencePolicy(
        rl.Timeout(5.0),
        rl.Retry(3, 1.0, 10.0, 2),
        rl.CircuitBreaker(5, 3, 30.0, 10),
        rl.Bulkhead(10),
        rl.Fallback("Guest"),
    )


def test_the_builder_returns_a_new_value():
    base = rl.ResiliencePolicy(rl.Timeout(1.0))
    base.with_bulkhead(3)
    assert base == rl.ResiliencePolicy(rl.Timeout(1.0))


def test_its_repr_shows_the_nesting():
    lines = repr(rl.ResiliencePolicy(rl.Timeout(1.0), rl.ResiliencePolicy(rl.Bulkhead(2)))).splitlines()
    assert lines == [
        "ResiliencePolicy(",
        "    Timeout(seconds=1.0, cancel=True),",
        "      ResiliencePolicy(",
        "          Bulkhead(max_concurrent=2, max_queue=None, max_wait=None),",
        "      ),",
        ")",
    ]


def test_no_policies_are_no_protection():
    env = simpy.Environment()
    assert run(env, rl.ResiliencePolicy().bind(env), fails, env) is rl.ServiceError


def test_policies_inside_policies_are_the_same_as_one_list():
    flat = rl.ResiliencePolicy(*PARTS.values())
    nested = rl.ResiliencePolicy(
        PARTS["fallback"], rl.ResiliencePolicy(PARTS["retry"], rl.ResiliencePolicy(*list(PARTS.values())[2:]))
    )
    assert nested.flat() == flat.policies
    scenario = rl.Scenario(rl.Poisson(30), rl.Service(3, rl.Exponential(0.1), failure_rate=0.3), flat, duration=20)
    assert rl.simulate(scenario).requests.equals(rl.simulate(scenario.replace(policy=nested)).requests)


def test_two_of_a_kind_have_different_names_and_states():
    env = simpy.Environment()
    live = rl.ResiliencePolicy(rl.Retry(1), rl.Retry(2)).bind(env, name="client")
    assert [part.name for part in live.parts] == ["client/retry", "client/retry_2"]


def test_fallback_inside_retry_hides_the_failure():
    """The reference's own usage example puts the fallback innermost: nothing is ever retried."""
    env = simpy.Environment()
    live = rl.ResiliencePolicy(PARTS["retry"], PARTS["fallback"]).bind(env)
    assert run(env, live, fails, env) == "guest"
    assert live.parts[0].retries == 0


def test_retry_outside_breaker_shows_it_every_attempt():
    """The breaker opens at the second failure; attempts 3 and 4 are rejected."""
    env = simpy.Environment()
    live = rl.ResiliencePolicy(PARTS["retry"], PARTS["breaker"]).bind(env)
    assert run(env, live, fails, env) is rl.CircuitOpenError
    assert live.parts[1].rejections == 2


def test_breaker_outside_retry_counts_one_failure_for_a_request():
    env = simpy.Environment()
    live = rl.ResiliencePolicy(PARTS["breaker"], PARTS["retry"]).bind(env)
    assert run(env, live, fails, env) is rl.ServiceError
    assert live.parts[0].state is rl.CircuitState.CLOSED


def test_bulkhead_outside_retry_holds_its_permit_during_backoff():
    for order, in_flight in ((("bulkhead", "retry"), 1), (("retry", "bulkhead"), 0)):
        env = simpy.Environment()
        live = rl.ResiliencePolicy(*(PARTS[name] for name in order)).bind(env)
        bulkhead = next(part for part in live.parts if part.name == "bulkhead")
        process = env.process(live.execute(fails, env))
        process.defused = True
        env.run(until=0.1)  # between the first failure at 0.05 and the retry at 0.15
        assert bulkhead.in_flight == in_flight


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)), ids="-".join)
def test_every_order_ends_every_request_once_and_leaks_nothing(order):
    policy = rl.ResiliencePolicy(*(PARTS[name] for name in order))
    service = rl.Service(2, rl.Exponential(0.05), queue_limit=4, failure_rate=0.3, faults=(rl.Outage(2, 1, "hang"),))
    result = rl.simulate(rl.Scenario(rl.Poisson(20), service, policy, duration=5), seed=3)
    assert sum(result.counts().values()) == len(result)
    assert (result.timeline("in_flight") >= 0).all()
    assert result.timeline("queue_length").iloc[-1] == result.timeline("busy_workers").iloc[-1] == 0


def test_live_policies_can_be_shared_between_compositions():
    """One breaker for the dependency, a bulkhead for each kind of request."""
    env = simpy.Environment()
    breaker = rl.CircuitBreaker(1, 1, 9.0, 0).bind(env)
    first = rl.compose(rl.Bulkhead(1).bind(env), breaker)
    second = rl.compose(rl.Bulkhead(1).bind(env), breaker)
    assert run(env, first, fails, env) is rl.ServiceError
    assert run(env, second, fails, env) is rl.CircuitOpenError


def test_it_works_in_a_plain_simpy_model():
    """Plain processes, a plain Resource, nothing else of the lab."""
    env = simpy.Environment()
    resource = simpy.Resource(env, capacity=1)
    policy = rl.ResiliencePolicy(rl.Fallback("cached"), rl.Retry(1, 0.5, jitter="none"), rl.Timeout(1.0)).bind(env)
    seen = []

    def query(seconds):
        with resource.request() as slot:
            yield slot
            yield env.timeout(seconds)
            return "fresh"

    def customer(name, seconds):
        reply = yield from policy.execute(query, seconds)
        seen.append((name, reply, env.now))

    env.process(customer("short", 0.75))
    env.process(customer("long", 5.0))
    env.process(customer("next", 0.25))
    env.run()
    # long gets the resource at 0.75 and is cut at 1.0; its retry at 1.5 is cut at 2.5.
    # next was cut in the queue at 1.0; its retry queues behind long's and is cut at 2.5, too.
    assert seen == [("short", "fresh", 0.75), ("long", "cached", 2.5), ("next", "cached", 2.5)]
    assert resource.count == 0
    assert not resource.queue


@pytest.mark.parametrize("part", ["retry", 3, rl.Service(1, 1.0)])
def test_only_policies_can_be_combined(part):
    with pytest.raises(TypeError, match="policies must be a Policy"):
        rl.ResiliencePolicy(part)


def test_execute_takes_keyword_arguments():
    """They reach the call through every policy."""
    env = simpy.Environment()
    policy = rl.ResiliencePolicy(rl.Retry(max_retries=1, initial_delay=0.1), rl.Timeout(1.0)).bind(env)

    def work(seconds, *, reply):
        yield env.timeout(seconds)
        return reply

    def caller():
        return (yield from policy.execute(work, 0.5, reply="done"))

    assert env.run(env.process(caller())) == "done"
