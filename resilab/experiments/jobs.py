"""Job: one run to do, as a value that travels to the process that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..lab.run import simulate
from ..validation import NonNegative, Spec, function, whole
from .failures import PackedError, WorkerLostError, pack
from .measures import Measures

Numbers = dict[str, float]
Outcome = Numbers | BaseException


@dataclass(frozen=True)
class Job(Spec):
    """One run to do.

    Attributes:
        scenario: What to play.
        seed: The seed.
        measures: The numbers to keep.
        horizon: Seconds after which the run stops, or None.
        record: Whether attempts and events are recorded; None decides by the measures.
        run: Plays scenario and seed instead of `simulate`, or None.
        warmup: Seconds whose arrivals are left out of what is measured, or None.
        label: Names the run in error messages.
    """

    scenario: Any
    seed: int
    measures: Measures
    horizon: float | None = None
    record: bool | None = None
    run: Callable[[Any, int], Any] | None = None
    warmup: NonNegative | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.run is not None:
            function("run", self.run)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What decides the numbers of the run."""
        return (self.scenario, self.seed, self.measures, self.horizon, self.record, self.run, self.warmup)

    def play(self) -> Outcome:
        """Do the run and return its numbers, or its error with a note that names the run."""
        try:
            result = self._result()
            return self.measures.of(result.window(self.warmup) if self.warmup else result)
        except (Exception, SystemExit) as error:
            return self.blame(error)

    def _result(self) -> Any:
        if self.run is not None:
            return self.run(self.scenario, self.seed)
        record = self.measures.needs_records if self.record is None else self.record
        return simulate(self.scenario, self.seed, horizon=self.horizon, record=record)

    def blame(self, error: BaseException) -> BaseException:
        """Return *error* with a note that names the run."""
        error.add_note(f"in {self.label or 'the run'} with seed {self.seed}")
        return error

    def lost(self, error: BaseException) -> WorkerLostError:
        """Return the error of a run whose workers die, as *error* tells."""
        lost = WorkerLostError("the run ended its worker process: it takes too much memory, crashes or kills itself")
        lost.__cause__ = error
        self.blame(lost)
        return lost


def play_job(number: int, job: Job) -> tuple[int, Numbers | PackedError]:
    """Do a job in a worker."""
    result = job.play()
    return number, pack(result) if isinstance(result, BaseException) else result


def seeds_of(replications: int, seed: int) -> range:
    """Return the seeds of an experiment: *seed* and those after it."""
    return range(whole("seed", seed), seed + whole("replications", replications, minimum=1))
