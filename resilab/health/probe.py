"""KubernetesProbe: ask a container again and again, and believe only several equal answers in a row."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import simpy

from ..engine import Steps, start
from ..errors import NEVER_HANDLED
from ..randomness import KeyedDraws, uniform
from ..resilience.base import generator_function
from ..resilience.timeout import Timeout
from ..validation import Count, NonNegative, Positive, Spec
from .registry import status_of
from .status import Health

PROBES = ("startup", "liveness", "readiness")
"""The three kinds of probes of a container."""


@dataclass(frozen=True)
class KubernetesProbe(Spec):
    """When a kubelet asks, how long it waits, and how many answers it needs.

    It asks at ticks of its own, one *period* apart from a random first one on. A probe
    that has no answer after *timeout* seconds has failed. *failure_threshold* failures
    in a row make the result a failure, *success_threshold* successes in a row make it
    a success; fewer change nothing. With f the time in which one probe fails (0 if
    refused, *timeout* if it hangs), a failure is detected after ((F - 1) P, F P] + f
    seconds, (F - 1/2) P + f on average.

    A *period* shorter than the *timeout* is allowed: probes of one kind never overlap.
    Of the ticks that pass while a probe waits, the first is kept, so that the next probe
    follows at once, and the others are lost.

    Args:
        initial_delay: Seconds from the start of a container; the first probe is the
            first tick at or after it.
        period: Seconds between ticks, above 0.
        timeout: Longest wait for an answer in seconds, above 0. An answer at exactly
            the limit counts.
        failure_threshold: Failures in a row that count, at least 1.
        success_threshold: Successes in a row that count, at least 1. Liveness and
            startup probes must have 1.

    Example:
        >>> KubernetesProbe(period=10, failure_threshold=3).detection_time(fail_time=1.0)
        (21.0, 26.0, 31.0)

    Source: the probe worker of the kubelet; the defaults are those of Kubernetes.
    """

    initial_delay: NonNegative = 0.0
    period: Positive = 10.0
    timeout: Positive = 1.0
    failure_threshold: Count = 3
    success_threshold: Count = 1

    def detection_time(self, fail_time: float = 0.0) -> tuple[float, float, float]:
        """Return the shortest, mean and longest time in seconds from a failure to its detection.

        Args:
            fail_time: Seconds in which one probe fails: 0 if it is refused, `timeout` if
                it hangs. At most `period`; longer probes follow one another at once.
        """
        if not 0 <= fail_time <= self.period:
            raise ValueError(f"fail_time must be from 0 to the period of {self.period} s, got {fail_time!r}")
        first = (self.failure_threshold - 1) * self.period + fail_time
        return float(first), first + self.period / 2, float(first + self.period)

    def false_alarm_time(self, failure_rate: float) -> float:
        """Return the mean time in seconds until a healthy target is taken for a failed one.

        Each probe fails for itself with probability q = *failure_rate*, in no time:
        P (1 - q^F) / ((1 - q) q^F), which is P times the mean number of probes.
        """
        if not 0 < failure_rate <= 1:
            raise ValueError(f"failure_rate must be above 0 and at most 1, got {failure_rate!r}")
        q, threshold = failure_rate, self.failure_threshold
        return self.period * math.fsum(q**-k for k in range(1, threshold + 1))

    def bind(
        self,
        env: simpy.Environment,
        check: Callable[[], Any],
        *,
        on_probe: Callable[[float, bool, str], None] | None = None,
        on_result: Callable[[bool], None] | None = None,
        is_enabled: Callable[[], bool] | None = None,
        is_over: Callable[[], bool] | None = None,
        seed: int | None = None,
        name: str = "probe",
    ) -> LiveProbe:
        """Make the live probe in *env*.

        Args:
            env: Any `simpy.Environment`.
            check: A generator function: what to ask. An exception is a failure, an
                unhealthy status too; a degraded one is a success.
            on_probe: Called after each probe with its start, success and reason.
            on_result: Called when the result of enough equal answers is known.
            is_enabled: Says at a tick whether to ask at all. None asks always.
            is_over: Says at a tick whether to end for good. None asks until the
                simulation ends, so give `env.run` an end.
            seed: Seed of the random first tick. None draws from Python's `random`.
            name: Names the random stream.
        """
        return LiveProbe(self, env, check, on_probe, on_result, is_enabled, is_over, seed, name)


class LiveProbe:
    """A probe in an environment.

    Attributes:
        spec: What it was made from.
        result: The last result of enough equal answers; None if there is none yet.
        run_length: How many answers in a row were equal.
        probes: How many times it has asked.
    """

    def __init__(
        self,
        spec: KubernetesProbe,
        env: simpy.Environment,
        check: Callable[[], Any],
        on_probe: Callable[[float, bool, str], None] | None,
        on_result: Callable[[bool], None] | None,
        is_enabled: Callable[[], bool] | None,
        is_over: Callable[[], bool] | None,
        seed: int | None,
        name: str,
    ) -> None:
        self.spec = spec
        self.env = env
        self.name = name
        self.result: bool | None = None
        self.run_length = 0
        self.probes = 0
        self._last: bool | None = None
        self._container = 0  # counts containers, so that the answers of one that is gone are known
        self._asks_from = env.now + spec.initial_delay
        self._is_on_hold = False
        self._ask = generator_function(check)
        self._limit = Timeout(spec.timeout).bind(env)
        self._on_probe = on_probe
        self._on_result = on_result
        self._is_enabled = is_enabled
        self._is_over = is_over
        draw = random.random() if seed is None else KeyedDraws(seed, f"{name}/phase", uniform)(0)
        self._first_tick = env.now + draw * spec.period
        start(env, self._run())

    def begin(self, *, is_warm: bool = False) -> None:
        """Start anew, for a new container: no answers yet, and the initial delay runs unless *is_warm*."""
        self._container += 1
        self._asks_from = self.env.now + (0 if is_warm else self.spec.initial_delay)
        self.result = self._last = None
        self.run_length = 0
        self._is_on_hold = False

    def hold(self) -> None:
        """Ask no more until the next `begin`."""
        self._is_on_hold = True

    def _run(self) -> Steps:
        env, period, first = self.env, self.spec.period, self._first_tick
        tick = 0
        while True:
            when = first + tick * period
            if when > env.now:
                yield env.timeout(when - env.now)
            if self._is_over is not None and self._is_over():
                return
            if self._may_ask():
                yield from self._probe()
            tick = max(tick + 1, math.floor((env.now - first) / period))

    def _may_ask(self) -> bool:
        if self._is_on_hold or self.env.now < self._asks_from:
            return False
        return self._is_enabled is None or self._is_enabled()

    def _probe(self) -> Steps:
        begun, container = self.env.now, self._container
        is_success, reason = yield from self._answer()
        self.probes += 1
        if self._on_probe is not None:
            self._on_probe(begun, is_success, reason)
        if self._container == container and not self._is_on_hold:
            self._count(is_success)

    def _answer(self) -> Steps:
        try:
            answer = yield from self._limit.run(self._ask)
        except NEVER_HANDLED:
            raise
        except Exception as error:
            return False, str(error) or type(error).__name__
        status = status_of(answer)
        if status.status is Health.UNHEALTHY:
            return False, "unhealthy"
        return True, ""

    def _count(self, is_success: bool) -> None:
        self.run_length = self.run_length + 1 if is_success is self._last else 1
        self._last = is_success
        needed = self.spec.success_threshold if is_success else self.spec.failure_threshold
        if self.run_length >= needed:
            self.result = is_success
            if self._on_result is not None:
                self._on_result(is_success)
