"""Runs on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .failures import PackedError
from .jobs import Job, Outcome, play_job


def on_cluster(client: Any, jobs: Sequence[Job], numbers: Sequence[int]) -> Iterator[tuple[int, Outcome]]:
    """Do jobs on the cluster of a Dask client and yield their results as they come.

    Dask does the tasks of a worker that dies again on another, and gives up on a task that
    was there at several deaths. Such a task may only have been a neighbour: it is done once
    more when all else is finished, alone, before it counts as what kills workers.
    """
    suspects = []
    for number, result in _results(client, jobs, numbers):
        if _is_death(result):
            suspects.append(number)
        else:
            yield number, result
    for number in suspects:
        for _, result in _results(client, jobs, [number]):
            yield number, jobs[number].lost(result) if _is_death(result) else result


def _is_death(result: Any) -> bool:
    from distributed.scheduler import KilledWorker

    return isinstance(result, KilledWorker)


def _results(client: Any, jobs: Sequence[Job], numbers: Sequence[int]) -> Iterator[tuple[int, Any]]:
    from distributed import as_completed

    tasks = client.map(play_job, numbers, [jobs[number] for number in numbers], pure=False)
    places = {task.key: number for task, number in zip(tasks, numbers, strict=True)}
    try:
        for task in as_completed(tasks):  # type: ignore[no-untyped-call]
            if task.status == "error":
                yield places[task.key], task.exception()
            else:
                number, result = task.result()
                yield number, result.unpack() if isinstance(result, PackedError) else result
            task.release()
    finally:
        client.cancel([task for task in tasks if not task.done()])
