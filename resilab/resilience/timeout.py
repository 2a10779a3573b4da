"""Timeout: stop waiting for a call that takes too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import simpy

from ..engine import Deadlines, Steps, abandon, branch_of, interrupt, limit_at, start
from ..errors import TimeoutExceededError
from ..validation import PositiveOrInfinite, number_or_function, positive, warn_of_milliseconds
from .base import LivePolicy, Place, Policy
from .likeness import like


@dataclass(frozen=True)
class Timeout(Policy["LiveTimeout"]):
    """Limit the time that a caller waits for a call.

    A response at exactly the limit is a success. Of several limits that pass at one
    instant, the outermost counts.

    Args:
        seconds: The limit, above 0. Infinity is no limit. A function of the time at which
            a call begins computes the limit of each.
        cancel: True cancels the call when the limit passes: everything below it is
            interrupted, and the service does what its `on_cancel` says. False is the
            race of the reference document: the caller leaves, the work runs on and
            holds its permits and workers to its end.

    Work that catches `simpy.Interrupt`, as preemption does, must raise again those whose
    cause is a `resilab.errors.Cancellation`: otherwise it runs on, and its end is late.
    A limit around `store.get()` leaves the get in the store's queue, where it takes a
    later item: write `with store.get() as get: item = yield get`.

    Raises:
        TimeoutExceededError: From `execute`, when the limit has passed.

    Example:
        >>> import simpy
        >>> env = simpy.Environment()
        >>> def slow():
        ...     yield env.timeout(3)
        >>> def model():
        ...     try:
        ...         yield from Timeout(1.0).bind(env).execute(slow)
        ...     except TimeoutExceededError as error:
        ...         print(env.now, error)
        >>> _ = env.process(model())
        >>> env.run()
        1.0 timed out after 1.0 s

    Source: `TimeoutPolicy` and `CancellableTimeout` of the reference document.
    """

    seconds: Annotated[float | Callable[[float], float], number_or_function(PositiveOrInfinite, 0.0)]
    cancel: bool = True

    def __post_init__(self) -> None:
        warn_of_milliseconds("seconds", self.seconds)

    @classmethod
    def like(cls, library: str, **options: Any) -> Timeout:
        """Return a timeout with the meaning and the defaults of a library.

        resilience4j, Spring Cloud and Hystrix wait 1 s, opossum 10 s, Envoy 15 s and
        Polly 30 s; Failsafe and hyx must be told. All but opossum cancel the call where
        the call lets itself be cancelled.

        Args:
            library: "resilience4j", "spring_cloud", "polly", "failsafe", "hyx", "hystrix",
                "opossum" or "envoy".
            **options: Fields of `Timeout`, or the library's own parameters; its module in
                `resilab.profiles` lists them.

        Example:
            >>> Timeout.like("polly")
            Timeout(seconds=30.0, cancel=True)
        """
        return like(cls, "timeout", library, options)

    def live(self, place: Place) -> LiveTimeout:
        return LiveTimeout(self, place)


class LiveTimeout(LivePolicy):
    """A timeout in an environment.

    Attributes:
        spec: What it was made from.
        timeouts: How many calls it has cut off.
    """

    spec: Timeout

    def __init__(self, spec: Timeout, place: Place) -> None:
        super().__init__(spec, place)
        self.timeouts = 0
        self._depth = place.depth
        if callable(spec.seconds):
            self._arm = self._arm_computed
        else:
            self._arm = Deadlines(self.env, spec.seconds, _expire, place.depth).arm
        self.run = self._cancel if spec.cancel else self._race  # type: ignore[method-assign]

    def _arm_computed(self, target: Any) -> list[Any]:
        assert callable(self.spec.seconds)
        seconds = positive("the seconds returned by seconds", self.spec.seconds(self.env.now), allow_infinite=True)
        return limit_at(self.env, self.env.now + seconds, target, _expire, self._depth)

    def _cancel(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        began = self.env.now
        entry = self._arm(self.env.active_process or self._caller())
        try:
            reply = yield from fn(*args)
        except simpy.Interrupt as signal:
            if signal.cause is entry:
                raise self._expired(began) from None
            raise
        finally:
            entry[1] = None
        if self.env.now > entry[0]:  # the call caught the interrupt and went on
            raise self._expired(began)
        return reply

    def _race(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        caller = self._caller()
        branch = branch_of(caller)
        work = start(self.env, fn(*args), branch, caller)
        began = self.env.now
        entry = self._arm(caller)
        try:
            value = yield work
            if branch is not None:
                branch.win()
            return value
        except BaseException as error:
            if isinstance(error, simpy.Interrupt) and error.cause is entry:
                abandon(work)
                raise self._expired(began) from None
            work.defused = True  # it may have failed just now, with nobody left to hear of it
            if work.is_alive:  # cancelled from outside: nobody else reaches the work
                interrupt(work, getattr(error, "cause", None))
            raise
        finally:
            entry[1] = None

    def _caller(self) -> Any:
        caller = self.env.active_process
        if caller is None:
            raise RuntimeError("a Timeout needs a running process: start the call with env.process(...)")
        return caller

    def _expired(self, began: float) -> TimeoutExceededError:
        self.timeouts += 1
        self.note("timeout")
        seconds = self.spec.seconds
        return TimeoutExceededError(
            f"timed out after {f'{self.env.now - began:.6g}' if callable(seconds) else seconds} s"
        )


def _expire(entry: list[Any]) -> bool:
    return interrupt(entry[1], entry)
