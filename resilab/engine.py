"""Starting, interrupting, racing and timing work: the one module that knows how SimPy does it.

Everything runs on a stock `simpy.Environment`. Two things cost most in idiomatic
SimPy, a process for each request and a heap event for each time limit, so the
engine has a leaner form of both: `Task`, a process that starts at once and needs no
event of its own to start or to end, and `Deadlines`, which keeps limits of one
length in a queue with at most one heap event.

Private attributes of SimPy are used here and nowhere else. The tests hold the results
against those of SimPy's public API alone (`tests/public_engine.py`), to the last bit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from heapq import heappush
from typing import Any

import numpy as np
import simpy
from simpy.events import NORMAL, PENDING, Event, Process

from .errors import Cancellation, NotAGeneratorError

AFTER_WORK = NORMAL + 1
"""Priority of time limits: at one instant, work that ends is counted before limits expire."""

Steps = Generator[Event, Any, Any]


class Request:
    """What the user asked for: the identity that policies, draws and rows share.

    Attributes:
        id: Row of the request in the frames.
        key: Names its random draws; the same in every variant of a scenario.
        sends: How many times it was sent to a service so far.
        backoffs: How many times a retry has waited for it so far.
        handled: The error that a fallback answered, or None.
        has_abandoned: Whether work for it runs on somewhere with nobody waiting.
        deadline: When it has to be done, in seconds; it travels to services below.
    """

    backoffs = 0
    handled: BaseException | None = None
    has_abandoned = False
    deadline = math.inf

    def __init__(self, id: int, key: int) -> None:
        self.id = id
        self.key = key
        self.sends = 0

    def tally(self, name: str) -> int:
        """Return how often *name* was counted for what the user asked for, in all services, and count it."""
        counts: dict[str, int] = getattr(self, "root", self).__dict__.setdefault("counts", {})
        count = counts.get(name, 0)
        counts[name] = count + 1
        return count


class Branch(Request):
    """One of several ways that a request takes at once: a copy of a hedge, work that its caller may leave.

    What is counted is shared, so that no two sends meet the same luck. The deadline, and
    whether a fallback has answered, are its own: those of a way that loses say nothing
    about the request.

    Args:
        above: The request.
    """

    def __init__(self, above: Request) -> None:
        self.above = above
        self.root: Request = getattr(above, "root", above)
        self.id = above.id
        self.key = above.key
        self.deadline = above.deadline

    @property
    def sends(self) -> int:
        """How many times the request was sent, on any way."""
        return self.above.sends

    @sends.setter
    def sends(self, value: int) -> None:
        self.above.sends = value

    @property
    def backoffs(self) -> int:
        """How many times a retry has waited for it, on any way."""
        return self.above.backoffs

    @backoffs.setter
    def backoffs(self, value: int) -> None:
        self.above.backoffs = value

    @property
    def has_abandoned(self) -> bool:
        """Whether work for it runs on somewhere with nobody waiting."""
        return self.above.has_abandoned

    @has_abandoned.setter
    def has_abandoned(self, value: bool) -> None:
        self.above.has_abandoned = value

    def win(self) -> None:
        """Let this way be the one that answers the request."""
        self.above.handled = self.handled


def branch_of(process: Any) -> Branch | None:
    """Return a new way of the request that *process* works for; None if it works for none."""
    request = request_of(process)
    return None if request is None else Branch(request)


OnEnd = Callable[[Any, bool, Any], bool]
"""What `start` calls at the end of a task: request, whether it went well, value or error."""


class Interruption(simpy.Interrupt):
    """The interrupt that a `Task` sees; as in SimPy, `cause` says why it came."""


class _Signal:
    """What a generator is resumed with: a value, or an error thrown into it."""

    __slots__ = ("_defused", "_ok", "_value")

    def __init__(self, ok: bool, value: Any) -> None:
        self._ok = ok
        self._value = value


_STARTED = _Signal(True, None)


class Task(Process):
    """A `simpy.Process` that starts at once and ends without an event if nobody waits.

    Args:
        env: The environment.
        generator: What to run.
        request: The request it works for, if any.
        caller: The process that waits for it, if any. A task whose caller has gone
            is marked by `abandon`.
        on_end: Called with the request, whether it went well, and the value or the
            error, when the task ends. It says whether it took care of an error; one
            that nobody takes care of ends the run.
    """

    __slots__ = (
        "_defused",
        "_generator",
        "_ok",
        "_on_end",
        "_target",
        "_value",
        "_wake",
        "callbacks",
        "env",
        "request",
    )
    caller: Any = None
    abandoned_at = -1.0

    def __init__(
        self,
        env: simpy.Environment,
        generator: Steps,
        request: Request | None = None,
        caller: Any = None,
        on_end: OnEnd | None = None,
    ) -> None:
        self.env = env
        self.callbacks = []
        self.request = request
        if caller is not None:
            self.caller = caller
        self._on_end = on_end
        self._generator = generator
        self._value = PENDING
        self._wake = self._resume
        self._resume(_STARTED)

    def _resume(self, event: Any) -> None:
        env = self.env
        outer = env._active_proc
        env._active_proc = self
        generator = self._generator
        try:
            while True:
                if event._ok:
                    event = generator.send(event._value)
                else:
                    event._defused = True
                    event = generator.throw(event._value)
                try:
                    callbacks = event.callbacks
                except AttributeError:
                    self._refuse(event)
                    return
                if callbacks is not None:
                    callbacks.append(self._wake)
                    self._target = event
                    return
        except StopIteration as stop:
            self._end(True, stop.value)
        except BaseException as error:
            self._end(False, error)
        finally:
            env._active_proc = outer

    def _end(self, ok: bool, value: Any) -> None:
        self._ok = ok
        self._value = value
        self._target = self._wake = None  # type: ignore[assignment]  # breaks a reference cycle
        is_settled = self._on_end is not None and self._on_end(self.request, ok, value)
        if self.callbacks or not (ok or is_settled):
            self.env.schedule(self)
        else:
            self.callbacks = None  # type: ignore[assignment]

    def _refuse(self, thing: Any) -> None:
        name = getattr(self._generator, "__qualname__", "a process")
        self._generator.close()
        self._on_end = None  # a mistake in the model is no error of the call
        hint = ": write `yield from`" if isinstance(thing, Generator) else ""
        self._end(False, TypeError(f"{name} must yield SimPy events, got {thing!r}{hint}"))

    def throw(self, cause: Any) -> None:
        """Interrupt the task now, from a callback."""
        target = self._target
        if target.callbacks is not None:
            target.callbacks.remove(self._wake)
        self._resume(_Signal(False, Interruption(cause)))


start: Callable[..., Process] = Task
"""Run a generator as a process that works for a request: `start(env, generator, request, caller, on_end)`."""


class Completion(Event):
    """The event of the end of some work, scheduled by whoever knows when that is.

    Like a `simpy.Timeout` it has its outcome from birth: a success without a value,
    until `fail_with` says otherwise. Nobody has to wait for it: its failure does not
    end the run.

    Args:
        env: The environment.
        finish: Called with the event when the work has ended, before whoever waits.
    """

    __slots__ = ("_defused", "_ok", "_value", "callbacks", "env")

    def __init__(self, env: simpy.Environment, finish: Callable[[Any], None]) -> None:
        self.env = env
        self.callbacks = [finish]
        self._value = None
        self._ok = self._defused = True

    def fail_with(self, error: BaseException) -> None:
        """Let whoever waits see *error* when the work has ended."""
        self._ok = False
        self._value = error

    def forget(self) -> None:
        """Let nothing happen when it happens: its entry stays in SimPy's heap."""
        self._ok = True
        self.callbacks = []


