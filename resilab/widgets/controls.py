"""Controls of an explorer: what the user asks for, and the widgets it becomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import ipywidgets

from ..validation import Finite, Positive, Spec, instance

UNITS = {
    "clients": "clients",
    "delay": "s",
    "duration": "s",
    "initial_delay": "s",
    "interval": "s",
    "latency": "s",
    "max_delay": "s",
    "max_wait": "s",
    "max_retries": "retries",
    "max_concurrent": "calls",
    "max_queue": "calls",
    "queue_limit": "calls",
    "rate": "requests/s",
    "seconds": "s",
    "timeout": "s",
    "volume_threshold": "calls",
    "failure_threshold": "failures",
    "success_threshold": "successes",
    "workers": "workers",
}
"""Units of parameters that have the same name everywhere in the lab."""

_MOST_BUTTONS = 5


@dataclass(frozen=True)
class Slider(Spec):
    """A number that an explorer lets the user move.

    Args:
        low: Smallest value.
        high: Largest value.
        step: Distance between values. None is 1 between whole numbers, else a round
            number that gives about 50 values.
        value: Where it starts. None is the default of the build function, or the middle.
        label: What stands beside it. None is the parameter's name in words.
        unit: Unit of the value. None is that of parameters of this name; "" is no unit.

    Example:
        >>> Slider(0.1, 2.0, unit="s").with_defaults().step
        0.05
    """

    low: Finite
    high: Finite
    step: Positive | None = None
    value: Finite | None = None
    label: str | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"high must be > low, got {self.low!r} to {self.high!r}")
        if self.value is not None and not self.low <= self.value <= self.high:
            raise ValueError(f"value must be from {self.low!r} to {self.high!r}, got {self.value!r}")

    @property
    def is_whole(self) -> bool:
        """Whether all its values are whole numbers."""
        return all(isinstance(each, Integral) for each in (self.low, self.high, self.step or 1, self.value or 0))

    def with_defaults(self, value: Any = None) -> Slider:
        """Return it with a step and a value; *value* is taken where it has none and it fits."""
        step = self.step or (1 if self.is_whole else _round_step((self.high - self.low) / 50))
        if self.value is not None:
            value = self.value
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            value = self.low + round((self.high - self.low) / 2 / step) * step
        is_whole = self.is_whole and isinstance(value, Integral)
        return self.replace(step=step, value=int(value) if is_whole else float(value))


def _round_step(step: float) -> float:
    unit = 10.0 ** math.floor(math.log10(step))
    return next(round(digit * unit, 12) for digit in (1, 2, 5, 10) if digit * unit >= 0.8 * step)


class Control:
    """One parameter of an explorer.

    Numbers and long lists have a slider, which all keys move in JupyterLab, and beside
    it a box with the label: the number to type, or the menu to choose from. JupyterLab
    takes the arrow keys away from menus, lists and round buttons, to go from cell to cell.
    Jupyter Notebook takes them from sliders too, and leaves these Home and End.

    Attributes:
        input: The widget that holds the value: `control.input.value`.
        row: What is shown: the input and what stands beside it.
    """

    _linked = "value"  # what slider and box have in common

    def __init__(self, name: str, wanted: Any, default: Any) -> None:
        self.name = name
        if isinstance(wanted, tuple) and len(wanted) in (2, 3):
            wanted = Slider(*wanted)
        if isinstance(wanted, Slider):
            self._make_slider(wanted.with_defaults(default))
        elif isinstance(wanted, bool):
            self.input = ipywidgets.Checkbox(value=wanted, description=self.label(unit=""))
        elif isinstance(wanted, (list, dict)):
            self._make_menu(wanted, default)
        elif isinstance(wanted, ipywidgets.Widget) and hasattr(wanted, "value"):
            self.input = wanted
            if not wanted.description:
                wanted.description = self.label()
        else:
            raise TypeError(
                f"{name} must be (low, high), (low, high, step), a Slider, a list or dict of choices, "
                f"True or False, or a widget with a value, got {wanted!r}"
            )
        if not hasattr(self, "row"):
            self.row: ipywidgets.Widget = self.input
        self.start = self.input.value

    def label(self, text: str | None = None, unit: str | None = None) -> str:
        """Return the parameter's name in words, with its unit."""
        text = self.name.replace("_", " ") if text is None else text
        unit = UNITS.get(self.name, "") if unit is None else unit
        return f"{text} ({unit})" if unit not in ("", text) else text

    def _make_slider(self, slider: Slider) -> None:
        label = self.label(slider.label, slider.unit)
        self._slider = slider
        options = {"min": slider.low, "max": slider.high, "step": slider.step, "value": slider.value}
        if slider.is_whole and isinstance(slider.value, int):
            self.input = ipywidgets.IntSlider(**options, readout=False)
            self.box: Any = ipywidgets.IntText(value=slider.value, step=slider.step, description=label)
        else:
            self.input = ipywidgets.FloatSlider(**options, readout=False)
            self.box = ipywidgets.FloatText(value=slider.value, step=slider.step, description=label)
        self._make_row()

    def _make_row(self) -> None:
        self.input.layout = ipywidgets.Layout(width="auto", margin="0 8px")
        self.strip = ipywidgets.HTML(layout={"display": "none"})
        self.row = ipywidgets.VBox([self.box, self.input, self.strip])

    def _make_menu(self, wanted: list[Any] | dict[str, Any], default: Any) -> None:
        pairs = list(wanted.items()) if isinstance(wanted, dict) else [(_words(each), each) for each in wanted]
        if not pairs:
            raise ValueError(f"{self.name} must have at least one choice, got {wanted!r}")
        values = [value for _, value in pairs]
        value = default if any(default is each or default == each for each in values) else values[0]
        options = {"options": pairs, "value": value}
        if len(pairs) <= _MOST_BUTTONS:  # buttons show all choices
            self.input = ipywidgets.ToggleButtons(**options, description=self.label(unit=""))
            return
        self.input = ipywidgets.SelectionSlider(**options, readout=False)
        self.box = ipywidgets.Dropdown(**options, description=self.label())
        self._linked = "index"  # of equal choices too
        self._make_row()

    @property
    def value(self) -> Any:
        """The value that is meant: sliders count their steps up, and come to 0.30000000000000004."""
        return _exact(self.input.value)

    @property
    def asked(self) -> Any:
        """What the page's own copy of the control holds: the choice's number, or the value."""
        return self.asked_for(self.input.value)

    def asked_for(self, value: Any) -> Any:
        """What it holds there at a value."""
        if hasattr(self.input, "options"):
            return [each for _, each in self.input.options].index(value)
        return value

    def neighbours(self) -> list[Any]:
        """Return the values that are one move away."""
        if hasattr(self, "_slider"):
            slider, now = self._slider, self.value
            near = [_exact(now + slider.step), _exact(now - slider.step)]
            return [value for value in near if slider.low <= value <= slider.high]
        if hasattr(self.input, "options"):
            values = [value for _, value in self.input.options]
            reach = len(values) if isinstance(self.input, ipywidgets.ToggleButtons) else 1
            return [each for n, each in enumerate(values) if 0 < abs(n - self.input.index) <= reach]
        return [not self.value] if isinstance(self.input, ipywidgets.Checkbox) else []

    def check(self, value: Any) -> Any:
        """Return *value* if the control can be set to it; else raise an error that says why."""
        if hasattr(self, "_slider"):
            slider = self._slider
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not slider.low <= value <= slider.high:
                raise ValueError(f"{self.name} must be from {slider.low!r} to {slider.high!r}, got {value!r}")
        elif hasattr(self.input, "options"):
            values = [each for _, each in self.input.options]
            if not any(value is each or value == each for each in values):
                raise ValueError(f"{self.name} must be one of {values!r}, got {value!r}")
        elif isinstance(self.input, ipywidgets.Checkbox) and not isinstance(value, bool):
            raise ValueError(f"{self.name} must be True or False, got {value!r}")
        return value

    def connect(self, say: Callable[[str], None]) -> None:
        """Tie the box to the slider. After the explorer has, so that its picture goes first.

        Args:
            say: Is told in words where a typed number cannot be taken.
        """
        if not hasattr(self, "box"):
            return
        linked = self._linked
        self.input.observe(lambda change: setattr(self.box, linked, _exact(change["new"])), linked)
        if hasattr(self, "_slider"):
            self.box.observe(lambda change: self._take(change["new"], say), "value")
        else:
            self.box.observe(lambda change: setattr(self.input, linked, change["new"]), linked)

    def _take(self, typed: Any, say: Callable[[str], None]) -> None:
        if typed == _exact(self.input.value):
            return
        slider = self._slider
        steps = round((min(max(typed, slider.low), slider.high) - slider.low) / slider.step)
        nearest = min(_exact(slider.low + steps * slider.step), slider.high)
        self.input.value = self.box.value = nearest
        if not math.isclose(typed, nearest):
            limits = f"from {slider.low:g} to {slider.high:g} in steps of {slider.step:g}"
            say(f"{self.box.description}: {typed:g} is not {limits}; {nearest:g} is shown.")

    def align(self) -> None:
        """Give the label the room that the input leaves."""
        labelled = getattr(self, "box", self.input)
        if isinstance(labelled, ipywidgets.ToggleButtons):
            labelled.style.description_width = "auto"
            labelled.style.button_width = "auto"
            labelled.layout = ipywidgets.Layout(width="auto")
        elif isinstance(labelled, ipywidgets.Checkbox):
            labelled.indent = False
            labelled.layout = ipywidgets.Layout(width="auto")
        elif hasattr(self, "box"):
            is_menu = isinstance(labelled, ipywidgets.Dropdown)
            labelled.style.description_width = "calc(100% - 150px)" if is_menu else "calc(100% - 84px)"
            labelled.layout = ipywidgets.Layout(width="auto")


def _exact(value: Any) -> Any:
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _words(choice: Any) -> str:
    return {None: "none", True: "yes", False: "no"}.get(choice, str(choice)) if _is_plain(choice) else str(choice)


def _is_plain(choice: Any) -> bool:
    return choice is None or isinstance(choice, bool)


def make_controls(wanted: dict[str, Any], defaults: dict[str, Any]) -> list[Control]:
    """Return the controls, aligned."""
    controls = [Control(instance("name", name, str), each, defaults.get(name)) for name, each in wanted.items()]
    for control in controls:
        control.align()
    return controls
