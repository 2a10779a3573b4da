"""gRPC: the service config, as JSON or YAML.

The deadline of a method spans all its attempts: Timeout > Retry or Hedge.

Keys and rules are those of gRPC proposal A6 and of grpcio 1.85, which refuses a
configuration for what is refused here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from ..resilience.base import Policy
from ..resilience.hedge import Hedge
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.retry_budget import RetryBudget
from ..resilience.timeout import Timeout
from . import durations
from .config import APPROXIMATED, DROPPED, MAPPED, Config, Key, Note, Reading, first, unwritten
from .documents import Node
from .laws import law_of

KIND = "grpc"
MOST_ATTEMPTS = 5
ADVICE = {
    "CircuitBreaker": "gRPC has no breaker: use one in code, or a mesh",
    "Bulkhead": "gRPC has no limit of calls: use a semaphore in code",
    "Fallback": "answer in code",
    "Timeout": "gRPC has one deadline for all attempts, and no limit of each",
    "Deadline": "say it as the timeout of the method",
    "Retry.max_retries": "gRPC makes at most 5 attempts, and at least 2",
    "Retry.max_duration": "the deadline ends all attempts",
    "Retry.backoff": "gRPC waits base x multiplier^k, at most maxBackoff, +- 20 %",
    "Retry.retryable_errors": "say it in retryableStatusCodes",
    "Retry.budget": "gRPC has retryThrottling: tokens that failures cost, and successes earn",
    "Hedge": "the core in C++ and Python does not hedge; Java does",
}
CODES = (
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
REASONS = {
    "waitForReady": "waits for a connection; connecting takes no time here",
    "maxRequestMessageBytes": "is about sizes",
    "maxResponseMessageBytes": "is about sizes",
    "loadBalancingConfig": "chooses among hosts, of which there is one here",
    "loadBalancingPolicy": "chooses among hosts, of which there is one here",
    "healthCheckConfig": "belongs to a fleet of replicas, not to a policy",
}


def matches(document: Node) -> bool:
    """Whether a document is a service config."""
    return document.has("methodConfig") or document.has("retryThrottling")


def names(document: Node) -> list[str]:
    """Return "service/method", "service", or "default" for what holds for all."""
    return list(dict.fromkeys(title for method in _methods(document) for title in _titles(method))) or ["default"]


def _methods(document: Node) -> list[Node]:
    found = document.get("methodConfig")
    return [] if found is None else found.items


def _titles(method: Node) -> list[str]:
    listed = method.get("name")
    titles = []
    for each in [] if listed is None else listed.items:
        service, one = (each.get(key) for key in ("service", "method"))
        words = [node.text() for node in (service, one) if node is not None and node.text()]
        titles.append("/".join(words) or "default")
    return titles


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the deadline of a method around its retries, or its hedges."""
    method = next((each for each in _methods(document) if name in _titles(each)), Node("methodConfig", 1, {}))
    parts: list[Policy] = []
    limit = method.get("timeout")
    if limit is not None:
        parts.append(Timeout(_positive(limit)))
        reading.note(limit, MAPPED, "deadline of all attempts")
    retry, hedging = method.get("retryPolicy"), method.get("hedgingPolicy")
    if retry is not None and hedging is not None:
        hedging.refuse("cannot stand beside retryPolicy")
    throttling = _throttling(document.get("retryThrottling"), reading)
    if retry is not None:
        parts.append(Retry.like(KIND, **_retry(retry, reading), **throttling))
    if hedging is not None:
        parts.append(Hedge.like(KIND, **_hedge(hedging, reading)))
    for place in (method.get("name"), *(each for each in _methods(document) if each is not method)):
        for node in place.walk() if place is not None else ():
            node.is_read = True
    reading.drop_leaves(document, REASONS, "is not a key of a service config that changes a call")
    return Config(KIND, name, ResiliencePolicy(*parts), "", tuple(reading.rows))


def _positive(node: Node) -> float:
    if not isinstance(node.value, str) or not re.fullmatch(r"\d+(\.\d{1,9})?s", node.value):
        node.refuse(f'must be seconds as a text, such as "0.1s", got {node.value!r}')
    return durations.positive(node)


def _attempts(section: Node, reading: Reading) -> int:
    node = section.get("maxAttempts")
    if node is None:
        raise section.error("must have maxAttempts")
    value = node.whole()
    if value < 2:
        node.refuse(f"must be >= 2, got {node.value!r}")
    if value > MOST_ATTEMPTS:
        reading.note(node, APPROXIMATED, f"more than {MOST_ATTEMPTS} attempts are {MOST_ATTEMPTS}")
    else:
        reading.note(node, MAPPED, "attempts, the first included")
    return value


def _growth(node: Node) -> float:
    value = node.number()
    if not value > 0:
        node.refuse(f"must be > 0, got {node.value!r}")
    return value


