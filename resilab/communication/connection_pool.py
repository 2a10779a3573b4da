"""ConnectionPool: a fixed number of connections that calls borrow and give back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from ..distributions import Law
from ..engine import Deadlines, Steps
from ..errors import PoolClosedError, PoolTimeoutError
from ..resilience.base import LivePolicy, Place, Policy
from ..validation import Count, NonNegativeOrInfinite, PositiveOrInfinite


@dataclass(frozen=True)
class ConnectionPool(Policy["LiveConnectionPool"]):
    """Let each call borrow one of at most *max_size* connections; the others wait in order of arrival.

    Connections are opened when somebody needs one. The one given back last is lent
    first, so that in quiet times the others grow idle and are closed. As a policy it
    goes around a call; `acquire` and `release` do the same by hand.

    With Poisson calls, exponential holding times and an acquire timeout the pool is
    the queue M/M/c with deterministic patience (Barrer's formula).

    Args:
        max_size: Connections at most, at least 1.
        acquire_timeout: Longest wait for a connection in seconds, opening included; 0
            is no waiting, None is no limit. It limits the *wait* alone, never the call:
            put a `Timeout` around the pool for both, or inside it for the call alone.
            A connection that comes at exactly the limit is taken.
        idle_timeout: Seconds after which a connection that nobody uses is closed. None
            keeps it.
        max_lifetime: Seconds after which a connection is closed; one in use finishes
            its call first. None keeps it. Opened together, connections expire together.
        connect_time: Distribution of the time to open a connection, or seconds.

    Raises:
        PoolTimeoutError: From `execute` and `acquire`, when the wait took too long.
        PoolClosedError: From `execute` and `acquire`, when the pool is closed.

    Example:
        >>> import simpy
        >>> env = simpy.Environment()
        >>> pool = ConnectionPool(max_size=1, acquire_timeout=0.5).bind(env)
        >>> def query():
        ...     yield env.timeout(2)
        >>> def model():
        ...     try:
        ...         yield from pool.execute(query)
        ...         print("done at", env.now)
        ...     except PoolTimeoutError as error:
        ...         print(env.now, error)
        >>> _ = env.process(model()), env.process(model())
        >>> env.run()
        0.5 no connection within 0.5 s
        done at 2

    Source: the row "Database connections" of the reference document; the limits are
    those of HikariCP.
    """

    max_size: Count
    acquire_timeout: NonNegativeOrInfinite | None = None
    idle_timeout: PositiveOrInfinite | None = None
    max_lifetime: PositiveOrInfinite | None = None
    connect_time: Law = 0.0

    def live(self, place: Place) -> LiveConnectionPool:
        return LiveConnectionPool(self, place)


class Connection:
    """A connection of a pool.

    Attributes:
        number: How many were opened before it.
        opened: When it was opened, in seconds.
        is_in_use: Whether a call holds it.
        has_expired: Whether it is closed as soon as nobody uses it.
    """

    __slots__ = ("has_expired", "is_in_use", "lifetime", "number", "opened", "rest")

    def __init__(self, number: int, opened: float) -> None:
        self.number = number
        self.opened = opened
        self.is_in_use = False
        self.has_expired = False
        self.rest: list[Any] = [0.0, None]
        self.lifetime: list[Any] = [0.0, None]

    def __repr__(self) -> str:
        return f"Connection({self.number}, {'in use' if self.is_in_use else 'idle'})"


class LiveConnectionPool(LivePolicy):
    """A connection pool in an environment.

    Attributes:
        spec: What it was made from.
        opened: How many connections it has opened.
        timeouts: How many calls have waited in vain.
        is_closed: Whether `close` was called.
    """

    spec: ConnectionPool

    def __init__(self, spec: ConnectionPool, place: Place) -> None:
        super().__init__(spec, place)
        self.opened = 0
        self.timeouts = 0
        self.is_closed = False
        self._in_use = 0
        self._opening = 0
        self._idle: list[Connection] = []
        self._waiting: deque[simpy.Event] = deque()
        self._connect_time = place.draws("connect", spec.connect_time.sample)
        self._patience = _limit(self.env, spec.acquire_timeout or None, self._give_up)
        self._rests = _limit(self.env, spec.idle_timeout, self._end_rest)
        self._lifetimes = _limit(self.env, spec.max_lifetime, self._end_life)

    @property
    def size(self) -> int:
        """Connections that are open or being opened."""
        return self._in_use + len(self._idle) + self._opening

    @property
    def in_use(self) -> int:
        """Connections that calls hold."""
        return self._in_use

    @property
    def idle(self) -> int:
        """Connections that are open and free."""
        return len(self._idle)

    @property
    def queue_length(self) -> int:
        """Calls that wait for a connection."""
        return len(self._waiting)

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        connection = yield from self.acquire()
        try:
            return (yield from fn(*args))
        finally:
            self.release(connection)

    def acquire(self) -> Steps:
        """Wait for a connection: `connection = yield from pool.acquire()`. Give it back with `release`."""
        if self.is_closed:
            raise self._refused()
        if self._idle:
            return self._lend(self._idle.pop())
        return (yield from self._wait())

    def release(self, connection: Connection, is_broken: bool = False) -> None:
        """Give a connection back; a broken one is closed.

        Raises:
            ValueError: The connection is not in use: it was given back already.
        """
        if not connection.is_in_use:
            raise ValueError(f"connection must be in use, got {connection!r}")
        connection.is_in_use = False
        self._in_use -= 1
        if is_broken or connection.has_expired or self.is_closed:
            self._retire(connection, "broken" if is_broken else "expired" if connection.has_expired else "pool closed")
            self._open_if_needed()
        else:
            self._offer(connection)

    def close(self) -> None:
        """Close the pool: free connections now, others when they are given back.

        Calls that wait get a `PoolClosedError`. Closing it again does nothing.
        """
        if self.is_closed:
            return
        self.is_closed = True
        while self._idle:
            self._retire(self._idle.pop(), "pool closed")
        while self._waiting:
            self._waiting.popleft().succeed(None)

    def _wait(self) -> Steps:
        if self.spec.acquire_timeout == 0 and not self._opens_at_once():
            raise self._timed_out()
        turn = self.env.event()
        self._waiting.append(turn)
        entry = self._patience.arm(turn) if self._patience else [0.0, None]
        self._open_if_needed()
        try:
            connection = yield turn
        except BaseException:
            if not turn.triggered:
                self._waiting.remove(turn)
            elif turn.value is not None:
                self.release(turn.value)
            raise
        finally:
            entry[1] = None
        if connection is None:
            raise self._refused() if self.is_closed else self._timed_out()
        return connection

    def _opens_at_once(self) -> bool:
        return self.size < self.spec.max_size and not self._connect_time(self.opened + self._opening)

    def _open_if_needed(self) -> None:
        """Open connections until each waiting call has one on its way, or the pool is full."""
        while not self.is_closed and self._opening < len(self._waiting) and self.size < self.spec.max_size:
            self._opening += 1
            number = self.opened + self._opening - 1
            delay = self._connect_time(number)
            if delay:
                self.env.timeout(delay).callbacks.append(self._connected)
            else:
                self._connected(None)

    def _connected(self, _: Any) -> None:
        self._opening -= 1
        connection = Connection(self.opened, self.env.now)
        self.opened += 1
        if self.is_closed:
            self._retire(connection, "pool closed")
            return
        if self._lifetimes:
            connection.lifetime = self._lifetimes.arm(connection)
        self.note("opened", f"connection {connection.number}")
        self._offer(connection)

    def _offer(self, connection: Connection) -> None:
        """Hand a connection to whoever has waited longest, or let it rest."""
        if self._waiting:
            self._waiting.popleft().succeed(self._lend(connection))
        else:
            self._idle.append(connection)
            if self._rests:
                connection.rest = self._rests.arm(connection)

    def _lend(self, connection: Connection) -> Connection:
        connection.rest[1] = None
        connection.is_in_use = True
        self._in_use += 1
        return connection

    def _retire(self, connection: Connection, reason: str) -> None:
        connection.rest[1] = connection.lifetime[1] = None
        self.note("closed", f"connection {connection.number}: {reason}")

    def _give_up(self, entry: list[Any]) -> bool:
        turn = entry[1]
        if not turn.triggered:
            self._waiting.remove(turn)
            turn.succeed(None)
        return True

    def _end_rest(self, entry: list[Any]) -> bool:
        connection = entry[1]
        self._idle.remove(connection)
        self._retire(connection, "idle")
        return True

    def _end_life(self, entry: list[Any]) -> bool:
        connection = entry[1]
        connection.has_expired = True
        if not connection.is_in_use:
            self._idle.remove(connection)
            self._retire(connection, "expired")
        return True

    def _timed_out(self) -> PoolTimeoutError:
        self.timeouts += 1
        self.note("rejected", f"no connection within {self.spec.acquire_timeout} s")
        return PoolTimeoutError(f"no connection within {self.spec.acquire_timeout} s")

    def _refused(self) -> PoolClosedError:
        self.note("rejected", "pool is closed")
        return PoolClosedError("the connection pool is closed")


def _limit(env: simpy.Environment, seconds: float | None, expire: Callable[[list[Any]], bool]) -> Deadlines | None:
    return None if seconds is None else Deadlines(env, seconds, expire)
