"""Scenario: everything a run needs, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..validation import Spec, instance, positive, sequence, whole
from .service import Service
from .workload import ClosedLoop, Replay, Workload


@dataclass(frozen=True)
class Operation(Spec):
    """One kind of request of a client: its own workload, dependency and policy.

    Args:
        name: What the frames call it.
        workload: When its requests arrive.
        service: What it calls. Operations with equal services share one.
        policy: Policies around its calls, inside those of the scenario.
    """

    name: str
    workload: Workload
    service: Service
    policy: Policy = field(default_factory=ResiliencePolicy)

    def __post_init__(self) -> None:
        instance("name", self.name, str)
        instance("workload", self.workload, (Workload, ClosedLoop))
        instance("service", self.service, Service)
        instance("policy", self.policy, Policy)


@dataclass(frozen=True)
class Scenario(Spec):
    """A workload, a dependency with its faults, and the policies between them.

    Args:
        workload: When requests arrive.
        service: The dependency that they call.
        policy: The policies around each call. None at all by default.
        duration: Simulated seconds in which requests arrive. None is the duration of a
            `Replay`.
        clients: Independent clients, each with its own breaker, bulkhead and so on.
            Every request belongs to one of them, chosen at random; the users of a
            `ClosedLoop` are dealt out in turn.
        operations: Instead of *workload* and *service*: several kinds of requests.
            *policy* is then around them all, which is how pools are shared.

    Example:
        >>> from resilab import Poisson, Retry
        >>> plain = Scenario(Poisson(rate=50), Service(workers=10, latency=0.1), duration=60.0)
        >>> plain.replace(policy=Retry(max_retries=3)).policy.max_retries
        3
    """

    workload: Workload | ClosedLoop | None = None
    service: Service | None = None
    policy: Policy = field(default_factory=ResiliencePolicy)
    duration: float | None = None
    clients: int = 1
    operations: tuple[Operation, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", sequence("operations", self.operations))
        instance("policy", self.policy, Policy)
        whole("clients", self.clients, minimum=1)
        if self.operations:
            self._check_operations()
        else:
            instance("workload", self.workload, (Workload, ClosedLoop))
            instance("service", self.service, Service)
        if self.duration is None and isinstance(self.workload, Replay):
            object.__setattr__(self, "duration", self.workload.duration)
        positive("duration", self.duration)

    def _check_operations(self) -> None:
        if self.workload is not None or self.service is not None:
            raise ValueError("operations must not be given together with workload or service")
        services: dict[str, Service] = {}
        names = set()
        for operation in self.operations:
            instance("operations", operation, Operation)
            if operation.name in names:
                raise ValueError(f"operations must have different names, got {operation.name!r} twice")
            names.add(operation.name)
            service = services.setdefault(operation.service.name, operation.service)
            if service != operation.service:
                raise ValueError(f"services must have different names, got two called {service.name!r}")

    @property
    def parts(self) -> tuple[Operation, ...]:
        """The operations; a plain scenario has one, without a name."""
        if self.operations:
            return self.operations
        return (Operation("", self.workload, self.service),)  # type: ignore[arg-type]
