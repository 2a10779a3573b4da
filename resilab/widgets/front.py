"""The part of an explorer that lives in the page: what must be seen at once, or without a kernel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from .controls import Control

SCRIPT = Path(__file__).with_name("front.js")


class Front(anywidget.AnyWidget):
    """Shows at once what the page has been given before, dims what is not of the controls, moves a time cursor.

    Attributes:
        inputs: References to the controls' models in the page.
        parts: References to the models of picture, verdict and headline.
        labels: What stands beside each control, for screen readers.
        shown: What the controls held when the picture was drawn.
        era: What else the picture depends on, such as the kept run; pages of another era are not shown.
        is_dark: Whether the picture was drawn for a dark page.
        panels: Panels of the picture whose x is time.
        story: What happened when.
        chosen: The time at which the picture was clicked: the request that arrives then is followed.
        view: Width of the picture in the page, dots a pixel, and whether the theme is dark.
    """

    _esm = SCRIPT
    inputs: Any = traitlets.List().tag(sync=True)
    parts: Any = traitlets.List().tag(sync=True)
    labels: Any = traitlets.List().tag(sync=True)
    shown: Any = traitlets.List().tag(sync=True)
    era: Any = traitlets.Unicode().tag(sync=True)
    is_dark: Any = traitlets.Bool(False).tag(sync=True)
    panels: Any = traitlets.List().tag(sync=True)
    story: Any = traitlets.Dict().tag(sync=True)
    chosen: Any = traitlets.Dict().tag(sync=True)
    view: Any = traitlets.Dict().tag(sync=True)

    def give(self, era: str, asked: list[Any], page: dict[str, Any], png: bytes) -> None:
        """Give the page what it shows as soon as the controls hold *asked*, while the kernel is still being told."""
        if era == self.era:
            self.send({"era": era, "asked": asked, **page}, [png])


def make_front(controls: Iterable[Control], parts: Iterable[ipywidgets.Widget]) -> Front:
    """Return the front of an explorer with these controls, and its picture, verdict and headline."""
    controls = list(controls)
    inputs = [_reference(control.input) for control in controls]
    labels = [getattr(control, "box", control.input).description for control in controls]
    shown = [control.asked for control in controls]
    return Front(inputs=inputs, labels=labels, shown=shown, parts=[_reference(each) for each in parts])


def _reference(widget: ipywidgets.Widget) -> str:
    return f"IPY_MODEL_{widget.model_id}"
