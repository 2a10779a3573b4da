"""Run a scenario: every request that arrives ends, exactly once, in one of five outcomes.

The life of one request:

1. `workload.py` says when it arrives; `_Arrivals` or `_Users` below let it enter.
2. `Run.enter` gives it a row in `records.RequestColumns` and starts its task (`engine.Task`).
3. The task runs the call of its client: the policies of `resilience/`, the outermost first.
4. The innermost calls `service.LiveService.request`, which counts the send and makes a `Job`.
5. The job waits in the queue, is served for a time drawn by its key (`randomness`), and ends.
6. The service writes the row of the attempt; a tier (`tiers.py`) has called services below meanwhile.
7. Reply or error pass outwards: retries, fallbacks, breakers see it, and write events (`events.py`).
8. The task ends: `Run._ended` writes end, outcome and cause (`errors.py` knows both).
9. When all have ended, or at the horizon, `Run.result` makes a `Result` of the columns.
10. `metrics.py` derives headline numbers and time lines from the rows; `plots` draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import simpy

from ..engine import Gone, OnEnd, Request, Steps, Ticks, interrupt, start
from ..errors import NEVER_HANDLED, UnfinishedRunError, cause_of
from ..events import EventLog
from ..randomness import KeyedDraws, uniform
from ..validation import flag, instance, positive, whole
from .records import DEGRADED, OPEN, AttemptColumns, Causes, RequestColumns, merge
from .service import Job, Service
from .workload import ClosedLoop, Workload
from .world import World

R = TypeVar("R")
Call = Callable[[], Steps]
_PACK_EVERY = 4096
_KEYS = 1 << 20  # of each stream, so that no two of them meet the same luck at a service they share


def simulate(scenario: World[R], seed: int = 0, *, horizon: float | None = None, record: bool = True) -> R:
    """Play a scenario and return what happened to every request.

    Requests arrive for `scenario.duration` seconds; the run ends when every request
    has ended and no work is left. The same scenario and seed give the same rows
    everywhere, and two scenarios under one seed meet the same arrivals and the same
    luck, so that their difference is due to their settings.

    Args:
        scenario: What to play: a `Scenario`, or that of another world.
        seed: A whole number of at least 0.
        horizon: Simulated seconds after which the run stops. Requests that are open
            then have no outcome and no end. None runs until all have ended.
        record: False leaves out attempts and events, which is faster.

    Raises:
        UnfinishedRunError: Some requests would stay open for ever, and there is no
            horizon. The message says which and why.

    Example:
        >>> from resilab import Scenario, Service, Steady
        >>> result = simulate(Scenario(Steady(rate=10), Service(workers=2, latency=0.1), duration=1.0))
        >>> result.counts()["success"]
        10
    """
    whole("seed", seed)
    flag("record", record)
    if horizon is not None:
        positive("horizon", horizon)
    instance("scenario", scenario, World)
    return scenario.play(seed, horizon=horizon, record=record)


class Closable(Protocol):
    """What has to know that a run was stopped: calls that are cut off then have not timed out."""

    has_closed: bool

    def close(self) -> None:
        """Write the rows of calls that nobody waits for."""


class Stream(NamedTuple):
    """One kind of request: its name, with which its random streams begin, and when it arrives."""

    name: str
    workload: Workload | ClosedLoop


class Run:
    """One run of any scenario: what lives in it, and the columns that it writes.

    A world makes one, binds its parts to `env`, says in `calls` what a request does, plays
    it, and makes its result.

    Args:
        scenario: What is played.
        seed: Seed of all random draws.
        record: Whether attempts and events are written.
        streams: The kinds of requests.
        clients: How many clients they come from.

    Attributes:
        env, causes, log: The clock, the numbers of causes, the events or None.
        services: The live services by name.
        attempts: Where each service writes, by name; empty if nothing is recorded.
        calls: For each client and stream: the generator function that a request runs.
        columns: The rows of the requests.
        count: How many have arrived.
        open: The tasks of those that have not ended, by row.
        on_all_ended: Called once when all requests of open workloads have arrived and ended.
    """

    def __init__(
        self, scenario: World[Any], seed: int, record: bool, streams: Sequence[Stream], clients: int = 1
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.streams = streams
        self.clients = clients
        self.env = simpy.Environment()
        self.causes = Causes()
        self.log = EventLog() if record else None
        self.attempts: dict[str, AttemptColumns] = {}
        self.services: dict[str, Closable] = {}
        self.calls: list[list[Call]] = []
        self.open: dict[int, Any] = {}
        self.count = 0
        self.on_all_ended: Callable[[], object] | None = None
        self._runs_on: list[Request] = []  # ended, but work for them was left behind
        self._is_over = False
        self.ended = self._ended  # bound once for all tasks

    def columns_of(self, name: str) -> AttemptColumns | None:
        """Return where the service of that name writes its attempts; None if nothing is recorded."""
        if self.log is None:
            return None
        return self.attempts.setdefault(name, AttemptColumns())

    def bind(self, service: Service, level: int = 1) -> Any:
        """Return the live service, bound with those that it calls, each once."""
        name = service.name
        if name not in self.services:
            attempts = self.columns_of(name)
            live: Any = service.bind(self.env, seed=self.seed, attempts=attempts, causes=self.causes)
            self.services[name] = live
            for call in service.downstream():
                live.connect(self.bind(call.service, level + 1), call.policy, self.log, level, call.share)
        return self.services[name]

    def play(self, horizon: float | None) -> None:
        """Let the requests arrive, and run until all have ended, or to the horizon."""
        arrivals = _Arrivals(self)
        self.expected = len(arrivals.times)
        self.columns = RequestColumns(self.expected)
        arrivals.begin()
        for index, stream in enumerate(self.streams):
            if isinstance(stream.workload, ClosedLoop):
                _Users(self, index, stream.workload, stream.name)
        self.env.run(horizon)
        if self.open and horizon is None:
            raise UnfinishedRunError(self._why_open())
        self._stop()
        for request in self._runs_on:
            self.columns.attempts[request.id] = request.sends

    def result(self, kind: Callable[..., R], horizon: float | None, **more: Any) -> R:
        """Return the rows as a result of that kind, with what else it has."""
        values = {
            "scenario": self.scenario,
            "seed": self.seed,
            "horizon": horizon,
            "columns": self.columns.first(self.count),
            "causes": tuple(self.causes.words),
            "services": tuple(self.attempts) or tuple(self.services),
            "attempt_rows": merge(self.attempts.values()) if self.attempts else None,
            "event_rows": None if self.log is None else tuple(self.log.rows),
        }
        return kind(**(values | more))

    def enter(self, key: int, stream: int, client: int, on_end: OnEnd | None = None) -> None:
        """Let a request arrive now, in the next row."""
        number = self.count
        columns = self.columns
        if number == columns.capacity:
            columns.grow()
        columns.arrival[number] = self.env.now
        if stream or client:
            columns.operation[number] = stream
            columns.client[number] = client
        self.count = number + 1
        task = start(self.env, self.calls[client][stream](), Request(number, key), None, on_end or self.ended)
        if task.callbacks is not None:
            self.open[number] = task

    def _ended(self, request: Request, ok: bool, value: Any) -> bool:
        """Write down how a request has ended, and say whether that was an end."""
        number = request.id
        columns = self.columns
        if ok:
            if request.handled is not None:
                columns.outcome[number] = DEGRADED
                columns.cause[number] = self.causes.code(cause_of(request.handled))
        elif isinstance(value, NEVER_HANDLED) or not isinstance(value, Exception):
            return self._is_over
        else:
            columns.outcome[number], columns.cause[number] = self.causes.of(value)
        columns.end[number] = self.env.now
        if request.sends != 1:
            columns.attempts[number] = request.sends
        if request.has_abandoned:
            self._runs_on.append(request)
        self.open.pop(number, None)
        if self.on_all_ended is not None and not self.open and self.count == self.expected:
            self.on_all_ended()
        return True

    def pack(self) -> None:
        """Pack the rows so far, which takes less memory."""
        for rows in self.attempts.values():
            rows.pack()

    def _stop(self) -> None:
        """Stop what is open at the horizon; its rows say so."""
        self._is_over = True
        for service in self.services.values():
            service.has_closed = True
        for number, process in list(self.open.items()):
            self.columns.outcome[number] = OPEN
            self.columns.attempts[number] = process.request.sends
            if not interrupt(process, Gone("horizon")):
                self.env.step()
        for service in self.services.values():
            service.close()

    def _why_open(self) -> str:
        lines = [
            f"{len(self.open)} of {self.count} requests are still open at {self.env.now:.6g} s and nothing can end"
            " them. Give simulate a horizon, a policy with a Timeout, or the fault an end."
        ]
        lines += [f"request {number} {_state_of(process)}" for number, process in list(self.open.items())[:5]]
        if len(self.open) > 5:
            lines.append(f"and {len(self.open) - 5} more")
        return "\n  ".join(lines)


def _state_of(process: Any) -> str:
    """Say what an open request waits for."""
    target = process.target
    while isinstance(target, simpy.Process):
        target = target.target
    if isinstance(target, Job):
        return target.describe()
    return "waits for a permit of a bulkhead that is never given back, or for another event that never comes"


class _Arrivals:
    """The open workloads, merged in order of time."""

    def __init__(self, run: Run) -> None:
        times, streams, keys = [np.empty(0)], [np.empty(0, np.int16)], [np.empty(0, np.int32)]
        for index, stream in enumerate(run.streams):
            if not isinstance(stream.workload, ClosedLoop):
                name = stream_name(stream.name, "arrivals")
                own = stream.workload.arrivals(run.scenario.duration, run.seed, name)  # type: ignore[arg-type]
                times.append(own)
                streams.append(np.full(len(own), index, np.int16))
                keys.append(np.arange(index * _KEYS, index * _KEYS + len(own), dtype=np.int32))
        merged = np.concatenate(times)
        order = np.argsort(merged, kind="stable")
        draws = KeyedDraws(run.seed, "client", uniform).first(len(merged) if run.clients > 1 else 0)
        self.times = merged[order]
        self._streams = memoryview(np.concatenate(streams)[order])
        self._keys = memoryview(np.concatenate(keys)[order])
        self._clients = memoryview((draws * run.clients).astype(np.int32))
        self._run = run
        self._call = run.calls[0][0]

    def begin(self) -> None:
        """Let the requests arrive.

        With a single client and stream, row and key of a request are its number and its
        time of arrival is known: one copy then writes that column for all of them.
        """
        run = self._run
        if len(run.streams) == run.clients == 1 and len(self.times):
            run.columns.arrays["arrival"][:] = self.times
            Ticks(run.env, self.times, self._arrive_in_row)
        else:
            Ticks(run.env, self.times, self._arrive)
        if not len(self.times) and run.on_all_ended is not None:
            run.on_all_ended()

    def _arrive_in_row(self, number: int) -> None:
        run = self._run
        run.count = number + 1
        task = start(run.env, self._call(), Request(number, number), None, run.ended)
        if task.callbacks is not None:
            run.open[number] = task
        if not number % _PACK_EVERY:
            run.pack()

    def _arrive(self, index: int) -> None:
        run = self._run
        client = self._clients[index] if run.clients > 1 else 0
        run.enter(self._keys[index], self._streams[index], client)
        if not index % _PACK_EVERY:
            run.pack()


class _Users:
    """The users of a closed workload: each thinks, asks, waits for the answer, and again."""

    def __init__(self, run: Run, stream: int, workload: ClosedLoop, name: str) -> None:
        self._run = run
        self._stream = stream
        self._users = workload.users
        self._think = KeyedDraws(run.seed, stream_name(name, "think"), workload.think_time.sample)
        for user in range(workload.users):
            self._think_then_ask(user, 0)

    def _think_then_ask(self, user: int, turn: int) -> None:
        env = self._run.env
        key = turn * self._users + user
        delay = self._think(key)
        if env.now + delay < self._run.scenario.duration:  # type: ignore[operator]
            env.timeout(delay).callbacks.append(partial(self._ask, user, turn, key))

    def _ask(self, user: int, turn: int, key: int, _: Any) -> None:
        run = self._run

        def on_end(request: Request, ok: bool, value: Any) -> bool:
            is_end = run.ended(request, ok, value)
            self._think_then_ask(user, turn + 1)
            return is_end

        run.enter(self._stream * _KEYS + key, self._stream, user % run.clients, on_end)


def stream_name(kind: str, stream: str) -> str:
    """Return the name of a random stream of a kind of request."""
    return f"{kind}/{stream}" if kind else stream
