"""Work for the time in which nobody moves a control: one thing after the other, in a process of its own."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from typing import Any

IDLE = 0.7
"""Seconds without a move after which nobody is thought to move."""


class Idle:
    """Do tasks in a worker while nothing else is asked for.

    Args:
        tasks: Returns what is to be done, one at a time: function, arguments, and who takes
            what comes of it. It is asked anew after each move.
        after: Seconds without a move, of any explorer, before a task is begun: they share the worker.
    """

    _moved = 0.0  # when a control of any explorer moved last, on the clock of the loop

    def __init__(self, tasks: Callable[[], Iterator[tuple[Any, ...]]], after: float = IDLE) -> None:
        self._tasks, self._after = tasks, after
        self._turn = 0

    def restart(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget what is waiting, and begin when it has been quiet for a while."""
        self._turn += 1
        Idle._moved = loop.time()
        loop.call_later(self._after, self._begin, loop, self._turn)

    def stop(self) -> None:
        """Do nothing more."""
        self._turn += 1

    def _begin(self, loop: asyncio.AbstractEventLoop, turn: int) -> None:
        if turn == self._turn:
            self._next(loop, turn, self._tasks())

    def _next(self, loop: asyncio.AbstractEventLoop, turn: int, tasks: Iterator[tuple[Any, ...]]) -> None:
        if turn != self._turn:
            return
        too_early = self._after - (loop.time() - Idle._moved)
        if too_early > 1e-3:
            loop.call_later(too_early, self._next, loop, turn, tasks)
            return
        task = next(tasks, None)
        if task is None:
            return
        function, arguments, take = task
        try:
            future = _worker().submit(function, *arguments)
        except Exception:  # what cannot travel to a worker, or a worker that cannot start: the picture stays as it is
            _worker.cache_clear()
            return
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._done, loop, turn, tasks, take, done))

    def _done(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: int,
        tasks: Iterator[tuple[Any, ...]],
        take: Callable[[Any], None],
        done: Future[Any],
    ) -> None:
        if not done.cancelled() and isinstance(done.exception(), BrokenExecutor):
            _worker.cache_clear()  # it was killed; the next move gets another one
        if turn != self._turn or done.cancelled() or done.exception() is not None:
            return
        take(done.result())
        self._next(loop, turn, tasks)


@functools.lru_cache(maxsize=1)
def _worker() -> Any:
    """Return the process that all explorers share. It is not joblib's own, which sweeps use with other settings."""
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(max_workers=1, timeout=120, initializer=_stand_back)


def _stand_back() -> None:
    """Let the kernel go first where there is one core for both."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, 0, 10)
