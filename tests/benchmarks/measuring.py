"""Measuring side by side: each round runs every case once, and ratios are taken within a round."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import simpy

Cases = dict[str, Callable[[], Any]]


def rounds(cases: Cases, count: int) -> dict[str, list[float]]:
    """Run all *cases* in turn, *count* times after one warm-up, and return processor seconds."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(count + 1):
        for name, case in cases.items():
            gc.collect()
            began = time.process_time()
            case()
            if number:
                times[name].append(time.process_time() - began)
    return times


def ratios(times: dict[str, list[float]], name: str, base: str) -> list[float]:
    """Return the ratio of two cases, round by round."""
    return [mine / theirs for mine, theirs in zip(times[name], times[base], strict=True)]


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return median, lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


class CountingEnvironment(simpy.Environment):
    """Counts its events, and samples traced memory from time to time."""

    events = 0
    most = 0
    samples_memory = False

    def step(self) -> None:
        kind = type(self)
        kind.events += 1
        if kind.samples_memory and not kind.events % 5000:
            kind.most = max(kind.most, tracemalloc.get_traced_memory()[0])
        super().step()


def events_of(play: Callable[[], Any]) -> int:
    """Return how many events SimPy processes while *play* runs."""
    CountingEnvironment.events = 0
    _with_counting(play)
    return CountingEnvironment.events


def memory_of(play: Callable[[], Any]) -> tuple[int, int]:
    """Return the most bytes held while the clock runs, and the peak with the result."""
    CountingEnvironment.events = CountingEnvironment.most = 0
    CountingEnvironment.samples_memory = True
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        _with_counting(play)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        CountingEnvironment.samples_memory = False
    return CountingEnvironment.most - before, peak - before


def _with_counting(play: Callable[[], Any]) -> None:
    original = simpy.Environment
    simpy.Environment = CountingEnvironment  # type: ignore[misc]
    try:
        play()
    finally:
        simpy.Environment = original  # type: ignore[misc]


def fresh_process(code: str, count: int) -> list[float]:
    """Return the processor seconds that a new interpreter takes for *code*, a few times, once it is compiled."""
    command = [sys.executable, "-c", f"{code}\nimport time; print(time.process_time())"]
    keeps_compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs = (
        subprocess.run(command, capture_output=True, text=True, check=True, env=keeps_compiled)
        for _ in range(count + 1)
    )
    return [float(run.stdout) for run in runs][1:]
