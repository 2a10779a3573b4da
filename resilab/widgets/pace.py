"""When a changed setting is played: at once, or the newest one only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

SLOW = 0.25
"""Seconds: a run that took longer makes the next settings from the page wait for each other."""
_PAUSE = 0.03
_LONGEST_PAUSE = 0.5


class Pace:
    """Play settings as they come, and never let slow runs queue up.

    A change that comes from code is played at once. So is one that comes from the page
    while runs are short: there, the page sends the next value of a control only when
    the last is done. After a slow run the changes that came meanwhile are taken in
    first, and only the newest setting is played.

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
        self.is_waiting = False
        """Whether a setting waits for its turn."""

    @property
    def is_slow(self) -> bool:
        """Whether the last run took so long that the user should be told to wait."""
        return self._took > SLOW

    def ask(self) -> None:
        """Play the settings now, or soon."""
        loop = self._loop_of_page() if self.is_slow else None
        if loop is None:
            self._go()
            return
        self._asked = self._clock()
        if not self.is_waiting:
            self.is_waiting = True
            self._first_asked = self._asked
            loop.call_later(_PAUSE, self._go_when_quiet, loop)

    def _go_when_quiet(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self._clock()
        if now - self._asked < _PAUSE / 2 and now - self._first_asked < _LONGEST_PAUSE:
            loop.call_later(_PAUSE, self._go_when_quiet, loop)
            return
        self.is_waiting = False
        self._go()

    def _go(self) -> None:
        began = self._clock()
        self._play()
        self._took = self._clock() - began


def loop_of_page_message() -> asyncio.AbstractEventLoop | None:
    """Return the running event loop if the kernel is handling a message of a widget, else None."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)  # type: ignore[no-untyped-call]
    parent = kernel.get_parent("shell") if kernel is not None else {}
    return loop if parent.get("header", {}).get("msg_type") == "comm_msg" else None
