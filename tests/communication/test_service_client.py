"""ServiceClient: status codes, the wire, which answers are failures and which are retried."""

from __future__ import annotations

import pytest
import simpy

import resilab as rl
from resilab import Response, ServiceClient, StatusError


def play(env, call, *args):
    """Run one call; return its reply or its error, and when it came."""
    ends = []

    def model():
        try:
            ends.append((yield from call(*args)))
        except rl.ResilienceError as error:
            ends.append(error)
        ends.append(env.now)

    env.process(model())
    env.run()
    return tuple(ends)


def answering(env, *answers, seconds=0.1):
    """Return a server that gives the answers in turn, the last one for ever, and its calls."""
    calls = []

    def server(*message):
        yield env.timeout(seconds)
        answer = answers[min(len(calls), len(answers) - 1)]
        calls.append(message)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return server, calls


class ProductServiceClient:
    """The reference's class, translated line by line."""

    def __init__(self, http, circuit_breaker):
        self.http = http
        self.circuit_breaker = circuit_breaker

    def get_product(self, id):
        return self.circuit_breaker.execute(self.http.get, f"/products/{id}")


def test_the_product_service_client_of_the_reference():
    env = simpy.Environment()
    server, calls = answering(env, {"id": 7})
    http = ServiceClient(latency=0.01).bind(env, server=server, seed=0)
    circuit_breaker = rl.CircuitBreaker(failure_threshold=5, success_threshold=3, timeout=30).bind(env)
    client = ProductServiceClient(http, circuit_breaker)
    reply, end = play(env, client.get_product, 7)
    assert reply == Response(200, {"id": 7})
    assert end == pytest.approx(0.12)
    assert calls == [("GET", "/products/7", None)]


@pytest.mark.parametrize(("status", "state"), [(404, "closed"), (400, "closed"), (500, "open"), (429, "open")])
def test_only_failures_of_the_service_open_a_breaker(status, state):
    env = simpy.Environment()
    server, _ = answering(env, Response(status))
    breaker = rl.CircuitBreaker(failure_threshold=3, volume_threshold=1)
    client = ServiceClient(policy=breaker).bind(env, server=server)
    for _ in range(3):
        play(env, client.get, "/")
    assert client.policy.parts[0].state == state
    assert client.statuses == {status: 3}


@pytest.mark.parametrize(
    ("protocol", "status", "calls"),
    [
        ("rest", 503, 3),
        ("rest", 429, 3),
        ("rest", 500, 1),
        ("rest", 404, 1),
        ("grpc", "UNAVAILABLE", 3),
        ("grpc", "DEADLINE_EXCEEDED", 3),
        ("grpc", "INTERNAL", 1),
        ("grpc", "NOT_FOUND", 1),
    ],
)
def test_a_retry_asks_again_where_that_can_help(protocol, status, calls):
    env = simpy.Environment()
    server, seen = answering(env, Response(status))
    client = ServiceClient(rl.Retry(max_retries=2, jitter="none"), protocol=protocol).bind(env, server=server)
    play(env, client.call, "GetProduct", 7)
    assert len(seen) == calls


def test_a_retry_that_says_what_it_retries_is_left_alone():
    env = simpy.Environment()
    server, seen = answering(env, Response(500))
    retry = rl.Retry(max_retries=2, jitter="none", retryable_errors=StatusError)
    play(env, ServiceClient(retry).bind(env, server=server).get, "/")
    assert len(seen) == 3


def test_a_retry_outside_timeout_asks_again_after_a_time_out_of_the_clients_own():
    env = simpy.Environment()
    server, _ = answering(env, "late", seconds=9)
    policy = rl.ResiliencePolicy(rl.Retry(max_retries=1, initial_delay=1, jitter="none"), rl.Timeout(2))
    reply, end = play(env, ServiceClient(policy).bind(env, server=server).get, "/")
    assert isinstance(reply, rl.TimeoutExceededError)
    assert end == 5


def test_codes_can_be_chosen():
    client = ServiceClient(failures=(404,), retried=(404,))
    env = simpy.Environment()
    server, _ = answering(env, Response(404, "no such product"))
    reply, _ = play(env, client.bind(env, server=server).get, "/")
    assert isinstance(reply, StatusError)
    assert (reply.status, str(reply), reply.cause) == (404, "404 no such product", "status_404")
    assert not client.is_failure(500)


@pytest.mark.parametrize(
    ("error", "rest", "grpc"),
    [
        (rl.ServiceError("broken"), 500, "INTERNAL"),
        (rl.ServiceOverloadedError("full"), 503, "UNAVAILABLE"),
        (rl.CircuitOpenError("open"), 503, "UNAVAILABLE"),
        (rl.TimeoutExceededError("slow"), 504, "DEADLINE_EXCEEDED"),
        (KeyError("bug"), 500, "INTERNAL"),
    ],
)
def test_what_a_server_raises_becomes_a_status(error, rest, grpc):
    for protocol, status in (("rest", rest), ("grpc", grpc)):
        env = simpy.Environment()
        server, _ = answering(env, error)
        reply, _ = play(env, ServiceClient(protocol=protocol).bind(env, server=server).call, "Get")
        assert reply.status == status


def test_a_status_the_server_raises_itself_arrives_as_it_is():
    env = simpy.Environment()
    server, _ = answering(env, StatusError(404, "gone"))
    reply, _ = play(env, ServiceClient().bind(env, server=server).get, "/")
    assert reply == Response(404, "gone")
    with pytest.raises(StatusError, match="404 gone"):
        reply.raise_for_status()


def test_the_wire_delays_both_ways_and_a_time_out_sees_all_of_it():
    env = simpy.Environment()
    server, seen = answering(env, "ok", seconds=1.0)
    client = ServiceClient(rl.Timeout(1.5), latency=0.3).bind(env, server=server, seed=0)
    reply, end = play(env, client.get, "/")
    assert isinstance(reply, rl.TimeoutExceededError)
    assert end == 1.5
    assert len(seen) == 1  # the server had done its work


def test_a_client_is_a_policy_of_a_scenario():
    scenario = rl.Scenario(
        rl.Steady(10),
        rl.Service(workers=1, latency=0.05, faults=rl.Outage(start=5, duration=1)),
        policy=ServiceClient(rl.Timeout(1), latency=rl.Uniform(0.01, 0.02)),
        duration=10,
    )
    result = rl.simulate(scenario, seed=3)
    assert result.counts()["failure"] == 10
    assert set(result.requests.query("outcome == 'failure'")["cause"]) == {"status_500"}
    assert result.latency.min() > 0.07
    same = rl.simulate(scenario, seed=3)
    assert (same.latency == result.latency).all()


def test_an_error_survives_a_process_border():
    error = StatusError(503, "busy")
    assert str(type(error)(*error.args)) == "503 busy"


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="protocol must be one of 'rest', 'grpc', got 'soap'"):
        ServiceClient(protocol="soap")
    with pytest.raises(ValueError, match="failures must be numbers from 100 to 599, got 'UNAVAILABLE'"):
        ServiceClient(failures=("UNAVAILABLE",))
    with pytest.raises(ValueError, match="retried must be gRPC status codes, got 503"):
        ServiceClient(protocol="grpc", retried=(503,))
    env = simpy.Environment()
    with pytest.raises(ValueError, match="server must be given"):
        next(ServiceClient().bind(env).get("/"))
