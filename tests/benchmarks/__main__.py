"""Print the table: `python -m tests.benchmarks`, or some parts of it: `... engine events`."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version

from . import tables


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", help="engine events draws scale memory imports explorer sweeps; all if none"
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which every case runs once")
    parser.add_argument("--requests", type=int, default=20_000, help="requests of a run")
    chosen = parser.parse_args()
    parts: dict[str, Callable[[], Iterator[tables.Row]]] = {
        "engine": lambda: tables.engine(chosen.requests, chosen.rounds),
        "events": lambda: tables.events(chosen.requests),
        "draws": lambda: tables.draws(chosen.rounds),
        "scale": lambda: tables.scale(min(3, chosen.rounds)),
        "memory": tables.memory,
        "imports": lambda: tables.imports(chosen.rounds),
        "explorer": lambda: tables.explorer(chosen.rounds),
        "sweeps": lambda: tables.sweeps(min(5, chosen.rounds)),
    }
    unknown = [name for name in chosen.parts if name not in parts]
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; there are {', '.join(parts)}")
    versions = ", ".join(f"{name} {version(name)}" for name in ("simpy", "numpy", "joblib"))
    print(f"Python {platform.python_version()}, {versions}; median and quartiles of {chosen.rounds} rounds\n")
    print(f"{'what':56} {'median':>9} {'lower':>9} {'upper':>9}  unit")
    for name in chosen.parts or parts:
        for what, middle, low, high, unit in parts[name]():
            print(f"{what:56} {middle:9.3f} {low:9.3f} {high:9.3f}  {unit}", flush=True)


if __name__ == "__main__":
    main()
