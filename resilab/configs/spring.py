"""Spring Framework 7: `@Retryable` and `@ConcurrencyLimit`, and Spring Retry's `@Retryable`.

Framework 7 counts retries (maxRetries 3 = 4 calls); Spring Retry counts attempts
(maxAttempts 3 = 3 calls) and puts the wait into `@Backoff`.
"""

from __future__ import annotations

import math
from typing import Any

from ..resilience.bulkhead import Bulkhead
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from . import durations
from .config import MAPPED, Config, Note, Reading, first
from .documents import Node
from .laws import law_of

KIND = "spring"
ADVICE = {
    "CircuitBreaker": "Spring Framework has none; use resilience4j",
    "Timeout": "Spring Framework has none; set it on the HTTP client",
    "Fallback": "catch the error in code",
    "Retry.budget": "Spring has no retry budget",
    "Bulkhead.max_queue": "@ConcurrencyLimit blocks: its queue has no limit",
    "Bulkhead.max_wait": "@ConcurrencyLimit blocks as long as it takes",
}
MS = 0.001
REASONS = {
    "includes": "names Java classes: give retryable_errors the Python classes that play them",
    "excludes": "names Java classes: give retryable_errors a predicate",
    "value": "names Java classes: give retryable_errors the Python classes that play them",
    "retryFor": "names Java classes: give retryable_errors the Python classes that play them",
    "noRetryFor": "names Java classes: give retryable_errors a predicate",
    "predicate": "is Java code: give retryable_errors a predicate",
}
UNITS = {"NANOSECONDS": 1e-9, "MICROSECONDS": 1e-6, "MILLISECONDS": MS, "SECONDS": 1.0, "MINUTES": 60.0,
         "HOURS": 3600.0, "DAYS": 86400.0}  # fmt: skip


def matches(document: Node) -> bool:
    """Whether a method has one of the annotations."""
    return any(node.has("Retryable") or node.has("ConcurrencyLimit") for node in document.fields.values())


def names(document: Node) -> list[str]:
    """Return the methods."""
    return list(document.fields)


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the policy of the method *name*: the retry around the limit."""
    method = document.get(name)
    assert method is not None
    parts: list[Any] = []
    retryable, limit = method.get("Retryable"), method.get("ConcurrencyLimit")
    if retryable is not None:
        parts.append(_retry(retryable, reading))
        reading.drop_rest(retryable, REASONS, "is not an attribute that changes a retry here")
    if limit is not None:
        value = limit.get("value", "limit")
        if value is None:
            limit.refuse("must have a limit, got none")
        else:
            parts.append(Bulkhead.like(KIND, limit=value.whole()))
            reading.note(value, MAPPED, "calls at once; others wait")
    return Config(KIND, name, ResiliencePolicy(*parts), "", tuple(reading.rows))


def _retry(node: Node, reading: Reading) -> Retry:
    attempts, retries = node.get("maxAttempts"), node.get("maxRetries")
    inner = node.get("backoff")
    source = node if inner is None else inner
    count = 3 if attempts is None and inner is None else 2
    if retries is not None:
        count = retries.whole()
        reading.note(retries, MAPPED, "retries after the first call")
    elif attempts is not None:
        count = attempts.whole() - 1
        reading.note(attempts, MAPPED, "calls, the first one included")
    unit = MS
    given = source.get("timeUnit")
    if given is not None:
        unit = _unit(given)
        reading.note(given, MAPPED, "unit of the waits")
    options: dict[str, float | None] = {}
    for key, option, meaning in (
        ("delay", "delay", "wait before the first retry"),
        ("maxDelay", "max_delay", "longest wait"),
        ("jitter", "jitter", "the wait varies by so much to both sides"),
        ("timeout", "timeout", "no retry is begun that would start later after the first call; 0 is no limit"),
    ):
        found = source.get(key)
        if found is not None:
            options[option] = durations.seconds(found, unit)
            reading.note(found, MAPPED, meaning)
    multiplier = source.get("multiplier")
    if multiplier is not None:
        options["multiplier"] = multiplier.number()
        reading.note(multiplier, MAPPED, "growth of the wait")
    options["timeout"] = options.get("timeout") or None
    return Retry.like(KIND, max_retries=count, **options)


def _unit(node: Node) -> float:
    word = node.text().rpartition(".")[2].upper()
    if word not in UNITS:
        node.refuse(f"must be one of {', '.join(UNITS)}, got {node.value!r}")
    return UNITS[word]


def write(policy: ResiliencePolicy, name: str) -> tuple[str, list[Note]]:
    """Return the annotations of Spring Framework 7 on a method."""
    retry, bulkhead = first(policy.flat(), Retry), first(policy.flat(), Bulkhead)
    lines = []
    if retry is not None:
        law = law_of(retry)
        values = {"maxRetries": retry.max_retries if retry.max_retries is not None else 2_147_483_647,
                  "delay": durations.milliseconds(law.first)}  # fmt: skip
        if law.kind == "exponential":
            values["multiplier"] = durations.plain(law.multiplier)
        if law.longest < math.inf:
            values["maxDelay"] = durations.milliseconds(law.longest)
        spread = getattr(getattr(retry.backoff, "jitter", None), "jitter", law.first * law.spread)
        if spread:
            values["jitter"] = durations.milliseconds(spread)
        if retry.max_duration not in (None, math.inf):
            values["timeout"] = durations.milliseconds(retry.max_duration)
        lines.append(f"@Retryable({', '.join(f'{key} = {value}' for key, value in values.items())})")
    if bulkhead is not None:
        lines.append(f"@ConcurrencyLimit({bulkhead.max_concurrent})")
    return "\n".join(
        [*(lines or ["@Retryable(maxRetries = 0)"]), f"public Reply {name}(Request request) {{"]
    ) + "\n", []
