"""Queueing theory: exact answers for the few systems that have them.

Use them to check a simulation, or to get a first estimate without one. Everything is
in the words of the lab: *rate* is arrivals per second, *mean* the mean service time in
seconds, *workers* serve one call each. All results are for a system that has run for
long, so leave out the start of a simulation before you compare.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from .validation import finite, non_negative, one_of, positive, ratio, sequence, whole


@dataclass(frozen=True)
class QueueNumbers:
    """What theory says of a queue.

    Attributes:
        rejected_rate: Share of requests that were not served.
        wait_probability: Share of the served requests that waited.
        mean_wait: Mean seconds in the queue of the served requests.
        mean_latency: Mean seconds from arrival to end of the served requests.
        utilization: Share of worker time in use.
    """

    rejected_rate: float
    wait_probability: float
    mean_wait: float
    mean_latency: float
    utilization: float


@dataclass(frozen=True)
class TimeoutNumbers:
    """What theory says of a queue whose callers leave.

    Attributes:
        success_rate: Share of requests that are answered in time.
        utilization: Share of worker time in use, wasted work included.
    """

    success_rate: float
    utilization: float


@dataclass(frozen=True)
class RetryNumbers:
    """What theory says of a retry.

    Attributes:
        success_rate: Share of requests that succeed at last.
        amplification: Mean calls of a request.
    """

    success_rate: float
    amplification: float


@dataclass(frozen=True)
class BreakerNumbers:
    """What theory says of a circuit breaker in front of a dependency that keeps failing now and then.

    Attributes:
        rejected_rate: Share of requests that it rejects.
        success_rate: Share of requests that succeed.
        openings: Transitions to OPEN per second.
    """

    rejected_rate: float
    success_rate: float
    openings: float


def erlang_b(workers: int, offered: float) -> float:
    """Return the share of requests that find all workers busy, if there is no queue.

    B(0) = 1, B(c) = a B(c-1) / (c + a B(c-1)). It holds for every distribution of the
    service time with that mean: the formula is insensitive.

    Args:
        workers: Workers, or places of a bulkhead; 0 rejects all.
        offered: Arrival rate times mean service time, at least 0.

    Example:
        >>> round(erlang_b(10, 8.0), 5)
        0.12166

    Source: A. K. Erlang, 1917. Insensitivity: B. A. Sevastyanov, 1957.
    """
    whole("workers", workers)
    non_negative("offered", offered)
    return 1 / _inverse_erlang_b(workers, offered) if offered else float(not workers)


def erlang_c(workers: int, offered: float) -> float:
    """Return the share of requests that wait, if the queue has no limit.

    C = B / (1 - rho (1 - B)) with rho = offered / workers; 1 from rho = 1 on.

    Example:
        >>> round(erlang_c(10, 8.0), 5)
        0.40918

    Source: A. K. Erlang, 1917.
    """
    whole("workers", workers, minimum=1)
    if offered >= workers:
        return 1.0
    blocked = erlang_b(workers, offered)
    return blocked / (1 - offered / workers * (1 - blocked))


def mmc(rate: float, workers: int, mean: float) -> QueueNumbers:
    """Return the numbers of a queue without limit: M/M/c.

    Mean wait = C / (workers / mean - rate).

    Raises:
        ValueError: The queue would grow for ever.

    Example:
        >>> round(mmc(rate=8, workers=10, mean=1.0).mean_wait, 5)
        0.20459
    """
    offered = _offered(rate, mean)
    if offered >= workers:
        raise ValueError(f"rate * mean must be below workers, got {offered:.6g} for {workers}")
    waits = erlang_c(workers, offered)
    wait = waits / (workers / mean - rate)
    return QueueNumbers(0.0, waits, wait, wait + mean, offered / workers)


def mmck(rate: float, workers: int, mean: float, queue_limit: int) -> QueueNumbers:
    """Return the numbers of a queue with *queue_limit* places: M/M/c/K, K = workers + queue_limit.

    Example:
        >>> round(mmck(rate=8, workers=10, mean=1.0, queue_limit=5).rejected_rate, 6)
        0.030038

    Source: D. Gross and C. M. Harris, Fundamentals of Queueing Theory, 2.5.
    """
    offered = _offered(rate, mean)
    whole("workers", workers, minimum=1)
    whole("queue_limit", queue_limit)
    chances = _chances([offered / min(inside, workers) for inside in range(1, workers + queue_limit + 1)])
    served = 1 - chances[-1]
    in_queue = math.fsum((inside - workers) * chance for inside, chance in enumerate(chances) if inside > workers)
    waits = math.fsum(chances[workers:-1]) / served if queue_limit else 0.0
    wait = in_queue / (rate * served)
    return QueueNumbers(chances[-1], waits, wait, wait + mean, offered * served / workers)


def mg1(rate: float, mean: float, cv: float) -> QueueNumbers:
    """Return the numbers of one worker with any distribution of the service time: M/G/1.

    Mean wait = rate E[S^2] / (2 (1 - rho)): it grows with the square of the coefficient
    of variation *cv*, 0 for a constant and 1 for an exponential service time.

    Example:
        >>> round(mg1(rate=0.7, mean=1.0, cv=0.0).mean_wait, 4), round(mg1(rate=0.7, mean=1.0, cv=1.5).mean_wait, 4)
        (1.1667, 3.7917)

    Source: F. Pollaczek, 1930; A. Y. Khinchine, 1932.
    """
    load = _offered(rate, mean)
    non_negative("cv", cv)
    if load >= 1:
        raise ValueError(f"rate * mean must be below 1, got {load:.6g}")
    wait = rate * mean**2 * (1 + cv**2) / (2 * (1 - load))
    return QueueNumbers(0.0, load, wait, wait + mean, load)


def mm1_timeout(rate: float, mean: float, seconds: float, on_cancel: str = "stop") -> TimeoutNumbers:
    """Return the numbers of one worker whose callers leave *seconds* after they came: M/M/1.

    With E = exp(-(1/mean - rate) seconds) and rho = rate * mean:

    | on_cancel | success_rate | utilization |
    |---|---|---|
    | "ignore" | 1 - E | rho |
    | "drop_queued" | (1 - E) / (1 - rho^2 E) | 1 - (1 - rho) / (1 - rho^2 E) |
    | "stop" | (1 - E) / (1 - rho E) | rho times success_rate |

    "ignore" needs rho < 1, otherwise its queue grows for ever and nobody is served in
    time; the others hold for every load.

    Example:
        >>> [round(mm1_timeout(0.8, 1.0, 4.0, each).success_rate, 5) for each in ("ignore", "drop_queued", "stop")]
        [0.55067, 0.77295, 0.8597]

    Source: D. Y. Barrer, Queuing with Impatient Customers and Ordered Service,
    Operations Research 5, 1957.
    """
    load = _offered(rate, mean)
    positive("seconds", seconds)
    one_of("on_cancel", on_cancel, ("stop", "drop_queued", "ignore"))
    if on_cancel == "ignore":
        late = math.exp(-(1 - load) * seconds / mean)
        return TimeoutNumbers(1 - late, load) if load < 1 else TimeoutNumbers(0.0, 1.0)
    if math.isclose(load, 1):
        served = seconds / mean / (1 + seconds / mean + (on_cancel == "drop_queued"))
        return TimeoutNumbers(served, 1 - (1 - served) / 2 if on_cancel == "drop_queued" else served)
    # Both sides of each quotient times exp(-x) where x < 0, so that nothing overflows.
    exponent = (1 - load) * seconds / mean
    one, late = (1.0, math.exp(-exponent)) if exponent > 0 else (math.exp(exponent), 1.0)
    power = load if on_cancel == "stop" else load**2
    success = (one - late) / (one - power * late)
    if on_cancel == "stop":
        return TimeoutNumbers(success, load * success)
    return TimeoutNumbers(success, 1 - (1 - load) * one / (one - power * late))


def mmc_patience(rate: float, workers: int, mean: float, max_wait: float) -> QueueNumbers:
    """Return the numbers of a queue whose callers wait at most *max_wait* for a worker: M/M/c + D.

    A connection pool with an acquire timeout, or a bulkhead with `max_wait`; the
    limit is on the wait, not on the service. The offered wait has the density
    rate p exp(rate min(x, max_wait) - workers x / mean), where p is the chance that
    workers - 1 are busy. It holds for every load.

    Example:
        >>> round(mmc_patience(rate=12, workers=10, mean=1.0, max_wait=0.5).rejected_rate, 5)
        0.19955

    Source: F. Baccelli and G. Hebuterne, On Queues with Impatient Customers, 1981.
    """
    offered = _offered(rate, mean)
    whole("workers", workers, minimum=1)
    positive("max_wait", max_wait)
    speed = workers / mean
    slack = speed - rate
    # Up to max_wait the mass of waits and its first moment, and the mass above, over rate * p.
    # All terms carry a factor that keeps the largest of them near 1.
    scale, late = math.exp(min(0.0, slack * max_wait)), math.exp(min(0.0, -slack * max_wait))
    if abs(slack) * max_wait < 1e-6:
        below, moment = max_wait, max_wait**2 / 2
    else:
        below = (scale - late) / slack
        moment = (scale - late * (1 + slack * max_wait)) / slack**2
    above = late / speed
    # Chance that a worker is free, over p: that of 0 to workers - 1 busy ones.
    free = scale * _inverse_erlang_b(workers - 1, offered)
    total = free + rate * (below + above)
    rejected = rate * above / total
    served = 1 - rejected
    wait = rate * moment / total / served
    return QueueNumbers(rejected, rate * below / total / served, wait, wait + mean, offered * served / workers)


def closed_loop(users: int, think_time: float, workers: int, mean: float) -> QueueNumbers:
    """Return the numbers of users who wait for each answer, think, and ask again.

    Both times are exponential. The rate of requests is users / (think_time + mean_latency).

    Example:
        >>> round(closed_loop(users=20, think_time=1.0, workers=8, mean=1.0).mean_wait, 5)
        0.52782

    Source: the machine repair model; D. Gross and C. M. Harris, 2.8.
    """
    whole("users", users, minimum=1)
    whole("workers", workers, minimum=1)
    positive("think_time", think_time)
    positive("mean", mean)
    speeds = [min(inside, workers) / mean for inside in range(users + 1)]
    chances = _chances([(users - inside) / think_time / speeds[inside + 1] for inside in range(users)])
    throughput = math.fsum(speed * chance for speed, chance in zip(speeds, chances, strict=True))
    queued = math.fsum((inside - workers) * chance for inside, chance in enumerate(chances) if inside > workers)
    asking = [(users - inside) * chance for inside, chance in enumerate(chances)]
    wait = queued / throughput
    waits = math.fsum(asking[workers:]) / math.fsum(asking)
    return QueueNumbers(0.0, waits, wait, wait + mean, throughput * mean / workers)


def retry(failure_rate: float, max_retries: int) -> RetryNumbers:
    """Return what retries make of calls that fail independently of each other.

    success_rate = 1 - p^(n + 1), amplification = (1 - p^(n + 1)) / (1 - p). In an
    outage calls fail together, and retries help far less.

    Example:
        >>> numbers = retry(failure_rate=0.3, max_retries=3)
        >>> round(numbers.success_rate, 4), round(numbers.amplification, 4)
        (0.9919, 1.417)
    """
    ratio("failure_rate", failure_rate)
    whole("max_retries", max_retries)
    calls = math.fsum(failure_rate**attempt for attempt in range(max_retries + 1))
    return RetryNumbers(1 - failure_rate ** (max_retries + 1), calls)


def calls_until_failures(failure_rate: float, count: int) -> float:
    """Return the mean number of calls until *count* in a row have failed.

    (1 - p^k) / ((1 - p) p^k) = p^-1 + p^-2 + ... + p^-k.

    Example:
        >>> calls_until_failures(0.5, 5)
        62.0

    Source: W. Feller, An Introduction to Probability Theory and Its Applications I, XIII.7.
    """
    ratio("failure_rate", failure_rate)
    whole("count", count, minimum=1)
    if not failure_rate:
        return math.inf
    return math.fsum(failure_rate**-length for length in range(1, count + 1))


def poisson_tail(mean: float, count: int) -> float:
    """Return the chance that a Poisson number is at least *count*.

    Args:
        mean: Its mean, at least 0.
        count: A whole number, at least 0.

    Example:
        >>> round(poisson_tail(2.0, 1), 4)
        0.8647
    """
    non_negative("mean", mean)
    whole("count", count)
    if not mean or not count:
        return float(not count)
    if count > mean + 40 * math.sqrt(mean) + 100:  # less than any float can show beside 1
        return 0.0
    logs = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count))
    return max(0.0, 1.0 - math.fsum(map(math.exp, logs)))


def breaker_cycle(
    rate: float, failure_rate: float, failure_threshold: int, success_threshold: int, timeout: float
) -> BreakerNumbers:
    """Return the numbers of a circuit breaker, for calls that take no time and fail independently.

    The breaker goes round: CLOSED until *failure_threshold* failures in a row; then OPEN
    for *timeout* seconds and HALF_OPEN, again and again, until *success_threshold* calls
    in a row succeed. Poisson arrivals see it as it is over time, so that the share of
    rejected requests is the share of time in which it rejects.

    Args:
        rate: Requests per second, Poisson.
        failure_rate: Chance that a call fails, above 0.
        failure_threshold: As in `CircuitBreaker`, whose volume_threshold is no higher.
        success_threshold: As in `CircuitBreaker`.
        timeout: As in `CircuitBreaker`, in seconds.

    Example:
        >>> numbers = breaker_cycle(rate=10, failure_rate=0.5, failure_threshold=5, success_threshold=3, timeout=5.0)
        >>> round(numbers.rejected_rate, 5), round(numbers.success_rate, 5)
        (0.84034, 0.07983)

    Source: renewal reward; R. W. Wolff, Poisson Arrivals See Time Averages, 1982.
    """
    positive("rate", rate)
    positive("failure_rate", ratio("failure_rate", failure_rate))
    whole("success_threshold", success_threshold, minimum=1)
    positive("timeout", timeout)
    success = 1 - failure_rate
    probes = math.fsum(success**number for number in range(success_threshold))
    # For each time it opens: how often it had been closed, then seconds and calls.
    closings = success**success_threshold
    calls = probes + (closings * calls_until_failures(failure_rate, failure_threshold) if closings else 0.0)
    seconds = timeout + calls / rate
    return BreakerNumbers(timeout / seconds, success * calls / rate / seconds, 1 / seconds)


def _offered(rate: float, mean: float) -> float:
    return finite("rate * mean", positive("rate", rate) * positive("mean", mean))


def _inverse_erlang_b(workers: int, offered: float) -> float:
    inverse = 1.0
    for count in range(1, workers + 1):
        inverse = 1 + count / offered * inverse
    return inverse


def _chances(steps: list[float]) -> list[float]:
    """Return the chances of states 0, 1, ... of a birth-death chain from the ratio of each to the last."""
    logs = list(itertools.accumulate((math.log(step) for step in steps), initial=0.0))
    highest = max(logs)
    weights = [math.exp(value - highest) for value in logs]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def expected_saga(
    success: Iterable[float], compensation: Iterable[float] | None = None, tries: int | None = 1
) -> dict[str, float]:
    """Return by theory how sagas end, for steps that fail independently.

    Args:
        success: Probability of success of each step, in order.
        compensation: Probability of success of one try of each compensation. None never fails.
        tries: Tries that a compensation has; None is no limit.

    Returns:
        Probabilities p_commit, p_compensated and p_stuck, and means mean_compensations
        and mean_forward_steps.

    Example:
        >>> round(expected_saga([0.9, 0.95, 0.99])["p_commit"], 5)
        0.84645
    """
    steps = [ratio("success", each) for each in sequence("success", success)]
    chances = [1.0] * len(steps)
    if compensation is not None:
        chances = [ratio("compensation", each) for each in sequence("compensation", compensation)]
    if len(chances) != len(steps):
        raise ValueError(f"compensation must be as long as success, {len(steps)}, got {len(chances)}")
    if tries is not None:
        whole("tries", tries, minimum=1)
    reached, undone, stuck, compensations, forward = 1.0, 1.0, 0.0, 0.0, 0.0
    for index, (p, chance) in enumerate(zip(steps, chances, strict=True)):
        forward += reached
        compensations += reached * (1 - p) * index
        stuck += reached * (1 - p) * (1 - undone)
        undone *= 1.0 if tries is None else 1 - (1 - chance) ** tries
        reached *= p
    return {
        "p_commit": reached,
        "p_compensated": 1 - reached - stuck,
        "p_stuck": stuck,
        "mean_compensations": compensations,
        "mean_forward_steps": forward,
    }


def mean_deliveries(crash_rate: float, batch: int = 1) -> float:
    """Return how often a message goes out on average, by theory.

    Args:
        crash_rate: Probability e of a crash after each publish.
        batch: Messages b that are marked together.

    Returns:
        ((1 - e)^-b - 1) / (e b); with b = 1 that is 1 / (1 - e).

    Example:
        >>> round(mean_deliveries(0.1), 4), round(mean_deliveries(0.01, 100), 3)
        (1.1111, 1.732)
    """
    e, b = ratio("crash_rate", crash_rate), whole("batch", batch, minimum=1)
    return 1.0 if e == 0 else ((1 - e) ** -b - 1) / (e * b) if e < 1 else math.inf
