"""Runs and their frames: what a user of `simulate` relies on."""

import pickle

import numpy as np
import pytest
import simpy

import resilab as rl

STACK = rl.ResiliencePolicy(
    rl.Fallback("cached page"),
    rl.Retry(max_retries=3, initial_delay=0.1, max_delay=2.0, backoff_multiplier=2.0, jitter="full"),
    rl.CircuitBreaker(failure_threshold=5, success_threshold=3, timeout=5.0, volume_threshold=10),
    rl.Bulkhead(max_concurrent=20, max_queue=10, max_wait=0.5),
    rl.Timeout(1.0),
)
SCENARIO = rl.Scenario(
    workload=rl.Poisson(rate=50),
    service=rl.Service(
        workers=10,
        latency=rl.Exponential(mean=0.1),
        queue_limit=100,
        failure_rate=0.02,
        faults=(rl.Outage(start=20, duration=10),),
    ),
    policy=STACK,
    duration=60.0,
)


@pytest.fixture(scope="module")
def result():
    return rl.simulate(SCENARIO, seed=1)


def test_the_frames_have_the_columns_that_users_rely_on(result):
    assert list(result.requests) == [
        "request_id", "client", "arrival", "end", "latency", "outcome", "cause", "attempts",
    ]  # fmt: skip
    assert list(result.attempts) == [
        "request_id", "attempt", "start", "end", "outcome", "cause", "queue_time", "service_time",
    ]  # fmt: skip
    assert list(result.events) == ["time", "source", "type", "request_id", "detail"]


def test_an_outage_is_answered_by_the_fallback_and_the_breaker_spares_the_service(result):
    """While it is open nothing is sent; after the outage it closes and successes return."""
    requests = result.requests
    during = requests[requests["arrival"].between(21, 29)]
    assert (during["outcome"] == "degraded").all()
    assert (during["cause"] == "circuit_open").mean() > 0.9
    after = requests[requests["arrival"] > 36]
    assert (after["outcome"] == "success").mean() > 0.98
    sent = result.attempts["start"].between(20.5, 25).sum()
    assert sent < 10


def test_breaker_transitions_are_events_and_a_time_line(result):
    transitions = result.events[result.events["type"] == "transition"]
    assert transitions["detail"].iloc[0] == "closed -> open"
    line = result.timeline("breaker_state")
    assert line.index[0] == 0
    assert len(line) == len(transitions) + 1
    assert line.iloc[-1] == 0


def test_the_summary_is_derived_from_the_rows(result):
    summary, requests = result.summary(), result.requests
    assert summary["success_rate"] == (requests["outcome"] == "success").mean()
    assert summary["p99"] == pytest.approx(requests["latency"].quantile(0.99))
    is_success = requests["outcome"] == "success"
    assert summary["p95_success"] == pytest.approx(requests["latency"][is_success].quantile(0.95))
    assert summary["amplification"] == len(result.attempts) / len(requests)
    assert summary["goodput"] == (is_success & (requests["end"] < 60)).sum() / 60
    assert summary["utilization"] == pytest.approx(result.attempts["service_time"].sum() / 600, rel=0.05)
    rates = [f"{word}_rate" for word in ("success", "degraded", "rejected", "timeout", "failure")]
    assert summary[rates].sum() == pytest.approx(1)


def test_a_result_pickles_and_prints(result):
    copy = pickle.loads(pickle.dumps(result))
    assert copy.requests.equals(result.requests)
    assert repr(result).startswith("Result(seed=1: 2951 requests: ")


def test_clients_have_a_policy_state_of_their_own():
    """Each client's breaker opens for itself; every request belongs to one client."""
    result = rl.simulate(SCENARIO.replace(clients=4), seed=1)
    share = result.requests["client"].value_counts(normalize=True)
    assert len(share) == 4
    assert share.between(0.2, 0.3).all()
    opened = result.events[result.events["detail"] == "closed -> open"]["source"]
    assert set(opened) == {f"client_{k}/circuit_breaker" for k in range(4)}


def test_clients_do_not_change_arrivals_or_work():
    plain = SCENARIO.replace(policy=rl.ResiliencePolicy())
    one, many = rl.simulate(plain, 1).attempts, rl.simulate(plain.replace(clients=7), 1).attempts
    assert one.equals(many)


