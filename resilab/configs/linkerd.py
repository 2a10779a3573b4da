"""Linkerd: annotations of a Service or a route, and the retry budget of a ServiceProfile."""

from __future__ import annotations

import math
from typing import Any

import yaml

from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from . import durations
from .config import APPROXIMATED, DROPPED, MAPPED, Config, Key, Note, Reading, first, unwritten
from .documents import Node

KIND = "linkerd"
RETRY, BALANCER, TIMEOUT = "retry.linkerd.io", "balancer.linkerd.io", "timeout.linkerd.io"
ACCRUAL = f"{BALANCER}/failure-accrual"
ADVICE = {
    "Bulkhead": "Linkerd has no limit of concurrent requests",
    "Fallback": "Linkerd has none; answer in code",
    "Retry.backoff": "Linkerd retries at once",
    "CircuitBreaker": "Linkerd's breaker counts failures in a row, for each endpoint",
    "RateLimiter": "use an HTTPLocalRateLimitPolicy",
}


def _annotations(document: Node) -> Node | None:
    return document.at("metadata", "annotations")


def matches(document: Node) -> bool:
    """Whether a document has annotations of Linkerd, or a retry budget."""
    notes = _annotations(document)
    marked = notes is not None and any("linkerd.io/" in name for name in notes.fields)
    return marked or (document.at("spec", "retryBudget") is not None and not document.at("spec", "trafficPolicy"))


def names(document: Node) -> list[str]:
    """Return the name of the resource."""
    name = document.at("metadata", "name")
    return [] if name is None else [name.text()]


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the retry around its time limit around the breaker of an endpoint."""
    found = _annotations(document)
    notes = found if found is not None else Node("metadata.annotations", 1, {})
    parts: list[Any] = []
    total = notes.get(f"{TIMEOUT}/request")
    if total is not None:
        parts.append(Timeout(durations.seconds(total)))
        reading.note(total, MAPPED, "time limit of a request with its retries")
    retry = _retry(document, notes, reading)
    if retry is not None:
        parts.append(retry)
    for key, meaning in (
        (f"{RETRY}/timeout", "time limit of each try"),
        (f"{TIMEOUT}/response", "time limit of a response"),
    ):
        node = notes.get(key)
        if node is not None:
            parts.append(Timeout(durations.seconds(node)))
            reading.note(node, MAPPED, meaning)
    breaker = _breaker(notes, reading)
    if breaker is not None:
        parts.append(breaker)
    for node in notes.fields.values():
        if "linkerd.io/" in node.name and not node.is_read:
            reading.note(node, DROPPED, "changes no call here")
    return Config(KIND, name, ResiliencePolicy(*parts), "", tuple(reading.rows))


def _retry(document: Node, notes: Node, reading: Reading) -> Retry | None:
    conditions = [node for key in ("http", "grpc") if (node := notes.get(f"{RETRY}/{key}")) is not None]
    limit = notes.get(f"{RETRY}/limit")
    budget = document.at("spec", "retryBudget")
    if not conditions and budget is None:
        if limit is not None:
            reading.note(
                limit, DROPPED, f"is ignored unless {RETRY}/http or {RETRY}/grpc says what is retried", is_trap=True
            )
        return None
    for node in conditions:
        reading.note(node, APPROXIMATED, "replies have no status here: every error and time-out is retried")
    count = 1
    if limit is not None:
        count = limit.whole()
        reading.note(limit, MAPPED, "retries of a request at most")
    if budget is None:
        return Retry.like(KIND, limit=count, budget=None)
    return Retry.like(KIND, limit=None if limit is None else count, **reading.options(budget, BUDGET))


BUDGET = (
    Key("retryRatio", "retry_ratio", Node.number, unwritten, "retries to requests at most"),
    Key("minRetriesPerSecond", "min_retries_per_second", Node.number, unwritten, "retries a second always allowed"),
    Key("ttl", "ttl", durations.seconds, unwritten, "seconds for which requests count"),
)


def _breaker(notes: Node, reading: Reading) -> CircuitBreaker | None:
    mode = notes.get(ACCRUAL)
    keys = {"max-failures": 7.0, "min-penalty": 1.0, "max-penalty": 60.0, "jitter-ratio": 0.5}
    for key in keys:
        node = notes.get(f"{ACCRUAL}-consecutive-{key}")
        if node is None:
            continue
        if mode is None:
            reading.note(node, DROPPED, f"is ignored unless {ACCRUAL} is consecutive", is_trap=True)
            continue
        keys[key] = durations.seconds(node) if "penalty" in key else node.number()
        reading.note(node, MAPPED, "of the breaker of an endpoint")
    if mode is None:
        return None
    if mode.text() != "consecutive":
        mode.refuse(f"must be consecutive, got {mode.value!r}")
    reading.note(mode, APPROXIMATED, "a breaker for each endpoint there; here one for the service")
    return CircuitBreaker.like(
        KIND,
        max_failures=int(keys["max-failures"]),
        min_penalty=keys["min-penalty"],
        max_penalty=keys["max-penalty"],
        jitter_ratio=keys["jitter-ratio"],
    )


def write(policy: ResiliencePolicy, name: str) -> tuple[str, list[Note]]:
    """Return a Service with annotations."""
    parts = policy.flat()
    retries = [number for number, part in enumerate(parts) if isinstance(part, Retry)]
    values: dict[str, str] = {}
    for number, part in enumerate(parts):
        if isinstance(part, Timeout) and isinstance(part.seconds, int | float):
            is_inner = bool(retries) and number > retries[0]
            values[f"{RETRY}/timeout" if is_inner else f"{TIMEOUT}/request"] = durations.with_unit(part.seconds)
    retry, breaker = first(parts, Retry), first(parts, CircuitBreaker)
    if retry is not None:
        values[f"{RETRY}/http"] = "5xx"
        values[f"{RETRY}/limit"] = str(1 if retry.max_retries is None else retry.max_retries)
    if breaker is not None:
        middle = 1 + breaker.opening.jitter / (1 - breaker.opening.jitter) if breaker.opening.jitter < 1 else 2.0
        ratio = 2 * (middle - 1)
        longest = breaker.opening.max_timeout / (1 + ratio) if breaker.opening.max_timeout < math.inf else 60.0
        values[ACCRUAL] = "consecutive"
        values[f"{ACCRUAL}-consecutive-max-failures"] = str(breaker.failure_threshold)
        if isinstance(breaker.timeout, int | float):
            values[f"{ACCRUAL}-consecutive-min-penalty"] = durations.with_unit(breaker.timeout / middle)
            values[f"{ACCRUAL}-consecutive-max-penalty"] = durations.with_unit(max(longest, breaker.timeout / middle))
            values[f"{ACCRUAL}-consecutive-jitter-ratio"] = f"{ratio:.4g}"
    if not values:
        values["config.linkerd.io/proxy-await"] = "enabled"  # its default: a file that says nothing
    tree = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "annotations": values}}
    return yaml.safe_dump(tree, sort_keys=False), []
