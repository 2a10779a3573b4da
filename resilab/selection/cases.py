"""The cases of the scorecard: every row of both tables, on a bad day and on a healthy one.

All numbers in here are arbitrary, and small enough to play in a blink. A pattern has the
same settings on both of its days.
"""

from __future__ import annotations

from typing import Any

from ..communication.broker import MessageBroker
from ..communication.connection_pool import ConnectionPool
from ..consistency.database import Database
from ..consistency.outbox_processor import OutboxProcessor
from ..distributions import Exponential, LogNormal, Pareto
from ..lab.faults import Outage, Slowdown
from ..lab.scenario import Operation, Scenario
from ..lab.service import Service
from ..lab.workload import Poisson
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.fallback import Fallback
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..worlds.outbox import OutboxScenario
from ..worlds.saga import SagaScenario
from .case import Case, Number, SuccessRate, half_done, lost_messages, most_in_flight, most_in_service

P99 = "p99 latency"
RETRY = Retry(max_retries=3, initial_delay=0.1, max_delay=2.0, jitter="full")
BREAKER = CircuitBreaker(failure_threshold=5, success_threshold=3, timeout=5.0, volume_threshold=10)
LIMIT = Timeout(1.0)


def all_cases() -> tuple[Case, ...]:
    """Return the cases, in the order of the two tables, protection before price."""
    return (
        *_circuit_breaker(),
        *_retry(),
        *_bulkhead(),
        *_timeout(),
        *_fallback(),
        *_external_service(),
        *_database(),
        *_critical(),
        *_uncertain_latency(),
        *_degradation(),
        *_transactions(),
        *_messages(),
    )


def _play(rate: float, service: Service, duration: float, *policies: Policy) -> Scenario:
    return Scenario(Poisson(rate), service, ResiliencePolicy(*policies), duration)


def _pair(
    table: str, row: str, pattern: str, claim: str, trade_off: str, protection: tuple[Any, ...], price: tuple[Any, ...]
) -> tuple[Case, Case]:
    """Each side is (day, metric, unit, better, measure, without, with the pattern)."""
    made = []
    for side, words, (day, metric, unit, better, measure, without, with_pattern) in (
        ("protection", claim, protection),
        ("price", trade_off, price),
    ):
        case = Case(table, row, pattern, side, words, metric, unit, better, without, with_pattern, measure, day)
        made.append(case.replace(record=measure is most_in_service))
    return made[0], made[1]


def _circuit_breaker() -> tuple[Case, Case]:
    def day(duration: float, faults: Any, failure_rate: float, *policies: Policy) -> Scenario:
        service = Service(5, Exponential(0.1), faults=faults, failure_rate=failure_rate, on_cancel="ignore")
        return _play(40, service, duration, *policies)

    hang = (Outage(8, 5, mode="hang"),)
    return _pair(
        "pattern_table",
        "Circuit Breaker",
        "Circuit Breaker",
        "Cascading failures",
        "May reject valid requests",
        (
            "a busy service hangs for 5 s",
            "success after the fault",
            "%",
            "higher",
            SuccessRate(start=20),
            day(30, hang, 0.0, RETRY, LIMIT),
            day(30, hang, 0.0, RETRY, BREAKER, LIMIT),
        ),
        (
            "one call in five fails, each for itself",
            "rejected requests",
            "%",
            "lower",
            Number("rejected_rate"),
            day(50, (), 0.2, RETRY, LIMIT),
            day(50, (), 0.2, RETRY, BREAKER, LIMIT),
        ),
    )


def _retry() -> tuple[Case, Case]:
    def day(failure_rate: float, *policies: Policy) -> Scenario:
        return _play(40, Service(20, Exponential(0.1), failure_rate=failure_rate), 40, *policies)

    return _pair(
        "pattern_table",
        "Retry + Backoff",
        "Retry + Backoff",
        "Transient failures",
        "Increased latency",
        ("one call in ten fails", "success", "%", "higher", Number("success_rate"), day(0.1), day(0.1, RETRY)),
        ("one call in twenty fails", P99, "s", "lower", Number("p99"), day(0.05), day(0.05, RETRY)),
    )


