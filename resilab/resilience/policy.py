"""ResiliencePolicy: several policies around one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..engine import Steps
from ..validation import instance, sequence
from .base import LivePolicy, Place, Policy, generator_function
from .bulkhead import Bulkhead
from .circuit_breaker import CircuitBreaker
from .fallback import Fallback
from .likeness import like
from .retry import Retry
from .timeout import Timeout

MOST = 100
"""Policies around one call at most: each is a generator inside another."""


@dataclass(frozen=True, init=False)
class ResiliencePolicy(Policy["LiveResiliencePolicy"]):
    """Policies around one call, the outermost first: reading order is nesting order.

    The order matters: a bulkhead outside a retry holds its permit during backoff, a
    timeout outside a retry limits all attempts together, and a fallback inside a
    retry hides every failure from it.

    Args:
        *policies: Policies of any kind, in any order, at most 100, other
            ResiliencePolicies among them. None at all is a call without protection.

    Example:
        >>> policy = ResiliencePolicy().with_timeout(5.0).with_retry(max_retries=3).with_bulkhead(10)
        >>> policy == ResiliencePolicy(Timeout(5.0), Retry(max_retries=3), Bulkhead(10))
        True
        >>> ResiliencePolicy(Fallback("cached page"), Timeout(1.0))
        ResiliencePolicy(
            Fallback('cached page'),
              Timeout(seconds=1.0, cancel=True),
        )

    Source: `ResiliencePolicy` of the reference document.
    """

    policies: tuple[Policy, ...]

    def __init__(self, *policies: Policy) -> None:
        for policy in policies:
            instance("policies", policy, Policy)
        object.__setattr__(self, "policies", policies)
        if len(self.flat()) > MOST:
            raise ValueError(f"policies must be at most {MOST}, one inside the other, got {len(self.flat())}")

    def replace(self, **changes: Any) -> ResiliencePolicy:
        return ResiliencePolicy(*sequence("policies", changes.pop("policies", self.policies)), **changes)

    def __repr__(self) -> str:
        if not self.policies:
            return "ResiliencePolicy()"
        lines = []
        for depth, policy in enumerate(self.policies):
            text = repr(policy).replace("\n", "\n" + "  " * (depth + 2))
            lines.append("  " * (depth + 2) + text + ",\n")
        return "ResiliencePolicy(\n" + "".join(lines) + ")"

    def __iter__(self) -> Iterator[Policy]:
        return iter(self.policies)

    @property
    def default_name(self) -> str:
        return "policy"

    def flat(self) -> tuple[Policy, ...]:
        """Return the policies with those inside other ResiliencePolicies in their places."""
        return tuple(
            part
            for policy in self.policies
            for part in (policy.flat() if isinstance(policy, ResiliencePolicy) else (policy,))
        )

    @classmethod
    def like(cls, library: str, **options: Any) -> ResiliencePolicy:
        """Return the policies that a library puts around each other by itself.

        Args:
            library: "microsoft" (the standard handler of .NET), "envoy" (a route and its
                cluster) or "spring_cloud".
            **options: The library's own parameters; its module in `resilab.profiles`
                lists them.

        Example:
            >>> [type(policy).__name__ for policy in ResiliencePolicy.like("microsoft")]
            ['Bulkhead', 'Timeout', 'Retry', 'CircuitBreaker', 'Timeout']
        """
        return like(cls, "policy", library, options)

    def with_policy(self, policy: Policy) -> ResiliencePolicy:
        """Return a new value with *policy* inside what is already there."""
        return ResiliencePolicy(*self.policies, policy)

    def with_timeout(self, seconds: float, **options: Any) -> ResiliencePolicy:
        """Return a new value with a `Timeout` inside."""
        return self.with_policy(Timeout(seconds, **options))

    def with_retry(self, *args: Any, **options: Any) -> ResiliencePolicy:
        """Return a new value with a `Retry` inside."""
        return self.with_policy(Retry(*args, **options))

    def with_circuit_breaker(self, *args: Any, **options: Any) -> ResiliencePolicy:
        """Return a new value with a `CircuitBreaker` inside."""
        return self.with_policy(CircuitBreaker(*args, **options))

    def with_bulkhead(self, max_concurrent: int, **options: Any) -> ResiliencePolicy:
        """Return a new value with a `Bulkhead` inside."""
        return self.with_policy(Bulkhead(max_concurrent, **options))

    def with_fallback(self, *levels: Any, **options: Any) -> ResiliencePolicy:
        """Return a new value with a `Fallback` inside."""
        return self.with_policy(Fallback(*levels, **options))

    def live(self, place: Place) -> LiveResiliencePolicy:
        """Make live policies, each with state of its own.

        A kind that occurs again gets a number: "retry", "retry_2".
        """
        seen: Counter[str] = Counter()
        parts = []
        for number, policy in enumerate(self.flat()):
            kind = policy.default_name
            seen[kind] += 1
            name = f"{place.prefix}{kind}" + (f"_{seen[kind]}" if seen[kind] > 1 else "")
            # Retries share a stream, since a request counts its backoffs: one that never retries shifts no luck.
            stream = f"{place.prefix}retry" if isinstance(policy, Retry) else ""
            own = place._replace(name=name, depth=place.depth + number, prefix=f"{name}/", stream=stream)
            parts.append(policy.live(own))
        return LiveResiliencePolicy(self, place, tuple(parts))


class LiveResiliencePolicy(LivePolicy):
    """Live policies around one call.

    Attributes:
        parts: The live policies, the outermost first.
    """

    def __init__(self, spec: ResiliencePolicy, place: Place, parts: tuple[LivePolicy, ...]) -> None:
        super().__init__(spec, place)
        self.parts = parts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {', '.join(part.name for part in self.parts) or 'no policies'}>"

    def run(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        return self.around(fn)(*args)

    def around(self, fn: Callable[..., Any]) -> Callable[..., Steps]:
        """Return *fn* with the policies around it, linked once for many calls."""
        call = generator_function(fn)
        for part in reversed(self.parts):
            call = partial(part.run, call)
        return call


def compose(*parts: LivePolicy) -> LiveResiliencePolicy:
    """Put live policies around each other, the outermost first.

    Use it when calls share some state and not all: one breaker for a dependency, a
    bulkhead for each kind of request.

    Args:
        *parts: What `bind(env)` has made, at least one.

    Example:
        >>> import simpy
        >>> env = simpy.Environment()
        >>> breaker = CircuitBreaker().bind(env)
        >>> compose(Bulkhead(10).bind(env, name="reads"), breaker)
        <LiveResiliencePolicy 'policy': reads, circuit_breaker>
    """
    if not parts:
        raise ValueError("parts must not be empty, got ()")
    for part in parts:
        instance("parts", part, LivePolicy)
        if part.env is not parts[0].env:
            raise ValueError(f"parts must be bound in one environment, got {part!r} of another")
    spec = ResiliencePolicy()
    return LiveResiliencePolicy(spec, Place(parts[0].env, None, None, spec.default_name), parts)
