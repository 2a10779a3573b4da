"""Polly 8 and Microsoft's standard resilience handler: options as JSON.

The standard handler nests RateLimiter > TotalRequestTimeout > Retry > CircuitBreaker >
AttemptTimeout. A Polly pipeline is code: its options as JSON are read in the order of the
file, which is taken for the order of the `Add` calls.

Keys and defaults are those of Polly 8.6 and Microsoft.Extensions.Http.Resilience 10.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from ..errors import CircuitOpenError
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.hedge import Hedge
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..resilience.windows import TimeWindow
from . import durations
from .config import APPROXIMATED, MAPPED, Config, Key, Note, Reading, first, written
from .documents import Node
from .laws import law_of

CODE = "is C# code: it cannot be said in JSON"
REASONS = {
    "ShouldHandle": CODE,
    "Name": "is about telemetry, and changes no call",
    "StateProvider": CODE,
    "ManualControl": CODE,
}
ADVICE = {
    "Fallback": "add AddFallback in C#",
    "AdaptiveThrottle": "Polly has none; throttle in code",
    "Deadline": "Polly has none; pass the deadline in code",
    "Retry.budget": "Polly has no retry budget: lower MaxRetryAttempts, and let the circuit breaker end the retries",
    "Retry.max_duration": "put a Timeout outside the retry",
    "Retry.retryable_errors": "say it in ShouldHandle, in C#",
    "Bulkhead.max_wait": "Polly's queue limits places, not time: put a Timeout outside",
    "CircuitBreaker.window": "Polly counts over seconds, never in a row",
    "CircuitBreaker.recorded_errors": "say it in ShouldHandle, in C#",
    "CircuitBreaker.ignored_errors": "say it in ShouldHandle, in C#",
}


def _kind(node: Node) -> str:
    word = node.text().lower()
    if word not in ("constant", "linear", "exponential"):
        node.refuse(f"must be Constant, Linear or Exponential, got {node.value!r}")
    return word


def _between(low: float, high: float) -> Callable[[Node], float]:
    def read(node: Node) -> float:
        value = durations.seconds(node)
        if not low <= value <= high:
            node.refuse(f"must be from {durations.span(low)} to {durations.span(high)}, got {node.value!r}")
        return value

    return read


def _at_least(minimum: int) -> Callable[[Node], int]:
    def read(node: Node) -> int:
        value = node.whole()
        if value < minimum:
            node.refuse(f"must be >= {minimum}, got {node.value!r}")
        return value

    return read


def _ratio(node: Node) -> float:
    value = node.number()
    if not 0 < value <= 1:
        node.refuse(f"must be above 0 and at most 1, got {node.value!r}")
    return value


DAY = 86_400.0
RETRY = (
    Key("MaxRetryAttempts", "max_retry_attempts", _at_least(1),
        lambda r: 2_147_483_647 if r.max_retries is None else max(1, r.max_retries), "retries after the first attempt"),
    Key("BackoffType", "backoff_type", _kind, lambda r: _backoff_type(r), "how the wait grows", str.capitalize),
    Key("UseJitter", "use_jitter", Node.flag, lambda r: law_of(r).kind == "smooth" or law_of(r).jitter != "none",
        "whether waits are random"),
    Key("Delay", "delay", _between(0, DAY), lambda r: law_of(r).first, "wait before the first retry", durations.span),
    Key("MaxDelay", "max_delay", _between(0, DAY),
        lambda r: law_of(r).longest if law_of(r).longest < math.inf else None, "longest wait", durations.span),
)  # fmt: skip
BREAKER = (
    Key("FailureRatio", "failure_ratio", _ratio, lambda b: durations.plain(_failure_ratio(b), 6),
        "share of failures that opens it"),
    Key("MinimumThroughput", "minimum_throughput", _at_least(2), lambda b: max(2, _throughput(b)),
        "fewest calls in the window before it may open"),
    Key("SamplingDuration", "sampling_duration", _between(0.5, DAY),
        lambda b: min(max(b.window.seconds, 0.5), DAY) if isinstance(b.window, TimeWindow) else 30.0,
        "length of the window", durations.span),
    Key("BreakDuration", "break_duration", _between(0.5, DAY),
        lambda b: None if callable(b.timeout) else min(max(b.timeout, 0.5), DAY), "how long it stays open",
        durations.span),
)  # fmt: skip
TIMEOUT = (
    Key("Timeout", "timeout", _between(0.01, DAY),
        lambda t: None if callable(t.seconds) else min(max(t.seconds, 0.01), DAY), "time limit", durations.span),
)  # fmt: skip
HEDGING = (
    Key("MaxHedgedAttempts", "max_hedged_attempts", _at_least(1), lambda h: h.max_hedges, "extra calls at most"),
    Key("Delay", "delay", _between(0, DAY), lambda h: h.delay if isinstance(h.delay, int | float) else None,
        "wait before each extra call", durations.span),
)  # fmt: skip
LIMITER = (
    Key("PermitLimit", "permit_limit", _at_least(1), lambda b: b.max_concurrent, "calls at once"),
    Key("QueueLimit", "queue_limit", Node.whole, lambda b: 2_147_483_647 if b.max_queue is None else b.max_queue,
        "places in the queue"),
)  # fmt: skip


def _backoff_type(retry: Retry) -> str:
    kind = law_of(retry).kind
    if kind in ("constant", "linear"):
        return kind
    return "exponential"


def _failure_ratio(breaker: CircuitBreaker) -> float:
    if breaker.window is None:
        return 1.0
    if breaker.failure_rate_threshold is not None:
        return breaker.failure_rate_threshold
    return min(1.0, breaker.failure_threshold / max(1, breaker.volume_threshold))


def _throughput(breaker: CircuitBreaker) -> int:
    return breaker.failure_threshold if breaker.window is None else breaker.volume_threshold


Maker = Callable[..., Policy]
STANDARD: tuple[tuple[str, type[Policy], Maker, tuple[Key, ...], dict[str, Any]], ...] = (
    ("RateLimiter", Bulkhead, Bulkhead.like, LIMITER, {}),
    ("TotalRequestTimeout", Timeout, Timeout.like, TIMEOUT, {}),
    ("Retry", Retry, Retry.like, RETRY,
     {"backoff_type": "exponential", "use_jitter": True, "ignored_errors": CircuitOpenError}),
    ("CircuitBreaker", CircuitBreaker, CircuitBreaker.like, BREAKER, {}),
    ("AttemptTimeout", Timeout, Timeout.like, TIMEOUT, {"timeout": 10.0}),
)  # fmt: skip
"""Sections of the standard handler, the outermost first, with the defaults that differ from Polly's."""
PIPELINE: dict[str, tuple[type[Policy], Maker, tuple[Key, ...]]] = {
    "Retry": (Retry, Retry.like, RETRY),
    "CircuitBreaker": (CircuitBreaker, CircuitBreaker.like, BREAKER),
    "Timeout": (Timeout, Timeout.like, TIMEOUT),
    "Hedging": (Hedge, Hedge.like, HEDGING),
    "RateLimiter": (Bulkhead, Bulkhead.like, LIMITER),
    "ConcurrencyLimiter": (Bulkhead, Bulkhead.like, LIMITER),
}


