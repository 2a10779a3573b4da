"""Service: a dependency with workers, a queue, latency, failures and faults."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import simpy
from simpy.events import NORMAL

from ..distributions import Constant, Law
from ..engine import AFTER_WORK, Completion, Gone, Request, Steps, at, caller_has_gone, scheduled
from ..errors import ServiceError, ServiceOverloadedError
from ..randomness import KeyedDraws, uniform
from ..validation import Count, Natural, NonNegative, Ratio, Spec, many, non_negative, number_or_function, word
from .conditions import conditions_of, freezes_of, stretched
from .faults import Fault
from .records import CANCELLED, FAILURE, OPEN, REJECTED, SUCCESS, TIMEOUT, AttemptColumns, Causes

NOTHING = Constant(0.0)


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
        discipline: "fifo" serves the oldest call first, "lifo" the newest. "barging" is
            the order of many pools: the oldest is woken when a worker is free, takes it
            *wake_time* later, and goes to the back of the queue if a new call was faster.
        on_cancel: What happens to a call whose caller has gone. "ignore" does its work to
            the end: most services do not notice. "drop_queued" takes it from the queue,
            and lets work that has begun go on; "stop" takes it from its worker too.
        failure_latency: Service time of a call that fails. None is that of a success.
        name: What frames and events call it.
        cancel_time: How long a call that *on_cancel* takes from its worker still holds
            it: connections are reset, transactions rolled back. Seconds or a distribution.
        overhead: Time of each served call in which no worker is busy with it, on the way
            back: network, proxies, scheduling. Faults do not slow it down. Seconds or a
            distribution.
        contention: Factor of the service time by the n calls in service when it begins,
            itself included: a number k for 1 + k (n - 1), or a function of n, such as
            Gunther's 1 + a (n - 1) + b n (n - 1), with which workers / (latency x factor)
            is his law of scalability. None is 1.
        wake_time: Time from waking a call to its taking the worker, with "barging". At 0
            only calls of the same instant are faster. Seconds or a distribution.

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
    discipline: Annotated[str, word("fifo", "lifo", "barging")] = "fifo"
    on_cancel: Annotated[str, word("ignore", "drop_queued", "stop")] = "ignore"
    failure_latency: Law | None = None
    name: str = "service"
    cancel_time: Law = 0.0
    overhead: Law = 0.0
    contention: Annotated[float | Callable[[int], float], number_or_function(NonNegative, 1)] | None = None
    wake_time: Law = 0.0

    def slowed_by(self, calls: int) -> float:
        """Return the factor of service times with so many calls in service."""
        if self.contention is None:
            return 1.0
        if callable(self.contention):
            return non_negative("the factor returned by contention", self.contention(calls))
        return 1.0 + self.contention * (calls - 1)

    @property
    def capacity(self) -> float:
        """The calls per second that it can serve without faults, all its workers busy."""
        mean = self.latency.mean * self.slowed_by(self.workers)
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


_QUEUED, _RUNNING, _DONE, _ANSWERED, _CANCELLED = range(5)


class Job(Completion):
    """One call at a service: the event of its own completion."""

    __slots__ = ("process", "released", "request", "send", "service", "started", "state", "submitted")
    started: float
    released: float
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
        self._next_job = self._queue.pop if spec.discipline == "lifo" else self._queue.popleft
        self._seed = seed
        self._latency = KeyedDraws(seed, f"{spec.name}/latency", spec.latency.sample).draw
        self._failure = KeyedDraws(seed, f"{spec.name}/failure", uniform).draw
        self._failure_latency = self._draws("failure_latency", spec.failure_latency, None)
        self._cancel_time = self._draws("cancel_time", spec.cancel_time)
        self._overhead = self._draws("overhead", spec.overhead)
        self._wake_time = self._draws("wake_time", spec.wake_time)
        self._woken: set[Job] = set()  # that are about to take a worker, with "barging"
        self._unwritten: set[Job] = set()  # cancelled ones that hold a worker, and answers on their way
        self._record = None if attempts is None else attempts.append
        self._service_error = causes.code(ServiceError.cause)
        self._queue_full = causes.code(ServiceOverloadedError.cause)
        self._timed_out = causes.code("timeout")
        self._code_of = causes.code
        self._limit = math.inf if spec.queue_limit is None else spec.queue_limit
        self._changes, self._conditions = conditions_of(spec.workers, spec.failure_rate, spec.faults)
        self._freezes = freezes_of(spec.faults)
        self._slows = bool(self._freezes) or spec.contention is not None
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
            if self._overhead is None:
                return (yield job)
            return (yield from self._answer(job, self._overhead))
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

    def _draws(self, name: str, law: Any, nothing: Any = NOTHING) -> Callable[[int, int], float] | None:
        """Return where the values of a law come from; None for the law that means nothing."""
        if law == nothing:
            return None
        return KeyedDraws(self._seed, f"{self.spec.name}/{name}", law.sample).draw

    def _answer(self, job: Job, overhead: Callable[[int, int], float]) -> Steps:
        """Wait for the work, then for its answer on the way, and write the row."""
        failure = None
        try:
            yield job
        except Exception as error:
            if job.state != _DONE:
                raise
            failure = error
        job.state = _ANSWERED
        self._unwritten.add(job)
        try:
            yield self.env.timeout(overhead(job.request.key, job.send - 1))
        except BaseException:
            if job in self._unwritten:
                job.left = self.env.now
                self._write_lost(job, self.env.now, is_open=self.has_closed)
            raise
        if job in self._unwritten:
            self._unwritten.remove(job)
            self._write(job, self.env.now, job.released)
        if failure is not None:
            raise failure

    def _write_lost(self, job: Job, now: float, *, is_open: bool) -> None:
        """Write the row of a call in `_unwritten` that nobody waits for, or that is inside when the run is stopped."""
        self._unwritten.remove(job)
        outcome, cause = (OPEN, 0) if is_open else self._fate(job)
        released = job.released if job.state == _ANSWERED else now
        self._record_row(job, now if job.left < 0 else job.left, outcome, cause, released)

    def _failure_cause(self, job: Job) -> int:
        """Return the code of why the work of a call has failed."""
        return self._service_error

    def _fate(self, job: Job) -> tuple[int, int]:
        """Return outcome and cause of a call whose caller has gone."""
        return job.gone or (TIMEOUT, self._timed_out)

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
        seconds = latency(key, send) * self._factor
        self.env.schedule(job, NORMAL, self._slowed(seconds, now) if self._slows else seconds)

    def _slowed(self, seconds: float, now: float) -> float:
        """Return how long work of some seconds takes that begins now, among others, and may be frozen."""
        return stretched(seconds * self.spec.slowed_by(self.busy), now, self._freezes)

    def _finish(self, job: Any) -> None:
        """Record a job that has ended and let its worker take the next one."""
        job.state = _DONE
        now = self.env.now
        if self._overhead is not None and job.left < 0:
            job.released = now
        elif self._record is not None:
            self._write(job, now, now)
        self._free(now)

    def _free(self, now: float) -> None:
        self.busy -= 1
        if self.queue_length:
            self._start_queued(now)

    def _write(self, job: Job, end: float, released: float) -> None:
        """Write the row of a call whose work is done."""
        if self._record is None:
            return
        request = job.request
        submitted = job.submitted
        if job.left < 0 and request.has_abandoned:
            job.left = caller_has_gone(job.process)
        if job.left >= 0:
            outcome, cause = self._fate(job)
            end = max(job.left, submitted)
        elif job.ok:
            outcome, cause = SUCCESS, 0
        else:
            outcome, cause = FAILURE, self._failure_cause(job)
        self._record((request.id, job.send, submitted, end, outcome, cause, job.started, released))

    def _start_queued(self, now: float) -> None:
        if now >= self._until:
            self._meet(now)
        if self.spec.discipline == "barging":
            self._wake(now)
            return
        while self.busy < self._capacity and self.queue_length:
            job = self._next_job()
            if job.state == _QUEUED:
                self.queue_length -= 1
                self.busy += 1
                self._start(job, now)
        if not self.queue_length:
            self._queue.clear()  # of calls that were cancelled

    def _wake(self, now: float) -> None:
        """Wake a queued call for each free worker that no other was woken for."""
        while self.busy + len(self._woken) < self._capacity and self.queue_length > len(self._woken):
            job = self._next_job()
            if job.state == _QUEUED:
                self._woken.add(job)
                delay = 0.0 if self._wake_time is None else self._wake_time(job.request.key, job.send - 1)
                at(self.env, now + delay, partial(self._take, job), AFTER_WORK)

    def _take(self, job: Job, _: Any) -> None:
        """Let a woken call take a worker; if there is none any more, it goes to the back of the queue."""
        now = self.env.now
        self._woken.remove(job)
        if now >= self._until:
            self._meet(now)
        if job.state == _QUEUED and self.busy < self._capacity:
            self.queue_length -= 1
            self.busy += 1
            self._start(job, now)
        elif job.state == _QUEUED:
            self._queue.append(job)
        if self.queue_length:
            self._wake(now)

    def _leave(self, job: Job) -> None:
        """Do what `on_cancel` says with a call whose caller has gone."""
        now = self.env.now
        reaction = self.spec.on_cancel
        job.left = now
        if self.has_closed:
            self._drop(job, now, OPEN, 0)
        elif job.state == _QUEUED and reaction != "ignore":
            self.queue_length -= 1
            self._drop(job, now, *self._fate(job))
        elif job.state == _RUNNING and reaction == "stop":
            held = 0.0 if self._cancel_time is None else self._cancel_time(job.request.key, job.send - 1)
            held = stretched(held, now, self._freezes)
            if held:
                self._unwritten.add(job)
                self._discard(job)
                at(self.env, now + held, partial(self._let_go, job))
            else:
                self._drop(job, now, *self._fate(job))
                self._free(now)

    def _let_go(self, job: Job, _: Any) -> None:
        """Free the worker that a cancelled call has held."""
        if job in self._unwritten:
            self._write_lost(job, self.env.now, is_open=False)
            self._free(self.env.now)

    def close(self) -> None:
        """Write the rows of calls that are inside when the run is stopped and that nobody waits for."""
        now = self.env.now
        for job in (*self._inside(), *self._unwritten):
            if job.left < 0:
                job.left = caller_has_gone(job.process)
            if job in self._unwritten:
                self._write_lost(job, now, is_open=job.left < 0)
            elif job.left >= 0:
                self._drop(job, now, *self._fate(job))
            else:
                self._drop(job, now, OPEN, 0)

    def _inside(self) -> list[Job]:
        running = [job for job in scheduled(self.env) if isinstance(job, Job) and job.service is self]
        return [job for job in (*self._queue, *self._woken, *running) if job.state in (_QUEUED, _RUNNING)]

    def _drop(self, job: Job, now: float, outcome: int, cause: int) -> None:
        self._record_row(job, now if job.left < 0 else job.left, outcome, cause, now)
        self._discard(job)

    def _discard(self, job: Job) -> None:
        """Let nothing come of a call."""
        job.state = _CANCELLED
        job.forget()

    def _record_row(self, job: Job, end: float, outcome: int, cause: int, released: float) -> None:
        if self._record is not None:
            began = released if job.state == _QUEUED else job.started
            row = job.request.id, job.send, job.submitted, max(end, job.submitted), outcome, cause, began, released
            self._record(row)

    def _meet(self, now: float) -> None:
        """Take over the condition that holds at *now*."""
        condition = self._conditions[bisect_right(self._changes, now) - 1]
        self._until = condition.until
        self._capacity = condition.capacity
        self._factor = condition.factor
        self._failure_rate = condition.failure_rate

    def _restart(self, _: Any) -> None:
        self._start_queued(self.env.now)
