"""Services that call services: a worker is held while the call below runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, NamedTuple

import simpy

from ..engine import Gone, Request, Steps, caller_has_gone, interrupt, start
from ..errors import NEVER_HANDLED, DownstreamError, ServiceError, cause_of
from ..events import EventLog
from ..randomness import KeyedDraws, uniform
from ..resilience.base import Policy
from ..resilience.deadline import Deadline
from ..resilience.policy import ResiliencePolicy
from ..validation import Ratio, Spec, instance, many
from .records import CANCELLED, AttemptColumns, Causes
from .service import _QUEUED, _RUNNING, Job, LiveService, Service

_DEPTH = 64
"""Time limits of each tier expire after those of the tier above, at one instant."""


@dataclass(frozen=True)
class Downstream(Spec):
    """A call that a service makes for each call it serves.

    Args:
        service: What it calls.
        policy: The policies around the call, state of its own for each caller.
        share: Share of the served calls that make it, from 0 to 1.
    """

    service: Service
    policy: Policy = field(default_factory=ResiliencePolicy)
    share: Ratio = 1.0


@dataclass(frozen=True)
class Tier(Service):
    """A service that calls other services, and holds its worker meanwhile.

    It does its own work first, then makes its *calls* one after the other. If one fails,
    the tier answers with `DownstreamError`. If a fallback answers one, the whole request
    counts as degraded. A deadline that came with the request cuts off all of it.

    With n retries at each of k tiers and a leaf that fails with probability p, the leaf
    is called (1 - p^((n+1)^k)) / (1 - p) times for each request.

    Args:
        calls: `Downstream` calls, in order. The other arguments are those of `Service`.

    Example:
        >>> from resilab import Retry, Scenario, Steady, simulate
        >>> leaf = Service(workers=100, latency=0.01, failure_rate=1.0, name="leaf")
        >>> api = Tier(workers=100, latency=0.01, name="api", calls=(Downstream(leaf, Retry(max_retries=3)),))
        >>> result = simulate(Scenario(Steady(rate=1), api, policy=Retry(max_retries=3), duration=1.0))
        >>> result.attempts["service"].value_counts().to_dict()
        {'leaf': 16, 'api': 4}
    """

    calls: Annotated[tuple[Downstream, ...], many(Downstream)] = ()

    def __post_init__(self) -> None:
        services: dict[str, Service] = {}
        for service in below(self):
            if services.setdefault(service.name, service) != service:
                raise ValueError(f"services must have different names, got two called {service.name!r}")

    def downstream(self) -> tuple[Downstream, ...]:
        return self.calls

    def bind(
        self,
        env: simpy.Environment,
        *,
        seed: int = 0,
        attempts: AttemptColumns | None = None,
        causes: Causes | None = None,
    ) -> LiveTier:
        """Make the live tier in *env*; `connect` then joins it to the live services below."""
        return LiveTier(self, env, seed, attempts, causes or Causes())


def below(service: Service) -> Iterator[Service]:
    """Yield a service and all that it calls, each caller before those it calls."""
    yield service
    for call in service.downstream():
        yield from below(call.service)


def chain(*services: Service, policy: Policy | None = None) -> Service:
    """Return services that call one another: the first calls the second, and so on.

    Args:
        *services: From the top to the leaf, with different names.
        policy: The policy around each call from one to the next.

    Example:
        >>> top = chain(Service(9, 0.1, name="a"), Service(9, 0.1, name="b"), Service(9, 0.1, name="c"))
        >>> [service.name for service in below(top)]
        ['a', 'b', 'c']
    """
    if not services:
        raise ValueError("services must not be empty, got ()")
    for service in services:
        instance("services", service, Service)
    if policy is not None:
        instance("policy", policy, Policy)
    *above, leaf = services
    result = leaf
    for service in reversed(above):
        values = {field.name: getattr(service, field.name) for field in fields(Service)}
        result = Tier(**values, calls=(*service.downstream(), Downstream(result, policy or ResiliencePolicy())))
    return result


class BelowRequest(Request):
    """A request on its way from one service to the next.

    Sends and backoffs are counted for each service and request, so that what one tier
    does never shifts the luck of another.

    Args:
        above: The request of the call that is being served.
        service: Name of the service that is called.
        deadline: When it has to be done.
    """

    def __init__(self, above: Request, service: str, deadline: float) -> None:
        self.above = above
        self.root: Request = getattr(above, "root", above)
        self._counts: dict[str, int] = self.root.__dict__.setdefault("counts", {})
        self._sends = f"{service}/sends"
        self._backoffs = f"{service}/backoffs"
        self._has_abandoned = False
        self.id = above.id
        self.key = above.key
        self.deadline = deadline

    @property
    def sends(self) -> int:
        """How many times the request was sent to the service, by whomever."""
        return self._counts.get(self._sends, 0)

    @sends.setter
    def sends(self, value: int) -> None:
        self._counts[self._sends] = value

    @property
    def backoffs(self) -> int:
        """How many times a retry has waited to send it to the service."""
        return self._counts.get(self._backoffs, 0)

    @backoffs.setter
    def backoffs(self, value: int) -> None:
        self._counts[self._backoffs] = value

    @property
    def has_abandoned(self) -> bool:
        """Whether somebody above has gone."""
        return self._has_abandoned or self.above.has_abandoned

    @has_abandoned.setter
    def has_abandoned(self, value: bool) -> None:
        self._has_abandoned = value


class _Call(NamedTuple):
    """A live call to a service below."""

    name: str
    run: Callable[[], Steps]
    share: float
    needs: KeyedDraws


class LiveTier(LiveService):
    """A tier in an environment: `yield from tier.request()`."""

    spec: Tier

    def __init__(
        self, spec: Tier, env: simpy.Environment, seed: int, attempts: AttemptColumns | None, causes: Causes
    ) -> None:
        super().__init__(spec, env, seed, attempts, causes)
        self._seed = seed
        self._causes = causes
        self._calls: list[_Call] = []
        self._tasks: dict[Job, Any] = {}
        self._due: dict[Job, float] = {}  # deadlines of queued calls
        self._deadline = Deadline().bind(env, depth=_DEPTH)

    def connect(
        self, service: Any, policy: Policy, log: EventLog | None = None, level: int = 1, share: float = 1.0
    ) -> None:
        """Let each call that is served call *service* under *policy*.

        Args:
            service: A live service.
            policy: A spec; the tier makes its own live policy.
            log: Where the policy writes what happens.
            level: How many tiers are above; orders time limits that pass at one instant.
            share: Share of the served calls that make it.
        """
        name = f"{self.spec.name}/{service.spec.name}"
        depth = _DEPTH * level
        self._deadline = Deadline().bind(self.env, depth=depth)
        live = ResiliencePolicy(policy).bind(self.env, seed=self._seed, log=log, name=name, depth=depth + 1)
        needs = KeyedDraws(self._seed, f"{name}/share", uniform)
        self._calls.append(_Call(service.spec.name, live.around(service.request), share, needs))

    def _submit(self, process: Any, request: Request) -> Job:
        job = super()._submit(process, request)
        if job.state == _QUEUED:
            self._due[job] = request.deadline
        return job

    def _start(self, job: Job, now: float) -> None:
        job.state = _RUNNING
        job.started = now
        request = BelowRequest(job.request, self.spec.name, self._due.pop(job, job.request.deadline))
        request.has_abandoned = job.left >= 0
        self._tasks[job] = None
        task: Any = start(self.env, self._serve(job), request, job.process)
        task.abandoned_at = job.left
        if job in self._tasks:
            self._tasks[job] = task

    def _serve(self, job: Job) -> Steps:
        try:
            yield from self._deadline.run(self._work, job)
        except simpy.Interrupt:
            if job not in self._tasks:
                return  # it was cancelled
            raise
        except NEVER_HANDLED:
            raise
        except Exception as error:
            job.fail_with(error)
        self._tasks.pop(job, None)
        self.env.schedule(job)

    def _work(self, job: Job) -> Steps:
        key, send = job.request.key, job.send - 1
        rate = self._failure_rate
        fails = rate > 0 and (rate >= 1 or self._failure(key, send) < rate)
        latency = (self._failure_latency or self._latency) if fails else self._latency
        seconds = latency(key, send) * self._factor
        if self._slows:
            seconds = self._slowed(seconds, self.env.now)
        if seconds:
            yield self.env.timeout(seconds)
        if fails:
            raise ServiceError(f"{self.spec.name} failed")
        process: Any = self.env.active_process
        own = process.request
        for call in self._calls:
            if call.share < 1 and call.needs(key, send) >= call.share:
                continue
            process.request = request = BelowRequest(job.request, call.name, own.deadline)
            try:
                yield from call.run()
            except NEVER_HANDLED:
                raise
            except Exception as error:
                raise DownstreamError(f"{self.spec.name}: {error}") from error
            finally:
                process.request = own
            if request.handled is not None and not (own.has_abandoned and caller_has_gone(process) >= 0):
                job.request.handled = request.handled

    def _inside(self) -> list[Job]:
        return [*super()._inside(), *(job for job in self._tasks if job.state == _RUNNING)]

    def _failure_cause(self, job: Job) -> int:
        error: Any = job.value
        return self._causes.code(cause_of(error))  # of what failed below

    def _leave(self, job: Job) -> None:
        super()._leave(job)
        task = self._tasks.get(job)
        if task is not None:  # it runs on for nobody
            task.abandoned_at = self.env.now
            task.request.has_abandoned = True

    def _discard(self, job: Job) -> None:
        super()._discard(job)
        self._due.pop(job, None)
        task = self._tasks.pop(job, None)
        if task is not None:
            is_loser = job.gone is not None and job.gone[0] == CANCELLED
            interrupt(task, Gone("hedge" if is_loser else "cancelled"))