def interrupt(process: Any, cause: Any) -> bool:
    """Interrupt *process* with *cause* and say whether it has arrived.

    A task is interrupted at once, any other process by an event of SimPy's own.
    """
    if isinstance(process, Task):
        process.throw(cause)
        return True
    process.interrupt(cause)
    return False


def abandon(process: Any) -> None:
    """Let *process* run on with nobody waiting: its failure must not end the run."""
    process.abandoned_at = process.env.now
    process.defused = True
    if process.request is not None:
        process.request.has_abandoned = True


def caller_has_gone(process: Any) -> float:
    """Return since when nobody waits for *process*, or for one that waits for it; -1 if somebody does."""
    times = []
    while process is not None:
        times.append(getattr(process, "abandoned_at", -1.0))
        process = getattr(process, "caller", None)
    return min((time for time in times if time >= 0), default=-1.0)


def request_of(process: Any) -> Request | None:
    """Return the request that *process* works for, if the lab started it."""
    return getattr(process, "request", None)


def steps_of(fn: Callable[..., Any], args: tuple[Any, ...]) -> Steps:
    """Call *fn* and return its generator; refuse anything else."""
    steps = fn(*args)
    if not isinstance(steps, Generator):
        name = getattr(fn, "__qualname__", repr(fn))
        raise NotAGeneratorError(f"execute needs a generator function; {name} returned {steps!r}")
    return steps


class Limit(list[Any], Cancellation):
    """A time limit: when it passes, and what it stops; None once it stops nothing. It is the cause of its interrupt."""

    __slots__ = ()


