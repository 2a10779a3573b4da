"""Fallback: answer with something lesser rather than with an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..engine import Steps, caller_has_gone, request_of, steps_of
from ..errors import NEVER_HANDLED, UnwantedResultError
from .base import LivePolicy, Place, Policy
from .filters import ErrorFilter, error_filter


@dataclass(frozen=True, init=False)
class Fallback(Policy["LiveFallback"]):
    """Answer a failed call with the first of several levels that works.

    In a simulation such an answer counts as *degraded*, never as a success.

    Args:
        *levels: Tried in order. A generator function (or a function that returns a
            generator) is run and may fail, which leads to the next level; a function
            that returns something else is called for its value; anything else is the
            answer itself. If all levels fail, the last error is raised.
        handled_errors: Error class, tuple of classes, or predicate. None is every error,
            an empty tuple none.
        handled_results: Predicate of the value: True answers for the call as if it had
            failed.

    Example:
        >>> import simpy
        >>> env = simpy.Environment()
        >>> def popular():
        ...     yield env.timeout(0.1)
        ...     raise ConnectionError("product service is down")
        >>> def personalized():
        ...     yield env.timeout(0.5)
        ...     raise ConnectionError("ML service is down")
        >>> def page():
        ...     recommendations = Fallback(popular, "static defaults").bind(env)
        ...     print((yield from recommendations.execute(personalized)), env.now)
        >>> _ = env.process(page())
        >>> env.run()
        static defaults 0.6

    Source: `FallbackPolicy` (one level) and `GracefulDegradation` (many) of the
    reference document.
    """

    levels: tuple[Any, ...]
    handled_errors: ErrorFilter | None
    handled_results: Callable[[Any], bool] | None

    def __init__(
        self,
        *levels: Any,
        handled_errors: ErrorFilter | None = None,
        handled_results: Callable[[Any], bool] | None = None,
    ) -> None:
        if not levels:
            raise ValueError("levels must not be empty, got ()")
        error_filter("handled_errors", handled_errors)
        if handled_results is not None and not callable(handled_results):
            raise TypeError(f"handled_results must be a function, got {handled_results!r}")
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "handled_errors", handled_errors)
        object.__setattr__(self, "handled_results", handled_results)

    def replace(self, **changes: Any) -> Fallback:
        return Fallback(*changes.pop("levels", self.levels), **(self._filters() | changes))

    def _filters(self) -> dict[str, Any]:
        return {"handled_errors": self.handled_errors, "handled_results": self.handled_results}

    def __repr__(self) -> str:
        levels = ", ".join(getattr(level, "__name__", repr(level)) for level in self.levels)
        only = "".join(f", {name}={value!r}" for name, value in self._filters().items() if value is not None)
        return f"Fallback({levels}{only})"

    def live(self, place: Place) -> LiveFallback:
        return LiveFallback(self, place)


class LiveFallback(LivePolicy):
    """A fallback in an environment.

    Attributes:
        spec: What it was made from.
        answers: How many calls it has answered.
    """

    spec: Fallback

    def __init__(self, spec: Fallback, place: Place) -> None:
        super().__init__(spec, place)
        self.answers = 0
        self._is_handled = error_filter("handled_errors", spec.handled_errors)

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        is_bad = self.spec.handled_results
        try:
            reply = yield from fn(*args)
            if is_bad is None or not is_bad(reply):
                return reply
        except NEVER_HANDLED:
            raise
        except Exception as error:
            if not self._is_handled(error):
                raise
            reason = error
        else:
            reason = UnwantedResultError(f"the call returned {reply!r}")
        return (yield from self._answer(reason))

    def _answer(self, reason: Exception) -> Steps:
        """Ask the levels in order; if all fail, raise the last error."""
        last: Exception = reason
        for number, level in enumerate(self.spec.levels, start=1):
            try:
                answer = yield from self._ask(level)
            except NEVER_HANDLED:
                raise
            except Exception as error:
                last = error
                self.note("level_failed", f"level {number}: {error!r}")
                continue
            self.answers += 1
            self.note("fallback", f"level {number} after {type(reason).__name__}")
            process = self.env.active_process
            request = request_of(process)
            if request is not None and not (request.has_abandoned and caller_has_gone(process) >= 0):
                request.handled = reason
            return answer
        raise last

    def _ask(self, level: Any) -> Steps:
        if not callable(level):
            return level
        answer = level()
        if hasattr(answer, "throw"):
            return (yield from steps_of(lambda: answer, ()))
        return answer
