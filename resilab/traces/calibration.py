"""Calibration: a model of a measured service, and how well each of its numbers is known."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..distributions import Empirical
from ..lab.faults import Errors, Fault, Slowdown
from ..lab.scenario import Scenario
from ..lab.service import Service
from ..lab.workload import Replay
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..resilience.timeout import Timeout
from ..validation import positive
from .finding import FoundFault
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd

NOT_IDENTIFIED = "not identified"
_AROUND = 10.0
"""Seconds before a fault that its incident shows."""
_AFTER = 4.0
"""How many times its own length an incident goes on after its fault."""
_LONGEST_CALM = 60.0


class ModelWarning(UserWarning):
    """A model is used for what it is not known to be good for."""


class Parameter(NamedTuple):
    """A number of a model.

    Attributes:
        parameter: Its name.
        value: What was found, or "not identified".
        low, high: Its 95 % interval; the alternatives where it is not identified.
        found_by: What in the log shows it, or why nothing does.
    """

    parameter: str
    value: Any
    low: Any
    high: Any
    found_by: str


@dataclass(frozen=True, eq=False)
class Calibration:
    """A model of a measured service, made by `calibrate`.

    Attributes:
        service: The service without its faults.
        workload: The arrivals of the log.
        faults: What was wrong, and when.
        parameters: Every number with its interval, as in `table`.
        found: The faults with their intervals.
        alternatives: What the log cannot tell: fields of the service, and what each may be.
        trace: The log.
        known_until: Seconds; the log says nothing of work that takes longer. Infinity if
            nothing ended at a limit.
        worker_range: Between how many workers there may be.
    """

    service: Service
    workload: Replay
    faults: tuple[Fault, ...]
    parameters: tuple[Parameter, ...]
    found: tuple[FoundFault, ...]
    alternatives: tuple[dict[str, Any], ...]
    trace: Trace
    known_until: float
    worker_range: tuple[int, int]

    def __repr__(self) -> str:
        faults = ", ".join(map(repr, self.faults)) or "no faults"
        open_ = [row.parameter for row in self.parameters if row.value == NOT_IDENTIFIED]
        return f"Calibration({self.service.workers} workers, {faults}; not identified: {', '.join(open_) or 'nothing'})"

    def replace(self, **changes: Any) -> Calibration:
        """Return a copy with some fields changed, for instance a service with another law."""
        return replace(self, **changes)

    @property
    def table(self) -> pd.DataFrame:
        """One row a number: parameter, value, low, high (95 %), found_by."""
        import pandas as pd

        return pd.DataFrame(list(self.parameters), columns=list(Parameter._fields))

    @property
    def doubts(self) -> str:
        """What `check` found wrong with the model; empty if it passed, or was not checked."""
        return "; ".join(filter(None, self.__dict__.get("_doubts", {}).values()))

    def doubt(self, words: str, trace: Trace) -> None:
        """Remember what a check with a log said: scenarios made from now on warn of it."""
        object.__setattr__(self, "_doubts", {**self.__dict__.get("_doubts", {}), hash(trace): words})

    def scenario(
        self,
        policy: Policy | None = None,
        *,
        faults: bool | tuple[Fault, ...] = True,
        load: float = 1.0,
        start: float = 0.0,
        end: float | None = None,
        **service: Any,
    ) -> Scenario:
        """Return the log as a scenario, with a policy.

        Args:
            policy: Around each call. None is no policy, as in the log.
            faults: True plays those that were found, False none; or others.
            load: How many times the traffic of the log; above 1, some arrivals come twice.
            start, end: The part of the log, in seconds. None is its end.
            **service: Fields of the service to change, for instance on_cancel="stop".

        Warns:
            ModelWarning: The model failed its check, or the policy waits longer than the
                log knows.

        Example:
            >>> import resilab as rl
            >>> busy = rl.Scenario(rl.Poisson(rate=60), rl.Service(4, rl.Exponential(mean=0.05)), duration=60.0)
            >>> model = rl.calibrate(rl.trace_of(rl.simulate(busy, seed=1)))
            >>> model.scenario(rl.Timeout(0.5), load=1.5).service.workers
            4
        """
        self._warn(policy)
        positive("load", load)
        last = float(self.trace.span or 0.0) if end is None else end
        played = (self.faults if faults else ()) if isinstance(faults, bool) else faults
        shifted = tuple(_shifted(fault, start) for fault in played if fault.end > start and fault.start < last)
        times = _loaded(np.array(self.workload.times), load)
        times = times[(times >= start) & (times < last)] - start
        return Scenario(
            workload=Replay(tuple(times.tolist())),
            service=self.service.replace(**{"faults": shifted, **service}),
            policy=ResiliencePolicy() if policy is None else policy,
            duration=last - start,
        )

    def situations(self) -> dict[str, Scenario]:
        """Return scenarios without a policy that a setting should stand.

        A calm time, the same with one and a half times the traffic, and one incident a
        fault; each for every alternative of what the log cannot tell.

        Returns:
            Name -> scenario, for `recommend`.
        """
        calm = self._calm()
        windows = {"calm": (calm, False, 1.0), "1.5 times the traffic": (calm, False, 1.5)}
        starts = [fault.start for fault in self.faults]
        for number, fault in enumerate(self.faults, start=1):
            later = [start for start in starts if start >= fault.end]
            last = min(fault.end + max(_AFTER * fault.duration, 30.0), *later, float(self.trace.span or 0.0))
            name = f"incident {number}: {type(fault).__name__.lower()}"
            windows[name] = ((max(0.0, fault.start - _AROUND), last), True, 1.0)
        found = {}
        for name, ((start, end), has_faults, load) in windows.items():
            for change in self.alternatives or ({},):
                words = ", ".join(f"{field}={_short(value)}" for field, value in change.items())
                played = self.scenario(faults=has_faults, load=load, start=start, end=end, **change)
                found[f"{name}; {words}" if words else name] = played
        return found

    def _calm(self) -> tuple[float, float]:
        """Return the longest time without a fault and what it leaves behind."""
        span = float(self.trace.span or 0.0)
        edges = [(0.0, 0.0), *((fault.start, fault.end + fault.duration) for fault in self.faults), (span, span)]
        gaps = [(later[0] - earlier[1], earlier[1]) for earlier, later in pairwise(edges)]
        length, start = max(gaps)
        return (start, start + min(length, _LONGEST_CALM)) if length > 0 else (0.0, span)

    def _warn(self, policy: Policy | None) -> None:
        if self.doubts:
            warnings.warn(f"this model failed its check: {self.doubts}", ModelWarning, stacklevel=3)
        for part in ResiliencePolicy() if policy is None else ResiliencePolicy(policy).policies:
            limit = part.seconds if isinstance(part, Timeout) else 0.0
            if isinstance(limit, float | int) and limit > self.known_until:
                warnings.warn(
                    f"the log knows nothing of work that takes longer than {self.known_until:.4g} s, where its"
                    f" requests ended at a limit; with Timeout({limit}) the answer rests on a lognormal tail",
                    ModelWarning,
                    stacklevel=3,
                )

    def drawn(self, generator: np.random.Generator, faults: tuple[FoundFault, ...]) -> Service:
        """Return a service that may be the true one: each number drawn from what is known of it."""
        low, high = self.worker_range
        law = self.service.latency
        if isinstance(law, Empirical):
            law = Empirical(tuple(generator.choice(np.array(law.values), len(law.values)).tolist()))
        played = tuple(_drawn(found, generator) for found in faults)
        return self.service.replace(workers=int(generator.integers(low, high + 1)), latency=law, faults=played)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _shifted(fault: Fault, start: float) -> Fault:
    """Return a fault in a part of the log that begins at *start*."""
    begin = max(fault.start - start, 0.0)
    return fault.replace(start=begin, duration=fault.end - start - begin)


def _drawn(found: FoundFault, generator: np.random.Generator) -> Fault:
    def between(value: Any) -> float:
        return float(np.clip(generator.normal(value.value, (value.high - value.low) / 3.92), value.low, value.high))

    start, end = between(found.start), between(found.end)
    fault = found.fault.replace(start=max(start, 0.0), duration=max(end - max(start, 0.0), 1e-3))
    if found.size is None:
        return fault
    if isinstance(fault, Errors):
        return fault.replace(rate=float(np.clip(between(found.size), 0.0, 1.0)))
    return fault.replace(factor=max(between(found.size), 1e-3)) if isinstance(fault, Slowdown) else fault


def _loaded(times: np.ndarray, load: float) -> np.ndarray:
    """Return the arrivals of another load: some of the log left out, or some a second time, a moment later."""
    generator = np.random.default_rng(0)
    copies = np.floor(load + generator.random(len(times))).astype(np.int64)
    repeated = np.repeat(times, copies)
    is_copy = np.concatenate([[False], repeated[1:] == repeated[:-1]])
    return np.sort(repeated + is_copy * generator.random(len(repeated)))
