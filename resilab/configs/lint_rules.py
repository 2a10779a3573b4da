"""The rules of `lint`: each looks at a policy and where it runs, and yields what is wrong together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BulkheadFullError, RateLimitedError
from ..experiments import SLO
from ..lab.scenario import Scenario
from ..lab.service import Service
from ..lab.tiers import below
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.deadline import Deadline
from ..resilience.filters import error_filter
from ..resilience.hedge import Hedge
from ..resilience.policy import ResiliencePolicy
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..resilience.windows import TimeWindow
from .findings import ERROR, HINT, WARNING, Finding
from .laws import total

SAMPLE = 20_000
"""Draws of a service's latency from which its p99 is taken."""
UNLIKELY = 0.01
"""A window that reaches its minimum of calls less often than this is said never to."""


@dataclass(frozen=True)
class Case:
    """A policy, and what is known of where it runs."""

    parts: tuple[Policy, ...]
    scenario: Scenario | None
    slo: SLO | None
    rate: float | None

    def places(self, kind: type) -> Iterator[tuple[int, Any]]:
        """Yield number and policy of a kind, the outermost first."""
        return ((number, part) for number, part in enumerate(self.parts) if isinstance(part, kind))

    def limit(self, begin: int, end: int) -> float:
        """Return the shortest time limit among the policies from one number to another."""
        limits = [part.seconds for part in self.parts[begin:end] if isinstance(part, Timeout | Deadline)]
        return min((float(each) for each in limits if isinstance(each, int | float)), default=math.inf)

    def patience(self, number: int) -> float:
        """Return how long whoever calls the policy of a number waits: limits outside it, and the objective."""
        return min(self.limit(0, number), math.inf if self.slo is None else self.slo.within)

    def replaced(self, number: int, **changes: Any) -> ResiliencePolicy:
        """Return the policy with fields of one part changed."""
        parts = [part.replace(**changes) if place == number else part for place, part in enumerate(self.parts)]
        return ResiliencePolicy(*parts)

    @property
    def service(self) -> Service | None:
        """The dependency, if it is known."""
        return None if self.scenario is None else self.scenario.service


def _retries_outlive_caller(case: Case) -> Iterator[Finding]:
    """Tries and waits that go on after whoever waits for them has gone."""
    for number, retry in case.places(Retry):
        patience, limit = case.patience(number), case.limit(number + 1, len(case.parts))
        if patience == math.inf or not retry.max_retries:
            continue
        waits = total(retry, is_longest=False)
        useful = 0
        while useful < retry.max_retries and total(retry.replace(max_retries=useful + 1), False) < patience:
            useful += 1
        numbers = {"waits": waits, "patience": patience, "limit of a try": limit, "retries in time": useful}
        if useful < retry.max_retries:
            yield Finding(
                "retries_outlive_caller", ERROR,
                f"the waits alone take {waits:.3g} s, and the caller has gone after {patience:.3g} s: "
                f"{retry.max_retries - useful} of {retry.max_retries} retries are never sent in time",
                numbers, case.replaced(number, max_retries=useful),
            )  # fmt: skip
        elif limit < math.inf and limit + total(retry.replace(max_retries=1), False) >= patience:
            yield Finding(
                "retries_outlive_caller", WARNING,
                f"a try may take {limit:.3g} s and the caller waits {patience:.3g} s: a try that times out is never "
                "retried in time",
                numbers,
            )  # fmt: skip


def _minimum_never_reached(case: Case) -> Iterator[Finding]:
    """A time window that never holds as many calls as the breaker needs to judge."""
    for number, breaker in case.places(CircuitBreaker):
        window = breaker.window
        if not isinstance(window, TimeWindow) or case.rate is None:
            continue
        expected = case.rate * window.seconds
        chance = _at_least(breaker.volume_threshold, expected)
        if chance < UNLIKELY:
            wanted = max(1, math.floor(expected / 2))
            yield Finding(
                "minimum_never_reached", ERROR,
                f"{breaker.volume_threshold} calls are needed in {window.seconds:.3g} s, and {expected:.3g} come: "
                "the breaker cannot open",
                {"needed": breaker.volume_threshold, "calls in the window": expected, "chance": chance},
                case.replaced(number, volume_threshold=wanted),
            )  # fmt: skip


def _at_least(count: int, mean: float) -> float:
    """Return the chance that a Poisson number is at least *count*."""
    from math import exp, lgamma, log

    if mean <= 0:
        return float(count <= 0)
    below_it = sum(exp(k * log(mean) - mean - lgamma(k + 1)) for k in range(count))
    return max(0.0, 1.0 - below_it)


