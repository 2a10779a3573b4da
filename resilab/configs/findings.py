"""What `lint` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..resilience.policy import ResiliencePolicy

if TYPE_CHECKING:
    import pandas as pd

ERROR, WARNING, HINT = "error", "warning", "hint"


@dataclass(frozen=True, eq=False)
class Finding:
    """Values that are wrong together.

    Attributes:
        rule: Its name, such as "minimum_never_reached".
        severity: "error" (it cannot do what it is for), "warning" (it does harm in some
            situations) or "hint".
        message: One sentence, with the numbers.
        numbers: The numbers by name; times in seconds.
        mended: The policy with the line mended, or None where the mending is elsewhere.
        evidence: The scenario as it is and mended: success rate, with an objective the
            share answered in time, p50, p99 of all, calls per request; means of 5 runs
            under the same luck. None without a scenario or
            without a mended policy.
    """

    rule: str
    severity: str
    message: str
    numbers: Mapping[str, float]
    mended: ResiliencePolicy | None = None
    evidence: pd.DataFrame | None = None

    def __str__(self) -> str:
        return f"{self.severity}: {self.rule}: {self.message}"


class Findings(tuple[Finding, ...]):
    """What `lint` has found, the gravest first; `frame` shows it as a table."""

    __slots__ = ()

    @property
    def frame(self) -> pd.DataFrame:
        """One row a finding: rule, severity, message, numbers, evidence."""
        import pandas as pd

        columns = ["rule", "severity", "message", "numbers", "evidence"]
        return pd.DataFrame([[getattr(each, name) for name in columns] for each in self], columns=columns)

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing found"
