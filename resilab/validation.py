"""Checks that every specification runs on its fields: name, rule, value."""

from __future__ import annotations

import dataclasses
import math
from numbers import Integral, Real
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class Spec:
    """A value that describes something: it hashes, pickles, compares and prints.

    Subclasses are frozen dataclasses that check their fields in `__post_init__`.
    What is alive is made from a spec by its `bind(env)`.
    """

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one."""
        return dataclasses.replace(self, **changes)


def real(name: str, value: Any) -> float:
    """Return *value* as a Python number; refuse what is not a number, and NaN."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number: Any = value.item() if hasattr(value, "item") else value
    try:
        is_nan = math.isnan(number)
    except OverflowError:
        raise ValueError(f"{name} must be at most 1.8e308, got a number of more than 308 digits") from None
    if is_nan:
        raise ValueError(f"{name} must not be NaN, got {value!r}")
    return number


def finite(name: str, value: Any) -> float:
    """Return *value* if it is a finite number."""
    number = real(name, value)
    if math.isinf(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def positive(name: str, value: Any, *, allow_infinite: bool = False) -> float:
    """Return *value* if it is a number above 0."""
    number = real(name, value) if allow_infinite else finite(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be > 0, got {value!r}")
    return number


def non_negative(name: str, value: Any, *, allow_infinite: bool = False) -> float:
    """Return *value* if it is a number of at least 0."""
    number = real(name, value) if allow_infinite else finite(name, value)
    if number < 0:
        raise ValueError(f"{name} must be >= 0, got {value!r}")
    return number


def at_least(name: str, value: Any, minimum: float) -> float:
    """Return *value* if it is a finite number of at least *minimum*."""
    number = finite(name, value)
    if number < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {value!r}")
    return number


def ratio(name: str, value: Any) -> float:
    """Return *value* if it is a number from 0 to 1."""
    number = real(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value!r}")
    return number


def whole(name: str, value: Any, minimum: int = 0) -> int:
    """Return *value* if it is a whole number of at least *minimum*."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be >= {minimum}, got {value!r}")
    return int(value)


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return *value* if it is one of the *choices*."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def instance(name: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    """Return *value* if it is an instance of *kind*."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(each.__name__ for each in kinds)
        raise TypeError(f"{name} must be a {wanted}, got {value!r}")
    return value
