"""Deadline: a time limit that travels with the request to every service below."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from ..engine import Steps, interrupt, limit_at, request_of
from ..errors import TimeoutExceededError
from ..validation import PositiveOrInfinite
from .base import LivePolicy, Place, Policy


@dataclass(frozen=True)
class Deadline(Policy["LiveDeadline"]):
    """Limit a call like a `Timeout`, and tell every service below when it has to be done.

    A time-out is known to its caller alone: services that are not told of a cancellation
    work on for nobody. A deadline is a moment that is passed down: each `Tier` stops its
    work, its retries and its calls when it comes, and refuses work that it could begin
    only later. A deadline below another one can be earlier, never later.

    Args:
        seconds: From the start of the call, above 0. Infinity takes the deadline of the
            request as it is.

    Raises:
        TimeoutExceededError: From `execute`, when the deadline has come, or had already.

    Example:
        >>> env = simpy.Environment()
        >>> def slow():
        ...     yield env.timeout(3)
        >>> def model():
        ...     try:
        ...         yield from Deadline(1.0).bind(env).execute(slow)
        ...     except TimeoutExceededError as error:
        ...         print(env.now, error)
        >>> _ = env.process(model())
        >>> env.run()
        1.0 deadline exceeded

    Source: deadlines of gRPC, which pass from a server's caller to the servers it calls.
    """

    seconds: PositiveOrInfinite = math.inf

    def live(self, place: Place) -> LiveDeadline:
        return LiveDeadline(self, place)


class LiveDeadline(LivePolicy):
    """A deadline in an environment.

    Attributes:
        spec: What it was made from.
        timeouts: How many calls it has cut off or refused.
    """

    spec: Deadline

    def __init__(self, spec: Deadline, place: Place) -> None:
        super().__init__(spec, place)
        self.timeouts = 0
        self._depth = place.depth

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        caller = self.env.active_process
        if caller is None:
            raise RuntimeError("a Deadline needs a running process: start the call with env.process(...)")
        request = request_of(caller)
        outer = math.inf if request is None else request.deadline
        when = min(outer, self.env.now + self.spec.seconds)
        if when == math.inf:
            return (yield from fn(*args))
        if when <= self.env.now:
            raise self._exceeded()
        limit = limit_at(self.env, when, caller, lambda limit: interrupt(limit[1], limit), self._depth)
        if request is not None:
            request.deadline = when
        try:
            reply = yield from fn(*args)
        except simpy.Interrupt as signal:
            if signal.cause is limit:
                raise self._exceeded() from None
            raise
        finally:
            limit[1] = None
            if request is not None:
                request.deadline = outer
        if self.env.now > when:  # the call caught the interrupt and went on
            raise self._exceeded()
        return reply

    def _exceeded(self) -> TimeoutExceededError:
        self.timeouts += 1
        self.note("timeout", "deadline exceeded")
        return TimeoutExceededError("deadline exceeded")