def _slow_limit_unreachable(case: Case) -> Iterator[Finding]:
    """A call counts as slow only beyond a time at which it is cut off."""
    for number, breaker in case.places(CircuitBreaker):
        limit = case.limit(number + 1, len(case.parts))
        slow = breaker.slow_call_duration
        if slow is not None and breaker.slow_call_rate_threshold < 1 and limit < slow < math.inf:
            yield Finding(
                "slow_limit_unreachable", ERROR,
                f"calls count as slow beyond {slow:.3g} s, and the time limit cuts them at {limit:.3g} s: "
                "none is ever slow",
                {"slow_call_duration": slow, "limit": limit},
                case.replaced(number, slow_call_duration=limit / 2),
            )  # fmt: skip


def _bulkhead_above_pool(case: Case) -> Iterator[Finding]:
    """More calls are let through than the dependency serves at once, for several times over."""
    if case.service is None:
        return
    workers = case.service.workers
    for number, bulkhead in case.places(Bulkhead):
        if workers * 2 < bulkhead.max_concurrent < 1000:
            yield Finding(
                "bulkhead_above_pool", WARNING,
                f"{bulkhead.max_concurrent} calls are let through to {workers} workers: the others wait there, "
                "where nobody limits them",
                {"max_concurrent": bulkhead.max_concurrent, "workers": workers},
                case.replaced(number, max_concurrent=workers),
            )  # fmt: skip


def _queue_outwaits_caller(case: Case) -> Iterator[Finding]:
    """Whoever takes the last place in the queue has gone before its turn."""
    if case.service is None:
        return
    mean = case.service.latency.mean
    for number, bulkhead in case.places(Bulkhead):
        patience = case.patience(number)
        if not bulkhead.max_queue or not bulkhead.max_concurrent or patience == math.inf:
            continue
        wait = bulkhead.max_queue * mean / bulkhead.max_concurrent
        wait = min(wait, math.inf if bulkhead.max_wait is None else bulkhead.max_wait)
        if wait > patience:
            fitting = max(0, math.floor(patience / 2 * bulkhead.max_concurrent / mean))
            yield Finding(
                "queue_outwaits_caller", WARNING,
                f"the last of {bulkhead.max_queue} places waits {wait:.3g} s, and the caller has gone after "
                f"{patience:.3g} s",
                {"wait": wait, "patience": patience, "max_queue": bulkhead.max_queue},
                case.replaced(number, max_queue=fitting),
            )  # fmt: skip


def _limit_below_p99(case: Case) -> Iterator[Finding]:
    """A time limit that cuts off answers of a healthy day."""
    if case.service is None:
        return
    times = np.sort(case.service.latency.sample(np.random.default_rng(0), SAMPLE))
    for number, part in case.places(Timeout):
        if callable(part.seconds):
            continue
        share = float(np.mean(times > part.seconds))
        if share > 0.01:
            p99 = float(times[int(0.99 * len(times))])
            yield Finding(
                "limit_below_p99", WARNING,
                f"{share:.1%} of the calls of a healthy day take longer than {part.seconds:.3g} s (p99 {p99:.3g} s)",
                {"limit": part.seconds, "p99": p99, "share": share},
                case.replaced(number, seconds=math.ceil(p99 * 1500) / 1000),
            )  # fmt: skip


def _attempts_multiplied(case: Case) -> Iterator[Finding]:
    """Retries around retries: in one policy, or over tiers."""
    counts = [1 + retry.max_retries for _, retry in case.places(Retry) if retry.max_retries is not None]
    if case.service is not None:
        for service in below(case.service):
            policies = [part for call in service.downstream() for part in ResiliencePolicy(call.policy).flat()]
            counts += [1 + part.max_retries for part in policies if isinstance(part, Retry) and part.max_retries]
    counts = [count for count in counts if count > 1]
    if len(counts) > 1:
        times = math.prod(counts)
        yield Finding(
            "attempts_multiplied", WARNING,
            f"attempts multiply: {' x '.join(map(str, counts))} = {times} calls for one request while all fail",
            {"calls": times},
        )  # fmt: skip


