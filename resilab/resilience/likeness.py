"""Policies with the meaning and the defaults of a library, by its name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")

# The profiles build policies and so stand above them. A policy finds its profile by name, when
# it is asked for one: an import would be a circle, and a registry would be state of a module.
_PROFILES = f"{__package__.rpartition('.')[0]}.profiles"


def like(spec: type[T], pattern: str, library: str, options: dict[str, Any], *within: type[Any]) -> T:
    """Return what the function *pattern* in the profile of *library* makes of *options*.

    Args:
        spec: What it makes.
        pattern: Name of the function, such as "circuit_breaker".
        library: Name of the profile's module.
        options: The library's words, and fields of *spec*, or of a value *within* it.

    Raises:
        ValueError: There is no such library, or it has no such pattern.
        TypeError: Neither the library nor our specs know an option.
    """
    make = _maker(library, pattern)
    if make is None:
        raise ValueError(f"library must be one of {', '.join(libraries(pattern))}, got {library!r}")
    parameters = inspect.signature(make).parameters
    words = [name for name in parameters if name not in ("own", "options")]
    known = {*words, *(field.name for kind in (spec, *within) for field in fields(kind))}
    for name in options:
        if name not in known and "options" not in parameters:  # it passes them on to a profile that knows
            raise TypeError(f"{name} must be an option of {library} ({', '.join(words)}), or of {spec.__name__}")
    policy: T = make(**options)
    return policy


def libraries(pattern: str) -> list[str]:
    """Return the names of the profiles that have a pattern."""
    names = (module.name for module in pkgutil.iter_modules(importlib.import_module(_PROFILES).__path__))
    return [name for name in names if _maker(name, pattern) is not None]


def _maker(library: str, pattern: str) -> Callable[..., Any] | None:
    """Return the function *pattern* in the profile of *library*; None if there is none."""
    try:
        profile = importlib.import_module(f"{_PROFILES}.{library}")
    except ModuleNotFoundError:
        return None
    return getattr(profile, pattern, None)