RETRY = (
    Key("initialBackoff", "initial_backoff", _positive, unwritten, "wait before the first retry, +- 20 %"),
    Key("maxBackoff", "max_backoff", _positive, unwritten, "longest wait, +- 20 %"),
    Key("backoffMultiplier", "backoff_multiplier", _growth, unwritten, "growth of the wait"),
)


def _retry(section: Node, reading: Reading) -> dict[str, Any]:
    options = {"max_attempts": _attempts(section, reading)} | reading.options(section, RETRY)
    _require(section, *(key.name for key in RETRY))
    codes = section.get("retryableStatusCodes")
    if codes is None or not codes.items:
        raise section.error("must have retryableStatusCodes")
    _known(codes, reading, "errors have no code here: every one counts as one of these")
    return options


def _require(section: Node, *names: str) -> None:
    for name in names:
        if not section.has(name):
            section.refuse(f"must have {name}")


def _known(codes: Node, reading: Reading, meaning: str) -> None:
    numbers = {str(number): word for number, word in enumerate(CODES, start=1)}
    for code in codes.items:
        word = code.text().upper()
        if word not in CODES and word not in numbers:
            code.refuse(f"must be a status code of gRPC, got {code.value!r}")
        code.is_read = True
    reading.note(codes, APPROXIMATED, meaning)


def _hedge(section: Node, reading: Reading) -> dict[str, Any]:
    options: dict[str, Any] = {"max_attempts": _attempts(section, reading)}
    delay = section.get("hedgingDelay")
    if delay is not None:
        options["hedging_delay"] = durations.seconds(delay)
        reading.note(delay, APPROXIMATED, f"wait before each further copy; {ADVICE['Hedge']}")
    codes = section.get("nonFatalStatusCodes")
    if codes is not None and codes.items:
        _known(codes, reading, "errors have no code here: every one lets the other copies go on")
        options["non_fatal_status_codes"] = Exception
    return options


def _up_to(most: float) -> Callable[[Node], float]:
    def read(node: Node) -> float:
        value = node.number()
        if not 0 < value <= most:
            node.refuse(f"must be above 0{'' if most == math.inf else f', up to {most:g}'}, got {node.value!r}")
        return value

    return read


_STOP = "retries stop while half the tokens or fewer are left"
THROTTLING = (
    Key("maxTokens", "max_tokens", _up_to(1000), unwritten, _STOP),
    Key("tokenRatio", "token_ratio", _up_to(math.inf), unwritten, _STOP),
)


def _throttling(section: Node | None, reading: Reading) -> dict[str, float]:
    if section is None:
        return {}
    _require(section, *(key.name for key in THROTTLING))
    return reading.options(section, THROTTLING)


def write(policy: ResiliencePolicy, name: str) -> tuple[str, list[Note]]:
    """Return the service config of one service as JSON."""
    parts = policy.flat()
    service, _, method = ("" if name == "default" else name).partition("/")
    title = {key: word for key, word in (("service", service), ("method", method)) if word}
    config: dict[str, Any] = {"name": [title]}
    retries = [number for number, part in enumerate(parts) if isinstance(part, Retry | Hedge)]
    outer = parts[: min(retries, default=len(parts))]
    limits = [part for part in outer if isinstance(part, Timeout)]
    if limits and not callable(limits[0].seconds) and limits[0].seconds < math.inf:
        config["timeout"] = durations.proto(limits[0].seconds)
    retry, hedge = first(parts, Retry), first(parts, Hedge)
    tree: dict[str, Any] = {"methodConfig": [config]}
    notes: list[Note] = []
    if retry is not None and retry.max_retries != 0:
        law = law_of(retry)
        least = max(0.001, law.first)
        config["retryPolicy"] = {
            "maxAttempts": min(MOST_ATTEMPTS, MOST_ATTEMPTS if retry.max_retries is None else retry.max_retries + 1),
            "initialBackoff": durations.proto(least),
            "maxBackoff": durations.proto(max(least, law.longest) if law.longest < math.inf else max(least, 3600.0)),
            "backoffMultiplier": durations.plain(law.multiplier if law.kind == "exponential" else 1.0),
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        if isinstance(retry.budget, RetryBudget) and retry.budget.failure_cost == 1:
            ratio = max(0.001, round(retry.budget.success_income, 3))
            tokens = min(1000, max(1, round(retry.budget.max_tokens)))
            tree["retryThrottling"] = {"maxTokens": tokens, "tokenRatio": ratio}
    elif hedge is not None:
        config["hedgingPolicy"] = {"maxAttempts": min(MOST_ATTEMPTS, hedge.max_hedges + 1)}
        if isinstance(hedge.delay, int | float):
            config["hedgingPolicy"]["hedgingDelay"] = durations.proto(hedge.delay)
        notes.append(Note("Hedge", repr(hedge), DROPPED, ADVICE["Hedge"]))
    return json.dumps(tree, indent=2), notes
