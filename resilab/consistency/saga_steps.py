"""What a saga is made of: its steps, what they share, and how it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engine import Steps
from ..resilience.base import Policy
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..validation import PositiveOrInfinite, Spec

StepFunction = Callable[["SagaContext"], Any]

COMPENSATION_POLICY = ResiliencePolicy(Retry(max_retries=5, initial_delay=0.1, max_delay=5.0), Timeout(5.0))
"""Around each compensation if nothing else is said: arbitrary, and finite, so that a failure shows."""


def nothing_to_undo(context: SagaContext) -> Steps:
    """Compensate a step that changes nothing, for instance one that only reads."""
    yield from ()


@dataclass(frozen=True)
class SagaStep(Spec):
    """One step of a saga and what undoes it.

    Both are generator functions of the `SagaContext`. They may run more than once,
    after a retry or a crash: pass `context.key` to the service as idempotency key, so
    that they take effect once. Its compensation has the same key, and may come when
    the step has had no effect, or before it has one.

    Args:
        name: Unique in the saga; log and frames call it so.
        execute: Does the step: `execute(context)`.
        compensate: Undoes it: `compensate(context)`. None, nothing can undo it, is
            allowed in the last step alone: after it nothing can fail. For a step that
            changes nothing, say `nothing_to_undo`.
        policy: Policies around *execute*, a retry for instance.
        timeout: Seconds that the whole step may take, retries included. None is no limit.
        compensation_policy: Policies around *compensate*. None is that of the saga.

    Source: `SagaStep` of the reference document.
    """

    name: str
    execute: Any
    compensate: Any
    policy: Policy = field(default_factory=ResiliencePolicy)
    timeout: PositiveOrInfinite | None = None
    compensation_policy: Policy | None = None

    def __post_init__(self) -> None:
        for name in ("execute", "compensate"):
            value = getattr(self, name)
            if not callable(value) and not (name == "compensate" and value is None):
                raise TypeError(f"{name} of step {self.name!r} must be a generator function, got {value!r}")


class SagaContext:
    """What the steps of one saga share: `context.order_id`, `context.payment_id`, ...

    Steps read and set attributes. After each step they are written to the saga log, so
    they must be values that JSON can hold.

    Attributes:
        saga_id: The saga.
        key: Idempotency key of the step that runs now, the same for its compensation.
    """

    __slots__ = ("_fields", "key", "saga_id")

    def __init__(self, saga_id: str, fields: Mapping[str, Any]) -> None:
        for name, value in (("saga_id", saga_id), ("key", ""), ("_fields", dict(fields))):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(f"the context of {self.saga_id} has no field {name!r}, only {self._fields}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("saga_id", "key"):
            raise AttributeError(f"{name} of a saga context belongs to the saga: use another name")
        self._fields[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field, or *default* if no step has set it."""
        return self._fields.get(name, default)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict."""
        return dict(self._fields)

    def for_step(self, step: str) -> SagaContext:
        """Return a context with the same fields and the key of *step*."""
        other = SagaContext(self.saga_id, {})
        object.__setattr__(other, "_fields", self._fields)
        object.__setattr__(other, "key", f"{self.saga_id}/{step}")
        return other


@dataclass(frozen=True)
class SagaResult:
    """How a saga has ended.

    Attributes:
        success: Whether all steps have completed.
        error: What the failed step said, or None.
        status: "committed", "compensated", or "stuck" if a compensation failed for good.
        saga_id: The saga.
        failed_step: Name of the step that failed, or None.
        completed: Names of the steps that completed, in order.
        compensated: Names of the steps that were undone, in order of undoing.
        failed_compensations: Pairs (step, error) of the compensations that failed for good.
        outcome: Outcome of the failed step as a request has one, "success" without.
        cause: Cause word of it.
        context: The fields of the context at the end.

    Source: `SagaResult` of the reference document.
    """

    success: bool
    error: str | None = None
    status: str = "committed"
    saga_id: str = ""
    failed_step: str | None = None
    completed: tuple[str, ...] = ()
    compensated: tuple[str, ...] = ()
    failed_compensations: tuple[tuple[str, str], ...] = ()
    outcome: str = "success"
    cause: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_stuck(self) -> bool:
        """Whether a compensation failed for good: someone must look at it."""
        return bool(self.failed_compensations)
