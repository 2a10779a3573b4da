"""Write a scenario as the Python that makes it."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import math
from enum import Enum
from typing import Any

import numpy as np

from ..configs import KINDS, SNIPPETS
from ..configs import write as write_config
from ..validation import Spec

_WIDTH = 88
_LONGEST = 6000  # letters; an empirical distribution can hold thousands of numbers


def as_code(scenario: Any, seed: int, build: str, settings: dict[str, Any], run: str | None = None) -> str:
    """Return Python that makes the scenario and plays it.

    The scenario is written out where that makes an equal one, which is tried. Where it
    cannot be written, because it holds functions or thousands of values, the code calls
    the build function with the settings.

    Args:
        scenario: What is played.
        seed: The seed of the run.
        build: Name of the function that made it.
        settings: What it was called with.
        run: Name of the function that plays it; None is `rl.simulate`.
    """
    import resilab

    play = f"rl.simulate(scenario, seed={seed})" if run is None else f"{run}(scenario, {seed})"
    try:
        if not isinstance(scenario, Spec):
            raise _CannotWriteError
        text = write(scenario)
        if len(text) <= _LONGEST and eval(text, {"rl": resilab}) == scenario:
            return f"import resilab as rl\n\nscenario = {text}\nresult = {play}\n"
    except _CannotWriteError:
        pass
    arguments = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return f"scenario = {build}({arguments})\nresult = {play}\n"


KINDS_OF_TEXT = (
    ("Python", "python"),
    ("start=... of an explorer", "start"),
    *((kind, kind) for kind in (*KINDS, *SNIPPETS) if kind != "kubernetes"),
)
"""What a setting can be written as: what a menu shows, and the kind."""


def as_file(scenario: Any, kind: str) -> str:
    """Return the policy of a scenario as the configuration of a library, with what the library cannot say."""
    policy = getattr(scenario, "policy", None)
    if policy is None:
        return "This run has no policy that a library could be configured with."
    try:
        config = write_config(policy, kind)
    except (TypeError, ValueError) as error:
        return f"This cannot be written for {kind}: {error}"
    notes = [f"- {note.key}: {note.meaning}" for note in config.rows if note.status != "mapped"]
    return "\n".join([config.text.rstrip(), *(["", "What it cannot say:", *notes] if notes else [])])


def as_settings(settings: dict[str, Any]) -> str:
    """Return settings as Python; what cannot be written is shown as it prints itself."""
    return "{" + ", ".join(f'"{name}": {_written(value)}' for name, value in settings.items()) + "}"


def _written(value: Any) -> str:
    try:
        return write(value)
    except _CannotWriteError:
        return repr(value)


class _CannotWriteError(Exception):
    """The value cannot be written as Python."""


def write(value: Any, indent: int = 0) -> str:
    """Return *value* as Python, in lines of a readable width."""
    if isinstance(value, Spec):
        return _call(value, indent)
    if isinstance(value, (tuple, list)):
        opening, closing = ("(", ")") if isinstance(value, tuple) else ("[", "]")
        return _lines(opening, [("", each) for each in value], closing, indent, is_tuple=isinstance(value, tuple))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, type):
        return _name(value)
    raise _CannotWriteError


def _name(kind: type) -> str:
    import resilab

    for room in ("", "communication", "messaging", "saga", "outbox", "fleet", "health", "selection"):
        place = getattr(resilab, room) if room else resilab
        if kind.__name__ in place.__all__ and getattr(place, kind.__name__) is kind:
            return f"rl.{room}.{kind.__name__}" if room else f"rl.{kind.__name__}"
    if getattr(builtins, kind.__name__, None) is kind:
        return str(kind.__name__)
    raise _CannotWriteError


def _call(spec: Spec, indent: int) -> str:
    fields = {each.name: each for each in dataclasses.fields(spec)}
    parts: list[tuple[str, Any]] = []
    for name, parameter in inspect.signature(type(spec)).parameters.items():
        if name not in fields:
            raise _CannotWriteError
        value = getattr(spec, name)
        if parameter.kind is parameter.VAR_POSITIONAL:
            parts += [("", each) for each in value]
        elif not _is_default(value, fields[name], parameter):
            parts.append((f"{name}=", value))
    return _lines(f"{_name(type(spec))}(", parts, ")", indent)


def _is_default(value: Any, field: dataclasses.Field[Any], parameter: inspect.Parameter) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return (
        parameter.default is not parameter.empty
        and type(value) is type(parameter.default)
        and value == parameter.default
    )


def _lines(opening: str, parts: list[tuple[str, Any]], closing: str, indent: int, *, is_tuple: bool = False) -> str:
    comma = "," if is_tuple and len(parts) == 1 else ""
    one_line = opening + ", ".join(prefix + write(value) for prefix, value in parts) + comma + closing
    if len(one_line) + indent <= _WIDTH and "\n" not in one_line:
        return one_line
    inner = " " * (indent + 4)
    rows = [f"{inner}{prefix}{write(value, indent + 4)},\n" for prefix, value in parts]
    return f"{opening}\n{''.join(rows)}{' ' * indent}{closing}"
