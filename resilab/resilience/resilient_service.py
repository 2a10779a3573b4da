"""ResilientService: one client, several operations, each behind a policy of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy

from ..engine import Steps
from ..events import EventLog
from ..validation import Spec, instance
from .base import LivePolicy, Policy


class ResilientService(Spec):
    """Isolate the operations of a client: what one takes, the others cannot lose.

    Args:
        **policies: A policy for each operation, usually a `Bulkhead`.

    Example:
        >>> from resilab import Bulkhead
        >>> ResilientService(database=Bulkhead(10), external_api=Bulkhead(5), cache=Bulkhead(20))
        ResilientService(database, external_api, cache)

    Source: `ResilientService` of the reference document.
    """

    policies: tuple[tuple[str, Policy], ...]

    def __init__(self, **policies: Policy) -> None:
        if not policies:
            raise ValueError("policies must not be empty, got {}")
        for name, policy in policies.items():
            instance(name, policy, Policy)
        object.__setattr__(self, "policies", tuple(policies.items()))

    def replace(self, **changes: Policy) -> ResilientService:
        return ResilientService(**(dict(self.policies) | changes))

    def __repr__(self) -> str:
        return f"ResilientService({', '.join(name for name, _ in self.policies)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResilientService) and self.policies == other.policies

    def __hash__(self) -> int:
        return hash(self.policies)

    def bind(
        self, env: simpy.Environment, *, seed: int | None = None, log: EventLog | None = None
    ) -> LiveResilientService:
        """Make the live policies; events call them by the operation's name."""
        parts = {name: policy.bind(env, seed=seed, log=log, name=name) for name, policy in self.policies}
        return LiveResilientService(parts)


class LiveResilientService:
    """Live policies by operation.

    Attributes:
        operations: The live policy of each operation.
    """

    def __init__(self, operations: dict[str, LivePolicy]) -> None:
        self.operations = operations

    def execute(self, operation: str, fn: Callable[..., Any], *args: Any) -> Steps:
        """Run `fn(*args)` under the policy of *operation*."""
        if operation not in self.operations:
            raise ValueError(f"operation must be one of {', '.join(self.operations)}, got {operation!r}")
        return self.operations[operation].execute(fn, *args)
