"""The errors a call can end with, as one tree.

    ResilienceError
    +-- CallRejectedError            the call was never sent
    |   +-- CircuitOpenError         by a circuit breaker
    |   +-- BulkheadFullError        by a bulkhead
    |   +-- RateLimitedError         by a rate limiter
    |   +-- ThrottledError           by an adaptive throttle
    |   +-- PoolTimeoutError         by a connection pool that had no connection in time
    |   +-- PoolClosedError          by a connection pool that is closed
    |   +-- NoReplicaError           by a load balancer that has no ready replica
    +-- TimeoutExceededError         the caller stopped waiting (also a built-in TimeoutError)
    +-- UnwantedResultError          the call returned a value that is no answer
    +-- ServiceError                 the dependency answered with an error
        +-- ServiceOverloadedError   because its queue was full
        +-- DeclinedError            because its business says no
        +-- DownstreamError          because a service that it calls did not answer well
        +-- StatusError              with a status code that counts as a failure
        +-- BrokerUnavailableError   because the message broker is down
        +-- ReplicaRefusedError      because the replica takes no calls
        +-- ReplicaLostError         because its container ended

SimPy rebuilds an exception that crosses a process border as `type(error)(*error.args)`,
so every class here is made from positional arguments alone.
"""

from __future__ import annotations

from typing import ClassVar

from simpy import Interrupt

from .validation import non_negative

__all__ = [
    "NEVER_HANDLED",
    "AcknowledgementError",
    "BrokerUnavailableError",
    "BulkheadFullError",
    "CallRejectedError",
    "Cancellation",
    "CircuitOpenError",
    "ConsumerCrashError",
    "DeclinedError",
    "DownstreamError",
    "NestedTransactionError",
    "NoReplicaError",
    "NotAGeneratorError",
    "PoolClosedError",
    "PoolTimeoutError",
    "RateLimitedError",
    "ReplicaLostError",
    "ReplicaRefusedError",
    "ResilienceError",
    "ServiceError",
    "ServiceOverloadedError",
    "StatusError",
    "ThrottledError",
    "TimeoutExceededError",
    "UnfinishedRunError",
    "UnknownTopicError",
    "UnwantedResultError",
    "cause_of",
    "outcome_of",
]


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


class RateLimitedError(CallRejectedError):
    """The rate limiter has no permit in time."""

    cause = "rate_limited"


class ThrottledError(CallRejectedError):
    """The client rejected its own call, because the dependency rejects too many."""

    cause = "throttled"


class PoolTimeoutError(CallRejectedError):
    """No connection of the pool became free in time."""

    cause = "pool_timeout"


class PoolClosedError(CallRejectedError):
    """The connection pool is closed."""

    cause = "pool_closed"


class NoReplicaError(CallRejectedError):
    """The load balancer has no replica that is ready."""

    cause = "no_replica"


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


class DownstreamError(ServiceError):
    """The dependency could not answer because a call of its own failed."""

    cause = "downstream_error"


class StatusError(ServiceError):
    """The dependency answered with a status code that counts as a failure.

    Args:
        status: The code: a number for REST, a word for gRPC.
        message: What the answer says.
    """

    def __init__(self, status: int | str, message: str = "") -> None:
        super().__init__(status, message)
        self.status = status
        self.cause = f"status_{str(status).lower()}"  # type: ignore[misc]

    def __str__(self) -> str:
        return f"{self.status} {self.args[1]}".rstrip()


class BrokerUnavailableError(ServiceError):
    """The message broker is down: the message was not stored."""

    cause = "broker_unavailable"


class ConsumerCrashError(Exception):
    """Raise it in a message handler to let its consumer die there.

    Args:
        message: Why.
        restart_after: Seconds until the consumer is back; infinity is never.
    """

    def __init__(self, message: str = "consumer crashed", restart_after: float = 0.0) -> None:
        super().__init__(message, restart_after)
        self.restart_after = non_negative("restart_after", restart_after, allow_infinite=True)


class DeclinedError(ServiceError):
    """The dependency understood the call and said no: out of stock, card refused.

    It had no effect, and asking again does not help.
    """

    outcome = "rejected"
    cause = "declined"


class NestedTransactionError(RuntimeError):
    """A process began a transaction inside its own transaction: a mistake in the model.

    No policy handles it.
    """


class ReplicaRefusedError(ServiceError):
    """The replica takes no calls: its container is down, starting, or stopping."""

    cause = "connection_refused"


class ReplicaLostError(ServiceError):
    """The container of the replica ended during the call."""

    cause = "connection_lost"


class UnwantedResultError(ResilienceError):
    """The call returned a value that a fallback does not take for an answer."""

    cause = "unwanted_result"


class NotAGeneratorError(TypeError):
    """What `execute` was given is not a generator function: a mistake in the model.

    No policy handles it, so that a retry or a fallback cannot hide it.
    """


class UnknownTopicError(LookupError):
    """The message broker has no such topic: a mistake in the model."""


class AcknowledgementError(RuntimeError):
    """A delivery was acknowledged, or refused, twice: a mistake in the consumer."""


class UnfinishedRunError(RuntimeError):
    """A run would never end: some requests stay open. The message says which and why."""


class Cancellation:
    """The cause of every interrupt with which resilab stops work that nobody waits for any more.

    Work of your own that catches `simpy.Interrupt`, as preemption does, must let these pass:

        except simpy.Interrupt as signal:
            if isinstance(signal.cause, Cancellation):
                raise
    """

    __slots__ = ()


NEVER_HANDLED = (
    Interrupt,
    NestedTransactionError,
    NotAGeneratorError,
    UnknownTopicError,
    AcknowledgementError,
    UnfinishedRunError,
)
"""Errors that every policy lets through before it looks at anything else:
a cancellation is not a failure, and a mistake in the model must be seen."""


def outcome_of(error: BaseException) -> str:
    """Return the outcome of a request that ends with *error*: what no policy knows is a failure."""
    return error.outcome if isinstance(error, ResilienceError) else ResilienceError.outcome


def cause_of(error: BaseException) -> str:
    """Return the word by which the frames name *error*."""
    return error.cause if isinstance(error, ResilienceError) else type(error).__name__
