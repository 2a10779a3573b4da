"""Tries of one call that run beside each other: a late one is left running when the next is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import simpy

from ..engine import Branch, Deadlines, Steps, branch_of, interrupt, start

ANSWERED, FAILED, LATE = "answered", "failed", "late"


class Tries:
    """The tries of one call.

    Args:
        deadlines: When a try is late: made by `deadlines_of`, and shared by all calls.
        fn: The generator function that is tried.
        args: Its arguments.
    """

    def __init__(self, deadlines: Deadlines, fn: Callable[..., Steps], args: tuple[Any, ...]) -> None:
        self._deadlines = deadlines
        self._env = deadlines.env
        self._call = (fn, args)
        self._caller = self._env.active_process
        self._tries: list[Any] = []
        self._branches: list[Branch | None] = []
        self._news: deque[tuple[int, str, Any]] = deque()
        self._wake: simpy.Event | None = None
        self.open = 0

    def send(self, delay: float = 0.0) -> None:
        """Send one more try after *delay* seconds."""
        number = len(self._tries)
        branch = branch_of(self._caller)
        self.open += 1
        self._tries.append(None)
        self._branches.append(branch)
        self._tries[number] = start(self._env, self._try(number, delay), branch, self._caller)

    def next(self) -> Steps:
        """Wait for news: number of the try, "answered", "failed" or "late", and its value or error."""
        while not self._news:
            self._wake = self._env.event()
            try:
                yield self._wake
            finally:
                self._wake = None
        return self._news.popleft()

    def let_win(self, number: int) -> None:
        """Let the request know of a fallback only if it has answered the try that wins."""
        branch = self._branches[number]
        if branch is not None:
            branch.win()

    def cancel(self, cause: Any) -> None:
        """Interrupt the tries that still run."""
        for each in self._tries:
            if each is not None and each.is_alive:
                each.defused = True
                interrupt(each, cause)

    def tell(self, number: int, what: str, outcome: Any = None) -> None:
        """Pass news on."""
        self.open -= what != LATE
        self._news.append((number, what, outcome))
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed()

    def _try(self, number: int, delay: float) -> Steps:
        fn, args = self._call
        limit: list[Any] = [0.0, None]
        try:
            if delay > 0:
                yield self._env.timeout(delay)
            limit = self._deadlines.arm((self, number))
            self.tell(number, ANSWERED, (yield from fn(*args)))
        except simpy.Interrupt:
            return
        except Exception as error:
            self.tell(number, FAILED, error)
        finally:
            limit[1] = None


def deadlines_of(env: simpy.Environment, seconds: float, depth: int) -> Deadlines:
    """Return what says of the tries of all calls when they are late."""
    return Deadlines(env, seconds, _is_late, depth)


def _is_late(entry: list[Any]) -> bool:
    tries, number = entry[1]
    tries.tell(number, LATE)
    return True
