"""Service: a dependency with workers, a queue, latency, failures and faults."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Any

import simpy
from simpy.events import NORMAL

from ..distributions import Law
from ..engine import Completion, Gone, Request, Steps, at, caller_has_gone, scheduled
from ..errors import ServiceError, ServiceOverloadedError
from ..randomness import KeyedDraws, uniform
from ..validation import Count, Natural, Ratio, Spec, many, word
from .faults import CapacityLoss, Errors, Fault, Outage, Slowdown
from .records import CANCELLED, FAILURE, OPEN, REJECTED, SUCCESS, TIMEOUT, AttemptColumns, Causes


@dataclass(frozen=True)
class Service(Spec):
    """A dependency: workers that serve one call each, and a queue before them.

    Args:
        workers: Calls served at once, at least 1. Its capacity is workers / mean latency.
        latency: Distribution of the service time, or seconds. Time in the queue comes
            on top.
        queue_limit: Places in the queue, workers not counted; a call that finds none
            is answered with `ServiceOverloadedError` at once. None is no limit.
        failure_rate: Share of calls that fail, each for itself, from 0 to 1.
        faults: `Outage`, `Slowdown`, `Errors`, `CapacityLoss`, in any number.
        discipline: "fifo" serves the oldest call first, "lifo" the newest.
        on_cancel: What happens to a call whose caller has gone. "stop" takes it from
            the queue or from its worker; "drop_queued" takes it from the queue only;
            "ignore" does its work to the end.
        failure_latency: Service time of a call that fails. None is that of a success.
        name: What frames and events call it.

    Example:
        >>> service = Service(workers=10, latency=0.1, failure_rate=0.02)
        >>> service.capacity
        100.0
    """

    workers: Count
    latency: Law
    queue_limit: Natural | None = None
    failure_rate: Ratio = 0.0
    faults: Annotated[tuple[Fault, ...], many(Fault)] = ()
    discipline: Annotated[str, word("fifo", "lifo")] = "fifo"
    on_cancel: Annotated[str, word("stop", "drop_queued", "ignore")] = "stop"
    failure_latency: Law | None = None
    name: str = "service"

    @property
    def capacity(self) -> float:
        """The calls per second that it can serve without faults."""
        mean = self.latency.mean
        return self.workers / mean if mean else math.inf

    def downstream(self) -> tuple[Any, ...]:
        """Return the calls that it makes for each call it serves; a `Tier` has some."""
        return ()

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int = 0,
        attempts: AttemptColumns | None = None,
        causes: Causes | None = None,
    ) -> LiveService:
        """Make the live service in *env*.

        Args:
            env: Any `simpy.Environment`.
            seed: Seed of its service times and failures.
            attempts: Where to write a row for each call. None writes nothing.
            causes: Numbers for the words of the rows' causes.
        """
        return LiveService(self, env, seed, attempts, causes or Causes())


@dataclass(frozen=True)
class _Condition:
    """What faults make of the service until the next change."""

    until: float
    capacity: int
    factor: float
    failure_rate: float


def _conditions(service: Service) -> tuple[list[float], list[_Condition]]:
    """Return the times at which something changes, and the condition from each on."""
    changes = sorted({0.0} | {t for fault in service.faults for t in (fault.start, fault.end)} - {math.inf})
    conditions = []
    for time, until in zip(changes, [*changes[1:], math.inf], strict=True):
        capacity, factor, success_rate = service.workers, 1.0, 1.0 - service.failure_rate
        for fault in service.faults:
            if not fault.start <= time < fault.end:
                continue
            if isinstance(fault, CapacityLoss):
                capacity = max(0, capacity - fault.workers)
            elif isinstance(fault, Slowdown):
                factor *= fault.factor
            elif isinstance(fault, Errors):
                success_rate *= 1.0 - fault.rate
            elif isinstance(fault, Outage) and fault.mode == "error":
                success_rate = 0.0
            elif isinstance(fault, Outage):
                capacity = 0
        conditions.append(_Condition(until, capacity, factor, 1.0 - success_rate))
    return changes, conditions


_QUEUED, _RUNNING, _DONE, _CANCELLED = range(4)


class Job(Completion):
    """One call at a service: the event of its own completion."""

    __slots__ = ("process", "request", "send", "service", "started", "state", "submitted")
    started: float
    left = -1.0
    gone: tuple[int, int] | None = None  # outcome and cause of a call that nobody waits for, if it is no time-out

    def __init__(self, service: LiveService, process: Any, request: Request, now: float) -> None:
        super().__init__(service.env, service.finish)
        self.service = service
        self.process = process
        self.request = request
        self.send = request.sends
        self.submitted = now
        self.state = _QUEUED

    def describe(self) -> str:
        """Say where the call is, for a request that stays open."""
        service = self.service
        if self.state == _RUNNING:
            return f"is served by {service.spec.name}"
        text = f"waits in the queue of {service.spec.name}"
        faults = [fault for fault in service.spec.faults if fault.end == math.inf]
        return f"{text}, which starts no work: {faults}" if faults else text


class LiveService:
    """A service in an environment.

    Attributes:
        spec: What it was made from.
        busy: Workers that serve a call now.
        queue_length: Calls that wait for a worker now.
        calls: How many calls have reached it.
    """

    def __init__(
        self,
        spec: Service,
        env: simpy.Environment,
        seed: int,
        attempts: AttemptColumns | None,
        causes: Causes,
    ) -> None:
        self.spec = spec
        self.env = env
        self.busy = 0
        self.queue_length = 0
        self.calls = 0
        self.has_closed = False
        self.finish = self._finish
        self._queue: deque[Job] = deque()
        self._next_job = self._queue.popleft if spec.discipline == "fifo" else self._queue.pop
        self._latency = KeyedDraws(seed, f"{spec.name}/latency", spec.latency.sample).draw
        self._failure = KeyedDraws(seed, f"{spec.name}/failure", uniform).draw
        self._failure_latency = (
            None
            if spec.failure_latency is None
            else KeyedDraws(seed, f"{spec.name}/failure_latency", spec.failure_latency.sample).draw
        )
        self._record = None if attempts is None else attempts.append
        self._service_error = causes.code(ServiceError.cause)
        self._queue_full = causes.code(ServiceOverloadedError.cause)
        self._timed_out = causes.code("timeout")
        self._code_of = causes.code
        self._limit = math.inf if spec.queue_limit is None else spec.queue_limit
        self._changes, self._conditions = _conditions(spec)
        self._until = -math.inf
        self._capacity = spec.workers
        self._factor = 1.0
        self._failure_rate = spec.failure_rate
        for time, before, after in zip(self._changes[1:], self._conditions, self._conditions[1:], strict=False):
            if after.capacity > before.capacity and time >= env.now:
                at(env, time, self._restart)

    def request(self) -> Steps:
        """Send one call and wait for its answer: `yield from service.request()`.

        Raises:
            ServiceError: The call failed.
            ServiceOverloadedError: The queue was full.
        """
        process = self.env.active_process
        job = self._submit(process, getattr(process, "request", None) or self._stranger())
        try:
            return (yield job)
        except BaseException as error:
            if job.state < _DONE:
                if (
                    isinstance(error, simpy.Interrupt)
                    and isinstance(error.cause, Gone)
                    and error.cause.reason == "hedge"
                ):
                    job.gone = CANCELLED, self._code_of("hedge")
                self._leave(job)
            raise

    def _stranger(self) -> Request:
        """Make the request of a caller that the lab did not start: each call is one."""
        return Request(self.calls, self.calls)

    def _submit(self, process: Any, request: Request) -> Job:
        now = self.env.now
        self.calls += 1
        request.sends += 1
        if now >= self._until:
            self._meet(now)
        job = Job(self, process, request, now)
        if self.busy < self._capacity:
            self.busy += 1
            self._start(job, now)
        elif self.queue_length < self._limit:
            self.queue_length += 1
            self._queue.append(job)
        else:
            if self._record is not None:
                self._record((request.id, request.sends, now, now, REJECTED, self._queue_full, now, now))
            raise ServiceOverloadedError(f"{self.spec.name} is overloaded: {self.queue_length} calls in its queue")
        return job

    def _start(self, job: Job, now: float) -> None:
        key, send = job.request.key, job.send - 1
        rate = self._failure_rate
        if rate and (rate >= 1 or self._failure(key, send) < rate):
            job.fail_with(ServiceError(f"{self.spec.name} failed"))
            latency = self._failure_latency or self._latency
        else:
            latency = self._latency
        job.state = _RUNNING
        job.started = now
        self.env.schedule(job, NORMAL, latency(key, send) * self._factor)

    def _finish(self, job: Any) -> None:
        """Record a job that has ended and let its worker take the next one."""
        job.state = _DONE
        now = self.env.now
        if self._record is not None:
            request = job.request
            submitted = job.submitted
            if job.left < 0 and request.has_abandoned:
                job.left = caller_has_gone(job.process)
            if job.left >= 0:
                outcome, cause = job.gone or (TIMEOUT, self._timed_out)
                end = max(job.left, submitted)
            elif job.ok:
                outcome, cause, end = SUCCESS, 0, now
            else:
                outcome, cause, end = FAILURE, self._service_error, now
            self._record((request.id, job.send, submitted, end, outcome, cause, job.started, now))
        self.busy -= 1
        if self.queue_length:
            self._start_queued(now)

    def _start_queued(self, now: float) -> None:
        if now >= self._until:
            self._meet(now)
        while self.busy < self._capacity and self.queue_length:
            job = self._next_job()
            if job.state == _QUEUED:
                self.queue_length -= 1
                self.busy += 1
                self._start(job, now)
        if not self.queue_length:
            self._queue.clear()  # of calls that were cancelled

    def _leave(self, job: Job) -> None:
        """Do what `on_cancel` says with a call whose caller has gone."""
        now = self.env.now
        reaction = self.spec.on_cancel
        job.left = now
        if self.has_closed:
            self._drop(job, now, OPEN, 0)
        elif job.state == _QUEUED and reaction != "ignore":
            self.queue_length -= 1
            self._drop(job, now, *(job.gone or (TIMEOUT, self._timed_out)))
        elif job.state == _RUNNING and reaction == "stop":
            self._drop(job, now, *(job.gone or (TIMEOUT, self._timed_out)))
            self.busy -= 1
            if self.queue_length:
                self._start_queued(now)

    def close(self) -> None:
        """Write the rows of calls that are inside when the run is stopped and that nobody waits for."""
        now = self.env.now
        for job in self._inside():
            if job.left < 0:
                job.left = caller_has_gone(job.process)
            if job.left >= 0:
                self._drop(job, now, *(job.gone or (TIMEOUT, self._timed_out)))
            else:
                self._drop(job, now, OPEN, 0)

    def _inside(self) -> list[Job]:
        running = [job for job in scheduled(self.env) if isinstance(job, Job) and job.service is self]
        return [job for job in (*self._queue, *running) if job.state in (_QUEUED, _RUNNING)]

    def _drop(self, job: Job, now: float, outcome: int, cause: int) -> None:
        began = job.started if job.state == _RUNNING else now
        end = now if job.left < 0 else max(job.left, job.submitted)
        job.state = _CANCELLED
        job.forget()
        if self._record is not None:
            self._record((job.request.id, job.send, job.submitted, end, outcome, cause, began, now))

    def _meet(self, now: float) -> None:
        """Take over the condition that holds at *now*."""
        condition = self._conditions[bisect_right(self._changes, now) - 1]
        self._until = condition.until
        self._capacity = condition.capacity
        self._factor = condition.factor
        self._failure_rate = condition.failure_rate

    def _restart(self, _: Any) -> None:
        self._start_queued(self.env.now)
