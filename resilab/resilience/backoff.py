"""Backoff: how long to wait before a retry, as a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from ..validation import (
    Finite,
    Growth,
    NonNegative,
    NonNegativeOrInfinite,
    Rule,
    Spec,
    non_negative,
    one_of,
    sequence,
    try_seconds,
    whole,
    word,
)
from .base import short_repr

KINDS = ("constant", "linear", "exponential", "fibonacci", "cycle", "list", "decorrelated", "smooth")
JITTERS = ("none", "full", "equal", "plus", "plus_minus", "minus_plus", "add", "add_minus", "range")

_SMOOTHING = 4.0  # Polly's factor, which smooths the first delays
_SCALE = 1 / 1.4  # Polly's factor, which puts the medians near initial_delay * 2^k


def _kind(name: str, value: Any) -> Any:
    if callable(value):
        try_seconds(name, value, 0, 0.5)
        return value
    return one_of(name, value, KINDS)


def _delays(name: str, values: Any) -> tuple[float, ...]:
    return tuple(non_negative(name, delay) for delay in sequence(name, values))


@dataclass(frozen=True)
class Backoff(Spec):
    """A law of delays, with every switch that the libraries have.

    Before retry k + 1 (k = 0, 1, ...), with U uniform on 0..1, d the initial delay and
    p the previous delay, at first d, the delay without jitter is

    | kind | delay |
    |---|---|
    | "constant" | d |
    | "linear" | d + k increment |
    | "exponential" | d multiplier^k |
    | "fibonacci" | d, d + increment, and each the sum of the two before |
    | "cycle" | delays[k], from the start again after the last |
    | "list" | delays[k], the last one again after the last |
    | "decorrelated" | d + U (multiplier p - d), of which p is the last value |
    | "smooth" | d (f(k + U) - f(k - 1 + the U before)) / 1.4, f(t) = 2^t tanh(sqrt(4 t)) |

    and jitter makes of a delay v

    | jitter | delay |
    |---|---|
    | "none" | v |
    | "full" | v U |
    | "equal" | v / 2 + U v / 2 |
    | "plus" | v (1 + amount U) |
    | "plus_minus" | v (1 + amount (2 U - 1)) |
    | "minus_plus" | v (1 + amount (1 - 2 U)): the same law, the small draw is the long delay |
    | "add" | v + amount U |
    | "add_minus" | v + amount (1 - 2 U) |
    | "range" | v + U (amount - v): from v to amount |

    | library | law |
    |---|---|
    | resilience4j | constant 0.5 s; exponential x 1.5; random "plus_minus" 0.5 |
    | Polly 8 | constant 2 s; linear; exponential x 2; with jitter "plus_minus" 0.25, or "smooth" |
    | Failsafe | constant 0 s; exponential x 2; "minus_plus", "add_minus" or "range" |
    | hyx | constant 0.5 s; all kinds; "full" or "equal" |
    | tenacity | constant 0 s; exponential x 2; "full" or "add" |
    | stamina | exponential 0.1 s x 2 up to 5 s, "add" 1 s |
    | AWS article | exponential from 2 d, "full", "equal" or "decorrelated" x 3 |

    Args:
        kind: One of the kinds above, or a function (attempt, draw) -> seconds of the index
            of the failed attempt, from 0, and a uniform draw.
        initial_delay: d, in seconds, at least 0.
        multiplier: Growth of "exponential" and reach of "decorrelated", at least 1.
        increment: Growth of "linear" and "fibonacci" in seconds; None is *initial_delay*.
        max_delay: Longest delay in seconds.
        min_delay: Shortest delay in seconds, jitter included.
        delays: The delays of "cycle" and "list" in seconds.
        jitter: One of the jitters above, or a function (delay, draw) -> seconds.
        amount: The amount of the jitter: a ratio for "plus", "plus_minus" and
            "minus_plus", seconds for the others.
        cap: "before" limits the delay before jitter, "after" with jitter, "both" both.

    Example:
        >>> Backoff("exponential", initial_delay=0.1, max_delay=0.5).delays_of(4)
        [0.1, 0.2, 0.4, 0.5]

    Source: the documentation of the libraries named above.
    """

    kind: Annotated[str | Callable[[int, float], float], Rule(_kind, "a word, or a function")] = "exponential"
    initial_delay: NonNegative = 1.0
    multiplier: Growth = 2.0
    increment: Finite | None = None
    max_delay: NonNegativeOrInfinite = math.inf
    delays: Annotated[tuple[float, ...], Rule(_delays, "seconds >= 0")] = ()
    jitter: str | Callable[[float, float], float] = "none"
    amount: NonNegative = 0.0
    cap: Annotated[str, word("before", "after", "both")] = "after"
    min_delay: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.kind in ("cycle", "list") and not self.delays:
            raise ValueError(f"delays must not be empty with kind={self.kind!r}, got ()")
        if callable(self.jitter):
            try_seconds("jitter", self.jitter, self.initial_delay, 0.5)
        else:
            one_of("jitter", self.jitter, JITTERS)

    def __repr__(self) -> str:
        return short_repr(self, always=2)

    def step(self, attempt: int, draw: float, state: float | None = None) -> tuple[float, float]:
        """Return the delay after a failed attempt, and the state for the next step.

        Args:
            attempt: Index of the attempt that failed, from 0.
            draw: Uniform draw from 0 to 1.
            state: What the last step of this call returned; None for the first.
        """
        value, state = self._value(attempt, draw, state)
        if self.cap != "after":
            value = min(value, self.max_delay)
        value = self.jittered(value, draw)
        if self.cap != "before":
            value = min(value, self.max_delay)
        return max(self.min_delay, value), state

    def delays_of(self, count: int, draws: Sequence[float] = (0.0,)) -> list[float]:
        """Return the first *count* delays of a call; *draws* repeat when they are used up."""
        if not sequence("draws", draws):
            raise ValueError("draws must not be empty, got ()")
        state = None
        delays = []
        for attempt in range(whole("count", count)):
            delay, state = self.step(attempt, draws[attempt % len(draws)], state)
            delays.append(delay)
        return delays

    def _value(self, attempt: int, draw: float, state: float | None) -> tuple[float, float]:
        """Return the delay without jitter, and the state."""
        first = self.initial_delay
        if callable(self.kind):
            return non_negative("the delay returned by the function", self.kind(attempt, draw)), 0.0
        if self.kind == "decorrelated":
            longest = self.multiplier * (first if state is None else state)
            if self.cap != "after":
                longest = min(longest, self.max_delay)
            value = first + draw * (longest - first)
            return value, min(value, self.max_delay)
        if self.kind == "smooth":
            time = attempt + draw
            reached = _power(2.0, time) * math.tanh(math.sqrt(_SMOOTHING * time))
            return first * _SCALE * (reached - (state or 0.0)), reached
        return self._plain(attempt), 0.0

    def _plain(self, attempt: int) -> float:
        first, growth = self.initial_delay, self.increment
        if self.kind == "linear":
            return first + attempt * (first if growth is None else growth)
        if self.kind == "exponential":
            return first * _power(self.multiplier, attempt) if first else 0.0
        if self.kind == "fibonacci":
            this, following = first, first + (first if growth is None else growth)
            for _ in range(min(attempt, 1000)):  # beyond any finite float's doubling
                this, following = following, this + following
            return this
        if self.kind == "cycle":
            return self.delays[attempt % len(self.delays)]
        if self.kind == "list":
            return self.delays[min(attempt, len(self.delays) - 1)]
        return first

    def jittered(self, value: float, draw: float) -> float:
        """Return a delay with the jitter of this law."""
        jitter, amount = self.jitter, self.amount
        if callable(jitter):
            return non_negative("the delay returned by jitter", jitter(value, draw))
        if jitter == "none":
            return value
        if jitter == "full":
            return value * draw
        if jitter == "equal":
            return value / 2 + value / 2 * draw
        if jitter == "plus":
            return value * (1 + amount * draw)
        if jitter == "plus_minus":
            return value * (1 + amount * (2 * draw - 1))
        if jitter == "minus_plus":
            return value * (1 + amount * (1 - 2 * draw))
        if jitter == "add":
            return value + amount * draw
        if jitter == "add_minus":
            return value + amount * (1 - 2 * draw)
        return value + draw * (amount - value)


def _power(base: float, exponent: float) -> Any:
    try:
        return base**exponent
    except OverflowError:
        return math.inf
