"""Crashes: kill a process between any two of its steps, and start it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import simpy

from ..engine import Steps, interrupt, start, steps_of
from ..events import EventLog
from ..validation import function, non_negative


@dataclass(frozen=True)
class CrashCause:
    """Why a process was interrupted: it has crashed.

    A crash arrives as a `simpy.Interrupt` with this as its cause. No policy handles it,
    `finally` blocks see it, and what lives elsewhere stays: a committed transaction,
    a message in a broker, a call that a service works on.

    Args:
        reason: Words for the events.
    """

    reason: str = "crash"


def crash(process: Any, reason: str = "crash") -> bool:
    """Kill *process* now and say whether it was alive.

    The failure of the process does not end the run; whoever waits for it gets the
    interrupt.

    Args:
        process: A SimPy process, the lab's or your own. A process cannot crash itself
            with this: it raises `crashed()`.
        reason: Words for the events.

    Example:
        >>> env = simpy.Environment()
        >>> def server():
        ...     try:
        ...         yield env.timeout(10)
        ...     finally:
        ...         print("down at", env.now)
        >>> process = env.process(server())
        >>> env.run(until=4)
        >>> crash(process)
        True
        >>> env.run()
        down at 4
    """
    if not hasattr(process, "is_alive"):
        raise TypeError(f"process must be a SimPy process, got {process!r}")
    if not process.is_alive:
        return False
    process.defused = True
    interrupt(process, CrashCause(reason))
    return True


def crashed(reason: str = "crash") -> simpy.Interrupt:
    """Make the interrupt with which a process crashes itself: `raise crashed()`."""
    return simpy.Interrupt(CrashCause(reason))


def is_crash(error: BaseException) -> bool:
    """Say whether *error* is the interrupt of a crash."""
    return isinstance(error, simpy.Interrupt) and isinstance(error.cause, CrashCause)


class Actor:
    """A process that can crash and is started again from the beginning.

    It keeps no memory over a crash but what *fn* reads from elsewhere, for instance a
    saga log or an outbox table.

    Args:
        env: The environment.
        fn: A generator function: what the actor does from each start on.
        *args: Its arguments.
        restart_delay: Seconds from a crash to the next start, at least 0.
        name: What the events call it.
        log: Where to write crashes and restarts. None writes nothing.

    Attributes:
        crashes: How often it has crashed.
        process: The process that ends when *fn* returns; wait for it with `yield`.

    Example:
        >>> env = simpy.Environment()
        >>> def work():
        ...     print("start at", env.now)
        ...     yield env.timeout(10)
        >>> worker = Actor(env, work, restart_delay=2.0)
        start at 0
        >>> env.run(until=4)
        >>> worker.crash()
        True
        >>> env.run()
        start at 6.0
    """

    def __init__(
        self,
        env: simpy.Environment,
        fn: Callable[..., Any],
        *args: Any,
        restart_delay: float = 0.0,
        name: str = "actor",
        log: EventLog | None = None,
    ) -> None:
        self.env = env
        self.name = name
        self.crashes = 0
        self._fn = fn
        self._args = args
        self._restart_delay = non_negative("restart_delay", restart_delay)
        self._log = log
        self._work: Any = None
        self.process = start(env, self._live())

    @property
    def is_up(self) -> bool:
        """Whether it works now: it neither waits for its restart nor has it ended."""
        return self._work is not None and self._work.is_alive

    def crash(self, reason: str = "crash") -> bool:
        """Kill it now and say whether it was up."""
        return self.is_up and crash(self._work, reason)

    def _live(self) -> Steps:
        while True:
            self._work = start(self.env, steps_of(self._fn, self._args))
            try:
                return (yield self._work)
            except simpy.Interrupt as signal:
                if not isinstance(signal.cause, CrashCause):  # from outside: it ends for good
                    self._work.defused = True
                    if self._work.is_alive:
                        interrupt(self._work, signal.cause)
                    raise
                self.crashes += 1
                self._note("crash", signal.cause.reason)
            if self._restart_delay:
                yield self.env.timeout(self._restart_delay)
            self._note("restart")

    def _note(self, type: str, detail: str = "") -> None:
        if self._log is not None:
            self._log.append(self.env.now, self.name, type, -1, detail)


@dataclass(frozen=True)
class CrashPoint:
    """One run of `every_crash`.

    Attributes:
        actor: Name of the actor that was killed.
        step: How many events had happened before.
        time: When it was killed, in simulated seconds.
        model: The model, after its run.
    """

    actor: str
    step: int
    time: float
    model: Any


def every_crash(build: Callable[[], Any], *, until: float | None = None) -> Iterator[CrashPoint]:
    """Play a small model once for each actor and each event boundary, and kill that actor there.

    A boundary lies between any two events of the run without crashes, so that every
    gap between two steps of every process is met. Give each effect some time: two
    effects in one event cannot be told apart.

    Args:
        build: Makes a fresh model with attributes `env`, an environment, and `actors`,
            a dict of name -> `Actor`.
        until: Where each run stops, in simulated seconds. None runs until nothing is
            left to do.

    Yields:
        A `CrashPoint` after each run in which the actor was up to be killed. Check the
        model's invariants there.

    Example:
        >>> from types import SimpleNamespace
        >>> def build():
        ...     env, done = simpy.Environment(), []
        ...     def work():
        ...         if not done:
        ...             yield env.timeout(1)
        ...             yield env.timeout(1)
        ...             done.append(env.now)
        ...     return SimpleNamespace(env=env, actors={"worker": Actor(env, work)}, done=done)
        >>> [(point.time, point.model.done) for point in every_crash(build)]
        [(0, [2]), (1, [3])]
    """
    reference = function("build", build)()
    steps = 0
    while reference.env.peek() < (float("inf") if until is None else until):
        reference.env.step()
        steps += 1
    for name in reference.actors:
        for step in range(steps + 1):
            model = build()
            for _ in range(step):
                model.env.step()
            time = model.env.now
            if model.actors[name].crash(f"after {step} events"):
                model.env.run(until)
                yield CrashPoint(name, step, time, model)
