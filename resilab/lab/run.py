"""Run a scenario: every request that arrives ends, exactly once, in one of five outcomes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import simpy

from ..engine import OnEnd, Request, Steps, Ticks, interrupt, start
from ..errors import NEVER_HANDLED, ResilienceError, UnfinishedRunError
from ..events import EventLog
from ..randomness import KeyedDraws, uniform
from ..resilience.base import Policy
from ..resilience.policy import LiveResiliencePolicy, ResiliencePolicy
from ..validation import flag, instance, positive, whole
from .records import DEGRADED, FAILURE, OPEN, OUTCOMES, AttemptColumns, Causes, RequestColumns, merge
from .result import Result
from .scenario import Scenario
from .service import Job, LiveService
from .workload import ClosedLoop

Call = Callable[[], Steps]
_CODES = {word: code for code, word in enumerate(OUTCOMES)}
_PACK_EVERY = 4096
_KEYS = 1 << 20  # of each operation, so that no two of them meet the same luck at a service they share


def simulate(scenario: Any, seed: int = 0, *, horizon: float | None = None, record: bool = True) -> Any:
    """Play a scenario and return what happened to every request.

    Requests arrive for `scenario.duration` seconds; the run ends when every request
    has ended and no work is left. The same scenario and seed give the same rows
    everywhere, and two scenarios under one seed meet the same arrivals and the same
    luck, so that their difference is due to their settings.

    Args:
        scenario: What to play: a `Scenario`, or another spec with a method
            `play(seed, horizon=, record=)`.
        seed: A whole number of at least 0.
        horizon: Simulated seconds after which the run stops. Requests that are open
            then have no outcome and no end. None runs until all have ended.
        record: False leaves out attempts and events, which is faster.

    Raises:
        UnfinishedRunError: Some requests would stay open for ever, and there is no
            horizon. The message says which and why.

    Example:
        >>> from resilab import Poisson, Service, Steady
        >>> result = simulate(Scenario(Steady(rate=10), Service(workers=2, latency=0.1), duration=1.0))
        >>> result.counts()["success"]
        10
    """
    whole("seed", seed)
    flag("record", record)
    if horizon is not None:
        positive("horizon", horizon)
    if hasattr(scenario, "play"):
        return scenario.play(seed, horizon=horizon, record=record)
    instance("scenario", scenario, Scenario)
    return _Run(scenario, seed, record).play(horizon)


class _Run:
    """One run: the live parts and the columns they write."""

    def __init__(self, scenario: Scenario, seed: int, record: bool) -> None:
        self.scenario = scenario
        self.seed = seed
        self.env = simpy.Environment()
        self.causes = Causes()
        self.log = EventLog() if record else None
        self.attempts: dict[str, AttemptColumns] = {}
        self.services: dict[str, LiveService] = {}
        for part in scenario.parts:
            self._bind_service(part.service)
        self.calls = [self._bind_client(client) for client in range(scenario.clients)]
        self.open: dict[int, Any] = {}
        self._runs_on: list[Request] = []  # ended, but work for them was left behind
        self._is_over = False
        self.count = 0
        self.ended = self._ended  # bound once for all tasks

    def _bind_service(self, service: Any, level: int = 1) -> LiveService:
        """Bind a service and those that it calls, each once."""
        if service.name not in self.services:
            if self.log is not None:
                self.attempts[service.name] = AttemptColumns()
            self.services[service.name] = live = service.bind(
                self.env, seed=self.seed, attempts=self.attempts.get(service.name), causes=self.causes
            )
            for call in getattr(service, "calls", ()):
                live.connect(self._bind_service(call.service, level + 1), call.policy, self.log, level, call.share)
        return self.services[service.name]

    def _bind_client(self, client: int) -> list[Call]:
        """Bind the policies of one client and return its call of each operation."""
        scenario = self.scenario
        name = "" if scenario.clients == 1 else f"client_{client}"
        shared = self._bind(scenario.policy, name)
        calls = []
        for part in scenario.parts:
            request: Call = self.services[part.service.name].request
            if scenario.operations:
                request = self._bind(part.policy, "/".join(filter(None, (name, part.name)))).around(request)
            calls.append(shared.around(request))
        return calls

    def _bind(self, policy: Policy, name: str) -> LiveResiliencePolicy:
        return ResiliencePolicy(policy).bind(self.env, seed=self.seed, log=self.log, name=name or None)

    def play(self, horizon: float | None) -> Result:
        scenario = self.scenario
        arrivals = _Arrivals(self)
        self.columns = RequestColumns(len(arrivals.times))
        arrivals.begin()
        for index, part in enumerate(scenario.parts):
            if isinstance(part.workload, ClosedLoop):
                _Users(self, index, part.workload, part.name)
        self.env.run(horizon)
        if self.open and horizon is None:
            raise UnfinishedRunError(self._why_open())
        self._stop()
        for request in self._runs_on:
            self.columns.attempts[request.id] = request.sends
        return Result(
            scenario=scenario,
            seed=self.seed,
            horizon=horizon,
            columns={name: values[: self.count].copy() for name, values in self.columns.arrays.items()},
            causes=tuple(self.causes.words),
            services=tuple(self.services),
            attempt_rows=merge(list(self.attempts.values())) if self.attempts else None,
            event_rows=None if self.log is None else tuple(self.log.rows),
        )

    def enter(self, key: int, part: int, client: int, on_end: OnEnd | None = None) -> None:
        """Let a request arrive now, in the next row."""
        number = self.count
        columns = self.columns
        if number == columns.capacity:
            columns.grow()
        columns.arrival[number] = self.env.now
        if part or client:
            columns.operation[number] = part
            columns.client[number] = client
        self.count = number + 1
        task = start(self.env, self.calls[client][part](), Request(number, key), None, on_end or self.ended)
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
            self._end_badly(number, value)
        columns.end[number] = self.env.now
        if request.sends != 1:
            columns.attempts[number] = request.sends
        if request.has_abandoned:
            self._runs_on.append(request)
        self.open.pop(number, None)
        return True

    def _end_badly(self, number: int, error: Exception) -> None:
        outcome = _CODES[error.outcome] if isinstance(error, ResilienceError) else FAILURE
        self.columns.outcome[number] = outcome
        self.columns.cause[number] = self.causes.code(cause_of(error))

    def pack(self) -> None:
        """Pack the rows so far, which takes less memory."""
        for rows in self.attempts.values():
            rows.pack()

    def _stop(self) -> None:
        """Stop what is open at the horizon; its rows say so."""
        self._is_over = True
        for service in self.services.values():
            service.has_closed = True
        for number, process in self.open.items():
            self.columns.outcome[number] = OPEN
            self.columns.attempts[number] = process.request.sends
            if not interrupt(process, "horizon"):
                self.env.step()

    def _why_open(self) -> str:
        lines = [
            f"{len(self.open)} of {self.count} requests are still open at {self.env.now:.6g} s and nothing can end"
            " them. Give simulate a horizon, a policy with a Timeout, or the fault an end."
        ]
        lines += [f"request {number} {_state_of(process)}" for number, process in list(self.open.items())[:5]]
        if len(self.open) > 5:
            lines.append(f"and {len(self.open) - 5} more")
        return "\n  ".join(lines)


def cause_of(error: BaseException) -> str:
    """Return the word by which frames name an error."""
    return error.cause if isinstance(error, ResilienceError) else type(error).__name__


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

    def __init__(self, run: _Run) -> None:
        scenario = run.scenario
        times, parts, keys = [np.empty(0)], [np.empty(0, np.int16)], [np.empty(0, np.int32)]
        for index, part in enumerate(scenario.parts):
            if not isinstance(part.workload, ClosedLoop):
                stream = stream_name(part.name, "arrivals")
                own = part.workload.arrivals(scenario.duration, run.seed, stream)  # type: ignore[arg-type]
                times.append(own)
                parts.append(np.full(len(own), index, np.int16))
                keys.append(np.arange(index * _KEYS, index * _KEYS + len(own), dtype=np.int32))
        merged = np.concatenate(times)
        order = np.argsort(merged, kind="stable")
        draws = KeyedDraws(run.seed, "client", uniform).first(len(merged) if scenario.clients > 1 else 0)
        self.times = merged[order]
        self._parts = memoryview(np.concatenate(parts)[order])
        self._keys = memoryview(np.concatenate(keys)[order])
        self._clients = memoryview((draws * scenario.clients).astype(np.int32))
        self._run = run
        self._call = run.calls[0][0]

    def begin(self) -> None:
        """Let the requests arrive. Row and key of the requests of a single client and workload are their number."""
        run = self._run
        if len(run.scenario.parts) == run.scenario.clients == 1 and len(self.times):
            run.columns.arrays["arrival"][:] = self.times
            Ticks(run.env, self.times, self._arrive_in_row)
        else:
            Ticks(run.env, self.times, self._arrive)

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
        client = self._clients[index] if run.scenario.clients > 1 else 0
        run.enter(self._keys[index], self._parts[index], client)
        if not index % _PACK_EVERY:
            run.pack()


class _Users:
    """The users of a closed workload: each thinks, asks, waits for the answer, and again."""

    def __init__(self, run: _Run, part: int, workload: ClosedLoop, name: str) -> None:
        self._run = run
        self._part = part
        self._users = workload.users
        self._think = KeyedDraws(run.seed, stream_name(name, "think"), workload.think_time.sample)
        for user in range(workload.users):
            self._think_then_ask(user, 0)

    def _think_then_ask(self, user: int, turn: int) -> None:
        env = self._run.env
        key = turn * self._users + user
        delay = self._think(key)
        if env.now + delay < self._run.scenario.duration:  # type: ignore[operator]
            env.timeout(delay).callbacks.append(partial(self._ask, user, turn, key))  # type: ignore[union-attr]

    def _ask(self, user: int, turn: int, key: int, _: Any) -> None:
        run = self._run

        def on_end(request: Request, ok: bool, value: Any) -> bool:
            is_end = run.ended(request, ok, value)
            self._think_then_ask(user, turn + 1)
            return is_end

        run.enter(self._part * _KEYS + key, self._part, user % run.scenario.clients, on_end)


def stream_name(operation: str, stream: str) -> str:
    """Return the name of a random stream of an operation."""
    return f"{operation}/{stream}" if operation else stream
