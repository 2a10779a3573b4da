"""When a changed setting is played: at once, or the newest one only."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SLOW = 0.25
"""Seconds: a run that took longer makes the next settings from the page wait for each other."""
_PAUSE = 0.03
_LONGEST_PAUSE = 0.5
_MANY_OBJECTS = 100_000


class Pace:
    """Play settings as they come, and never let slow runs queue up.

    A change that comes from code is played at once. So is one that comes from the page
    while runs are short: there, the page sends the next value of a control only when
    the last is done. After a slow run the changes that came meanwhile are taken in
    first, and only the newest setting is played.

    JupyterLab gives messages of widgets to other threads of the kernel than cells, so
    that a change may come while a run is under way. It is then played after that run,
    once, however many came.

    Args:
        play: Plays the settings as they are now.
        loop_of_page: Returns the event loop if the present change comes from the page.
        clock: Seconds, for measuring runs.
    """

    def __init__(
        self,
        play: Callable[[], Any],
        loop_of_page: Callable[[], asyncio.AbstractEventLoop | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._play = play
        self._loop_of_page = loop_of_page or loop_of_page_message
        self._clock = clock
        self._took = 0.0
        self._asked = 0.0
        self._first_asked = 0.0
        self.lock = threading.RLock()
        """Held while a run is played and drawn."""
        self._is_waiting = False
        self._is_stale = False  # the settings have changed since the last run began

    @property
    def is_slow(self) -> bool:
        """Whether the last run took so long that the user should be told to wait."""
        return self._took > SLOW

    def ask(self) -> None:
        """Play the settings now, or soon."""
        loop = self._loop_of_page()
        if loop is None or not self.is_slow:
            self._go(waits=loop is None)
            return
        self._asked = self._clock()
        if not self._is_waiting:
            self._is_waiting = True
            self._first_asked = self._asked
            loop.call_later(_PAUSE, self._go_when_quiet, loop)

    def _go_when_quiet(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self._clock()
        if now - self._asked < _PAUSE / 2 and now - self._first_asked < _LONGEST_PAUSE:
            loop.call_later(_PAUSE, self._go_when_quiet, loop)
            return
        self._is_waiting = False
        self._go(waits=False)

    def _go(self, waits: bool) -> None:
        self._is_stale = True
        while self._is_stale:
            if not self.lock.acquire(blocking=waits):
                return  # the thread that holds it looks at the mark after it has let go
            try:
                self._is_stale = False
                began = self._clock()
                with rare_collections():
                    self._play()
                self._took = self._clock() - began
            finally:
                self.lock.release()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the garbage collector wait until 100,000 new objects are alive.

    A run makes thousands of objects that live as long as it and then go without the
    collector. Looking at them, and at all that the notebook has imported, takes longer
    than drawing: about 10 ms a run, and 100 ms every tenth run.
    """
    usual = gc.get_threshold()
    if usual[0] == 0 or usual[0] >= _MANY_OBJECTS:  # switched off, or rare already: an explorer in another thread
        yield
        return
    gc.set_threshold(_MANY_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def loop_of_page_message() -> asyncio.AbstractEventLoop | None:
    """Return the running event loop if the kernel is handling a message of a widget, else None."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    parent = kernel.get_parent("shell") if kernel is not None else {}
    return loop if parent.get("header", {}).get("msg_type") == "comm_msg" else None
