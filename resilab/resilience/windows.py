"""The windows of a circuit breaker: which results still count."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import simpy

from ..validation import Count, Positive, Spec, word

TIE = 1e-9
"""Share of a window by which two times may differ in rounding and still be the same instant."""

_FAILED = 1
_SLOW = 2


class Counts(NamedTuple):
    """What a window holds: calls, and how many of them failed, were slow, or both."""

    calls: int = 0
    failed: int = 0
    slow: int = 0
    slow_failed: int = 0


@dataclass(frozen=True)
class CountWindow(Spec):
    """Count the last *size* results.

    Args:
        size: Results that count, at least 1.

    Example:
        >>> CountWindow(100)
        CountWindow(size=100)
    """

    size: Count

    def bind(self, env: simpy.Environment) -> LiveCountWindow:
        """Make an empty window in *env*."""
        return LiveCountWindow(self.size)


@dataclass(frozen=True)
class TimeWindow(Spec):
    """Count the results of the last *seconds*.

    Exactly by default: a result counts while it is younger than *seconds*. Libraries
    put results into buckets, which costs less memory and forgets in steps; *start*
    says where buckets begin.

    | start | buckets begin | forgets a bucket when | as in |
    |---|---|---|---|
    | "clock" | at multiples of their length | its number is *buckets* behind | resilience4j |
    | "event" | with the first result that finds none | its begin is *seconds* ago | Polly |
    | "opening" | at multiples of their length after the window was made | its number is *buckets* behind | Failsafe |

    Args:
        seconds: Length of the window, above 0.
        buckets: Number of buckets; None is exact.
        start: One of the words above.

    Example:
        >>> TimeWindow(10.0)
        TimeWindow(seconds=10.0, buckets=None, start='clock')
    """

    seconds: Positive
    buckets: Count | None = None
    start: Annotated[str, word("clock", "event", "opening")] = "clock"

    def bind(self, env: simpy.Environment) -> LiveTimeWindow:
        """Make an empty window in *env*."""
        if self.buckets is None:
            return LiveTimeWindow(self, env.now)
        return _EventBuckets(self, env.now) if self.start == "event" else _AlignedBuckets(self, env.now)


Window = CountWindow | TimeWindow


class LiveCountWindow:
    """The last results, whatever their age."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._codes: deque[int] = deque()
        self._totals = [0, 0, 0, 0]

    def record(self, now: float, has_failed: bool, is_slow: bool) -> None:
        """Add a result."""
        code = has_failed * _FAILED + is_slow * _SLOW
        codes, totals = self._codes, self._totals
        codes.append(code)
        totals[code] += 1
        if len(codes) > self._size:
            totals[codes.popleft()] -= 1

    def counts(self, now: float) -> Counts:
        """Return what the window holds at *now*; it does not change the window."""
        return _counts(self._totals)


class LiveTimeWindow:
    """Results with their times; this one is exact, subclasses keep buckets."""

    def __init__(self, spec: TimeWindow, now: float) -> None:
        self._seconds = spec.seconds * (1 - TIE)
        self._rows: deque[tuple[float, list[int]]] = deque()  # begin and counts by code
        self._totals = [0, 0, 0, 0]

    def record(self, now: float, has_failed: bool, is_slow: bool) -> None:
        """Add a result."""
        self._forget(now)
        code = has_failed * _FAILED + is_slow * _SLOW
        self._row(now)[code] += 1
        self._totals[code] += 1

    def counts(self, now: float) -> Counts:
        """Return what the window holds at *now*; it does not change the window."""
        totals = list(self._totals)
        for begin, row in self._rows:
            if not self._is_past(begin, now):
                break
            for code in range(4):
                totals[code] -= row[code]
        return _counts(totals)

    def _row(self, now: float) -> list[int]:
        """Return the counts to which a result of *now* belongs."""
        rows = self._rows
        if not rows or rows[-1][0] != now:
            rows.append((now, [0, 0, 0, 0]))
        return rows[-1][1]

    def _is_past(self, begin: float, now: float) -> bool:
        return now - begin >= self._seconds

    def _forget(self, now: float) -> None:
        rows, totals = self._rows, self._totals
        while rows and self._is_past(rows[0][0], now):
            _, row = rows.popleft()
            for code in range(4):
                totals[code] -= row[code]


class _EventBuckets(LiveTimeWindow):
    """Buckets that begin with the first result that finds none. A single one begins with the window."""

    def __init__(self, spec: TimeWindow, now: float) -> None:
        super().__init__(spec, now)
        assert spec.buckets is not None
        self._length = spec.seconds / spec.buckets * (1 - TIE)
        if spec.buckets == 1:
            self._rows.append((now, [0, 0, 0, 0]))

    def _row(self, now: float) -> list[int]:
        rows = self._rows
        if not rows or now - rows[-1][0] >= self._length:
            rows.append((now, [0, 0, 0, 0]))
        return rows[-1][1]


class _AlignedBuckets(LiveTimeWindow):
    """Buckets of one length, counted from an origin; rows hold their numbers."""

    def __init__(self, spec: TimeWindow, now: float) -> None:
        super().__init__(spec, now)
        assert spec.buckets is not None
        self._length = spec.seconds / spec.buckets
        self._buckets = spec.buckets
        self._begins_again = spec.start == "opening"
        self._origin = now if self._begins_again else 0.0
        self._last = self._number(now)

    def _number(self, now: float) -> int:
        return math.floor((now - self._origin) / self._length + TIE)

    def _row(self, now: float) -> list[int]:
        number = self._number(now)
        if self._begins_again and number - self._last > self._buckets:
            self._origin = now  # all is forgotten: buckets begin anew
            number = 0
        self._last = number
        rows = self._rows
        if not rows or rows[-1][0] != number:
            rows.append((number, [0, 0, 0, 0]))
        return rows[-1][1]

    def _is_past(self, begin: float, now: float) -> bool:
        return self._number(now) - begin >= self._buckets


class Recent:
    """Counts what happened in the last *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds * (1 - TIE)
        self._times: deque[float] = deque()

    def add(self, now: float) -> None:
        """Add one that happens now."""
        self._times.append(now)

    def count(self, now: float) -> int:
        """Return how many there are, and forget those that are too old for good."""
        times = self._times
        while times and now - times[0] >= self._seconds:
            times.popleft()
        return len(times)


def _counts(totals: list[int]) -> Counts:
    fast, failed, slow, both = totals
    return Counts(fast + failed + slow + both, failed + both, slow + both, both)
