"""Presets of an explorer: situations and settings by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .controls import Control


@dataclass(frozen=True)
class Preset:
    """Settings by name, and what there is to see.

    Attributes:
        name: What stands on its button.
        settings: Values of some controls.
        says: A sentence that is shown with the picture.
    """

    name: str
    settings: Mapping[str, Any]
    says: str = ""


def make_presets(wanted: Mapping[str, Any], controls: Iterable[Control]) -> dict[str, Preset]:
    """Return the presets by name, checked.

    Args:
        wanted: For each name the settings, or settings and a sentence.
        controls: The controls that they set.

    Raises:
        ValueError: A name is no control, or a control cannot be set to the value.
        TypeError: Something else than settings, or than a sentence.
    """
    by_name = {control.name: control for control in controls}
    presets = {}
    for name, given in wanted.items():
        settings, says = given if isinstance(given, tuple) and len(given) == 2 else (given, "")
        if not isinstance(settings, Mapping) or not isinstance(says, str):
            raise TypeError(f"presets must be settings, or settings and a sentence, got {given!r} for {name!r}")
        for control, value in settings.items():
            if control not in by_name:
                raise ValueError(f"presets must set controls, {', '.join(by_name)}, got {control!r} in {name!r}")
            by_name[control].check(value)
        presets[name] = Preset(name, settings, says)
    return presets
