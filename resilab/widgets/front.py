"""The part of an explorer that lives in the page: what must be seen at once, or without a kernel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from .controls import Control

SCRIPT = Path(__file__).with_name("front.js")


class Front(anywidget.AnyWidget):
    """Dims a picture that is not that of the controls, and moves a time cursor over its panels.

    Attributes:
        inputs: References to the controls' models in the page.
        labels: What stands beside each control, for screen readers.
        shown: What the controls held when the picture was drawn.
        panels: Panels of the picture whose x is time.
        story: What happened when.
        chosen: The time at which the picture was clicked: the request that arrives then is followed.
        view: Width of the picture in the page, dots a pixel, and whether the theme is dark.
    """

    _esm = SCRIPT
    inputs: Any = traitlets.List().tag(sync=True)
    labels: Any = traitlets.List().tag(sync=True)
    shown: Any = traitlets.List().tag(sync=True)
    panels: Any = traitlets.List().tag(sync=True)
    story: Any = traitlets.Dict().tag(sync=True)
    chosen: Any = traitlets.Dict().tag(sync=True)
    view: Any = traitlets.Dict().tag(sync=True)


def make_front(controls: Iterable[Control]) -> Front:
    """Return the front of an explorer with these controls."""
    controls = list(controls)
    inputs = [f"IPY_MODEL_{control.input.model_id}" for control in controls]
    labels = [getattr(control, "box", control.input).description for control in controls]
    return Front(inputs=inputs, labels=labels, shown=[control.asked for control in controls])