class StandardHandler:
    """The section of `AddStandardResilienceHandler`: it always has all five policies."""

    KIND = "microsoft"
    ADVICE = ADVICE | {
        "Hedge": "use AddStandardHedgingHandler instead of the standard handler",
        "RateLimiter": "the handler's limiter is a concurrency limiter; configure RateLimiter in C#",
    }

    @staticmethod
    def matches(document: Node) -> bool:
        """Whether a document is, or has, the section of a standard handler."""
        return _section(document, ("AttemptTimeout", "TotalRequestTimeout")) is not None

    @staticmethod
    def names(document: Node) -> list[str]:
        """Return the path of the section: there is one."""
        section = _section(document, ("AttemptTimeout", "TotalRequestTimeout"))
        return [] if section is None or not section.name else [section.name]

    @classmethod
    def read(cls, document: Node, name: str, reading: Reading) -> Config:
        """Return the five policies of the handler."""
        section = _section(document, ("AttemptTimeout", "TotalRequestTimeout"))
        assert section is not None
        parts = []
        for title, _, make, keys, defaults in STANDARD:
            own = section.get(title)
            inner = _inner(own, reading) if title == "RateLimiter" else own
            options = reading.options(inner, keys)
            _after(own, reading)
            parts.append(make("polly", **(defaults | options)))
        reading.drop_rest(section, REASONS, "is not a key of the standard handler")
        return Config(cls.KIND, name, ResiliencePolicy(*parts), "", tuple(reading.rows))

    @classmethod
    def write(cls, policy: ResiliencePolicy, name: str) -> tuple[str, list[Note]]:
        """Return the section as JSON."""
        parts = policy.flat()
        retries = [number for number, part in enumerate(parts) if isinstance(part, Retry)]
        middle = retries[0] if retries else len(parts)
        limits = [(number, part) for number, part in enumerate(parts) if isinstance(part, Timeout)]
        outer = [part for number, part in limits if number < middle and (retries or number == limits[0][0])]
        inner = [part for number, part in limits if part not in outer]
        found: dict[str, Policy | None] = {
            "RateLimiter": first(parts, Bulkhead),
            "TotalRequestTimeout": outer[0] if outer else None,
            "Retry": first(parts, Retry),
            "CircuitBreaker": first(parts, CircuitBreaker),
            "AttemptTimeout": inner[-1] if inner else None,
        }
        tree: dict[str, Any] = {}
        for title, _, _, keys, _ in STANDARD:
            part = found[title]
            if part is not None:
                values = written(part, keys)
                tree[title] = {"DefaultRateLimiterOptions": values} if title == "RateLimiter" else values
        tree.setdefault("AttemptTimeout", {})
        return json.dumps({name: tree}, indent=2), []


