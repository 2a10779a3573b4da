"""World: what every scenario can be asked, and what `simulate` plays."""

from __future__ import annotations

import math
from typing import Any, Generic, NamedTuple, TypeVar

from ..validation import Spec
from .faults import Fault

R_co = TypeVar("R_co", covariant=True)


class Station(NamedTuple):
    """Workers that serve calls, as measures and pictures see them; a `Service` is one.

    Attributes:
        name: What the frames call it.
        workers: Calls served at once.
        faults: What goes wrong with it, and when.
    """

    name: str
    workers: int
    faults: tuple[Fault, ...]


class World(Spec, Generic[R_co]):
    """A scenario: requests that arrive for `duration` seconds, and what serves them.

    A scenario of your own derives from it, and its `play` returns a result.
    """

    duration: float | None

    @property
    def services(self) -> tuple[Any, ...]:
        """What has workers, each once, callers before those that they call; see `Station`."""
        return ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of requests; none where there is one kind."""
        return ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong, in all services."""
        return tuple(fault for service in self.services for fault in service.faults)

    @property
    def load(self) -> tuple[float, float]:
        """Offered load, 1 is all that the workers can do, and arrivals a second; NaN if nobody knows."""
        return math.nan, math.nan

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> R_co:
        """Play it; see `resilab.simulate`, which checks its arguments first."""
        raise NotImplementedError