def _request_opens_breaker(case: Case) -> Iterator[Finding]:
    """A retry around a breaker that counts each try: one request is enough to open it."""
    for place, retry in case.places(Retry):
        for number, breaker in case.places(CircuitBreaker):
            needed = breaker.failure_threshold if breaker.window is None else breaker.volume_threshold
            tries = math.inf if retry.max_retries is None else retry.max_retries + 1
            if place < number and needed <= tries and retry.budget is None:
                yield Finding(
                    "request_opens_breaker", WARNING,
                    f"the breaker counts each try: the {tries:.0f} tries of one request reach its {needed}",
                    {"tries": tries, "needed": needed},
                    case.replaced(number, failure_threshold=3 * int(min(tries, 100)))
                    if breaker.window is None else case.replaced(number, volume_threshold=3 * int(min(tries, 100))),
                )  # fmt: skip


def _rejections_open_breaker(case: Case) -> Iterator[Finding]:
    """Rejections of the client's own limits count as failures of the dependency."""
    rejections: dict[type, type[BaseException]] = {Bulkhead: BulkheadFullError, RateLimiter: RateLimitedError}
    for number, breaker in case.places(CircuitBreaker):
        for kind, error in rejections.items():
            inside = [part for place, part in case.places(kind) if place > number]
            if not inside or not _counts(breaker, error()):
                continue
            yield Finding(
                "rejections_open_breaker", WARNING,
                f"what the {kind.__name__} inside refuses counts as a failure of the dependency: a busy client opens "
                "its own breaker",
                {},
                case.replaced(number, ignored_errors=error) if breaker.ignored_errors is None else None,
            )  # fmt: skip


def _counts(breaker: CircuitBreaker, error: BaseException) -> bool:
    if breaker.ignored_errors is not None and error_filter("ignored_errors", breaker.ignored_errors)(error):
        return False
    return error_filter("recorded_errors", breaker.recorded_errors)(error)


def _unlimited_probes(case: Case) -> Iterator[Finding]:
    """A breaker that lets everybody try when its time is over."""
    for number, breaker in case.places(CircuitBreaker):
        if breaker.half_open_max_calls is None and breaker.half_open.calls is None:
            if breaker.half_open.probe_interval is not None:
                continue
            yield Finding(
                "unlimited_probes", HINT,
                f"when {_seconds(breaker.timeout)} have passed all calls are let through at once, to a dependency that "
                "may be as ill as before",
                {},
                case.replaced(number, half_open_max_calls=1),
            )  # fmt: skip


def _seconds(value: Any) -> str:
    return f"{value:.3g} s" if isinstance(value, int | float) else "its seconds"


def _hedges_without_budget(case: Case) -> Iterator[Finding]:
    """Copies that nothing limits when all calls are slow."""
    for number, hedge in case.places(Hedge):
        limits = [part for part in case.parts[number + 1 :] if isinstance(part, Bulkhead | RateLimiter)]
        if not limits:
            yield Finding(
                "hedges_without_limit", WARNING,
                f"when all calls are slow each request sends {1 + hedge.max_hedges} copies, and nothing inside limits "
                "them: put a Bulkhead inside the hedge",
                {"copies": 1 + hedge.max_hedges},
                None if case.service is None else ResiliencePolicy(
                    *case.parts[: number + 1], Bulkhead(case.service.workers, max_queue=0),
                    *case.parts[number + 1 :],
                ),
            )  # fmt: skip


def _jitter_shortens_wait(case: Case) -> Iterator[Finding]:
    """Waits that would bridge a fault, and do not on average, since jitter halves them."""
    if case.service is None:
        return
    faults = [fault.duration for fault in case.service.faults if fault.duration < math.inf]
    for number, retry in case.places(Retry):
        if retry.max_retries is None or not faults:
            continue
        longest, mean = total(retry), total(retry, is_longest=False)
        for fault in faults:
            if mean < fault * 0.9 and longest >= fault:
                yield Finding(
                    "jitter_shortens_wait", WARNING,
                    f"the waits may add up to {longest:.3g} s, and with jitter to {mean:.3g} s on average: a fault of "
                    f"{fault:.3g} s is not bridged",
                    {"longest": longest, "mean": mean, "fault": fault},
                    case.replaced(number, max_retries=retry.max_retries + 1),
                )  # fmt: skip
                break


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    _retries_outlive_caller,
    _minimum_never_reached,
    _slow_limit_unreachable,
    _bulkhead_above_pool,
    _queue_outwaits_caller,
    _limit_below_p99,
    _attempts_multiplied,
    _request_opens_breaker,
    _rejections_open_breaker,
    _unlimited_probes,
    _hedges_without_budget,
    _jitter_shortens_wait,
)
