"""Saga: a chain of local transactions, each with a compensation that undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any

import simpy

from ..errors import TimeoutExceededError
from ..events import EventLog
from ..resilience.base import Policy
from ..resilience.filters import ErrorFilter, error_filter
from ..validation import Spec, flag, instance, sequence
from .orchestrator import LiveSaga
from .saga_log import SagaLog
from .saga_steps import COMPENSATION_POLICY, SagaStep


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
        if isinstance(steps[0], list | tuple):
            raise TypeError(f"steps are given one by one, as in Saga(*steps), got a {type(steps[0]).__name__}")
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
    ) -> LiveSaga:
        """Make an orchestrator of this saga in *env*.

        Args:
            env: Any `simpy.Environment`.
            saga_log: A live `SagaLog` that outlives the orchestrator. None makes a new
                one, in which writing takes no time.
            seed: Seed of its policies.
            log: Where to write events. None writes nothing.
        """
        return LiveSaga(self, env, SagaLog().bind(env) if saga_log is None else saga_log, seed, log)
