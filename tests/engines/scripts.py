"""Scripts of calls: what each call meets, and what the lab makes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import simpy

import resilab as rl


def script(seed: int, length: int, failure_rate: float) -> list[bool]:
    """Return for each call that reaches the dependency whether it succeeds."""
    draws = random.Random(seed)
    return [draws.random() >= failure_rate for _ in range(length)]


def lab_retries(retry: rl.Retry, answers: Sequence[bool]) -> tuple[list[str], list[float]]:
    """Return the outcome of each call through a retry, until the script ends, and the times of the attempts."""
    env = simpy.Environment()
    live = retry.bind(env)
    left, outcomes, times = list(answers), [], []

    def attempt():
        yield env.timeout(0)
        times.append(env.now)
        if not left.pop(0):
            raise rl.ServiceError("no")

    def caller():
        while left:
            try:
                yield from live.execute(attempt)
                outcomes.append("ok")
            except rl.ServiceError:
                outcomes.append("failed")
            except IndexError:
                return

    env.run(env.process(caller()))
    return outcomes, times


def lab_breaker(breaker: rl.CircuitBreaker, answers: Sequence[bool], spacing: float) -> list[str]:
    """Return what becomes of each call through a breaker, one call every *spacing* seconds."""
    env = simpy.Environment()
    live = breaker.bind(env)
    outcomes = []

    def attempt(succeeds):
        yield env.timeout(0)
        if not succeeds:
            raise rl.ServiceError("no")

    def caller():
        for succeeds in answers:
            try:
                yield from live.execute(attempt, succeeds)
                outcomes.append("ok")
            except rl.CircuitOpenError:
                outcomes.append("rejected")
            except rl.ServiceError:
                outcomes.append("failed")
            yield env.timeout(spacing)

    env.run(env.process(caller()))
    return outcomes
