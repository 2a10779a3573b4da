"""Many runs: on this machine or on a cluster, with nothing lost that is finished."""

from __future__ import annotations

import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..lab.run import simulate
from ..validation import Spec, function, whole
from .cache import RunCache
from .measures import Measures

TRIAL = 0.2
"""Seconds of runs one after the other, before it is known whether workers pay."""
WORTH_WORKERS = 1.0
"""Seconds of work from which starting workers (0.4 s) pays."""
RESTARTS = 3
"""How often workers that died are replaced."""
SMALL = 200
"""Runs from which a notebook shows a progress bar without being asked."""
PATIENCE = 1.0
"""Seconds of work from which a terminal shows a progress bar without being asked."""


class InterruptedExperimentWarning(UserWarning):
    """An experiment was interrupted; what it returned holds the finished runs."""


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
        label: Names the run in error messages.
        keeps_errors: Whether an error is a result like any other, or ends the experiment.
    """

    scenario: Any
    seed: int
    measures: Measures
    horizon: float | None = None
    record: bool | None = None
    run: Callable[[Any, int], Any] | None = None
    label: str = ""
    keeps_errors: bool = False

    def __post_init__(self) -> None:
        if self.run is not None:
            function("run", self.run)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What decides the numbers of the run."""
        return (self.scenario, self.seed, self.measures, self.horizon, self.record, self.run)

    def play(self) -> dict[str, float] | Exception:
        """Do the run and return its numbers, or its error if errors are kept."""
        try:
            if self.run is not None:
                return self.measures.of(self.run(self.scenario, self.seed))
            record = self.measures.needs_records if self.record is None else self.record
            return self.measures.of(simulate(self.scenario, self.seed, horizon=self.horizon, record=record))
        except Exception as error:
            if self.keeps_errors:
                return _portable(error)
            error.add_note(f"in {self.label or 'the run'} with seed {self.seed}")
            raise


def _portable(error: Exception) -> Exception:
    """Return *error*, or its text if it cannot travel between processes."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _play(number: int, job: Job) -> tuple[int, Any]:
    return number, job.play()


@dataclass(frozen=True)
class Workers:
    """Who does the runs.

    Attributes:
        n_jobs: Processes; -1 is one for each core, 1 none but this one. None decides by
            the work: it does runs here for a moment, and starts workers if a second or
            more is left. Inside `joblib.parallel_config` None takes what that says.
        client: A `dask.distributed.Client` whose cluster does the runs.
        cache: Folder of numbers of earlier runs, or None.
        progress: True shows a progress bar, False none. None shows one in a terminal
            after a second, and in a notebook from 200 runs on.
        watch: Called with each finished run: its number among the jobs and its numbers.
    """

    n_jobs: int | None = None
    client: Any = None
    cache: str | os.PathLike[str] | None = None
    progress: bool | None = None
    watch: Callable[[int, Any], None] | None = None

    def __post_init__(self) -> None:
        if self.n_jobs is not None and whole("n_jobs", self.n_jobs, minimum=-1) == 0:
            raise ValueError("n_jobs must be -1, at least 1, or None, got 0")
        if self.client is not None and not hasattr(self.client, "submit"):
            raise TypeError(f"client must be a dask.distributed.Client, got {self.client!r}")

    def run(self, jobs: Sequence[Job]) -> list[Any]:
        """Do all jobs and return their results in order; None for what an interrupt kept from ending.

        Ctrl-C ends the experiment, not the program: a warning says how much is there.
        """
        results: list[Any] = [None] * len(jobs)
        cache = RunCache(self.cache)
        paths = [cache.path(*job.identity) for job in jobs]
        done = 0
        with self._bar(len(jobs)) as advance:
            try:
                for number, result in self._results(jobs, [cache.read(path) for path in paths]):
                    results[number] = result
                    done += 1
                    if isinstance(result, dict):
                        cache.write(paths[number], result)
                    advance()
                    if self.watch is not None:
                        self.watch(number, result)
            except KeyboardInterrupt:
                warnings.warn(
                    f"interrupted after {done} of {len(jobs)} runs; the frame holds what is finished",
                    InterruptedExperimentWarning,
                    stacklevel=4,
                )
        return results

    def _results(self, jobs: Sequence[Job], known: list[Any]) -> Iterator[tuple[int, Any]]:
        yield from ((number, result) for number, result in enumerate(known) if result is not None)
        todo = [number for number, result in enumerate(known) if result is None]
        if self.client is None and self.n_jobs is None and not _is_configured():
            began = time.perf_counter()
            count = 0
            while count < len(todo):
                spent = time.perf_counter() - began
                if spent > TRIAL and spent / count * (len(todo) - count) > WORTH_WORKERS:
                    break
                yield _play(todo[count], jobs[todo[count]])
                count += 1
            todo = todo[count:]
        if self.n_jobs == 1 and self.client is None:
            yield from (_play(number, jobs[number]) for number in todo)
        elif todo:
            yield from self._on_workers(jobs, todo)

    def _on_workers(self, jobs: Sequence[Job], todo: list[int]) -> Iterator[tuple[int, Any]]:
        """Do the jobs on workers; if some die, do again what they had not finished."""
        import joblib
        from joblib.externals.loky.process_executor import BrokenProcessPool

        waiting = dict.fromkeys(todo)
        for restart in range(RESTARTS + 1):
            with ExitStack() as stack:
                if self.client is not None:
                    stack.enter_context(joblib.parallel_config("dask", client=self.client))
                is_configured = self.client is not None or _is_configured()
                n_jobs = self.n_jobs if self.n_jobs is not None or is_configured else -1
                calls = [joblib.delayed(_play)(number, jobs[number]) for number in waiting]
                stream = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(calls)
                try:
                    for number, result in stream:
                        del waiting[number]
                        yield number, result
                    return
                except BrokenProcessPool:
                    if restart == RESTARTS:
                        raise
                finally:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # joblib's, about runs that an interrupt cancels
                        stream.close()

    @contextmanager
    def _bar(self, total: int) -> Iterator[Callable[[], Any]]:
        in_notebook = "ipykernel" in sys.modules
        is_shown = self.progress if self.progress is not None else not in_notebook or total >= SMALL
        if not is_shown:
            yield lambda: None
            return
        from tqdm.auto import tqdm

        is_asked = self.progress is not None or in_notebook
        # None: where no terminal is, a bar would fill a log file with its steps
        is_off = False if is_asked else None
        with tqdm(total=total, unit="run", leave=False, delay=0.0 if is_asked else PATIENCE, disable=is_off) as bar:
            yield bar.update


def _is_configured() -> bool:
    """Return whether the caller has chosen a joblib backend or a number of jobs."""
    joblib = sys.modules.get("joblib")
    if joblib is None:
        return False
    backend, n_jobs = joblib.parallel.get_active_backend()
    return type(backend).__name__ != "LokyBackend" or n_jobs not in (None, 1)


def seeds_of(replications: int, seed: int) -> range:
    """Return the seeds of an experiment: *seed* and those after it."""
    return range(whole("seed", seed), seed + whole("replications", replications, minimum=1))
