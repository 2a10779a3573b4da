"""Print a digest of the frames of some scenarios of every world, for comparison between processes and versions."""

import hashlib
import os

import resilab as rl

from . import public_engine

FRAMES = (
    "requests",
    "attempts",
    "events",
    "messages",
    "deliveries",
    "orders",
    "steps",
    "saga_log",
    "replicas",
    "probes",
)

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
DATABASE = rl.Service(4, rl.LogNormal(0.05, 0.5), faults=rl.Slowdown(5, 3, 5.0), name="database")
API = rl.Service(12, rl.Exponential(0.02), failure_rate=0.05, name="api")
CACHE = rl.Downstream(rl.Service(3, 0.01, failure_rate=0.3, name="cache"), rl.Fallback("stale"), share=0.5)
PAYMENT = rl.Service(5, rl.Exponential(0.1), failure_rate=0.1, on_cancel="ignore", faults=rl.Outage(4, 2, "hang"))
BROKER = rl.MessageBroker(latency=0.01, faults=rl.Outage(6, 2))
PROBE = rl.KubernetesProbe(period=2.0, timeout=0.5, failure_threshold=2)

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
    "windows and budget": rl.Scenario(
        rl.Poisson(60),
        SERVICE,
        rl.ResiliencePolicy(
            rl.AdaptiveThrottle(multiplier=1.5, window=5.0),
            rl.Retry(2, 0.05, budget=rl.RetryBudget()),
            rl.CircuitBreaker(window=rl.TimeWindow(4.0), failure_rate_threshold=0.5, half_open_max_calls=1),
            rl.RateLimiter(55),
            rl.Timeout(0.5),
        ),
        duration=22,
    ),
    "hedge": rl.Scenario(rl.Poisson(40), SERVICE, rl.ResiliencePolicy(rl.Timeout(1.0), rl.Hedge(0.1)), duration=22),
    "operations": rl.Scenario(
        policy=rl.Bulkhead(20),
        duration=12,
        operations=(
            rl.Operation("read", rl.Poisson(40), SERVICE, rl.Timeout(0.5)),
            rl.Operation("write", rl.Poisson(10), DATABASE, rl.Retry(2, 0.05)),
        ),
        clients=2,
    ),
    "tiers": rl.Scenario(
        rl.Poisson(40),
        rl.Tier(20, rl.Exponential(0.01), calls=(CACHE, rl.Downstream(DATABASE, rl.Retry(2, 0.05))), name="front"),
        rl.ResiliencePolicy(rl.Deadline(1.0), rl.Timeout(0.8)),
        duration=12,
    ),
    "chain": rl.Scenario(rl.Poisson(30), rl.chain(API, DATABASE, policy=rl.Timeout(0.4)), STACK, duration=12),
    "fleet": rl.FleetScenario(
        rl.Poisson(40),
        rl.Fleet(
            replicas=3,
            workers=3,
            latency=rl.Exponential(0.1),
            failure_rate=0.02,
            pod=rl.KubernetesPod(liveness=PROBE, readiness=PROBE.replace(period=1.0)),
            startup_time=2.0,
            faults=(
                rl.ReplicaFault(3, replica=1),
                rl.ReplicaFault(6, 4, 0, "refuse"),
                rl.ReplicaFault(9, 1, 2, "crash"),
            ),
            dependency=rl.Dependency(DATABASE, share=0.5, checked_by="readiness", policy=rl.Timeout(0.5)),
            probe_failure_rate=0.05,
        ),
        rl.ResiliencePolicy(rl.Retry(2, 0.05), rl.Timeout(1.0)),
        duration=25,
    ),
    "messaging": rl.MessagingScenario(
        rl.Poisson(20),
        BROKER,
        (
            rl.Consumers(3, rl.Exponential(0.1), failure_rate=0.1, poison_rate=0.01, crash_rate=0.02, name="mail"),
            rl.Consumers(2, 0.05, idempotent=True, faults=rl.CapacityLoss(4, 2, 1), name="stock"),
        ),
        rl.Retry(2, 0.2),
        keys=5,
        duration=15,
    ),
    "saga": rl.SagaScenario(
        rl.Poisson(10),
        payment=PAYMENT,
        declined=0.2,
        timeout=0.5,
        crashes=(3.0, 8.0),
        log_write_time=0.005,
        duration=12,
    ),
    "no saga": rl.SagaScenario(rl.Poisson(10), payment=PAYMENT, timeout=0.5, compensate=False, duration=12),
    **{
        approach: rl.OutboxScenario(rl.Poisson(10), approach, broker=BROKER, crash_rate=0.2, duration=12)
        for approach in ("outbox", "commit_first", "publish_first", "publish_inside")
    },
}
HORIZONS = {
    "full stack": 9.0,
    "race": 6.5,
    "tiers": 6.0,
    "fleet": 10.0,
    "messaging": 7.0,
    "saga": 6.0,
    "outbox": 7.0,
}


def digest(result) -> str:
    """Return a digest of all frames of a run, and of its summary."""
    parts = hashlib.sha256()
    for name in FRAMES:
        if hasattr(result, name):
            parts.update(getattr(result, name).to_csv().encode())
    parts.update(result.summary().to_csv().encode())
    return parts.hexdigest()[:16]


def digests(names) -> dict[str, str]:
    """Return the digests of the named scenarios, played in the given order, some to a horizon, too."""
    found = {}
    for name in names:
        found[name] = digest(rl.simulate(SCENARIOS[name], seed=1))
        if name in HORIZONS:
            found[f"{name} cut"] = digest(rl.simulate(SCENARIOS[name], seed=1, horizon=HORIZONS[name]))
    return found


if __name__ == "__main__":
    if os.environ.get("RESILAB_ENGINE") == "public":
        public_engine.install()
    for name, value in digests(SCENARIOS).items():
        print(name, value)