class Polly:
    """Options of a Polly pipeline as JSON, in the order of its `Add` calls."""

    KIND = "polly"
    ADVICE = ADVICE | {"RateLimiter": "add AddRateLimiter with a limiter of System.Threading.RateLimiting, in C#"}

    @staticmethod
    def matches(document: Node) -> bool:
        """Whether a document is, or has, options of Polly."""
        return _section(
            document, ("MaxRetryAttempts", "FailureRatio", "BreakDuration", "MaxHedgedAttempts", "PermitLimit"), 1
        ) is not None or any(
            isinstance(node.value, str) and node.name in ("Timeout",) and ":" in node.value
            for node in document.leaves()
        )

    @staticmethod
    def names(document: Node) -> list[str]:
        """Return the name of the pipeline, if it has one."""
        pipeline = _pipeline(document)
        return [pipeline.name] if pipeline.name else []

    @classmethod
    def read(cls, document: Node, name: str, reading: Reading) -> Config:
        """Return the policies in the order of the file."""
        pipeline = _pipeline(document)
        parts: list[Policy] = []
        for node in pipeline.fields.values():
            title = next((title for title in PIPELINE if node.name.startswith(title)), None)
            if title is None:
                continue
            node.is_read = True
            _, make, keys = PIPELINE[title]
            if not isinstance(node.value, dict):
                parts.append(Timeout.like("polly", timeout=durations.seconds(node)))
                reading.note(node, MAPPED, "time limit")
                continue
            parts.append(make("polly", **reading.options(node, keys)))
            _after(node, reading)
        reading.drop_rest(pipeline, REASONS, "is not a strategy of Polly that can be said in JSON")
        return Config(cls.KIND, name, ResiliencePolicy(*parts), "", tuple(reading.rows))

    @classmethod
    def write(cls, policy: ResiliencePolicy, name: str) -> tuple[str, list[Note]]:
        """Return the options as JSON; strategies of one kind are numbered."""
        tree: dict[str, Any] = {}
        for part in policy.flat():
            for title, (kind, _, keys) in PIPELINE.items():
                if type(part) is kind:
                    own = title if title not in tree else f"{title}{sum(each.startswith(title) for each in tree) + 1}"
                    tree[own] = written(part, keys)
                    break
        return json.dumps({name: tree}, indent=2), []


def _section(document: Node, keys: tuple[str, ...], depth: int = 0) -> Node | None:
    """Return the node that has one of the keys below it, or below those below it."""
    for node in document.walk():
        if any(node.has(key) for key in keys):
            return node
    return None


def _pipeline(document: Node) -> Node:
    for node in document.walk():
        titles = [each for each in node.fields.values() if any(each.name.startswith(title) for title in PIPELINE)]
        if titles:
            return node
    return document


def _inner(section: Node | None, reading: Reading) -> Node | None:
    return None if section is None else section.get("DefaultRateLimiterOptions") or section


def _after(section: Node | None, reading: Reading) -> None:
    if section is None:
        return
    after = section.get("ShouldRetryAfterHeader")
    if after is not None:
        reading.note(after, APPROXIMATED, "no reply here has a Retry-After: give delay_from a function")
    reading.drop_rest(section, REASONS, "is not a key that Polly has here")
