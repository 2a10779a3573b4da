"""ServiceClient: calls to another service over a wire, REST or gRPC style, behind a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import simpy

from ..distributions import Law
from ..engine import Request, Steps, request_of
from ..errors import NEVER_HANDLED, StatusError
from ..resilience.base import LivePolicy, Place, Policy, generator_function
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..validation import sequence, word
from .status import PROTOCOLS, Response, Status, codes


@dataclass(frozen=True)
class ServiceClient(Policy["LiveServiceClient"]):
    """Call a service over the wire, and know which answers are failures.

    The wire delays the request and the answer. The answer has a status code: a code of
    *failures* raises `StatusError`, which breakers count and retries see; any other is
    returned, so that a 404 neither opens a breaker nor is asked for again.

    It is a policy: in a scenario it goes around the call of the service. Bound with a
    server it is a client, too: `reply = yield from client.get("/products/7")`.

    Args:
        policy: The policies around each call, outside the wire. A `Retry` among them
            that does not say what it retries gets the rule *retried*.
        protocol: "rest" or "grpc".
        latency: Distribution of the time on the wire each way, or seconds.
        failures: Status codes that count as failures. None is, for REST, 408, 429 and
            5xx; for gRPC UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL,
            UNAVAILABLE, DATA_LOSS.
        retried: Failures that are worth another try. None is, for REST, 408, 429, 502,
            503, 504; for gRPC DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE. Errors
            without a status, such as a time-out of the client's own, are always retried.

    Example:
        >>> env = simpy.Environment()
        >>> def product_service(method, path, body):
        ...     yield env.timeout(0.1)
        ...     return {"name": "Guest book"} if path == "/products/7" else Response(404)
        >>> client = ServiceClient(latency=0.01).bind(env, server=product_service)
        >>> def model():
        ...     reply = yield from client.get("/products/7")
        ...     print(reply, round(env.now, 2))
        ...     reply = yield from client.get("/products/8")
        ...     print(reply.status, reply.is_success)
        >>> _ = env.process(model())
        >>> env.run()
        Response(status=200, body={'name': 'Guest book'}) 0.12
        404 False

    Source: `ProductServiceClient` of the reference document.
    """

    policy: Policy = field(default_factory=ResiliencePolicy)
    protocol: Annotated[str, word(*PROTOCOLS)] = "rest"
    latency: Law = 0.0
    failures: tuple[Status, ...] | None = None
    retried: tuple[Status, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("failures", "retried"):
            values = getattr(self, name)
            if values is not None:
                values = sequence(name, values)
                codes(name, values, self.protocol)
                object.__setattr__(self, name, values)

    def is_failure(self, status: Status) -> bool:
        """Return whether a status code counts as a failure of the service."""
        return status in (PROTOCOLS[self.protocol].failures if self.failures is None else self.failures)

    def is_retryable(self, error: BaseException) -> bool:
        """Return whether an error is worth another try."""
        if not isinstance(error, StatusError):
            return True
        return error.status in (PROTOCOLS[self.protocol].retried if self.retried is None else self.retried)

    def bind(self, env: simpy.Environment, *, server: Any = None, **place: Any) -> LiveServiceClient:
        """Make the live client; see `Policy.bind`.

        Args:
            env: Any `simpy.Environment`.
            server: What `get`, `post` and `call` call: a generator function of (method,
                path, body) or, for gRPC, of (method, message). It returns a `Response`,
                or a body, which is a success; what it raises becomes a status code.
            **place: The other arguments of `Policy.bind`.
        """
        live = super().bind(env, **place)
        live.server = None if server is None else generator_function(server)
        return live

    def live(self, place: Place) -> LiveServiceClient:
        return LiveServiceClient(self, place)

    @property
    def default_name(self) -> str:
        return "client"


class LiveServiceClient(LivePolicy):
    """A service client in an environment.

    Attributes:
        spec: What it was made from.
        policy: The live policies around each call.
        statuses: How many answers had each status code.
    """

    spec: ServiceClient

    def __init__(self, spec: ServiceClient, place: Place) -> None:
        super().__init__(spec, place)
        self.statuses: dict[Status, int] = {}
        self.policy = _with_rule(spec).live(place._replace(prefix=f"{place.name}/"))
        self.server: Any = None
        self._protocol = PROTOCOLS[spec.protocol]
        self._has_wire = spec.latency.mean > 0
        self._wire = place.draws("wire", spec.latency.sample)
        self._calls = 0

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        return self.policy.run(partial(self._exchange, fn), *args)

    def get(self, path: str) -> Steps:
        """Ask for *path*: `reply = yield from client.get("/products/7")`."""
        return self.call("GET", path, None)

    def post(self, path: str, body: Any = None) -> Steps:
        """Send *body* to *path*."""
        return self.call("POST", path, body)

    def call(self, method: str, *message: Any) -> Steps:
        """Call a method of the server and return its `Response`.

        Raises:
            StatusError: The answer's code counts as a failure.
            CircuitOpenError, TimeoutExceededError: And other errors of the policy.
        """
        if self.server is None:
            raise ValueError("server must be given to bind before the client is called")
        answer = yield from self.run(self.server, method, *message)
        return answer if isinstance(answer, Response) else Response(self._protocol.ok, answer)

    def _exchange(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        """Send one call over the wire and return its answer."""
        key, send = self._identity()
        if self._has_wire:
            yield self.env.timeout(self._wire(key, 2 * send))
        failed: Exception | None = None
        answer = None
        try:
            answer = yield from fn(*args)
        except NEVER_HANDLED:
            raise
        except Exception as error:
            failed = error
        if self._has_wire:
            yield self.env.timeout(self._wire(key, 2 * send + 1))
        status = answer.status if isinstance(answer, Response) else self._protocol.ok
        message = str(answer.body or "") if isinstance(answer, Response) else ""
        if failed is not None:
            status = self._protocol.status_of(failed)
            message = str(failed.args[1] if isinstance(failed, StatusError) else failed)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self.spec.is_failure(status):
            raise StatusError(status, message) from failed
        return Response(status, message) if failed is not None else answer

    def _identity(self) -> tuple[int, int]:
        """Return key and send number of this exchange, which name its draws."""
        self._calls += 1
        request: Request | None = request_of(self.env.active_process)
        return (self._calls, 0) if request is None else (request.key, request.sends)


def _with_rule(client: ServiceClient) -> ResiliencePolicy:
    """Return the policies with the client's rule in each retry that has none."""
    parts = [
        part.replace(retryable_errors=client.is_retryable)
        if isinstance(part, Retry) and part.retryable_errors is None
        else part
        for part in ResiliencePolicy(client.policy).flat()
    ]
    return ResiliencePolicy(*parts)
