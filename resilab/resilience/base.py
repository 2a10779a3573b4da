"""What all live policies share: how a call enters them, and how they report."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import simpy

from ..engine import Steps, request_of, steps_of
from ..errors import NotAGeneratorError
from ..events import EventLog
from ..validation import Spec, instance


@dataclass(frozen=True)
class Policy(Spec):
    """A resilience policy as a value; `bind(env)` makes the live one."""

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int | None = None,
        log: EventLog | None = None,
        name: str | None = None,
        depth: int = 0,
    ) -> LivePolicy:
        """Make the live policy, with state of its own, in *env*.

        Args:
            env: Any `simpy.Environment`.
            seed: Seed of the policy's own random draws. None draws from Python's
                `random` module, as SimPy models usually do.
            log: Where to write what happens. None writes nothing.
            name: What the events call it; by default the kind of policy.
            depth: How many policies are around it. Of time limits that pass at one
                instant, the outermost counts.
        """
        raise NotImplementedError


class LivePolicy:
    """A policy with state, made by `bind(env)`.

    Attributes:
        env: The environment it lives in.
        name: What the events call it.
    """

    def __init__(self, env: simpy.Environment, name: str, log: EventLog | None) -> None:
        self.env = instance("env", env, simpy.Environment)
        self.name = instance("name", name, str)
        self._log = log if log is None else instance("log", log, EventLog)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def execute(self, fn: Callable[..., Any], *args: Any) -> Steps:
        """Run `fn(*args)` under this policy: `reply = yield from policy.execute(fn, *args)`.

        Args:
            fn: A generator function, the SimPy way to write work that takes time.
            *args: Its arguments.

        Returns:
            A generator to `yield from`; its value is the value of the call.

        Raises:
            NotAGeneratorError: *fn* is not a generator function. No policy handles it.
        """
        return self.run(generator_function(fn), *args)

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        """Do what `execute` does, for an *fn* that is known to be a generator function."""
        raise NotImplementedError

    def note(self, type: str, detail: str = "") -> None:
        """Write an event, if there is a log."""
        if self._log is not None:
            request = request_of(self.env.active_process)
            self._log.append(self.env.now, self.name, type, -1 if request is None else request.id, detail)


def generator_function(fn: Callable[..., Any]) -> Callable[..., Steps]:
    """Return *fn* as a generator function, or refuse it."""
    if inspect.isgeneratorfunction(fn):
        return fn
    if not callable(fn):
        raise NotAGeneratorError(f"execute needs a generator function, got {fn!r}")

    def call(*args: Any) -> Steps:
        return (yield from steps_of(fn, args))

    return call


def short_repr(spec: Any, always: int) -> str:
    """Return the repr of *spec* with its first *always* fields, and those that differ from their default."""
    shown = [
        f"{field.name}={getattr(spec, field.name)!r}"
        for number, field in enumerate(fields(spec))
        if number < always or getattr(spec, field.name) != field.default
    ]
    return f"{type(spec).__name__}({', '.join(shown)})"
