"""Saga: a chain of local transactions, each with a compensation that undoes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Any

import simpy

from ..engine import Steps
from ..errors import TimeoutExceededError
from ..events import EventLog
from ..resilience.base import Policy
from ..resilience.filters import ErrorFilter, error_filter
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..validation import PositiveOrInfinite, Spec, flag, instance, ratio, sequence, whole

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


@dataclass(frozen=True, init=False)
class Saga(Spec):
    """Steps that are executed in order, and compensated in reverse order when one fails.

    With success probabilities p_i, all steps commit with probability p_1 p_2 ... p_n;
    if step i fails, the i - 1 before it are compensated.

    A step is *in doubt* when it has failed and may have taken effect all the same, or
    may do so later: its caller stopped waiting. It is compensated, too.

    A compensation that fails for good does not stop the others. The saga ends *stuck*,
    its log and its result say where, and `repair` tries again.

    Args:
        *steps: `SagaStep` values, the first first.
        compensation_policy: Policies around each compensation of a step that has none
            of its own. By default 5 retries and a timeout of 5 s each.
        doubtful_errors: Errors of `execute` after which it may have taken effect: error
            class, tuple of classes, or predicate. A time limit by default; `Exception`
            compensates every failed step.
        compensate_doubt: False takes every failed step for one without effect, as the
            snippet of the reference does: what happens later is never undone.
        name: What events and ids call it.

    Example:
        >>> env = simpy.Environment()
        >>> def step(name, error=None):
        ...     def run(context):
        ...         yield env.timeout(1)
        ...         print(env.now, name)
        ...         if error:
        ...             raise error
        ...     return run
        >>> saga = Saga(
        ...     SagaStep("reserve", step("reserve"), step("release")),
        ...     SagaStep("charge", step("charge", ValueError("card refused")), step("refund")),
        ... ).bind(env)
        >>> process = env.process(saga.execute({"order_id": 1}))
        >>> result = env.run(process)
        1 reserve
        2 charge
        3 release
        >>> result.success, result.error
        (False, 'card refused')

    Source: `CreateOrderSaga` of the reference document; H. Garcia-Molina and K. Salem,
    "Sagas", 1987.
    """

    steps: tuple[SagaStep, ...]
    compensation_policy: Policy
    doubtful_errors: ErrorFilter
    compensate_doubt: bool
    name: str

    def __init__(
        self,
        *steps: SagaStep,
        compensation_policy: Policy = COMPENSATION_POLICY,
        doubtful_errors: ErrorFilter = TimeoutExceededError,
        compensate_doubt: bool = True,
        name: str = "saga",
    ) -> None:
        if not steps:
            raise ValueError("steps must not be empty, got ()")
        names = [instance("steps", step, SagaStep).name for step in steps]
        for step in steps[:-1]:
            if step.compensate is None:
                raise ValueError(
                    f"compensate of step {step.name!r} must be a generator function, got None:"
                    " only the last step can do without; say nothing_to_undo if it changes nothing"
                )
        if len(set(names)) < len(names):
            raise ValueError(f"steps must have different names, got {names}")
        instance("compensation_policy", compensation_policy, Policy)
        error_filter("doubtful_errors", doubtful_errors)
        for field_name, value in (
            ("steps", steps),
            ("compensation_policy", compensation_policy),
            ("doubtful_errors", doubtful_errors),
            ("compensate_doubt", flag("compensate_doubt", compensate_doubt)),
            ("name", instance("name", name, str)),
        ):
            object.__setattr__(self, field_name, value)

    def replace(self, **changes: Any) -> Saga:
        fields = {each.name: getattr(self, each.name) for each in fields_of(self)} | changes
        return Saga(*sequence("steps", fields.pop("steps")), **fields)

    def bind(
        self, env: simpy.Environment, *, saga_log: Any = None, seed: int | None = None, log: EventLog | None = None
    ) -> Any:
        """Make an orchestrator of this saga in *env*: a `LiveSaga`.

        Args:
            env: Any `simpy.Environment`.
            saga_log: A live `SagaLog` that outlives the orchestrator. None makes a new
                one, in which writing takes no time.
            seed: Seed of its policies.
            log: Where to write events. None writes nothing.
        """
        from .orchestrator import LiveSaga
        from .saga_log import SagaLog

        return LiveSaga(self, env, SagaLog().bind(env) if saga_log is None else saga_log, seed, log)


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


def expected_saga(
    success: Iterable[float], compensation: Iterable[float] | None = None, tries: int | None = 1
) -> dict[str, float]:
    """Return by theory how sagas end, for steps that fail independently.

    Args:
        success: Probability of success of each step, in order.
        compensation: Probability of success of one try of each compensation. None never fails.
        tries: Tries that a compensation has; None is no limit.

    Returns:
        Probabilities p_commit, p_compensated and p_stuck, and means mean_compensations
        and mean_forward_steps.

    Example:
        >>> round(expected_saga([0.9, 0.95, 0.99])["p_commit"], 5)
        0.84645
    """
    steps = [ratio("success", each) for each in sequence("success", success)]
    chances = [1.0] * len(steps)
    if compensation is not None:
        chances = [ratio("compensation", each) for each in sequence("compensation", compensation)]
    if len(chances) != len(steps):
        raise ValueError(f"compensation must be as long as success, {len(steps)}, got {len(chances)}")
    if tries is not None:
        whole("tries", tries, minimum=1)
    reached, undone, stuck, compensations, forward = 1.0, 1.0, 0.0, 0.0, 0.0
    for index, (p, chance) in enumerate(zip(steps, chances, strict=True)):
        forward += reached
        compensations += reached * (1 - p) * index
        stuck += reached * (1 - p) * (1 - undone)
        undone *= 1.0 if tries is None else 1 - (1 - chance) ** tries
        reached *= p
    return {
        "p_commit": reached,
        "p_compensated": 1 - reached - stuck,
        "p_stuck": stuck,
        "mean_compensations": compensations,
        "mean_forward_steps": forward,
    }
