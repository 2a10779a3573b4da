"""Bulkhead: limit how many calls run at once, so that one dependency cannot take everything."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from ..engine import Deadlines, Steps
from ..errors import BulkheadFullError
from ..validation import Natural, NonNegativeOrInfinite, whole
from .base import LivePolicy, Place, Policy
from .likeness import like


@dataclass(frozen=True)
class Bulkhead(Policy["LiveBulkhead"]):
    """Let at most *max_concurrent* calls run at once; the others wait in order of arrival.

    Without a queue the share of rejected calls is Erlang's B formula, whatever the
    law of the call's duration; with an unbounded queue the wait is Erlang's C.

    Args:
        max_concurrent: Permits; 0 lets no call in.
        max_queue: Places for waiting calls; 0 is no waiting, None is no limit.
        max_wait: Longest wait for a permit in seconds; 0 is no waiting, None is no
            limit. A permit that comes at exactly the limit is taken.

    Raises:
        BulkheadFullError: From `execute`, when no place or no patience is left.

    Example:
        >>> Bulkhead(max_concurrent=20, max_queue=10, max_wait=0.5)
        Bulkhead(max_concurrent=20, max_queue=10, max_wait=0.5)

    Source: `Bulkhead` of the reference document, whose queue has no limit.
    """

    max_concurrent: Natural
    max_queue: Natural | None = None
    max_wait: NonNegativeOrInfinite | None = None

    @classmethod
    def like(cls, library: str, **options: Any) -> Bulkhead:
        """Return a bulkhead with the meaning and the defaults of a library.

        | | resilience4j | polly | failsafe | hyx |
        |---|---|---|---|---|
        | permits | max_concurrent_calls 25 | permit_limit 1000 | max_concurrency | max_concurrency |
        | queue | no limit | queue_limit 0 | no limit | max_capacity - max_concurrency |
        | longest wait | max_wait_duration 0 | no limit | max_wait_time 0 | no limit |

        Further: "envoy" and "istio" (requests of a cluster, no queue), "hystrix" (10
        threads, no queue), "opossum" (capacity, no queue), "spring" (limit, all wait).

        Args:
            library: One of the libraries above; its module in `resilab.profiles` says of
                which version it is.
            **options: Fields of `Bulkhead`, or the library's own parameters.

        Example:
            >>> Bulkhead.like("hyx", max_concurrency=2, max_capacity=3)
            Bulkhead(max_concurrent=2, max_queue=1, max_wait=None)
        """
        return like(cls, "bulkhead", library, options)

    def live(self, place: Place) -> LiveBulkhead:
        return LiveBulkhead(self, place)


class LiveBulkhead(LivePolicy):
    """A bulkhead in an environment.

    Attributes:
        spec: What it was made from.
        max_concurrent: Permits now; change it with `resize`.
        in_flight: Calls that hold a permit.
        rejections: How many calls it has refused.
    """

    spec: Bulkhead

    def __init__(self, spec: Bulkhead, place: Place) -> None:
        super().__init__(spec, place)
        self.max_concurrent = spec.max_concurrent
        self.in_flight = 0
        self.rejections = 0
        self._waiting: deque[simpy.Event] = deque()
        self._deadlines = None if spec.max_wait is None else Deadlines(self.env, spec.max_wait, self._give_up)

    @property
    def available(self) -> int:
        """Permits that are free now."""
        return max(0, self.max_concurrent - self.in_flight)

    @property
    def queue_length(self) -> int:
        """Calls that wait for a permit."""
        return len(self._waiting)

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        if self.in_flight < self.max_concurrent:
            self.in_flight += 1
        else:
            yield from self._acquire()
        try:
            return (yield from fn(*args))
        finally:
            self._release()

    def resize(self, max_concurrent: int) -> None:
        """Change the number of permits; running calls keep theirs."""
        self.max_concurrent = whole("max_concurrent", max_concurrent)
        while self._waiting and self.in_flight < self.max_concurrent:
            self.in_flight += 1
            self._waiting.popleft().succeed(True)

    def _acquire(self) -> Steps:
        spec = self.spec
        if spec.max_wait == 0 or (spec.max_queue is not None and len(self._waiting) >= spec.max_queue):
            raise self._rejected("full")
        permit = self.env.event()
        self._waiting.append(permit)
        entry = [0.0, None] if self._deadlines is None else self._deadlines.arm(permit)
        try:
            is_granted = yield permit
        except BaseException:
            if not permit.triggered:
                self._waiting.remove(permit)
            elif permit.value:
                self._release()
            raise
        finally:
            entry[1] = None
        if not is_granted:
            raise self._rejected(f"no permit within {spec.max_wait} s")

    def _release(self) -> None:
        if self._waiting and self.in_flight <= self.max_concurrent:
            self._waiting.popleft().succeed(True)
        else:
            self.in_flight -= 1

    def _give_up(self, entry: list[Any]) -> bool:
        permit = entry[1]
        if not permit.triggered:
            self._waiting.remove(permit)
            permit.succeed(False)
        return True

    def _rejected(self, reason: str) -> BulkheadFullError:
        self.rejections += 1
        self.note("rejected", reason)
        return BulkheadFullError(f"bulkhead is full: {self.max_concurrent} calls in flight, {reason}")
