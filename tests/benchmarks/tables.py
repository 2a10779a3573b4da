"""The parts of the benchmark; each yields rows of the table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import simpy

import resilab as rl
from resilab.randomness import KeyedDraws

from .idiomatic import POLICY, bare_queue, different_rows, scenario, stack
from .measuring import events_of, fresh_process, memory_of, ratios, rounds, spread

Row = tuple[str, float, float, float, str]
NONE = rl.ResiliencePolicy()


def play(requests: int, failure_rate: float, policy: Any = POLICY, record: bool = False) -> Any:
    """Return a function that plays the scenario of the benchmark."""
    return partial(rl.simulate, scenario(requests, failure_rate, policy), 1, record=record)


def row(name: str, values: list[float], unit: str) -> Row:
    """Return a row with median and quartiles."""
    return (name, *spread(values), unit)


def engine(requests: int, count: int) -> Iterator[Row]:
    """The engine against idiomatic SimPy, in processor time."""
    for failure_rate in (0.0, 0.1):
        wrong = different_rows(min(requests, 10_000), failure_rate)
        if wrong:
            raise AssertionError(f"{wrong} rows differ from the idiomatic stack at failure rate {failure_rate}")
    cases = {
        "bare": partial(bare_queue, requests),
        "service alone": play(requests, 0.0, NONE),
        "stack, 0 % failures": play(requests, 0.0),
        "stack, 10 % failures": play(requests, 0.1),
        "stack, 0 %, attempts and events recorded": play(requests, 0.0, record=True),
        "stack, 10 %, attempts and events recorded": play(requests, 0.1, record=True),
        "idiomatic stack, 0 %": partial(stack, requests, 0.0),
        "idiomatic stack, 10 %": partial(stack, requests, 0.1),
    }
    times = rounds(cases, count)
    yield row("bare SimPy M/M/c", [t / requests * 1e6 for t in times["bare"]], "us a request")
    for name in list(cases)[1:]:
        yield row(f"{name} / bare", ratios(times, name, "bare"), "ratio")
    for rate in ("0 %", "10 %"):
        ours = next(name for name in cases if name.startswith(f"stack, {rate} failures"))
        yield row(f"stack / idiomatic stack, {rate}", ratios(times, ours, f"idiomatic stack, {rate}"), "ratio")


def events(requests: int) -> Iterator[Row]:
    """Events of SimPy for each request: exact, the same on every machine."""
    total = len(bare_queue(requests))
    counted = {
        "bare": lambda: bare_queue(requests, simpy.Environment()),
        "service alone": play(requests, 0.0, NONE),
        "stack, 0 %": play(requests, 0.0),
        "stack, 10 %": play(requests, 0.1),
        "idiomatic stack, 10 %": lambda: stack(requests, 0.1, simpy.Environment()),
    }
    for name, case in counted.items():
        value = events_of(case) / total
        yield f"{name}: events a request", value, value, value, "exact"


class Block:
    """The usual way to draw in blocks: the next number of an array, whoever asks."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(1)
        self._next = 1024

    def draw(self) -> float:
        """Return the next draw."""
        index = self._next
        if index == 1024:
            self._values = memoryview(self._generator.standard_exponential(1024) * 0.1)
            index = 0
        self._next = index + 1
        return self._values[index]


def draws(count: int, size: int = 200_000) -> Iterator[Row]:
    """A draw by its key against the next one of a block, both from a method."""

    def keyed() -> None:
        draw = KeyedDraws(1, "benchmark", rl.Exponential(0.1).sample).draw
        for key in range(size):
            draw(key)

    def block() -> None:
        draw = Block().draw
        for _ in range(size):
            draw()

    def single() -> None:
        exponential = np.random.default_rng(1).exponential
        for _ in range(size):
            exponential(0.1)

    times = rounds({"keyed": keyed, "block": block, "single": single}, count)
    yield row("keyed draw", [t / size * 1e9 for t in times["keyed"]], "ns")
    yield row("next draw of a block", [t / size * 1e9 for t in times["block"]], "ns")
    yield row("keyed draw / draw of a block", ratios(times, "keyed", "block"), "ratio")
    yield row("keyed draw / numpy one by one", ratios(times, "keyed", "single"), "ratio")