class Gone(Cancellation):
    """Says that whoever waited has gone, and why.

    Args:
        reason: Why, in a word.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"Gone({self.reason!r})"


class Ticks:
    """Calls a function at each of many times: one heap event for each, always the same object.

    Args:
        env: The environment.
        times: When, in ascending order, from now on.
        act: Called with the index of each time.
    """

    __slots__ = ("_act", "_callbacks", "_next", "_ok", "_times", "_total", "callbacks", "env")

    def __init__(self, env: simpy.Environment, times: np.ndarray, act: Callable[[int], None]) -> None:
        self.env = env
        self._times = memoryview(times)
        self._act = act
        self._total = len(times)
        self._next = 0
        self._ok = True
        self._callbacks = (self._fire,)
        self.callbacks: Any = self._callbacks
        if len(times):
            schedule_at(env, self, self._times[0])

    def _fire(self, _: Any) -> None:
        index = self._next
        self._next = following = index + 1
        if following < self._total:
            self.callbacks = self._callbacks
            schedule_at(self.env, self, self._times[following])
        self._act(index)


class Deadlines:
    """Time limits of one length: they expire in the order in which they were set.

    A limit is an entry `[when, target]`. `arm` sets one, `entry[1] = None` disarms it,
    and *expire* is called with the entry when its time has come. At one instant, work
    that ends comes first: a response at exactly the limit is in time.

    Args:
        env: The environment.
        seconds: The length of every limit, above 0; infinite limits never expire.
        expire: Called with an entry whose limit has passed; says whether all is done.
            If not, the next limit waits for SimPy to deliver an interrupt first.
        depth: Among limits that expire at one instant, those of less depth come first.
    """

    __slots__ = ("_callbacks", "_expire", "_is_armed", "_ok", "_priority", "_queue", "callbacks", "env", "seconds")

    def __init__(
        self, env: simpy.Environment, seconds: float, expire: Callable[[list[Any]], bool], depth: int = 0
    ) -> None:
        self.env = env
        self.seconds = seconds
        self._expire = expire
        self._priority = AFTER_WORK + depth
        self._queue: deque[list[Any]] = deque()
        self._is_armed = False
        self._ok = True
        self._callbacks = (self._fire,)
        self.callbacks: Any = None

    def arm(self, target: Any) -> list[Any]:
        """Set a limit for *target* and return its entry."""
        when = self.env.now + self.seconds
        entry = Limit((when, target))
        if when < math.inf:
            self._queue.append(entry)
            if not self._is_armed:
                self._schedule(when)
        return entry

    def _schedule(self, when: float) -> None:
        self._is_armed = True
        self.callbacks = self._callbacks
        schedule_at(self.env, self, when, self._priority)

    def _fire(self, _: Any) -> None:
        queue = self._queue
        now = self.env.now
        while queue:
            entry = queue[0]
            if entry[1] is None:
                queue.popleft()
            elif entry[0] > now:
                self._schedule(entry[0])
                return
            else:
                queue.popleft()
                if not self._expire(entry):
                    self._schedule(now)
                    return
        self._is_armed = False


def limit_at(
    env: simpy.Environment, when: float, target: Any, expire: Callable[[list[Any]], bool], depth: int = 0
) -> Limit:
    """Set one limit that passes at exactly *when*; see `Deadlines`."""
    limit = Limit((when, target))
    if when < math.inf:
        at(env, when, lambda _: limit[1] is not None and expire(limit), AFTER_WORK + depth)
    return limit


def schedule_at(env: simpy.Environment, event: Any, when: float, priority: Any = NORMAL) -> None:
    """Schedule *event* for exactly the time *when*: a delay from now could miss it by rounding."""
    heappush(env._queue, (when, priority, next(env._eid), event))


class Idle(Event):
    """An event of something that goes on for ever by itself: alone, it need keep no run going."""

    __slots__ = ()


def is_idle(env: simpy.Environment) -> bool:
    """Return whether nothing but `Idle` events is still to happen."""
    return all(isinstance(entry[3], Idle) for entry in env._queue)


def scheduled(env: simpy.Environment) -> list[Any]:
    """Return the events that are scheduled, in no order."""
    return [entry[3] for entry in env._queue]


def at(
    env: simpy.Environment,
    when: float,
    act: Callable[[Event], Any] | None = None,
    priority: Any = NORMAL,
    kind: type[Event] = Event,
) -> Event:
    """Return an event that happens at exactly *when*, which is not in the past, and calls *act* then."""
    event = kind(env)
    event._ok, event._value = True, None
    if act is not None:
        event.callbacks.append(act)
    schedule_at(env, event, when, priority)
    return event
