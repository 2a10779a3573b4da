"""The errors a call can end with, as one tree.

    ResilienceError
    +-- CallRejectedError            the call was never sent
    |   +-- CircuitOpenError         by a circuit breaker
    |   +-- BulkheadFullError        by a bulkhead
    +-- TimeoutExceededError         the caller stopped waiting (also a built-in TimeoutError)
    +-- ServiceError                 the dependency answered with an error
        +-- ServiceOverloadedError   because its queue was full

SimPy rebuilds an exception that crosses a process border as `type(error)(*error.args)`,
so every class here is made from positional arguments alone.
"""

from __future__ import annotations

from typing import ClassVar

from simpy import Interrupt


class ResilienceError(Exception):
    """Base of every error with which a policy or a dependency ends a call.

    `outcome` is the outcome of a request that ends with this error, and `cause`
    the word by which the `cause` column of the frames names it.
    """

    outcome: ClassVar[str] = "failure"
    cause: ClassVar[str] = "error"


class CallRejectedError(ResilienceError):
    """The call was refused before it was sent: the dependency never saw it."""

    outcome = "rejected"
    cause = "rejected"


class CircuitOpenError(CallRejectedError):
    """The circuit breaker is open, or has no half-open place left."""

    cause = "circuit_open"


class BulkheadFullError(CallRejectedError):
    """The bulkhead has no permit, and no place in its wait queue or no patience left."""

    cause = "bulkhead_full"


class TimeoutExceededError(ResilienceError, TimeoutError):
    """The call took longer than its limit; the caller has gone."""

    outcome = "timeout"
    cause = "timeout"


class ServiceError(ResilienceError):
    """The dependency answered with an error."""

    cause = "service_error"


class ServiceOverloadedError(ServiceError):
    """The dependency's queue is full: it answered at once, without doing the work."""

    outcome = "rejected"
    cause = "queue_full"


class NotAGeneratorError(TypeError):
    """What `execute` was given is not a generator function: a mistake in the model.

    No policy handles it, so that a retry or a fallback cannot hide it.
    """


class UnfinishedRunError(RuntimeError):
    """A run would never end: some requests stay open. The message says which and why."""


NEVER_HANDLED = (Interrupt, NotAGeneratorError, UnfinishedRunError)
"""Errors that every policy lets through before it looks at anything else:
a cancellation is not a failure, and a mistake in the model must be seen."""
