"""What all policies share: how one is bound, how a call enters it, and how it reports.

A policy of your own is a value with a `live` part. This limit grows by 1 / limit with
every answer and halves with every error (AIMD, as TCP and adaptive bulkheads do):

    >>> from resilab import BulkheadFullError, LivePolicy, Policy, ResiliencePolicy, Retry, ServiceError
    >>> class LiveAimd(LivePolicy):
    ...     def __init__(self, spec, place):
    ...         super().__init__(spec, place)
    ...         self.limit, self.inside = spec.initial, 0
    ...     def run(self, fn, *args):
    ...         if self.inside >= self.limit:
    ...             raise BulkheadFullError(f"limit of {self.limit:.1f} reached")
    ...         self.inside += 1
    ...         try:
    ...             reply = yield from fn(*args)
    ...         except ServiceError:
    ...             self.limit = max(1.0, self.limit / 2)
    ...             raise
    ...         finally:
    ...             self.inside -= 1
    ...         self.limit += 1 / self.limit
    ...         return reply
    >>> @dataclass(frozen=True)
    ... class Aimd(Policy):
    ...     initial: float = 10.0
    ...     def live(self, place):
    ...         return LiveAimd(self, place)
    >>> live = ResiliencePolicy(Retry(max_retries=2), Aimd(initial=4.0)).bind(simpy.Environment())
    >>> live.parts[1]
    <LiveAimd 'aimd'>

It nests with all others, works in a `Scenario`, and its fields are checked by their
annotations (`resilab.validation`). Give a permit back in a `finally`, and let
`simpy.Interrupt` pass: it is a cancellation, not a failure.
"""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Generator
from dataclasses import MISSING, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec

import simpy

from ..engine import Steps, request_of, steps_of
from ..errors import NotAGeneratorError
from ..events import EventLog
from ..randomness import KeyedDraws, Sampler
from ..validation import Spec, instance, whole

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    L = TypeVar("L", bound="LivePolicy", default="LivePolicy", covariant=True)
    T = TypeVar("T")
else:
    from typing import TypeVar

    L = TypeVar("L", covariant=True)
    T = TypeVar("T")
P = ParamSpec("P")


class Place(NamedTuple):
    """Where a policy lives.

    Attributes:
        env: The environment.
        seed: Seed of the policy's own draws; None draws from Python's `random`.
        log: Where it writes what happens, or None.
        name: What the events call it.
        depth: How many policies are around it.
        prefix: What the names of parts inside it begin with.
        stream: What its random streams begin with; empty is its name.
    """

    env: simpy.Environment
    seed: int | None
    log: EventLog | None
    name: str
    depth: int = 0
    prefix: str = ""
    stream: str = ""

    def draws(self, stream: str, sample: Sampler) -> KeyedDraws:
        """Return the draws of a stream of the policy."""
        seed = random.getrandbits(32) if self.seed is None else self.seed
        return KeyedDraws(seed, f"{self.stream or self.name}/{stream}", sample)


@dataclass(frozen=True)
class Policy(Spec, Generic[L]):
    """A resilience policy as a value; `bind(env)` makes the live one.

    Write your own: see `resilab.resilience.base`.
    """

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int | None = None,
        log: EventLog | None = None,
        name: str | None = None,
        depth: int = 0,
    ) -> L:
        """Make the live policy, with state of its own, in *env*.

        Args:
            env: Any `simpy.Environment`.
            seed: Seed of the policy's own random draws. None draws from Python's
                `random` module, as SimPy models usually do.
            log: Where to write what happens. None writes nothing.
            name: What the events call it; by default the kind of policy. With a name,
                the parts of a `ResiliencePolicy` are called "name/retry" and so on.
            depth: How many policies are around it. Of time limits that pass at one
                instant, the outermost counts.
        """
        return self.live(Place(env, seed, log, name or self.default_name, depth, f"{name}/" if name else ""))

    def live(self, place: Place) -> L:
        """Make the live policy at a place; every kind of policy says here what it is."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """Say where `execute` is: a policy is a value, and what is alive is made by `bind`."""
        hint = f": bind it first, as in {type(self).__name__}(...).bind(env).execute(fn)" if name == "execute" else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    @property
    def default_name(self) -> str:
        """What the events call it unless it is given a name: "circuit_breaker"."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()


class LivePolicy:
    """A policy with state, made by `bind(env)`.

    Attributes:
        spec: What it was made from.
        env: The environment it lives in.
        name: What the events call it.
    """

    spec: Any

    def __init__(self, spec: Any, place: Place) -> None:
        self.spec = spec
        self.env: simpy.Environment = instance("env", place.env, simpy.Environment)
        self.name = instance("name", place.name, str)
        self._log = place.log if place.log is None else instance("log", place.log, EventLog)
        if place.seed is not None:
            whole("seed", place.seed)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def execute(
        self, fn: Callable[P, Generator[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Generator[simpy.Event, Any, T]:
        """Run `fn(*args, **kwargs)` under this policy: `reply = yield from policy.execute(fn, ...)`.

        Args:
            fn: A generator function, the SimPy way to write work that takes time.
            *args: Its arguments.
            **kwargs: Its keyword arguments.

        Returns:
            A generator to `yield from`; its value is the value of the call.

        Raises:
            NotAGeneratorError: *fn* is not a generator function. No policy handles it.
        """
        call = generator_function(fn)
        return self.run(partial(call, **kwargs) if kwargs else call, *args)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to be called, and say how a call is made."""
        raise TypeError(f"{self!r} is not called itself: write `yield from policy.execute(fn, ...)`")

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
        if number < always or getattr(spec, field.name) != _default(field)
    ]
    return f"{type(spec).__name__}({', '.join(shown)})"


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
