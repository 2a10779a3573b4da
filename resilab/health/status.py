"""What a health check answers, and what many answers say of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from ..validation import NonNegative, Rule, Spec, one_of


class Health(StrEnum):
    """The three things a health check can say."""

    HEALTHY = "healthy"
    """All is well."""
    DEGRADED = "degraded"
    """It works, and less well than it should."""
    UNHEALTHY = "unhealthy"
    """It does not work."""


_WORDS = tuple(word.value for word in Health)


def _health(name: str, value: Any) -> Health:
    return Health(one_of(name, value, _WORDS))


@dataclass(frozen=True)
class HealthStatus(Spec):
    """The answer of one health check.

    Args:
        status: "healthy", "degraded" or "unhealthy".
        details: Anything that helps whoever reads it.
        duration: Simulated seconds that the check took; the registry fills it in.

    Example:
        >>> HealthStatus("degraded", {"queue": 12}).status
        <Health.DEGRADED: 'degraded'>

    Source: `HealthStatus` of the reference document.
    """

    status: Annotated[Health | str, Rule(_health, "a word of Health")] = Health.HEALTHY
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    duration: NonNegative | None = None


@dataclass(frozen=True)
class SystemHealth(Spec):
    """What all checks together say.

    Attributes:
        status: The health of the whole, see `overall`.
        checks: The `HealthStatus` of each check, by name.
        duration: Simulated seconds that all checks together took.

    Source: `SystemHealth` of the reference document.
    """

    status: Annotated[Health | str, Rule(_health, "a word of Health")] = Health.HEALTHY
    checks: Mapping[str, HealthStatus] = field(default_factory=dict, hash=False)
    duration: NonNegative | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "checks", MappingProxyType(dict(self.checks)))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy does not pickle
        return SystemHealth, (self.status, dict(self.checks), self.duration)

    @property
    def http_code(self) -> int:
        """What an HTTP endpoint answers: 503 if unhealthy, else 200."""
        return 503 if self.status is Health.UNHEALTHY else 200


def overall(checks: Iterable[tuple[Health | str, bool]]) -> Health:
    """Return the health of the whole from pairs of (status, is it critical).

    | a critical check | any other check | the whole | HTTP |
    |---|---|---|---|
    | healthy | healthy | healthy | 200 |
    | healthy | degraded or unhealthy | degraded | 200 |
    | degraded | any | degraded | 200 |
    | unhealthy | any | unhealthy | 503 |

    No checks at all are healthy.

    Example:
        >>> overall([("healthy", True), ("unhealthy", False)])
        <Health.DEGRADED: 'degraded'>
    """
    worst = Health.HEALTHY
    for status, is_critical in checks:
        one_of("status", status, _WORDS)
        if status == Health.UNHEALTHY and is_critical:
            return Health.UNHEALTHY
        if status != Health.HEALTHY:
            worst = Health.DEGRADED
    return worst