def test_operations_share_what_the_outer_policy_holds():
    """A slow operation takes the shared pool; with bulkheads of its own the other keeps its places."""
    fast, slow = rl.Service(1000, 0.1, name="fast"), rl.Service(1000, 5.0, name="slow")

    def scenario(shared, own):
        return rl.Scenario(
            policy=shared,
            duration=60,
            operations=(
                rl.Operation("search", rl.Poisson(40), fast, own),
                rl.Operation("report", rl.Poisson(6), slow, own),
            ),
        )

    shared = rl.simulate(scenario(rl.Bulkhead(20, max_queue=0), rl.ResiliencePolicy()), 1).requests
    isolated = rl.simulate(scenario(rl.ResiliencePolicy(), rl.Bulkhead(10, max_queue=0)), 1).requests
    rejected = [(frame[frame["operation"] == "search"]["outcome"] == "rejected").mean() for frame in (shared, isolated)]
    assert rejected[0] > 0.3
    assert rejected[1] < 0.02


def test_operations_have_arrivals_of_their_own():
    """Another rate of one operation leaves the other's arrivals and work alone."""
    service = rl.Service(1000, rl.Exponential(0.1))

    def searches(rate):
        scenario = rl.Scenario(
            duration=20,
            operations=(
                rl.Operation("search", rl.Poisson(40), service),
                rl.Operation("report", rl.Poisson(rate), service.replace(name="reports")),
            ),
        )
        requests = rl.simulate(scenario, 1).requests
        return requests[requests["operation"] == "search"][["arrival", "end"]].to_numpy()

    assert np.array_equal(searches(1), searches(30))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((rl.Operation("a", rl.Poisson(1), rl.Service(1, 1.0)),) * 2, "operations must have different names"),
        (
            (
                rl.Operation("a", rl.Poisson(1), rl.Service(1, 1.0)),
                rl.Operation("b", rl.Poisson(1), rl.Service(2, 1.0)),
            ),
            "services must have different names",
        ),
        (("a",), "operations must be an Operation"),
    ],
)
def test_impossible_operations_are_refused(operations, message):
    with pytest.raises((ValueError, TypeError), match=message):
        rl.Scenario(duration=1, operations=operations)


@pytest.mark.parametrize(("failures", "limit"), [(0.0, 2.2), (0.1, 2.5)])
def test_events_per_request_of_the_full_stack(monkeypatch, failures, limit):
    """The engine's promise, counted: arrival, work, and little else on a stock environment."""
    steps = 0
    step = simpy.Environment.step

    def count(env):
        nonlocal steps
        steps += 1
        step(env)

    monkeypatch.setattr(simpy.Environment, "step", count)
    service = rl.Service(10, rl.Exponential(0.1), queue_limit=100, failure_rate=failures)
    policy = rl.ResiliencePolicy(
        rl.Fallback("x"),
        rl.Retry(2, 0.1, jitter="full"),
        rl.CircuitBreaker(50, 3, 5.0),
        rl.Bulkhead(60),
        rl.Timeout(0.5),
    )
    result = rl.simulate(rl.Scenario(rl.Poisson(60), service, policy, duration=100), seed=1)
    assert steps / len(result) <= limit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenario": "x"}, "scenario must be a World"),
        ({"scenario": SCENARIO, "seed": -1}, "seed must be >= 0, got -1"),
        ({"scenario": SCENARIO, "seed": 1.5}, "seed must be a whole number"),
        ({"scenario": SCENARIO, "horizon": 0}, "horizon must be > 0"),
    ],
)
def test_impossible_runs_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        rl.simulate(**arguments)


def test_a_run_without_requests_has_empty_frames():
    result = rl.simulate(SCENARIO.replace(workload=rl.Poisson(0.001), duration=1.0), seed=1)
    assert len(result) == len(result.requests) == len(result.attempts) == 0
    assert np.isnan(result.summary()["success_rate"])


def test_a_mistake_in_a_fallback_is_seen():
    """A function that is no generator function ends the run instead of counting as a failure."""

    def wrong():
        yield 42

    scenario = SCENARIO.replace(policy=rl.ResiliencePolicy(rl.Fallback(wrong)))
    with pytest.raises((TypeError, RuntimeError), match="42"):
        rl.simulate(scenario)


def test_without_recording_the_frames_of_attempts_say_so():
    result = rl.simulate(SCENARIO, 1, record=False)
    with pytest.raises(ValueError, match="attempts were not recorded"):
        _ = result.attempts
    assert np.isnan(result.summary()["utilization"])


def test_calls_that_abandoned_work_sends_later_are_counted():
    """The caller has gone after one attempt, the retry that it left behind sends three more."""
    policy = rl.ResiliencePolicy(rl.Timeout(0.3, cancel=False), rl.Retry(3, 0.1, jitter="none"))
    result = rl.simulate(rl.Scenario(rl.Steady(5), rl.Service(3, 0.25, failure_rate=1.0), policy, duration=2), seed=1)
    assert result.requests["attempts"].tolist() == [4] * 10
    assert result.summary()["amplification"] == len(result.attempts) / len(result) == 4
