"""Golden histories: what happens in a small run of each policy, line by line.

The files under data/histories are written by `python -m tests.test_histories` and read
by people: look at the difference before you commit one.
"""

from pathlib import Path

import pytest

import resilab as rl

FOLDER = Path(__file__).parents[1] / "data" / "histories"

OUTAGE = rl.Service(2, 0.25, queue_limit=3, faults=(rl.Outage(2.0, 2.0),))
BUSY = rl.Service(2, rl.Exponential(0.4), queue_limit=3, on_cancel="stop")

RUNS = {
    "circuit_breaker": rl.Scenario(rl.Steady(4), OUTAGE, rl.CircuitBreaker(3, 2, 1.0, 0), duration=6),
    "retry": rl.Scenario(rl.Steady(2), OUTAGE, rl.Retry(3, 0.2, jitter="full"), duration=5),
    "bulkhead": rl.Scenario(rl.Poisson(5), BUSY, rl.Bulkhead(1, max_queue=2, max_wait=0.5), duration=4),
    "timeout": rl.Scenario(rl.Poisson(5), BUSY, rl.Timeout(0.5), duration=4),
    "race": rl.Scenario(rl.Poisson(5), BUSY, rl.Timeout(0.5, cancel=False), duration=4),
    "fallback": rl.Scenario(rl.Steady(2), OUTAGE, rl.Fallback("cached page"), duration=5),
    "combined": rl.Scenario(
        rl.Poisson(4),
        OUTAGE,
        rl.ResiliencePolicy(
            rl.Fallback("cached page"),
            rl.Retry(2, 0.2, jitter="equal"),
            rl.CircuitBreaker(3, 2, 1.0, 0),
            rl.Bulkhead(2, max_queue=1),
            rl.Timeout(0.4),
        ),
        duration=6,
    ),
}


def history(scenario) -> str:
    """Return the run as text: arrivals, attempts, events and ends in order of time."""
    result = rl.simulate(scenario, seed=1)
    lines = []
    for row in result.requests.itertuples():
        cause = "" if row.outcome == "success" else f" ({row.cause})"
        lines.append((row.arrival, 0, row.request_id, f"request {row.request_id} arrives"))
        lines.append((row.end, 3, row.request_id, f"request {row.request_id} ends: {row.outcome}{cause}"))
    for row in result.attempts.itertuples():
        name = f"request {row.request_id} attempt {row.attempt}"
        cause = "" if row.outcome == "success" else f" ({row.cause})"
        lines.append((row.start, 1, row.request_id, f"{name} is sent"))
        work = f"queued {row.queue_time:.6f} s, served {row.service_time:.6f} s"
        lines.append((row.end, 2, row.request_id, f"{name} is over: {row.outcome}{cause}, {work}"))
    for row in result.events.itertuples():
        lines.append((row.time, 2, row.request_id, f"{row.source}: {row.type} {row.detail}".rstrip()))
    return "".join(f"{time:10.6f}  {text}\n" for time, _, _, text in sorted(lines))


@pytest.mark.parametrize("name", RUNS)
def test_the_history_is_the_golden_one(name):
    assert history(RUNS[name]) == (FOLDER / f"{name}.txt").read_text()


if __name__ == "__main__":
    for name, scenario in RUNS.items():
        (FOLDER / f"{name}.txt").write_text(history(scenario))