def scale(count: int, sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)) -> Iterator[Row]:
    """Cost of a request in short and long runs, as time over the time at the shortest."""
    smallest = sizes[0]

    def several(size: int) -> None:
        for _ in range(max(1, 100_000 // size)):
            rl.simulate(scenario(size, 0.1), 1, record=False)

    times = rounds({str(size): partial(several, size) for size in sizes}, count)
    done = {size: size * max(1, 100_000 // size) for size in sizes}
    for size in sizes[1:]:
        values = [ratio / done[size] * done[smallest] for ratio in ratios(times, str(size), str(smallest))]
        yield row(f"cost of a request at {size:,} / at {smallest:,}", values, "ratio")


def memory(small: int = 20_000, large: int = 120_000) -> Iterator[Row]:
    """Bytes for one more request: of the frame alone, and of all that a run holds."""
    columns = play(small, 0.1)().columns
    frame = sum(values.itemsize for values in columns.values())
    yield "memory while running: columns of the requests frame", frame, frame, frame, "bytes a request"
    for name, record in (("requests", False), ("requests, attempts and events", True)):
        few, many = (memory_of(play(size, 0.1, record=record)) for size in (small, large))
        for moment, value in zip(("while running", "at the peak"), zip(few, many, strict=True), strict=True):
            each = (value[1] - value[0]) / (large - small)
            yield f"memory {moment}: all, with {name}", each, each, each, "bytes a request"


def imports(count: int) -> Iterator[Row]:
    """Importing resilab against importing simpy and numpy, in new interpreters."""
    for name, code in (("resilab", "import resilab"), ("simpy and numpy", "import simpy, numpy")):
        yield row(f"import {name}", [t * 1e3 for t in fresh_process(code, count)], "ms")


def parts_of_a_move(build: Callable[[int], Any], count: int) -> dict[str, list[float]]:
    """Return the processor milliseconds of each part of *count* moves; `build(number)` makes the scenarios."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from resilab.plots import overview
    from resilab.plots.stage import Stage, encode
    from resilab.widgets.explorer import headline

    stage = Stage(10.0, 5.6, dpi=80)
    stage.render(partial(overview, rl.simulate(build(1), 1)))
    times: dict[str, list[float]] = {}

    def timed(part: str, action: Callable[[], Any]) -> Any:
        began = time.process_time()
        value = action()
        times.setdefault(part, []).append(1000 * (time.process_time() - began))
        return value

    def from_scratch(result: Any) -> None:
        figure = Figure(figsize=(10.0, 5.6), dpi=80, layout="constrained")
        overview(result, figure)
        FigureCanvasAgg(figure).draw()

    for number in range(2, count + 2):
        result = timed("simulate", partial(rl.simulate, build(number), 1))
        timed("draw", partial(stage._paint, partial(overview, result)))
        timed("encode", lambda: encode(np.asarray(stage.canvas.buffer_rgba())))
        timed("numbers", partial(headline, result))
        timed("draw from scratch, for comparison", partial(from_scratch, result))
    return times


def explorer(count: int, requests: int = 3_000) -> Iterator[Row]:
    """A move of a slider over the five policies, by part."""
    parts = parts_of_a_move(lambda number: scenario(requests, number / 200), max(20, count))
    for part, values in parts.items():
        yield row(f"explorer, {requests:,} requests: {part}", values, "ms")


def sweeps(count: int, runs: int = 48, requests: int = 5_000) -> Iterator[Row]:
    """A sweep on two workers against one process: wall clock and processor time."""
    import psutil

    spec = scenario(requests, 0.1)

    def replicate(n_jobs: int, replications: int = runs) -> Any:
        return rl.replicate(spec, replications, metrics=["p99", "success_rate"], n_jobs=n_jobs, progress=False)

    def processor_time() -> float:
        return time.process_time() + sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())

    replicate(2, 4)  # starts the workers

    speed_up, efficiency = [], []
    for _ in range(count):
        began, work = time.perf_counter(), time.process_time()
        alone = replicate(1)
        serial_wall, serial_work = time.perf_counter() - began, time.process_time() - work
        began, work = time.perf_counter(), processor_time()
        together = replicate(2)
        speed_up.append(serial_wall / (time.perf_counter() - began))
        efficiency.append(serial_work / (processor_time() - work))
        if not alone.equals(together):
            raise AssertionError("two workers gave other numbers than one process")
    yield row("sweep on two workers: speed-up of the wall clock", speed_up, f"of 2, load {os.getloadavg()[0]:.1f}")
    yield row("sweep on two workers: processor efficiency", efficiency, "ratio")
