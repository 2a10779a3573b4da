"""Participants: services that keep effects, once each, and can undo them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy

from ..engine import Request, Steps, abandon, request_of, start
from ..errors import DeclinedError
from ..randomness import KeyedDraws, uniform
from ..resilience.base import generator_function
from ..validation import Ratio, Spec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Participant(Spec):
    """A service that takes part in a saga: it does things, and undoes them.

    With idempotency keys each effect happens once, however often it is asked for. An
    undo that arrives before its effect is remembered: the late effect is refused.
    Without keys each call takes effect anew, and an undo takes one effect back.

    Args:
        name: What frames and errors call it.
        done: Word for the state after an effect, for instance "charged".
        undone: Word for the state after its undo, for instance "refunded".
        decline_rate: Share of the effects that it declines, each for itself, from 0 to 1.
        idempotent: Whether it heeds idempotency keys.
    """

    name: str
    done: str = "done"
    undone: str = "undone"
    decline_rate: Ratio = 0.0
    idempotent: bool = True

    def bind(self, env: simpy.Environment, serve: Callable[[], Any] | None = None, *, seed: int = 0) -> LiveParticipant:
        """Make the service, without any effects yet, in *env*.

        Args:
            env: Any `simpy.Environment`.
            serve: A generator function that takes the time of one call and may fail it:
                `request` of a live `Service` of the lab. An effect happens at its end,
                and not at all if it fails. None takes no time.
            seed: Seed of what it declines.
        """
        return LiveParticipant(self, env, serve, seed)


@dataclass
class Effect:
    """What a participant has done under one key.

    Attributes:
        done: How often it has taken effect.
        undone: How often it was undone, or forbidden before it could happen.
        is_declined: Whether it was declined.
        amount: What the last call said it was about.
    """

    done: int = 0
    undone: int = 0
    is_declined: bool = False
    amount: float = 0.0


class LiveParticipant:
    """A participant in an environment.

    Attributes:
        spec: What it was made from.
        effects: What it has done, by key.
    """

    def __init__(self, spec: Participant, env: simpy.Environment, serve: Callable[[], Any] | None, seed: int) -> None:
        self.spec = spec
        self.env = env
        self.effects: dict[str, Effect] = {}
        self._serve = None if serve is None else generator_function(serve)
        self._declines = KeyedDraws(seed, f"{spec.name}/declined", uniform)
        self._requests: dict[int, Request] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec.name!r}>"

    def do(self, key: str, amount: float = 0.0) -> Steps:
        """Take effect under *key*; the value is the key, by which `undo` knows it.

        Raises:
            DeclinedError: It says no, or an undo of this key has come first.
        """
        return self._call(self._do, key, amount)

    def undo(self, key: str) -> Steps:
        """Undo what was done under *key*, or forbid it if it has not happened yet."""
        return self._call(self._undo, key)

    def status(self, key: str) -> str:
        """Return the state of one key in words: done, undone, "declined" or "none"."""
        effect = self.effects.get(key, Effect())
        if effect.done > effect.undone:
            return self.spec.done
        if effect.done:
            return self.spec.undone
        return "declined" if effect.is_declined else "none"

    def frame(self) -> pd.DataFrame:
        """Return the effects as a DataFrame: key, status, done, undone, amount."""
        import pandas as pd

        rows = [(key, self.status(key), e.done, e.undone, e.amount) for key, e in self.effects.items()]
        return pd.DataFrame(rows, columns=["key", "status", "done", "undone", "amount"])

    def _call(self, act: Callable[..., Any], *args: Any) -> Steps:
        """Send a call: what has been sent goes on when its caller has gone."""
        caller = self.env.active_process
        work = start(self.env, self._work(act, *args), self._request(caller), caller)
        try:
            return (yield work)
        except BaseException:
            abandon(work)  # it goes on; if it has failed just now, nobody is left to hear of it
            raise

    def _work(self, act: Callable[..., Any], *args: Any) -> Steps:
        if self._serve is not None:
            yield from self._serve()
        return act(*args)

    def _request(self, caller: Any) -> Request | None:
        """Return the identity of a request at this service: it counts its own sends."""
        request = request_of(caller)
        if request is None:
            return None
        own = self._requests.get(request.id)
        if own is None:
            own = self._requests[request.id] = Request(request.id, request.key)
        request.sends += 1
        return own

    def _do(self, key: str, amount: float) -> str:
        effect = self.effects.setdefault(key, Effect())
        effect.amount = amount
        if self.spec.idempotent:
            if effect.is_declined:
                raise DeclinedError(f"{self.spec.name} declined {key}")
            if effect.undone:
                raise DeclinedError(f"{self.spec.name} was told to undo {key} before")
            if effect.done:
                return key
        if self._declines_this():
            effect.is_declined = True
            raise DeclinedError(f"{self.spec.name} declined {key}")
        effect.done += 1
        return key

    def _declines_this(self) -> bool:
        """Draw whether it says no: the luck belongs to the request, not to the call."""
        rate = self.spec.decline_rate
        if not rate:
            return False
        request = request_of(self.env.active_process)
        return self._declines(len(self.effects) - 1 if request is None else request.key) < rate

    def _undo(self, key: str) -> None:
        effect = self.effects.setdefault(key, Effect())
        if self.spec.idempotent:
            effect.undone = 1
        elif effect.done > effect.undone:
            effect.undone += 1
