"""The widgets of an explorer and their places: controls on one side, verdict, numbers and picture on the other."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
import traitlets

from . import style


class NamedImage(ipywidgets.Image):
    """An image with a text for readers who do not see it: its `tooltip`.

    An `Image` has no text of its own, and fails to show with a tooltip: the page shows one
    only where the description is empty, and an `Image` has no description. This one has an
    empty one. The page then makes the tooltip the title of the image, which screen readers
    read for want of another text.
    """

    description = traitlets.Unicode("").tag(sync=True)


def button(text: str, tooltip: str, action: Callable[[], None], *, chip: bool = False) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tooltip or text, layout={"width": "auto"})
    if chip:
        button.add_class("resilab-chip")
    button.on_click(lambda _: action())
    return button


class TakeHome(ipywidgets.VBox):
    """The shown setting as text to copy: Python, an argument of `explore`, or the file of a library.

    Args:
        write: Returns the text of a kind.
        kinds: What can be written: what is shown for each, and the kind.
    """

    def __init__(self, write: Callable[[str], str], kinds: Iterable[tuple[str, str]]) -> None:
        self._write = write
        self.button = ipywidgets.ToggleButton(
            description="Show as code", tooltip="The setting as Python or as a library's file", layout={"width": "auto"}
        )
        self.menu = ipywidgets.Dropdown(options=list(kinds), description="as", layout={"display": "none"})
        self.text = ipywidgets.HTML()
        self.button.observe(self.refresh, "value")
        self.menu.observe(self.refresh, "value")
        super().__init__([self.menu, self.text])
        self.add_class("resilab-code")

    def refresh(self, _: Any = None) -> None:
        """Write what is shown now."""
        self.menu.layout.display = "" if self.button.value else "none"
        text = ""
        if self.button.value:
            text = f"<button data-copy>Copy</button><pre>{html.escape(self._write(self.menu.value))}</pre>"
        if self.text.value != text:
            self.text.value = text


def place(
    root: ipywidgets.Box,
    size: tuple[float, float],
    side: dict[str, ipywidgets.Widget],
    picture: dict[str, ipywidgets.Widget],
    below: Iterable[ipywidgets.Widget],
) -> None:
    """Put the widgets where they belong; the style finds each part by its name."""
    column, main = ipywidgets.VBox(list(side.values())), ipywidgets.VBox(list(picture.values()))
    body = ipywidgets.HBox([column, main])
    root.children = (body, *below, ipywidgets.HTML(style.sheet(*size)))
    parts = {"explorer": root, "body": body, "controls": column, "picture": main} | side | picture
    for name, widget in parts.items():
        widget.add_class(f"resilab-{name}")
