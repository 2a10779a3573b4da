"""Work for the time in which nobody moves a control: one thing after the other, in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

IDLE = 0.7
"""Seconds without a move after which nobody is thought to move."""


class Idle:
    """Do tasks in a worker while nothing else is asked for.

    Args:
        tasks: Returns what is to be done, one at a time: function, arguments, and who takes
            what comes of it. It is asked anew after each move.
    """

    def __init__(self, tasks: Callable[[], Iterator[tuple[Any, ...]]]) -> None:
        self._tasks = tasks
        self._turn = 0

    def restart(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what is waiting, and begin when it has been quiet for a while."""
        self._turn += 1
        loop.call_later(IDLE, self._begin, loop, self._turn)

    def stop(self) -> None:
        """Do nothing more."""
        self._turn += 1

    def _begin(self, loop: asyncio.AbstractEventLoop, turn: int) -> None:
        if turn == self._turn:
            self._next(loop, turn, self._tasks())

    def _next(self, loop: asyncio.AbstractEventLoop, turn: int, tasks: Iterator[tuple[Any, ...]]) -> None:
        if turn != self._turn:
            return
        task = next(tasks, None)
        if task is None:
            return
        function, arguments, take = task
        try:
            future = _worker().submit(function, *arguments)
        except Exception:
            return  # what cannot travel to a worker, or a worker that cannot start: the picture stays as it is
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._done, loop, turn, tasks, take, done))

    def _done(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: int,
        tasks: Iterator[tuple[Any, ...]],
        take: Callable[[Any], None],
        done: Future[Any],
    ) -> None:
        if turn != self._turn or done.cancelled() or done.exception() is not None:
            return
        take(done.result())
        self._next(loop, turn, tasks)


def _worker() -> Any:
    from joblib.externals.loky import get_reusable_executor

    return get_reusable_executor(max_workers=1, timeout=120)
