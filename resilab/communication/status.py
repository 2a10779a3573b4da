"""Status codes of REST and gRPC: what is a failure, what is worth another try."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import CallRejectedError, ServiceOverloadedError, StatusError, TimeoutExceededError
from ..validation import Spec

Status = int | str

GRPC_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The status codes of gRPC, in the order of their numbers."""


@dataclass(frozen=True)
class Protocol:
    """How a protocol names what has happened, and what clients make of it by default."""

    ok: Status
    overloaded: Status
    timed_out: Status
    broken: Status
    failures: frozenset[Status]
    retried: frozenset[Status]

    def status_of(self, error: Exception) -> Status:
        """Return the code by which a server tells its client of an error."""
        if isinstance(error, StatusError):
            return error.status
        if isinstance(error, TimeoutExceededError):
            return self.timed_out
        if isinstance(error, ServiceOverloadedError | CallRejectedError):
            return self.overloaded
        return self.broken


PROTOCOLS = {
    "rest": Protocol(
        ok=200,
        overloaded=503,
        timed_out=504,
        broken=500,
        failures=frozenset({408, 429, *range(500, 600)}),
        retried=frozenset({408, 429, 502, 503, 504}),
    ),
    "grpc": Protocol(
        ok="OK",
        overloaded="UNAVAILABLE",
        timed_out="DEADLINE_EXCEEDED",
        broken="INTERNAL",
        failures=frozenset(
            {"UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
        ),
        retried=frozenset({"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}),
    ),
}
"""The protocols by name. A request that is wrong in itself (404, NOT_FOUND) is no failure
of the dependency, and asking again would not help it."""


@dataclass(frozen=True)
class Response(Spec):
    """The answer to a call.

    Args:
        status: A number for REST, a word for gRPC.
        body: What it says.

    Example:
        >>> Response(404).is_success
        False
    """

    status: Status
    body: Any = None

    @property
    def is_success(self) -> bool:
        """Whether the code says that all is well: 2xx, or OK."""
        return self.status == "OK" or (isinstance(self.status, int) and 200 <= self.status < 300)

    def raise_for_status(self) -> Response:
        """Return the response if it is a success; else raise `StatusError`."""
        if not self.is_success:
            raise StatusError(self.status, "" if self.body is None else str(self.body))
        return self


def codes(name: str, values: Iterable[Status], protocol: str) -> frozenset[Status]:
    """Return status codes as a set; refuse what the protocol does not have."""
    for value in values:
        is_known = value in GRPC_CODES if protocol == "grpc" else isinstance(value, int) and 100 <= value <= 599
        if not is_known:
            wanted = "gRPC status codes" if protocol == "grpc" else "numbers from 100 to 599"
            raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return frozenset(values)
