"""Functions and live things: what is impossible is refused at once, with name, rule and value."""

from __future__ import annotations

import io
import math
import sys

import pytest
import simpy
import simpy.rt

import resilab as rl

ENV = simpy.Environment()
BROKER = rl.MessageBroker().bind(ENV)
LEAF = rl.Service(workers=1, latency=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rl.chain(), "services must not be empty"),
        (lambda: rl.Service(1, 0.1, faults=3), "faults must be a list or a tuple, got 3"),
        (
            lambda: rl.simulate(rl.Scenario(rl.Poisson(1), LEAF, duration=1), record="no"),
            "record must be True or False",
        ),
        (lambda: rl.chain("leaf"), "services must be a Service, got 'leaf'"),
        (lambda: rl.chain(LEAF, policy="none"), "policy must be a Policy, got 'none'"),
        (lambda: rl.compose("retry"), "parts must be a LivePolicy, got 'retry'"),
        (lambda: rl.subscribe(7), "topic must be a str, got 7"),
        (lambda: BROKER.subscribe("order.created", 7), "handler must be a function, got 7"),
        (lambda: BROKER.subscribe("order.created")(7), "handler must be a function, got 7"),
        (lambda: BROKER.subscribe("order.created", print, group=7), "group must be a str, got 7"),
        (lambda: BROKER.subscribe("order.created", print, ordered="no"), "ordered must be True or False, got 'no'"),
        (lambda: BROKER.subscribe("order.created", print, concurrency=0), "concurrency must be >= 1, got 0"),
        (lambda: rl.crash("server"), "process must be a SimPy process, got 'server'"),
        (lambda: next(rl.every_crash("model")), "build must be a function, got 'model'"),
        (lambda: rl.theory.expected_saga(0.9), "success must be a list or a tuple, got 0.9"),
        (lambda: rl.theory.expected_saga([0.9, 1.1]), "success must be from 0 to 1, got 1.1"),
        (lambda: rl.theory.expected_saga([0.9], [0.5, 0.5]), "compensation must be as long as success, 1, got 2"),
        (lambda: rl.theory.expected_saga([0.9], [0.5], tries=0), "tries must be >= 1, got 0"),
        (lambda: rl.theory.mean_deliveries(math.nan), "crash_rate must not be NaN"),
        (lambda: rl.scorecard(cases="all"), "cases must be a list or a tuple, got 'all'"),
        (lambda: rl.scorecard(cases=["Retry"]), "cases must be a Case, got 'Retry'"),
        (lambda: rl.scorecard(cases=[], confidence=95), "confidence must be from 0 to 1, got 95"),
        (lambda: rl.ConsumerCrashError("oops", -1.0), "restart_after must be >= 0, got -1.0"),
        (lambda: rl.Backoff().delays_of(2.5), "count must be a whole number, got 2.5"),
        (lambda: rl.Backoff().delays_of(2, draws=()), "draws must not be empty, got ()"),
        (lambda: rl.read_trace(True), "path must be the path of a file, got True"),
        (lambda: rl.read_trace("log.csv", failure=500), "failure must be a set of status codes, got 500"),
        (lambda: rl.read_trace("log.csv", columns=["start"]), "columns must be a Mapping, got ['start']"),
        (lambda: rl.read_trace(__file__, encoding=8), "encoding must be a str, got 8"),
        (lambda: rl.read_trace(__file__, header="start,duration"), "header must be a list or a tuple, got "),
        (lambda: rl.compare([1, 2]), "variants must be a Mapping, got [1, 2]"),
        (lambda: rl.compare({"a": 1, "b": 2}, baseline=["a"]), "baseline must be one of 'a', 'b', got ['a']"),
    ],
)
def test_a_refusal_says_name_rule_and_value(call, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("policy", [rl.Retry(), rl.Timeout(1.0), rl.Bulkhead(1), rl.CircuitBreaker(), rl.Fallback(0)])
def test_a_policy_lives_in_an_environment(policy):
    """Any of SimPy's, and nothing else."""
    for env in (None, "env", simpy.Environment):
        for spec in (policy, rl.ResiliencePolicy(policy)):
            with pytest.raises(TypeError, match="env must be an Environment, got "):
                spec.bind(env)
    with pytest.raises(TypeError, match="log must be an EventLog, got 'events'"):
        policy.bind(ENV, log="events")
    with pytest.raises(TypeError, match="name must be a str, got 3"):
        policy.bind(ENV, name=3)
    assert policy.bind(simpy.rt.RealtimeEnvironment()).name in repr(policy.bind(ENV))


def test_what_lives_prints_its_kind_and_name_without_an_address():
    policy = rl.ResiliencePolicy(rl.Retry(), rl.Timeout(1.0)).bind(ENV, name="checkout")
    assert repr(policy) == "<LiveResiliencePolicy 'checkout': checkout/retry, checkout/timeout>"
    assert repr(policy.parts[0]) == "<LiveRetry 'checkout/retry'>"
    assert repr(rl.ResiliencePolicy().bind(ENV)) == "<LiveResiliencePolicy 'policy': no policies>"
    assert repr(rl.Payment().bind(ENV)) == "<LivePayment 'payment'>"


def test_a_progress_bar_needs_a_terminal_or_somebody_who_asks(monkeypatch):
    """A log file is not filled with the steps of a bar that nobody asked for."""
    scenario = rl.Scenario(rl.Steady(1), LEAF, duration=2.0)
    monkeypatch.setattr("resilab.experiments.runs.PATIENCE", 0.0)
    for progress, is_shown in ((None, False), (False, False), (True, True)):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        rl.replicate(scenario, 3, n_jobs=1, progress=progress, metrics="p99")
        assert bool(stream.getvalue()) == is_shown


def test_a_picture_is_drawn_on_axes():
    """A second run in their place is a slip: it belongs to `baseline`."""
    result = rl.simulate(rl.Scenario(rl.Steady(1), LEAF, duration=2.0))
    for draw in (rl.plots.latency_ecdf, rl.plots.outcomes_over_time, rl.plots.queue_and_workers):
        with pytest.raises(TypeError, match="ax must be an Axes, got Result"):
            draw(result, result)
