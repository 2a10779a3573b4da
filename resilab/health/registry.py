"""Health checks that run side by side, none longer than its time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import simpy

from ..engine import Steps, interrupt, start
from ..errors import NEVER_HANDLED
from ..events import EventLog
from ..resilience.timeout import Timeout
from ..validation import PositiveOrInfinite, Spec, many
from .status import Health, HealthStatus, SystemHealth, overall


@dataclass(frozen=True)
class HealthCheck(Spec):
    """One thing to check.

    Args:
        name: What the answer is filed under.
        check: A generator function, the SimPy way to write work that takes time, or an
            ordinary function. It returns a `HealthStatus`, a `Health` or its name;
            None is healthy, and an exception is unhealthy.
        timeout: Longest time in seconds; a check that takes longer is unhealthy. The
            default leaves half of the second that a Kubernetes probe waits.
        critical: Whether its failure makes the whole unhealthy; otherwise the whole is
            degraded.

    Source: `HealthCheck` of the reference document, where every check is critical and
    has no time limit.
    """

    name: str
    check: Callable[[], Any]
    timeout: PositiveOrInfinite = 0.5
    critical: bool = True


@dataclass(frozen=True)
class HealthCheckRegistry(Spec):
    """A set of health checks.

    Args:
        checks: `HealthCheck`s with different names.

    Example:
        >>> env = simpy.Environment()
        >>> def database():
        ...     yield env.timeout(0.02)
        ...     return "healthy"
        >>> def cache():
        ...     yield env.event()  # never answers
        >>> registry = HealthCheckRegistry((
        ...     HealthCheck("database", database),
        ...     HealthCheck("cache", cache, timeout=0.1, critical=False),
        ... )).bind(env)
        >>> health = env.run(env.process(registry.check_all()))
        >>> print(health.status, health.http_code, env.now)
        degraded 200 0.1

    Source: `HealthCheckRegistry` of the reference document.
    """

    checks: Annotated[tuple[HealthCheck, ...], many(HealthCheck)] = ()

    def __post_init__(self) -> None:
        names = [check.name for check in self.checks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"checks must have different names, got {name!r} twice")

    def with_check(self, check: HealthCheck) -> HealthCheckRegistry:
        """Return a new value with one more check."""
        return HealthCheckRegistry((*self.checks, check))

    def bind(
        self, env: simpy.Environment, *, log: EventLog | None = None, name: str | None = None
    ) -> LiveHealthCheckRegistry:
        """Make the live registry in *env*.

        Args:
            env: Any `simpy.Environment`.
            log: Where to write a change of the overall status. None writes nothing.
            name: What the events call it.
        """
        return LiveHealthCheckRegistry(self, env, name or "health", log)


class LiveHealthCheckRegistry:
    """A registry in an environment.

    Attributes:
        spec: Its checks.
        last: The latest `SystemHealth`, or None.
    """

    def __init__(self, spec: HealthCheckRegistry, env: simpy.Environment, name: str, log: EventLog | None) -> None:
        self.spec = spec
        self.env = env
        self.name = name
        self.last: SystemHealth | None = None
        self._log = log

    def register(self, check: HealthCheck) -> None:
        """Add a check; it runs from the next `check_all` on."""
        self.spec = self.spec.with_check(check)

    def check_all(self) -> Steps:
        """Run all checks side by side: `health = yield from registry.check_all()`.

        It takes as long as the slowest check, and no longer than the largest time limit.

        Returns:
            A generator to `yield from`; its value is a `SystemHealth`.

        Raises:
            TypeError: A check returned something that is no health status.
        """
        env = self.env
        began = env.now
        checks = self.spec.checks
        caller = env.active_process
        running = [start(env, self._check(check), None, caller) for check in checks]
        try:
            answers = []
            for process in running:
                answers.append((yield process))
        except BaseException:
            for process in running:
                if process.is_alive:
                    process.defused = True
                    interrupt(process, "the registry was cancelled")
            raise
        statuses: dict[str, HealthStatus] = {}
        for check, answer in zip(checks, answers, strict=True):
            if isinstance(answer, TypeError):
                raise answer
            statuses[check.name] = answer
        status = overall((statuses[check.name].status, check.critical) for check in checks)
        self._note(status)
        self.last = SystemHealth(status, statuses, env.now - began)
        return self.last

    def _check(self, check: HealthCheck) -> Steps:
        env = self.env
        began = env.now
        try:
            answer = yield from Timeout(check.timeout).bind(env).execute(_ask, check.check)
        except NEVER_HANDLED:
            raise
        except Exception as error:
            return HealthStatus(Health.UNHEALTHY, {"error": str(error)}, env.now - began)
        try:
            return status_of(answer).replace(duration=env.now - began)
        except TypeError as error:
            return TypeError(f"{check.name}: {error}")

    def _note(self, status: Health) -> None:
        before = Health.HEALTHY if self.last is None else self.last.status
        if self._log is not None and status is not before:
            self._log.append(self.env.now, self.name, "health", -1, f"{before} -> {status}")


def _ask(check: Callable[[], Any]) -> Steps:
    answer = check()
    if hasattr(answer, "throw"):
        return (yield from answer)
    return answer


def status_of(answer: Any) -> HealthStatus:
    """Return the answer of a check as a `HealthStatus`; None is healthy."""
    if isinstance(answer, HealthStatus):
        return answer
    if isinstance(answer, SystemHealth):
        return HealthStatus(answer.status, {"checks": answer.checks}, answer.duration)
    if answer is None:
        return HealthStatus()
    if isinstance(answer, str) and answer in tuple(Health):
        return HealthStatus(answer)
    raise TypeError(f"a health check must return a HealthStatus, a Health or None, got {answer!r}")
