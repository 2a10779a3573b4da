"""The same systems in idiomatic SimPy: what the ratios of the benchmark are taken against.

`bare_queue` is the M/M/c queue of every SimPy tutorial, one process a request and one
`Resource`, with no policy at all. `stack` is the five-policy stack as one would write
it with SimPy's own parts: a process for the request and one for each attempt, a
`Resource` for the workers and one for the bulkhead, `work | limit` and an interrupt
for the time limit. Both keep a row of every request, and take the draws that resilab
takes, so that the rows can be compared.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

import resilab as rl
from resilab.randomness import KeyedDraws, uniform

RATE, WORKERS, MEAN, QUEUE_LIMIT = 80.0, 10, 0.1, 100
MAX_RETRIES, INITIAL_DELAY, MAX_DELAY = 2, 0.1, 2.0
FAILURE_THRESHOLD, SUCCESS_THRESHOLD, OPEN_FOR, VOLUME_THRESHOLD = 5, 3, 5.0, 10
MAX_CONCURRENT, LIMIT = 60, 0.5
SEED = 1

POLICY = rl.ResiliencePolicy(
    rl.Fallback("cached page"),
    rl.Retry(MAX_RETRIES, INITIAL_DELAY, MAX_DELAY, jitter="full"),
    rl.CircuitBreaker(FAILURE_THRESHOLD, SUCCESS_THRESHOLD, OPEN_FOR, VOLUME_THRESHOLD),
    rl.Bulkhead(MAX_CONCURRENT),
    rl.Timeout(LIMIT),
)
Row = tuple[float, float, str, int]


def scenario(requests: int, failure_rate: float, policy: rl.ResiliencePolicy = POLICY) -> rl.Scenario:
    """Return the scenario that both sides play, of about that many requests."""
    service = rl.Service(
        WORKERS, rl.Exponential(MEAN), queue_limit=QUEUE_LIMIT, failure_rate=failure_rate, on_cancel="stop"
    )
    return rl.Scenario(rl.Poisson(RATE), service, policy, duration=requests / RATE)


def bare_queue(requests: int, env: simpy.Environment | None = None) -> list[tuple[float, float]]:
    """Play the M/M/c queue without policies and return arrival and end of each request."""
    env = env or simpy.Environment()
    workers = simpy.Resource(env, WORKERS)
    arrivals = rl.Poisson(RATE).arrivals(requests / RATE, SEED).tolist()
    latencies = KeyedDraws(SEED, "service/latency", rl.Exponential(MEAN).sample).first(len(arrivals)).tolist()
    rows = []

    def request(number: int) -> Generator[simpy.Event, Any, None]:
        arrival = env.now
        with workers.request() as worker:
            yield worker
            yield env.timeout(latencies[number])
        rows.append((arrival, env.now))

    def source() -> Generator[simpy.Event, Any, None]:
        for number, arrival in enumerate(arrivals):
            yield env.timeout(arrival - env.now)
            env.process(request(number))

    env.process(source())
    env.run()
    return rows


class CallError(Exception):
    """A call failed; the first argument is the outcome it stands for."""


@dataclass
class Call:
    """One request: its number, and how often it was sent and has waited."""

    number: int
    sends: int = 0
    waits: int = 0


class Stack:
    """Fallback, retry, breaker, bulkhead and time limit around a service, in plain SimPy."""

    def __init__(self, env: simpy.Environment, failure_rate: float) -> None:
        self.env = env
        self.failure_rate = failure_rate
        self.workers = simpy.Resource(env, WORKERS)
        self.permits = simpy.Resource(env, MAX_CONCURRENT)
        self.latency = KeyedDraws(SEED, "service/latency", rl.Exponential(MEAN).sample)
        self.failure = KeyedDraws(SEED, "service/failure", uniform)
        self.jitter = KeyedDraws(SEED, "retry/jitter", uniform)
        self.state, self.generation = "closed", 0
        self.calls = self.failures = self.successes = 0
        self.opened_at = 0.0

    def fallback(self, call: Call) -> Generator[simpy.Event, Any, str]:
        try:
            yield from self.retry(call)
        except CallError:
            return "degraded"
        return "success"

    def retry(self, call: Call) -> Generator[simpy.Event, Any, None]:
        for attempt in range(MAX_RETRIES + 1):
            try:
                return (yield from self.breaker(call))
            except CallError:
                if attempt == MAX_RETRIES:
                    raise
            delay = min(INITIAL_DELAY * 2.0**attempt, MAX_DELAY) * self.jitter(call.number, call.waits)
            call.waits += 1
            yield self.env.timeout(delay)

    def breaker(self, call: Call) -> Generator[simpy.Event, Any, None]:
        if self.state == "open":
            if self.env.now < self.opened_at + OPEN_FOR:
                raise CallError("rejected")
            self.turn("half_open")
        generation = self.generation
        try:
            yield from self.bulkhead(call)
        except CallError:
            if generation == self.generation:
                self.calls += 1
                self.failures += 1
                self.successes = 0
                is_enough = self.failures >= FAILURE_THRESHOLD and self.calls >= VOLUME_THRESHOLD
                if self.state == "half_open" or is_enough:
                    self.turn("open")
            raise
        if generation == self.generation:
            self.calls += 1
            self.failures = 0
            if self.state == "half_open":
                self.successes += 1
                if self.successes >= SUCCESS_THRESHOLD:
                    self.turn("closed")

    def turn(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self.calls = self.failures = self.successes = 0
        if state == "open":
            self.opened_at = self.env.now

    def bulkhead(self, call: Call) -> Generator[simpy.Event, Any, None]:
        with self.permits.request() as permit:
            yield permit
            yield from self.timeout(call)

    def timeout(self, call: Call) -> Generator[simpy.Event, Any, None]:
        work = self.env.process(self.service(call))
        yield work | self.env.timeout(LIMIT)
        if work.is_alive:
            work.interrupt()
            raise CallError("timeout")

    def service(self, call: Call) -> Generator[simpy.Event, Any, None]:
        send = call.sends
        call.sends += 1
        if len(self.workers.queue) >= QUEUE_LIMIT:
            raise CallError("failure")
        try:
            with self.workers.request() as worker:
                yield worker
                fails = self.failure_rate > 0 and self.failure(call.number, send) < self.failure_rate
                yield self.env.timeout(self.latency(call.number, send))
        except simpy.Interrupt:
            return
        if fails:
            raise CallError("failure")


def stack(requests: int, failure_rate: float, env: simpy.Environment | None = None) -> list[Row]:
    """Play the five-policy stack and return arrival, end, outcome and attempts of each request."""
    env = env or simpy.Environment()
    policies = Stack(env, failure_rate)
    arrivals = rl.Poisson(RATE).arrivals(requests / RATE, SEED).tolist()
    rows: list[Row] = [(0.0, 0.0, "", 0)] * len(arrivals)

    def request(number: int) -> Generator[simpy.Event, Any, None]:
        call = Call(number)
        arrival = env.now
        outcome = yield from policies.fallback(call)
        rows[number] = (arrival, env.now, outcome, call.sends)

    def source() -> Generator[simpy.Event, Any, None]:
        for number, arrival in enumerate(arrivals):
            yield env.timeout(arrival - env.now)
            env.process(request(number))

    env.process(source())
    env.run()
    return rows


def different_rows(requests: int, failure_rate: float) -> int:
    """Return how many rows of resilab differ from those of the idiomatic stack: 0, to 1e-9 s."""
    result = rl.simulate(scenario(requests, failure_rate), SEED, record=False)
    frame = result.requests
    theirs = stack(requests, failure_rate)
    ours = zip(frame.arrival, frame.end, frame.outcome, frame.attempts, strict=True)
    return sum(
        abs(a[0] - b[0]) > 1e-9 or abs(a[1] - b[1]) > 1e-9 or a[2:] != b[2:] for a, b in zip(ours, theirs, strict=True)
    )
