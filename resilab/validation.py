"""What the fields of specifications allow: the rule stands in the annotation of the field.

    @dataclass(frozen=True)
    class Lamp(Spec):
        brightness: Ratio                                         # a number from 0 to 1
        colour: Annotated[str, word("red", "green")] = "red"      # one of the words
        lifetime: PositiveOrInfinite | None = None                # None is allowed, too
        socket: Socket = field(default_factory=Socket)            # any class is its own rule

gives the type to the type checker, the check to every new spec, its message (name, rule,
value), and the documentation to `rules_of`. Rules between fields stay in `__post_init__`,
which runs after them.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import math
import reprlib
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a field allows.

    Attributes:
        check: Takes the name and the value; returns the value to keep, or refuses it.
        words: The rule in words, for the documentation.
    """

    check: Callable[[str, Any], Any]
    words: str


@dataclasses.dataclass(frozen=True)
class Spec:
    """A value that describes something: it hashes, pickles, compares and prints.

    Subclasses are frozen dataclasses whose annotations say what their fields allow. What
    is alive is made from a spec by its `bind(env)`. Numpy's numbers become Python's, so
    that a spec prints the same whoever computed them.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__replace__ = lambda self, **changes: self.replace(**changes)  # type: ignore[attr-defined]  # copy.replace
        between = cls.__dict__.get("__post_init__")
        if between is None:
            return

        @functools.wraps(between)
        def fields_then_between(self: Spec) -> None:
            Spec.__post_init__(self)
            between(self)

        cls.__post_init__ = fields_then_between  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        for name, rule, is_optional in _rules(type(self)):  # type: ignore[arg-type]  # a class is hashable
            value = getattr(self, name)
            if value is None and is_optional:
                continue
            kept = rule.check(name, value)
            if kept is not value:
                object.__setattr__(self, name, kept)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one."""
        return dataclasses.replace(self, **changes)


def rules_of(kind: type[Spec]) -> dict[str, str]:
    """Return what each field of a specification allows, in words.

    Example:
        >>> from resilab import Bulkhead
        >>> rules_of(Bulkhead)["max_queue"]
        'a whole number >= 0, or None'
    """
    return {name: rule.words + (", or None" if is_optional else "") for name, rule, is_optional in _rules(kind)}  # type: ignore[arg-type]


@functools.cache
def _rules(kind: type) -> tuple[tuple[str, Rule, bool], ...]:
    """Return name and rule of each field that has one, and whether None is allowed."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in dataclasses.fields(kind):
        parts = _parts(hints[field.name])
        rule = _rule_of([part for part in parts if part is not types.NoneType])
        if rule is not None:
            found.append((field.name, rule, types.NoneType in parts))
    return tuple(found)


def _parts(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _rule_of(parts: list[Any]) -> Rule | None:
    """Return the rule of a field of one of these types: the one that is written, or that of its classes."""
    written = [data for part in parts for data in getattr(part, "__metadata__", ()) if isinstance(data, Rule)]
    if written:
        return written[0]
    if parts == [bool]:
        return Rule(flag, "True or False")
    if all(typing.get_origin(part) is collections.abc.Callable for part in parts):
        return Rule(function, "a function")
    if all(part in (float, int) for part in parts):
        return Rule(lambda name, value: value.item() if isinstance(value, np.generic) else value, "a number")
    if all(isinstance(part, type) and part not in (float, int, object, Any) for part in parts):
        kinds = tuple(parts)
        return Rule(lambda name, value: instance(name, value, kinds), " or ".join(each.__name__ for each in kinds))
    return None


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
    return number  # type: ignore[no-any-return]  # a whole number stays one


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
        raise ValueError(f"{name} must be one of {', '.join(repr(str(choice)) for choice in choices)}, got {value!r}")
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


Finite = Annotated[float, Rule(finite, "a finite number")]
Positive = Annotated[float, Rule(positive, "a number > 0")]
PositiveOrInfinite = Annotated[
    float, Rule(lambda name, value: positive(name, value, allow_infinite=True), "a number > 0, or infinity")
]
NonNegative = Annotated[float, Rule(non_negative, "a number >= 0")]
NonNegativeOrInfinite = Annotated[
    float, Rule(lambda name, value: non_negative(name, value, allow_infinite=True), "a number >= 0, or infinity")
]
Growth = Annotated[float, Rule(lambda name, value: at_least(name, value, 1), "a number >= 1")]
Ratio = Annotated[float, Rule(ratio, "a number from 0 to 1")]
Share = Annotated[float, Rule(lambda name, value: positive(name, ratio(name, value)), "a number above 0, up to 1")]
Natural = Annotated[int, Rule(whole, "a whole number >= 0")]
Count = Annotated[int, Rule(lambda name, value: whole(name, value, minimum=1), "a whole number >= 1")]


def word(*choices: str) -> Rule:
    """Return the rule of a field that is one of some words."""
    return Rule(
        lambda name, value: one_of(name, value, choices), f"one of {', '.join(repr(str(choice)) for choice in choices)}"
    )


def many(*kinds: type) -> Rule:
    """Return the rule of a field that holds a tuple of specs: a list is taken, and a single one."""

    def check(name: str, value: Any) -> tuple[Any, ...]:
        values = (value,) if isinstance(value, (Spec, *kinds)) else sequence(name, value)
        for each in values:
            instance(name, each, kinds)
        return values

    return Rule(check, f"any number of {' or '.join(kind.__name__ for kind in kinds)}")


def number_or_function(rule: Any, *args: float) -> Rule:
    """Return the rule of a field that is a number, or a pure function of such arguments that returns seconds."""
    (number,) = (data for data in rule.__metadata__ if isinstance(data, Rule))

    def check(name: str, value: Any) -> Any:
        if callable(value):
            try_seconds(name, value, *args)
            return value
        return number.check(name, value)

    return Rule(check, f"{number.words}, or a function")


_EPOCH = 500_000_000.0
"""Seconds since 1970 of a day in 1985: no run begins so late."""


def since_start(name: str, times: np.ndarray) -> np.ndarray:
    """Return times in seconds from the start of a run; refuse those that count from 1970."""
    if len(times) and times.min() > _EPOCH:
        first = float(times.min())
        raise ValueError(
            f"{name} must be seconds from the start of the run, got {first!r}: it looks like seconds since 1970; "
            "subtract the first"
        )
    return times


_PACKAGE = str(Path(__file__).parent)


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, with the line of the user's code that has led here."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_code):
        level += 1
        frame = frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_ours(code: types.CodeType) -> bool:
    file = code.co_filename
    is_made_by_dataclass = file == "<string>" and code.co_name == "__init__"
    return is_made_by_dataclass or file == dataclasses.__file__ or file.startswith(_PACKAGE)


_LONGEST_IN_MILLISECONDS = 600_000  # ten minutes: settings of single calls are not longer


def warn_of_milliseconds(name: str, seconds: Any) -> None:
    """Warn if a time looks as if it were copied from a setting in milliseconds: 500, 1000, 1500, ... and no hours."""
    if (
        isinstance(seconds, int | float)
        and 1000 <= seconds <= _LONGEST_IN_MILLISECONDS
        and seconds % 500 == 0
        and seconds % 3600
    ):
        warn_user(f"{name} is in seconds, and {seconds} looks like milliseconds: {seconds / 1000:g} s?")
