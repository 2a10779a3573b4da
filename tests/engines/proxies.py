"""Envoy and gRPC on loopback: they play calls with a configuration, and say what came to the server."""

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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import resilab as rl

ENVOY = shutil.which("envoy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
Answers = Callable[[int], bool]
"""Says of each call that reaches the server, from 0, whether it succeeds."""


class _Server(ThreadingHTTPServer):
    """Answers 503 or 200 by a script, after some time, and counts."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answers, seconds):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.seconds, self.count, self.lock = answers, seconds, 0, threading.Lock()
        self.times: list[float] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with self.server.lock:
            succeeds = self.server.answers(self.server.count)
            self.server.count += 1
            self.server.times.append(time.monotonic())
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


def envoy_plays(
    text: str,
    calls: int,
    folder: Path,
    *,
    at_once: int = 1,
    answers: Answers = lambda number: False,
    seconds: float = 0.0,
) -> tuple[int, int]:
    """Play calls through a real Envoy with a configuration of the lab; return attempts and successes."""
    document = yaml.safe_load(text)
    with _envoy(document, [_Server(answers, seconds)], folder) as (servers, port, _):
        with ThreadPoolExecutor(at_once) as pool:
            statuses = list(pool.map(lambda _: _status(port), range(calls)))
        return servers[0].count, statuses.count(200)


class Hosts(NamedTuple):
    """What a fleet behind Envoy has seen.

    Attributes:
        successes: Calls that were answered with 200.
        ejections: How often a host was turned away.
        times: Of each host, the seconds of its calls since the first call of all.
    """

    successes: int
    ejections: int
    times: list[list[float]]


def envoy_fleet_plays(text: str, hosts: int, broken: int, calls: int, pause: float, folder: Path) -> Hosts:
    """Play calls, one after the other, through a real Envoy to hosts of which the first ones answer 503."""
    servers = [_Server(lambda _, works=number >= broken: works, 0.0) for number in range(hosts)]
    with _envoy(yaml.safe_load(text), servers, folder) as (_, port, admin):
        statuses, began = [], time.monotonic()
        for number in range(calls):
            time.sleep(max(0.0, began + number * pause - time.monotonic()))
            statuses.append(_status(port))
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/stats?filter=ejections_enforced_total") as reply:
            ejections = int(reply.read().split(b":")[1])
    return Hosts(statuses.count(200), ejections, [[time - began for time in server.times] for server in servers])


@contextmanager
def _envoy(document: Any, servers: list[_Server], folder: Path) -> Iterator[tuple[list[_Server], int, int]]:
    """Run Envoy in front of servers; give these, its port and that of its statistics."""
    assert ENVOY is not None
    port, admin = _free_port(), _free_port()
    resources = document["static_resources"]
    resources["listeners"][0]["address"] = _address(port)
    hosts = [{"endpoint": {"address": _address(server.server_port)}} for server in servers]
    resources["clusters"][0]["load_assignment"]["endpoints"] = [{"lb_endpoints": hosts}]
    path = folder / "envoy.yaml"
    path.write_text(yaml.safe_dump(document | {"admin": {"address": _address(admin)}}))
    command = [ENVOY, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "off"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield servers, port, admin
    finally:
        process.terminate()
        process.wait(60)
        for server in servers:
            server.shutdown()
            server.server_close()


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def grpc_plays(text: str, calls: int, *, answers: Answers = lambda number: False) -> tuple[int, int]:
    """Play calls through gRPC's core with a service config; return attempts and successes."""
    import grpc

    count: list[bool] = []

    def place(request: bytes, context: Any) -> bytes:
        count.append(answers(len(count)))
        if not count[-1]:
            context.abort(grpc.StatusCode.UNAVAILABLE, "no")
        return b""

    handlers = {"Place": grpc.unary_unary_rpc_method_handler(place)}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = [("grpc.service_config", text), ("grpc.enable_retries", 1), ("grpc.enable_http_proxy", 0)]
    successes = 0
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            for _ in range(calls):
                try:
                    channel.unary_unary("/shop.Orders/Place")(b"", timeout=60)
                    successes += 1
                except grpc.RpcError:
                    pass
        return len(count), successes
    finally:
        server.stop(None)


def lab_plays(
    policy: Any, calls: int, *, at_once: int = 1, failure_rate: float = 1.0, seconds: float = 0.001, seed: int = 1
) -> tuple[int, int]:
    """Play the same calls in the lab; return attempts at the service, and successes."""
    service = rl.Service(1000, seconds, failure_rate=failure_rate)
    times = [number // at_once * 60.0 for number in range(calls)]
    result = rl.simulate(rl.Scenario(rl.Replay(times), service, policy, duration=calls * 60.0), seed=seed)
    return len(result.attempts), result.counts()["success"]