def _bulkhead() -> tuple[Case, Case]:
    def day(faults: Any, *policies: Policy) -> Scenario:
        return _play(50, Service(400, Exponential(0.1), faults=faults), 30, *policies)

    slow = (Slowdown(10, 10, factor=20),)
    limit = Bulkhead(10, max_queue=0)
    return _pair(
        "pattern_table",
        "Bulkhead",
        "Bulkhead",
        "Resource exhaustion",
        "Limited throughput",
        (
            "calls take 20 times as long",
            "most in flight",
            "calls",
            "lower",
            most_in_flight,
            day(slow),
            day(slow, limit),
        ),
        ("nothing is wrong", "success", "%", "higher", Number("success_rate"), day(()), day((), limit)),
    )


def _timeout() -> tuple[Case, Case]:
    def day(faults: Any, *policies: Policy) -> Scenario:
        return _play(30, Service(60, LogNormal(median=0.1, sigma=1.0), faults=faults), 40, *policies)

    hang = (Outage(15, 10, mode="hang"),)
    return _pair(
        "pattern_table",
        "Timeout",
        "Timeout",
        "Hanging requests",
        "May cut valid operations",
        ("a hang of 10 s", P99, "s", "lower", Number("p99"), day(hang), day(hang, LIMIT)),
        ("nothing is wrong", "operations cut", "%", "lower", Number("timeout_rate"), day(()), day((), LIMIT)),
    )


def _fallback() -> tuple[Case, Case]:
    def day(faults: Any, *policies: Policy) -> Scenario:
        return _play(30, Service(20, Exponential(0.1), failure_rate=0.02, faults=faults), 40, *policies)

    down = (Outage(15, 10),)
    page = Fallback("cached page")
    answered = SuccessRate(counts_degraded=True)
    return _pair(
        "pattern_table",
        "Fallback",
        "Fallback",
        "Complete failure",
        "Degraded functionality",
        ("an outage of 10 s", "any answer", "%", "higher", answered, day(down), day(down, page)),
        ("one call in fifty fails", "lesser answers", "%", "lower", Number("degraded_rate"), day(()), day((), page)),
    )


def _external_service() -> tuple[Case, Case]:
    def day(faults: Any, failure_rate: float, *policies: Policy) -> Scenario:
        service = Service(20, Exponential(0.1), failure_rate=failure_rate, faults=faults)
        return _play(40, service, 40, *policies, LIMIT)

    down = (Outage(15, 5),)
    both = (RETRY, BREAKER.replace(timeout=1.0))
    return _pair(
        "when_to_use",
        "External service calls",
        "Circuit Breaker + Retry",
        "Calls that fail now and then, and an outage",
        "More calls",
        (
            "one call in twelve fails, and an outage of 5 s",
            "success",
            "%",
            "higher",
            Number("success_rate"),
            day(down, 0.08),
            day(down, 0.08, *both),
        ),
        (
            "one call in fifty fails",
            "calls per request",
            "calls",
            "lower",
            Number("amplification"),
            day((), 0.02),
            day((), 0.02, *both),
        ),
    )


def _database() -> tuple[Case, Case]:
    def day(faults: Any, pool: ConnectionPool) -> Scenario:
        return _play(40, Service(100, Exponential(0.1), faults=faults, on_cancel="stop"), 40, Timeout(2.0), pool)

    slow = (Slowdown(15, 10, factor=10),)
    own = ConnectionPool(max_size=100_000, max_lifetime=1e-9, connect_time=0.02)
    pool = ConnectionPool(max_size=5, acquire_timeout=0.5, connect_time=0.02)
    return _pair(
        "when_to_use",
        "Database connections",
        "Connection pooling + Timeout",
        "A connection for each request",
        "Waiting for a connection",
        (
            "queries take 10 times as long",
            "most connections",
            "calls",
            "lower",
            most_in_service,
            day(slow, own),
            day(slow, pool),
        ),
        ("nothing is wrong", "mean latency", "s", "lower", Number("mean_latency"), day((), own), day((), pool)),
    )


