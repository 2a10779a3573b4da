"""Scenario: a workload, a dependency and the policies between them, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from ..resilience.base import Policy
from ..resilience.policy import LiveResiliencePolicy, ResiliencePolicy
from ..validation import Count, Positive, Rule, Spec, instance, many, sequence
from .result import Result
from .run import Call, Run, Stream
from .service import Service
from .tiers import below
from .workload import ClosedLoop, Poisson, Workload, duration_of
from .world import World


def _kinds(name: str, value: Any) -> tuple[type[Policy], ...]:
    kinds = (value,) if isinstance(value, type) else sequence(name, value)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, Policy):
            raise TypeError(f"{name} must be kinds of policies, such as CircuitBreaker, got {kind!r}")
    return kinds


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
    workload: Workload | ClosedLoop
    service: Service
    policy: Policy = field(default_factory=ResiliencePolicy)


@dataclass(frozen=True)
class Scenario(World[Result]):
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
        shared: Kinds of policies of which all clients share one: with 50 clients and
            `shared=CircuitBreaker` there is one breaker, and a retry budget for each.

    Example:
        >>> from resilab import Poisson, Retry
        >>> plain = Scenario(Poisson(rate=50), Service(workers=10, latency=0.1), duration=60.0)
        >>> plain.replace(policy=Retry(max_retries=3)).policy.max_retries
        3
    """

    workload: Workload | ClosedLoop | None = None
    service: Service | None = None
    policy: Policy = field(default_factory=ResiliencePolicy)
    duration: Positive | None = None
    clients: Count = 1
    operations: Annotated[tuple[Operation, ...], many(Operation)] = ()
    shared: Annotated[tuple[type[Policy], ...], Rule(_kinds, "kinds of policies")] = ()

    def __post_init__(self) -> None:
        if self.operations:
            self._check_operations()
        else:
            instance("workload", self.workload, (Workload, ClosedLoop))
            instance("service", self.service, Service)
        duration_of(self)

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

    @property
    def services(self) -> tuple[Service, ...]:
        """The services and those that they call, each once, callers first."""
        found: dict[str, Service] = {}
        for part in self.parts:
            for service in below(part.service):
                found.setdefault(service.name, service)
        return tuple(found.values())

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the operations."""
        return tuple(operation.name for operation in self.operations)

    @property
    def load(self) -> tuple[float, float]:
        if self.operations or not isinstance(self.workload, Poisson) or self.service is None:
            return super().load
        rate = self.workload.rate
        return rate * self.service.latency.mean / self.service.workers, rate

    def play(self, seed: int, *, horizon: float | None = None, record: bool = True) -> Result:
        run = Run(self, seed, record, [Stream(part.name, part.workload) for part in self.parts], self.clients)
        each = [self._policies(run, client) for client in range(self.clients)]
        common = self._policies(run, None) if self.shared else each[0]
        run.calls = [self._client_calls(run, own, common) for own in each]
        run.play(horizon)
        return run.result(Result, horizon)

    def _policies(self, run: Run, client: int | None) -> list[LiveResiliencePolicy]:
        """Bind the policies of one client, or of all of them: those around all calls, and those of each operation."""
        own = [client_policy(run, part.policy, client, part.name) for part in self.operations]
        return [client_policy(run, self.policy, client), *own]

    def _client_calls(
        self, run: Run, own: list[LiveResiliencePolicy], common: list[LiveResiliencePolicy]
    ) -> list[Call]:
        """Return a client's call of each operation, through its own policies and those that all share."""
        outer, *inner = (self._joined(mine, ours) for mine, ours in zip(own, common, strict=True))
        calls = []
        for number, part in enumerate(self.parts):
            request: Call = run.bind(part.service).request
            if self.operations:
                request = inner[number].around(request)
            calls.append(outer.around(request))
        return calls

    def _joined(self, own: LiveResiliencePolicy, common: LiveResiliencePolicy) -> LiveResiliencePolicy:
        if not self.shared:
            return own
        pairs = zip(own.parts, common.parts, strict=True)
        own.parts = tuple(ours if isinstance(ours.spec, self.shared) else mine for mine, ours in pairs)
        return own


def client_policy(run: Run, policy: Policy, client: int | None, operation: str = "") -> LiveResiliencePolicy:
    """Bind the policy of one client, or of all clients, around all calls or those of one operation."""
    names = ("" if run.clients == 1 or client is None else f"client_{client}", operation)
    name = "/".join(filter(None, names))
    return ResiliencePolicy(policy).bind(run.env, seed=run.seed, log=run.log, name=name or None)
