"""The rules of `lint`: each looks at a policy and where it runs, and yields what is wrong together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
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
from ..theory import poisson_tail
from .findings import ERROR, HINT, WARNING, Finding
from .laws import waits

SAMPLE = 20_000
"""Draws of a service's latency from which its p99 is taken."""
LOOKED_AT = 1000
"""Retries that are looked at; more are as good as endless."""
NO_BULKHEAD = 1000
"""From so many calls on a limit protects the client, and is not meant for a dependency."""
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

    def copies(self, kind: type[Policy]) -> int:
        """Return how many clients have a policy of this kind of their own."""
        if self.scenario is None or issubclass(kind, self.scenario.shared):
            return 1
        return self.scenario.clients


def _retries_outlive_caller(case: Case) -> Iterator[Finding]:
    """Tries and waits that go on after whoever waits for them has gone."""
    for number, retry in case.places(Retry):
        patience, limit = case.patience(number), case.limit(number + 1, len(case.parts))
        if patience == math.inf or not retry.max_retries:
            continue
        count = min(retry.max_retries, LOOKED_AT)
        at_best, on_average = (_in_time(waits(retry, of), patience) for of in (min, fmean))
        numbers = {"patience": patience, "limit of a try": limit, "retries in time": on_average}
        if on_average < count:
            is_sure = at_best < count
            useful = at_best if is_sure else on_average
            yield Finding(
                "retries_outlive_caller", ERROR if is_sure else WARNING,
                f"the caller has gone after {patience:.3g} s, and the waits alone take longer: "
                f"{retry.max_retries - useful} of {retry.max_retries} retries are "
                f"{'never sent in time' if is_sure else 'late on average'}",
                numbers, case.replaced(number, max_retries=on_average),
            )  # fmt: skip
        elif limit < math.inf and limit + next(waits(retry)) >= patience:
            yield Finding(
                "retries_outlive_caller", WARNING,
                f"a try may take {limit:.3g} s and the caller waits {patience:.3g} s: a try that times out is "
                "retried too late",
                numbers,
            )  # fmt: skip


def _in_time(delays: Iterator[float], patience: float) -> int:
    """Return how many retries, of the first many, are sent before the caller has gone, if each try fails at once."""
    sums = itertools.accumulate(itertools.islice(delays, LOOKED_AT))
    return sum(1 for _ in itertools.takewhile(lambda spent: spent < patience, sums))


def _minimum_never_reached(case: Case) -> Iterator[Finding]:
    """A time window that never holds as many calls as the breaker needs, or only once retries add to them."""
    for number, breaker in case.places(CircuitBreaker):
        window = breaker.window
        if not isinstance(window, TimeWindow) or case.rate is None:
            continue
        expected = case.rate * window.seconds / case.copies(CircuitBreaker)
        chance = poisson_tail(expected, breaker.volume_threshold)
        if chance >= UNLIKELY:
            continue
        outer = [retry.max_retries for place, retry in case.places(Retry) if place < number]
        tries = math.prod(math.inf if count is None else 1 + count for count in outer)
        retried = expected * tries
        can_open = retried == math.inf or poisson_tail(retried, breaker.volume_threshold) >= UNLIKELY
        yield Finding(
            "minimum_never_reached", WARNING if can_open else ERROR,
            f"{breaker.volume_threshold} calls are needed in {window.seconds:.3g} s, and {expected:.3g} come (chance "
            f"{chance:.0e}): " + ("only its retries, when all fail, bring so many" if can_open else "it does not open"),
            {"needed": breaker.volume_threshold, "calls in the window": expected, "chance": chance},
            case.replaced(number, volume_threshold=max(1, math.floor(expected / 2))),
        )  # fmt: skip


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
    workers, clients = case.service.workers, case.copies(Bulkhead)
    for number, bulkhead in case.places(Bulkhead):
        most = clients * bulkhead.max_concurrent
        if workers * 2 < most and bulkhead.max_concurrent < NO_BULKHEAD:
            whose = f" of {clients} clients" if clients > 1 else ""
            yield Finding(
                "bulkhead_above_pool", WARNING,
                f"{most} calls{whose} are let through to {workers} workers: the others wait there, where nobody limits "
                "them",
                {"calls": most, "workers": workers},
                case.replaced(number, max_concurrent=max(1, workers // clients)),
            )  # fmt: skip


def _queue_outwaits_caller(case: Case) -> Iterator[Finding]:
    """Whoever takes the last place in the queue has gone before its turn."""
    if case.service is None:
        return
    mean = case.service.latency.mean
    for number, bulkhead in case.places(Bulkhead):
        patience = case.patience(number)
        places = math.inf if bulkhead.max_queue is None else bulkhead.max_queue
        if not places or not bulkhead.max_concurrent or patience == math.inf:
            continue
        longest = math.inf if bulkhead.max_wait is None else bulkhead.max_wait
        wait = min(places * mean / bulkhead.max_concurrent, longest)
        if wait > patience:
            fitting = max(0, math.floor(patience / 2 * bulkhead.max_concurrent / mean))
            yield Finding(
                "queue_outwaits_caller", WARNING,
                f"the last of {places:.0f} places waits {wait:.3g} s, and the caller has gone after "
                f"{patience:.3g} s",
                {"wait": wait, "patience": patience, "max_queue": places},
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
    """Retries around retries: in one policy, or over tiers. Mended, the innermost of the policy's own is away."""
    own = [(number, retry) for number, retry in case.places(Retry) if retry.max_retries]
    counts = [1 + retry.max_retries for _, retry in own]
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
            {"calls": times}, case.replaced(own[-1][0], max_retries=0) if own else None,
        )  # fmt: skip


def _request_opens_breaker(case: Case) -> Iterator[Finding]:
    """A retry around a breaker that counts each try: one request is enough to open it."""
    for place, retry in case.places(Retry):
        for number, breaker in case.places(CircuitBreaker):
            tries = math.inf if retry.max_retries is None else retry.max_retries + 1
            needed = _failures_needed(breaker)
            if place < number and needed <= tries and retry.budget is None:
                wanted = 3 * int(min(tries, LOOKED_AT))
                field = "failure_threshold" if breaker.window is None else "volume_threshold"
                yield Finding(
                    "request_opens_breaker", WARNING,
                    f"the breaker counts each try: {needed} failures open it, and one request makes {tries:.0f}",
                    {"tries": tries, "needed": needed},
                    case.replaced(number, **{field: wanted}),
                )  # fmt: skip


def _failures_needed(breaker: CircuitBreaker) -> int:
    """Return the fewest failures that open it, if nothing else happens."""
    counted = breaker.failure_threshold if breaker.failure_rate_threshold is None else 1
    return counted if breaker.window is None else max(counted, breaker.volume_threshold)


def _rejections_open_breaker(case: Case) -> Iterator[Finding]:
    """Rejections of the client's own limits count as failures of the dependency."""
    rejections: dict[type, type[BaseException]] = {Bulkhead: BulkheadFullError, RateLimiter: RateLimitedError}
    for number, breaker in case.places(CircuitBreaker):
        for kind, error in rejections.items():
            if not any(place > number for place, _ in case.places(kind)) or not _counts(breaker, error()):
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


def _hedges_without_limit(case: Case) -> Iterator[Finding]:
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
        if retry.max_retries is None or retry.max_retries > LOOKED_AT:
            continue
        longest, mean = sum(waits(retry, max)), sum(waits(retry))
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
    _hedges_without_limit,
    _jitter_shortens_wait,
)
