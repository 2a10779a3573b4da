"""Find the best setting of some controls, and show along their sliders where it is good."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..experiments.recommendation import Recommendation
from ..experiments.recommending import recommend
from ..experiments.slo import SLO
from ..resilience.policy import ResiliencePolicy
from .controls import Control
from .verdict import EVEN, GOOD

BUDGET = 600
"""Runs of a search from a page, unless asked for more."""
_MOST_VALUES = 40


@dataclass(frozen=True)
class PolicyOf:
    """The policy of the scenario that a build function makes, with some settings fixed; it travels to workers.

    Attributes:
        build: Makes the scenario.
        fixed: Settings that stay.
    """

    build: Callable[..., Any]
    fixed: Mapping[str, Any]

    def __call__(self, **settings: Any) -> Any:
        """Return the policy with these settings."""
        return self.build(**{**self.fixed, **settings}).policy


def of_the_policy(build: Callable[..., Any], controls: Iterable[Control], settings: Mapping[str, Any]) -> list[Control]:
    """Return the controls that change the policy and nothing else: those can be chosen, the others are given."""
    found = []
    try:
        situation = _without_policy(build(**settings))
    except (AttributeError, TypeError):
        return []
    for control in controls:
        others = [_without_policy(build(**{**settings, control.name: value})) for value in _ends(control)]
        if all(each == situation for each in others):
            found.append(control)
    return found


def _without_policy(scenario: Any) -> Any:
    return scenario.replace(policy=ResiliencePolicy())


def _ends(control: Control) -> Sequence[Any]:
    if hasattr(control, "_slider"):
        return (control._slider.low, control._slider.high)
    if hasattr(control.input, "options"):
        return [value for _, value in control.input.options]
    return (False, True)


def find(
    build: Callable[..., Any],
    chosen: Sequence[Control],
    settings: Mapping[str, Any],
    slo: SLO,
    **options: Any,
) -> Recommendation:
    """Return what `recommend` finds for the chosen controls; all others stay as they are."""
    names = [control.name for control in chosen]
    fixed = {name: value for name, value in settings.items() if name not in names}
    knobs: dict[str, Any] = {control.name: _values(control) for control in chosen}
    current = {name: settings[name] for name in names}
    situation = _without_policy(build(**settings))
    options = {"budget": BUDGET, "progress": False} | options
    return recommend(PolicyOf(build, fixed), situation, slo, current=current, **options, **knobs)


def _values(control: Control) -> list[Any]:
    if not hasattr(control, "_slider"):
        return list(_ends(control))
    slider: Any = control._slider
    steps = round((slider.high - slider.low) / slider.step)
    every = max(1, math.ceil(steps / _MOST_VALUES))
    is_whole = isinstance(control.value, int)
    found = [slider.low + step * slider.step for step in range(0, steps + 1, every)]
    return [each if is_whole else float(f"{each:.12g}") for each in found]


def strip(control: Control, low: Any, high: Any, best: Any, now: Any) -> str:
    """Return the strip along a slider as HTML: where the objective holds, the choice, and where you are."""
    slider: Any = control._slider

    def place(value: Any) -> float:
        return 100.0 * float((value - slider.low) / (slider.high - slider.low))

    start, end = place(low), place(high)
    colour = f"transparent {start:.1f}%, {GOOD} {start:.1f}% {max(end, start + 1):.1f}%, transparent {end:.1f}%"
    marks = [(best, "best", GOOD), (now, "you are here", EVEN)]
    dots = "".join(
        f'<span title="{text}: {value:g}" style="position:absolute;left:calc({place(value):.1f}% - 4px);top:-2px;'
        f'width:9px;height:9px;border-radius:5px;background:{dot}"></span>'
        for value, text, dot in reversed(marks)
    )
    return (
        f'<div class="resilab-strip" role="img" aria-label="holds from {low:g} to {high:g}; best {best:g}" '
        f'style="position:relative;background:linear-gradient(90deg, {colour}) #8883">{dots}</div>'
    )
