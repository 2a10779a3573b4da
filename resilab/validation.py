"""Checks that every specification runs on its fields: name, rule, value."""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np


@dataclasses.dataclass(frozen=True)
class Spec:
    """A value that describes something: it hashes, pickles, compares and prints.

    Subclasses are frozen dataclasses that check their fields in `__post_init__`.
    What is alive is made from a spec by its `bind(env)`.

    Before a subclass checks its fields, numpy's numbers become Python's, so that a spec
    prints the same whoever computed them; a field that is a bool refuses all else,
    since a word such as "no" would count as true.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__replace__ = lambda self, **changes: self.replace(**changes)  # type: ignore[attr-defined]  # copy.replace
        check = cls.__dict__.get("__post_init__")
        if check is None:
            return

        @functools.wraps(check)
        def plain_then_check(self: Spec) -> None:
            Spec.__post_init__(self)
            check(self)

        cls.__post_init__ = plain_then_check  # type: ignore[assignment, method-assign]

    def __post_init__(self) -> None:
        for name, is_flag in _plain_fields(type(self)):  # type: ignore[arg-type]  # a class is hashable
            value = getattr(self, name)
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())
            if is_flag:
                flag(name, value)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one."""
        return dataclasses.replace(self, **changes)


@functools.cache
def _plain_fields(kind: type) -> tuple[tuple[str, bool], ...]:
    """Return the fields that hold a number or a truth value, and whether it is a truth value."""
    kinds = {field.name: str(getattr(field.type, "__name__", field.type)) for field in dataclasses.fields(kind)}
    return tuple((name, text == "bool") for name, text in kinds.items() if text.split(" ")[0] in _PLAIN)


_PLAIN = ("bool", "float", "int")


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
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def instance(name: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    """Return *value* if it is an instance of *kind*."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(each.__name__ for each in kinds)
        raise TypeError(f"{name} must be {'an' if wanted[0] in 'AEIO' else 'a'} {wanted}, got {value!r}")
    return value


def flag(name: str, value: Any) -> bool:
    """Return *value* if it is True or False, of Python or of numpy."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def function(name: str, value: Any) -> Any:
    """Return *value* if it can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {value!r}")
    return value


def try_seconds(name: str, function: Any, *args: float) -> None:
    """Try a pure function that returns seconds: inside a run its mistakes would look like failed calls."""
    try:
        seconds = function(*args)
    except Exception as error:
        given = ", ".join(map(repr, args))
        raise TypeError(f"{name} must be a function that takes {given}, got {function!r}: {error}") from error
    non_negative(f"the seconds returned by {name}", seconds, allow_infinite=True)


def sequence(name: str, values: Any) -> tuple[Any, ...]:
    """Return *values* as a tuple; text is not a list of its letters."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a list or a tuple, got {values!r}")
    return tuple(values)


def numbers(name: str, values: Any) -> np.ndarray:
    """Return *values* as an array of finite numbers of at least 0, at least one."""
    try:
        array = np.array(values)
        if array.ndim == 0 or array.dtype.kind not in "fiuO":  # text that reads as a number is none
            raise TypeError
        array = array.ravel().astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be a list of numbers, got {reprlib.repr(values)}") from None
    if not array.size:
        raise ValueError(f"{name} must not be empty, got {values!r}")
    wrong = array[~(np.isfinite(array) & (array >= 0))]
    if wrong.size:
        raise ValueError(f"{name} must be finite and >= 0, got {wrong[0]}")
    return array
