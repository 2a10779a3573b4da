"""The part of an explorer that finds the best setting of some of its controls."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import ipywidgets

from ..experiments.recommendation import Recommendation
from ..experiments.slo import SLO
from ..validation import instance
from .controls import Control
from .finding import find, of_the_policy, strip
from .pace import loop_of_page_message
from .parts import button

_SEARCHING = '<span role="status">searching ...</span>'


class Search(ipywidgets.VBox):
    """A menu of controls, a button that searches and one that goes to what was found.

    Args:
        build: Makes the scenario of the settings.
        controls: All controls.
        slo: What must hold, or None.
        settings: Returns the present settings.
        go: Sets the controls.
    """

    def __init__(
        self,
        build: Callable[..., Any],
        controls: Sequence[Control],
        slo: SLO | None,
        settings: Callable[[], dict[str, Any]],
        go: Callable[[dict[str, Any]], None],
    ) -> None:
        self._build, self._controls, self._settings, self._go = build, controls, settings, go
        self.slo = None if slo is None else instance("slo", slo, SLO)
        self.found: Recommendation | None = None
        self.menu = ipywidgets.Dropdown(description="choose")
        self.find_button = button("Find best", "Search the setting that meets the objective", self._find_chosen)
        self.jump_button = button("Jump there", "Set the controls to what was found", self.jump)
        self.jump_button.disabled = True
        self.words = ipywidgets.HTML()
        buttons = ipywidgets.HBox([self.find_button, self.jump_button])
        buttons.add_class("resilab-buttons")
        super().__init__([self.menu, buttons, self.words])

    def offer(self) -> None:
        """Fill the menu with the controls that can be chosen, and their pairs."""
        possible = of_the_policy(self._build, self._controls, self._settings())
        single = [(each.label(unit=""), (each.name,)) for each in possible]
        pairs = [(f"{one[0]} and {two[0]}", one[1] + two[1]) for one, two in itertools.combinations(single, 2)]
        self.menu.options = single + pairs
        if single:
            self.menu.index = 0
        else:
            self.find_button.disabled = True
            self.words.value = "No control changes the policy alone: there is nothing to choose."

    def look_for(
        self, names: Sequence[str], settings: Mapping[str, Any], slo: SLO | None = None, **options: Any
    ) -> Recommendation:
        """Return the best setting of these controls while the others stay."""
        slo = slo or self.slo
        if slo is None:
            raise ValueError("slo must be given, to find or to explore: what is best depends on it; got None")
        possible = {each.name: each for each in of_the_policy(self._build, self._controls, settings)}
        for name in names:
            if name not in possible:
                words = ", ".join(possible) or "none"
                raise ValueError(f"names must be of controls of the policy alone, {words}, got {name!r}")
        if not names:
            raise ValueError("names must be one control at least, got none")
        return find(self._build, [possible[name] for name in names], settings, instance("slo", slo, SLO), **options)

    def show(self, found: Recommendation) -> None:
        """Show a recommendation: its verdict, and where the objective holds along the sliders."""
        self.found = found
        self.jump_button.disabled = found.choice is None
        self.words.value = html.escape(found.verdict)
        rows = [] if found.choice is None else found.margins.to_dict("records")
        reach = {row["what"]: row for row in reversed(rows) if row["what"] in (found.choice or {})}  # the first counts
        for control in self._controls:
            row = reach.get(control.name)
            if row is not None and hasattr(control, "_slider"):
                control.strip.value = strip(control, row["holds_from"], row["holds_to"], row["now"], control.value)
                control.strip.layout.display = ""
            elif hasattr(control, "strip"):
                control.strip.layout.display = "none"

    def jump(self) -> None:
        """Set the controls to what was found."""
        if self.found is None or self.found.choice is None:
            raise ValueError("find must have found a setting to jump to, got none")
        self._go(self._settings() | self.found.choice)

    def _find_chosen(self) -> None:
        """Search in another thread where there is a page to keep alive, else here."""
        job = partial(self.look_for, self.menu.value, self._settings())
        self.find_button.disabled = True
        self.words.value = _SEARCHING
        loop = loop_of_page_message()
        if loop is not None:
            loop.run_in_executor(None, job).add_done_callback(self._show_done)
            return
        done: Future[Recommendation] = Future()
        try:
            done.set_result(job())
        except Exception as error:
            done.set_exception(error)
        self._show_done(done)

    def _show_done(self, done: Any) -> None:
        self.find_button.disabled = False
        try:
            self.show(done.result())
        except Exception as error:
            self.words.value = html.escape(f"{type(error).__name__}: {error}")
