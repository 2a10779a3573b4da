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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
    assert ENVOY is not None
    server, port = _Server(answers, seconds), _free_port()
    text = text.replace("port_value: 10000", f"port_value: {port}")
    text = text.replace("port_value: 8080", f"port_value: {server.server_port}")
    path = folder / "envoy.yaml"
    path.write_text(text)
    command = [ENVOY, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "off"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)

        def call(_: int) -> int:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as reply:
                    return int(reply.status)
            except urllib.error.HTTPError as error:
                return error.code

        with ThreadPoolExecutor(at_once) as pool:
            statuses = list(pool.map(call, range(calls)))
        return server.count, sum(status == 200 for status in statuses)
    finally:
        process.terminate()
        process.wait(60)
        server.shutdown()
        server.server_close()


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
