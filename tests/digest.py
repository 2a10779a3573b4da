"""Print a digest of the rows of some scenarios, for comparison between processes."""

import hashlib

import numpy as np

import resilab as rl

STACK = rl.ResiliencePolicy(
    rl.Fallback("cached"),
    rl.Retry(3, 0.1, 2.0, jitter="full"),
    rl.CircuitBreaker(5, 3, 2.0, 10),
    rl.Bulkhead(8, 6, 0.3),
    rl.Timeout(0.4),
)
SERVICE = rl.Service(
    6,
    rl.Exponential(0.1),
    queue_limit=30,
    failure_rate=0.1,
    faults=(rl.Outage(5, 2, "hang"), rl.Errors(10, 3, 0.6), rl.Slowdown(15, 2, 4.0), rl.CapacityLoss(18, 1, 4)),
)
SCENARIOS = {
    "full stack": rl.Scenario(rl.Poisson(50), SERVICE, STACK, duration=22),
    "race": rl.Scenario(
        rl.Poisson(50),
        SERVICE.replace(on_cancel="ignore"),
        rl.ResiliencePolicy(rl.Timeout(0.8, cancel=False), rl.Retry(2, 0.05), rl.Timeout(0.3, cancel=False)),
        duration=22,
    ),
    "nested limits": rl.Scenario(
        rl.Poisson(50),
        SERVICE.replace(on_cancel="drop_queued", discipline="lifo"),
        rl.ResiliencePolicy(rl.Timeout(0.6), rl.Bulkhead(12, 3), rl.Retry(2, 0.05), rl.Timeout(0.3)),
        duration=22,
    ),
    "closed": rl.Scenario(rl.ClosedLoop(12, rl.Exponential(0.2)), SERVICE, STACK, duration=22, clients=3),
    "steady ties": rl.Scenario(
        rl.Steady(64), rl.Service(4, 0.0625, failure_rate=0.25), rl.Retry(2, 0.125, jitter="none"), duration=8
    ),
}


def digest(result) -> str:
    """Return a digest of all bits of the rows of a run."""
    parts = hashlib.sha256()
    for values in (*result.columns.values(), result.attempt_rows):
        parts.update(np.ascontiguousarray(values).tobytes())
    parts.update(repr(result.event_rows).encode())
    return parts.hexdigest()[:16]


def digests(names) -> dict[str, str]:
    """Return the digests of the named scenarios, played in the given order."""
    return {name: digest(rl.simulate(SCENARIOS[name], seed=1)) for name in names}


if __name__ == "__main__":
    for name, value in digests(SCENARIOS).items():
        print(name, value)