def _critical() -> tuple[Case, Case]:
    def day(faults: Any, shared: Policy, own: Policy) -> Scenario:
        checkout = Service(100, Exponential(0.1), name="checkout")
        advice = Service(100, Exponential(0.1), faults=faults, name="recommendations")
        return Scenario(
            policy=shared,
            duration=20,
            operations=(
                Operation("checkout", Poisson(60), checkout, own),
                Operation("recommendations", Poisson(60), advice, own),
            ),
        )

    slow = (Slowdown(0, 1e6, factor=5),)
    none = ResiliencePolicy()
    together, apart = (Bulkhead(20, max_queue=0), none), (none, Bulkhead(10, max_queue=0))
    checkout = SuccessRate(operation=0)
    return _pair(
        "when_to_use",
        "Critical vs non-critical ops",
        "Bulkhead isolation",
        "A slow neighbour in the same pool",
        "Idle places that nobody may use",
        (
            "recommendations are 5 times slower",
            "checkouts",
            "%",
            "higher",
            checkout,
            day(slow, *together),
            day(slow, *apart),
        ),
        ("nothing is wrong", "checkouts", "%", "higher", checkout, day((), *together), day((), *apart)),
    )


def _uncertain_latency() -> tuple[Case, Case]:
    def day(alpha: float, *policies: Policy) -> Scenario:
        return _play(40, Service(400, Pareto(minimum=0.05, alpha=alpha)), 40, *policies)

    limit = Timeout(0.5)
    return _pair(
        "when_to_use",
        "Uncertain latency operations",
        "Timeout",
        "A tail without end",
        "Answers that were on their way",
        ("a heavy tail, alpha 1.2", P99, "s", "lower", Number("p99"), day(1.2), day(1.2, limit)),
        ("a lighter tail, alpha 2", "operations cut", "%", "lower", Number("timeout_rate"), day(2.0), day(2.0, limit)),
    )


def _degradation() -> tuple[Case, Case]:
    def day(faults: Any, *policies: Policy) -> Scenario:
        service = Service(20, LogNormal(median=0.1, sigma=0.5), faults=faults)
        return _play(30, service, 40, *policies, Timeout(0.4))

    slow = (Slowdown(15, 10, factor=6),)
    page = Fallback("last week's list")
    answered = SuccessRate(counts_degraded=True)
    return _pair(
        "when_to_use",
        "Acceptable degradation",
        "Fallback",
        "No answer in time",
        "Some answers are lesser ones",
        ("calls take 6 times as long", "any answer", "%", "higher", answered, day(slow), day(slow, page)),
        ("nothing is wrong", "lesser answers", "%", "lower", Number("degraded_rate"), day(()), day((), page)),
    )


def _transactions() -> tuple[Case, Case]:
    healthy = SagaScenario(Poisson(5), log_write_time=0.005, duration=40.0)
    declines = healthy.replace(declined=0.1)
    nothing_undone = {"compensate": False, "log_write_time": 0.0}  # there is no saga, and so no log
    return _pair(
        "when_to_use",
        "Distributed transactions",
        "Saga",
        "Orders that stay half done",
        "A log to write, and work to undo",
        (
            "one payment in ten is declined",
            "half done",
            "%",
            "lower",
            half_done,
            declines.replace(**nothing_undone),
            declines,
        ),
        (
            "nothing is wrong",
            "time of an order",
            "s",
            "lower",
            Number("mean_latency"),
            healthy.replace(**nothing_undone),
            healthy,
        ),
    )


def _messages() -> tuple[Case, Case]:
    healthy = OutboxScenario(
        Poisson(5), database=Database(), broker=MessageBroker(latency=0.01), duration=40.0,
        processor=OutboxProcessor(poll_interval=1.0),
    )  # fmt: skip
    down = healthy.replace(broker=MessageBroker(latency=0.01, faults=(Outage(40 / 3, 10.0),)))
    return _pair(
        "when_to_use",
        "Message reliability",
        "Outbox",
        "Messages that are lost",
        "Messages come later",
        (
            "the broker is away for 10 s",
            "lost messages",
            "%",
            "lower",
            lost_messages,
            down.replace(approach="commit_first"),
            down,
        ),
        (
            "nothing is wrong",
            "mean delay",
            "s",
            "lower",
            Number("mean_delay"),
            healthy.replace(approach="commit_first"),
            healthy,
        ),
    )
