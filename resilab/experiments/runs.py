"""Many runs: on this machine or on a cluster, with nothing lost that is finished."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..validation import warn_user, whole
from .cache import RunCache
from .cluster import on_cluster
from .failures import InterruptedExperimentWarning, PackedError
from .jobs import Job, Numbers, Outcome, play_job

TRIAL = 0.2
"""Seconds of runs one after the other, before it is known whether workers pay."""
WORTH_WORKERS = 1.0
"""Seconds of work from which starting workers (0.4 s) pays."""
SMALL = 200
"""Runs from which a notebook shows a progress bar without being asked."""
PATIENCE = 1.0
"""Seconds of work from which a terminal shows a progress bar without being asked."""


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
        watch: Called with each finished run: its number among the jobs and its numbers
            or error.
        keeps_errors: Whether an error is a result like any other, or ends the experiment.
        title: What the progress bar says of the runs.
    """

    n_jobs: int | None = None
    client: Any = None
    cache: str | os.PathLike[str] | None = None
    progress: bool | None = None
    watch: Callable[[int, Outcome], None] | None = None
    keeps_errors: bool = False
    title: str = ""

    def __post_init__(self) -> None:
        if self.n_jobs is not None and whole("n_jobs", self.n_jobs, minimum=-1) == 0:
            raise ValueError("n_jobs must be -1, at least 1, or None, got 0")
        if self.client is not None and not hasattr(self.client, "submit"):
            raise TypeError(f"client must be a dask.distributed.Client, got {self.client!r}")

    def run(self, jobs: Sequence[Job]) -> list[Outcome | None]:
        """Do all jobs and return their results in order; None for what an interrupt kept from ending.

        Ctrl-C ends the experiment, not the program: a warning says how much is there.
        Of several errors that of the first job is raised, on any number of workers.
        """
        results: list[Outcome | None] = [None] * len(jobs)
        cache = RunCache(self.cache)
        failed = len(jobs)
        done = 0
        with self._bar(len(jobs)) as advance:
            try:
                paths = [cache.path(*job.identity) for job in jobs]
                for number, result in self._results(jobs, [cache.read(path) for path in paths]):
                    results[number] = result
                    if isinstance(result, BaseException):
                        failed = failed if self.keeps_errors else min(failed, number)
                    else:
                        cache.write(paths[number], result)
                    done += 1
                    advance()
                    if self.watch is not None:
                        self.watch(number, result)
                    if failed < len(jobs) and None not in results[:failed]:
                        break
            except KeyboardInterrupt:
                warn_user(
                    f"interrupted after {done} of {len(jobs)} runs; the frame holds what is finished",
                    InterruptedExperimentWarning,
                )
        if failed < len(jobs) and isinstance(error := results[failed], BaseException):
            raise error
        return results

    def _results(self, jobs: Sequence[Job], known: list[Numbers | None]) -> Iterator[tuple[int, Outcome]]:
        yield from ((number, result) for number, result in enumerate(known) if result is not None)
        todo = [number for number, result in enumerate(known) if result is None]
        if self.client is None and self.n_jobs is None and not _is_configured():
            began = time.perf_counter()
            count = 0
            while count < len(todo):
                spent = time.perf_counter() - began
                if spent > TRIAL and spent / count * (len(todo) - count) > WORTH_WORKERS:
                    break
                yield todo[count], jobs[todo[count]].play()
                count += 1
            todo = todo[count:]
        if self.n_jobs == 1 and self.client is None:
            yield from ((number, jobs[number].play()) for number in todo)
        elif self.client is not None:
            yield from on_cluster(self.client, jobs, todo)
        elif todo:
            yield from self._on_workers(jobs, todo)

    def _on_workers(self, jobs: Sequence[Job], todo: list[int]) -> Iterator[tuple[int, Outcome]]:
        """Do the jobs on workers; if some die, find out which job has killed them, and do the rest again.

        A first death may have been an accident: all that was not finished is done again,
        job by job. After a second one each job that was under way is done alone, and one that
        kills its worker there has a `WorkerLostError` for its result.
        """
        waiting = dict.fromkeys(todo)
        is_careful = False
        while waiting:
            begun: list[int] = []
            try:
                for number, result in self._stream(jobs, waiting, begun, is_careful):
                    del waiting[number]
                    yield number, result
            except _deaths():
                for number in [each for each in begun if is_careful and each in waiting]:
                    del waiting[number]
                    yield number, self._alone(jobs, number)
                is_careful = True

    def _alone(self, jobs: Sequence[Job], number: int) -> Outcome:
        try:
            ((_, result),) = self._stream(jobs, [number], [], True)
        except _deaths() as error:
            return jobs[number].lost(error)
        return result

    def _stream(
        self, jobs: Sequence[Job], numbers: Iterable[int], begun: list[int], is_careful: bool
    ) -> Iterator[tuple[int, Outcome]]:
        """Do jobs on workers and yield their results as they come; note in *begun* what was handed out."""
        import joblib

        def calls() -> Iterator[Any]:
            for number in list(numbers):
                begun.append(number)
                yield joblib.delayed(play_job)(number, jobs[number])

        how: dict[str, Any] = {"n_jobs": self.n_jobs if self.n_jobs is not None or _is_configured() else -1}
        if is_careful:
            how |= {"batch_size": 1, "pre_dispatch": "n_jobs"}
            if how["n_jobs"] == -1 and joblib.cpu_count() == 1:
                how["n_jobs"] = 2  # never in this process, which is not to die
        stream = joblib.Parallel(**how, return_as="generator_unordered")(calls())
        try:
            for number, result in stream:
                yield number, result.unpack() if isinstance(result, PackedError) else result
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
        style: dict[str, Any] = {"unit": "run", "leave": False, "desc": self.title or None, "disable": is_off}
        with tqdm(total=total, delay=0.0 if is_asked else PATIENCE, **style) as bar:
            yield bar.update


def _deaths() -> type[BaseException]:
    """Return the error by which joblib tells that a worker has died."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    kind: type[BaseException] = TerminatedWorkerError
    return kind


def _is_configured() -> bool:
    """Return whether the caller has chosen a joblib backend or a number of jobs."""
    joblib = sys.modules.get("joblib")
    if joblib is None:
        return False
    backend, n_jobs = joblib.parallel.get_active_backend()
    return type(backend).__name__ != "LokyBackend" or n_jobs not in (None, 1)
