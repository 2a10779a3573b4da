"""The two tables of the reference document, with the class and the notebook of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PATTERNS = (
    ("Circuit Breaker", "Cascading failures", "May reject valid requests", "CircuitBreaker", "01_circuit_breaker"),
    ("Retry + Backoff", "Transient failures", "Increased latency", "Retry", "02_retry_and_backoff"),
    ("Bulkhead", "Resource exhaustion", "Limited throughput", "Bulkhead", "03_bulkhead"),
    ("Timeout", "Hanging requests", "May cut valid operations", "Timeout", "04_timeout"),
    ("Fallback", "Complete failure", "Degraded functionality", "Fallback", "05_fallback_and_degradation"),
)
SCENARIOS = (
    ("External service calls", "Circuit Breaker + Retry", "CircuitBreaker, Retry", "06_combined_policy"),
    ("Database connections", "Connection pooling + Timeout", "ConnectionPool, Timeout", "18_pools_and_time_limits"),
    ("Critical vs non-critical ops", "Bulkhead isolation", "Bulkhead", "03_bulkhead"),
    ("Uncertain latency operations", "Timeout", "Timeout", "04_timeout"),
    ("Acceptable degradation", "Fallback", "Fallback", "05_fallback_and_degradation"),
    ("Distributed transactions", "Saga", "Saga", "09_saga"),
    ("Message reliability", "Outbox", "Outbox", "10_outbox"),
)


def pattern_table() -> pd.DataFrame:
    """Return what each pattern protects against, and what it costs.

    Returns:
        A DataFrame with the columns pattern, protection_against, trade_off, class (name
        in `resilab`) and notebook (file in the folder notebooks).

    Example:
        >>> pattern_table().loc[3, ["pattern", "trade_off", "class"]].tolist()
        ['Timeout', 'May cut valid operations', 'Timeout']

    Source: "Pattern Selection" of the reference document. `scorecard` measures it.
    """
    return _frame(("pattern", "protection_against", "trade_off", "class", "notebook"), PATTERNS)


def when_to_use() -> pd.DataFrame:
    """Return which pattern is recommended for which scenario.

    Returns:
        A DataFrame with the columns scenario, recommended_pattern, class (names in
        `resilab`) and notebook (file in the folder notebooks).

    Example:
        >>> when_to_use().loc[6].tolist()
        ['Message reliability', 'Outbox', 'Outbox', '10_outbox.ipynb']

    Source: "When to Use" of the reference document. `scorecard` measures it.
    """
    return _frame(("scenario", "recommended_pattern", "class", "notebook"), SCENARIOS)


def _frame(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([(*row[:-1], f"{row[-1]}.ipynb") for row in rows], columns=list(columns))
