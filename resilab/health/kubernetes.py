"""The two questions that Kubernetes asks: is it alive, and can it handle traffic?"""

from __future__ import annotations

from dataclasses import dataclass, field

import simpy

from ..engine import Steps
from ..events import EventLog
from ..validation import Spec
from .registry import HealthCheckRegistry, LiveHealthCheckRegistry
from .status import HealthStatus


@dataclass(frozen=True)
class KubernetesHealthChecks(Spec):
    """The endpoints of a container: liveness looks at nothing but itself, readiness at all checks.

    A liveness check that looks at a dependency restarts a container for the fault of
    another. A readiness check that does so takes every replica out at once: register
    what all replicas share with `critical=False`.

    Args:
        registry: The checks behind readiness.

    Example:
        >>> env = simpy.Environment()
        >>> checks = KubernetesHealthChecks(HealthCheckRegistry()).bind(env)
        >>> env.run(env.process(checks.readiness_check())).http_code
        200

    Source: `KubernetesHealthChecks` of the reference document.
    """

    registry: HealthCheckRegistry = field(default_factory=HealthCheckRegistry)

    def bind(self, env: simpy.Environment, *, log: EventLog | None = None) -> LiveKubernetesHealthChecks:
        """Make the live endpoints in *env*."""
        return LiveKubernetesHealthChecks(self.registry.bind(env, log=log))


class LiveKubernetesHealthChecks:
    """The endpoints of a container in an environment.

    Attributes:
        registry: The live registry behind readiness.
    """

    def __init__(self, registry: LiveHealthCheckRegistry) -> None:
        self.registry = registry

    def liveness_check(self) -> Steps:
        """Can we respond at all? `status = yield from checks.liveness_check()`."""
        return HealthStatus()
        yield

    def readiness_check(self) -> Steps:
        """Can we handle traffic? `health = yield from checks.readiness_check()`."""
        return (yield from self.registry.check_all())
