"""Space: the settings among which a recommendation chooses, as a lattice."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..validation import Count, Finite, Spec, finite, sequence

LEVELS = 17
"""Values of a range, both ends among them."""
MOST_WHOLE = 65
"""Values of a pair of whole numbers: all of them, up to this many."""
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


@dataclass(frozen=True)
class Range(Spec):
    """A range of values to choose from.

    Args:
        low: The smallest.
        high: The largest.
        log: Whether equal factors are equal steps, as for times.
        levels: How many values are tried, both ends among them.

    Example:
        >>> Range(0.1, 1.6, log=True, levels=5).values
        (0.1, 0.2, 0.4, 0.8, 1.6)
    """

    low: Finite
    high: Finite
    log: bool = False
    levels: Count = LEVELS

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"high must be > low, got {self.low!r} to {self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be > 0 with log=True, got {self.low!r}")

    @property
    def values(self) -> tuple[float, ...]:
        """The values, rounded to three digits; whole ones if both ends are."""
        steps = [step / max(1, self.levels - 1) for step in range(self.levels)]
        if self.log:
            exact = [self.low * (self.high / self.low) ** step for step in steps]
        else:
            exact = [self.low + (self.high - self.low) * step for step in steps]
        if isinstance(self.low, int) and isinstance(self.high, int):
            return tuple(dict.fromkeys(round(value) for value in exact))
        return (*tuple(dict.fromkeys(float(f"{value:.3g}") for value in exact[:-1])), float(self.high))


@dataclass(frozen=True)
class Knob:
    """One argument of the policy: its values, and whether their order means something."""

    name: str
    values: tuple[Any, ...]
    is_ordered: bool
    is_range: bool

    def nearest(self, value: Any) -> int:
        """Return the index of the value that is nearest; the first where nothing is near."""
        if value in self.values:
            return self.values.index(value)
        if not self.is_ordered or isinstance(value, bool) or not isinstance(value, int | float):
            return 0
        return min(range(len(self.values)), key=lambda index: abs(self.values[index] - value))


@dataclass(frozen=True)
class Setting:
    """One candidate: the arguments of the policy; None is no policy at all."""

    arguments: tuple[tuple[str, Any], ...] | None

    def __str__(self) -> str:
        if self.arguments is None:
            return "no policy"
        return ", ".join(f"{name}={_short(value)}" for name, value in self.arguments)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument."""
        return dict(self.arguments or ()).get(name, default)

    def changed(self, name: str, value: Any) -> Setting:
        """Return the setting with another value of an argument."""
        return Setting(tuple((each, value if each == name else old) for each, old in self.arguments or ()))


class Space:
    """The settings of a policy.

    Args:
        policy: Makes the policy of a setting.
        knobs: Argument -> its values: a list of choices, a pair (low, high) of whole numbers or
            of numbers, or a `Range`.

    Example:
        >>> space = Space(lambda limit=8, breaker=False: None, {"limit": (4, 12), "breaker": [True, False]})
        >>> str(space.default), len(space)
        ('limit=8, breaker=False', 18)
    """

    def __init__(self, policy: Callable[..., Any], knobs: Mapping[str, Any]) -> None:
        if not knobs:
            raise ValueError("recommend needs arguments of the policy to choose, got none")
        self.knobs = {name: _knob(name, values) for name, values in knobs.items()}
        known = inspect.signature(policy).parameters
        defaults = {each.name: each.default for each in known.values() if each.default is not each.empty}
        self._defaults = {name: defaults.get(name, knob.values[0]) for name, knob in self.knobs.items()}
        self._fixed = {name: value for name, value in defaults.items() if name not in self.knobs}

    def __len__(self) -> int:
        return math.prod(len(knob.values) for knob in self.knobs.values())

    def setting(self, values: Mapping[str, Any]) -> Setting:
        """Return a setting of the values, with the policy's defaults for the rest; they need not be on the lattice."""
        unknown = values.keys() - self._defaults.keys() - self._fixed.keys()
        if unknown:
            raise ValueError(f"a setting must name arguments of the policy, got {sorted(unknown)[0]!r}")
        own = {name: values.get(name, default) for name, default in self._defaults.items()}
        return Setting((*own.items(), *((name, values[name]) for name in values if name not in own)))

    @property
    def default(self) -> Setting:
        """The setting of the policy's own defaults; the first value of an argument without one."""
        return self.setting({})

    def spread(self, count: int) -> list[Setting]:
        """Return settings that are spread over the space as evenly as that many can be: a Halton sequence.

        All of them, if there are no more.
        """
        knobs = list(self.knobs.values())
        if len(self) <= count:
            return [self._at(places) for places in itertools.product(*(range(len(knob.values)) for knob in knobs))]
        found: dict[Setting, None] = {}
        for number in itertools.count(1):
            places = [int(_halton(number, PRIMES[k % 10]) * len(knob.values)) for k, knob in enumerate(knobs)]
            found[self._at(places)] = None
            if len(found) == count:
                return list(found)
        raise AssertionError

    def around(self, setting: Setting, step: int) -> list[Setting]:
        """Return the settings that are *step* values away in one argument; all other choices where order means none."""
        found = []
        for name, place in self._neighbours(setting, step):
            found.append(setting.changed(name, self.knobs[name].values[place]))
        return [each for each in found if each != setting]

    def _neighbours(self, setting: Setting, step: int) -> Iterator[tuple[str, int]]:
        for name, knob in self.knobs.items():
            place, last = knob.nearest(setting.get(name)), len(knob.values) - 1
            if not knob.is_ordered:
                yield from ((name, other) for other in range(last + 1))
            elif last:
                yield from ((name, min(last, max(0, each))) for each in (place - step, place + step))

    def _at(self, places: Iterable[int]) -> Setting:
        knobs = self.knobs.values()
        return Setting(tuple((knob.name, knob.values[place]) for knob, place in zip(knobs, places, strict=True)))


def _knob(name: str, values: Any) -> Knob:
    if isinstance(values, Range):
        return Knob(name, values.values, True, True)
    if isinstance(values, tuple) and len(values) == 2 and not any(isinstance(each, bool | str) for each in values):
        low, high = (finite(name, each) for each in values)
        is_whole = isinstance(low, int) and isinstance(high, int)
        levels = min(MOST_WHOLE, int(high) - int(low) + 1) if is_whole else LEVELS
        return Knob(name, Range(low, high, levels=levels).values, True, True)
    choices = sequence(name, values)
    if not choices:
        raise ValueError(f"{name} must be a list of values, a pair (low, high) or a Range, got an empty one")
    try:
        hash(choices)
    except TypeError:
        raise TypeError(f"{name} must be values that hash, such as numbers, words and specs, got {values!r}") from None
    is_ordered = all(isinstance(each, int | float) and not isinstance(each, bool) for each in choices)
    return Knob(name, tuple(sorted(choices)) if is_ordered else choices, is_ordered, False)


def _halton(number: int, base: int) -> float:
    value, share = 0.0, 1.0
    while number:
        share /= base
        value += share * (number % base)
        number //= base
    return value


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
