"""Istio: a VirtualService with its time limit and retries, and a DestinationRule with its limits.

Istio sets Envoy's fields with other defaults, and nests them in the same way: time limit >
retries > limits of the destination > time limit of each try.

Keys and defaults are those of Istio 1.28.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from ..errors import ReplicaRefusedError
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.retry_budget import ActiveRetryBudget
from ..resilience.timeout import Timeout
from ..worlds.ejection import OutlierEjection
from . import durations, envoy, envoy_writing, outliers
from .config import APPROXIMATED, DROPPED, MAPPED, Config, Key, Note, Reading, first, unwritten
from .documents import Node
from .laws import law_of

KIND = "istio"
NO_LIMIT = 2**32 - 1
DEFAULT_CONDITIONS = "connect-failure,refused-stream,unavailable,cancelled"
ADVICE = envoy.ADVICE | {
    "CircuitBreaker": "for Istio's outlierDetection give write() an ejection",
    "RateLimiter": "use an EnvoyFilter with Envoy's local rate limit",
    "AdaptiveThrottle": "use an EnvoyFilter with Envoy's admission control",
    "Retry.backoff": "Istio has the first wait alone, backoff; the longest is ten times as much",
}
REASONS = envoy.REASONS | {
    "retryIgnorePreviousHosts": "chooses among hosts, of which there is one here",
    "retryRemoteLocalities": "chooses among hosts, of which there is one here",
    "loadBalancer": "chooses among hosts, of which there is one here",
    "connectTimeout": "is not expressed: connecting takes no time here",
    "budgetInterval": "is not expressed: only what is active counts",
    "maxRequestsPerConnection": "closes connections; opening one takes no time here",
    "subset": "chooses among hosts, of which there is one here",
    "fault": "is about faults: give them to the service of the scenario",
}


def matches(document: Node) -> bool:
    """Whether a VirtualService or a DestinationRule is in the document."""
    return bool(_resources(document, "VirtualService") or _resources(document, "DestinationRule"))


def _resources(document: Node, kind: str) -> list[Node]:
    found = []
    for node in document.walk():
        title = node.get("kind") if node.has("kind") and node.has("spec") else None
        if title is not None and title.value == kind:
            found.append(node)
    return found


def _short(host: str) -> str:
    return host.split(".")[0]


def _routes(document: Node) -> list[Node]:
    specs = (each.at("spec", "http") for each in _resources(document, "VirtualService"))
    return [route for http in specs if http is not None for route in http.items]


def _hosts(route: Node) -> list[str]:
    destinations = route.get("route")
    hosts = [each.at("destination", "host") for each in ([] if destinations is None else destinations.items)]
    return [_short(host.text()) for host in hosts if host is not None]


def _rules(document: Node) -> list[tuple[str, Node]]:
    found = [(each.at("spec", "host"), each.get("spec")) for each in _resources(document, "DestinationRule")]
    return [(_short(host.text()), spec) for host, spec in found if host is not None and spec is not None]


def names(document: Node) -> list[str]:
    """Return the hosts, by their short names."""
    hosts = [host for route in _routes(document) for host in _hosts(route)]
    return list(dict.fromkeys(hosts + [host for host, _ in _rules(document)]))


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the policies around a call to a host, in Istio's order."""
    routes = [route for route in _routes(document) if name in _hosts(route)]
    route = next((each for each in routes if each.has("retries") or each.has("timeout")), routes[0] if routes else None)
    for other in routes:
        if other is not route:
            reading.note(other, DROPPED, "is another route to this host")
            for node in other.walk():
                node.is_read = True
    policy = next((spec.get("trafficPolicy") for host, spec in _rules(document) if host == name), None)
    limits, allowance = _limits(policy, reading)
    parts: list[Policy] = []
    total = None if route is None else route.get("timeout")
    if total is not None:
        seconds = durations.seconds(total)
        reading.note(total, MAPPED, "time limit of all tries" if seconds else "no time limit")
        parts += [Timeout(seconds)] if seconds else []
    retry, limit = _retry(route, allowance, reading)
    parts += [*retry, *limits, *limit]
    ejection = outliers.read_istio(policy, reading)
    reading.drop_leaves(document, REASONS, "changes no call of the policy here")
    rows = sorted(reading.rows, key=lambda row: row.line or 0)
    return Config(KIND, name, ResiliencePolicy(*parts), "", tuple(rows), ejection=ejection)


def _from(minimum: int) -> Callable[[Node], int]:
    def read(node: Node) -> int:
        value = node.whole()
        if value < minimum:
            node.refuse(f"must be >= {minimum}, got {node.value!r}")
        return value

    return read


RETRIES = (
    Key("attempts", "attempts", _from(0), unwritten, "retries, not attempts"),
    Key(
        "backoff",
        "backoff",
        durations.positive,
        unwritten,
        "the first wait is up to it, each further one up to twice it",
    ),
)
TCP = (Key("maxConnections", "connections", _from(1), unwritten, "connections at once"),)
HTTP = (
    Key("http1MaxPendingRequests", "pending", _from(1), unwritten, "places for requests that wait for a connection"),
    Key("http2MaxRequests", "requests", _from(1), unwritten, "requests at once, on HTTP/1.1 too; the next is refused"),
    Key("maxRetries", "max_retries", _from(1), unwritten, "retries at one time"),
)


def _retry(route: Node | None, allowance: dict[str, Any], reading: Reading) -> tuple[list[Policy], list[Policy]]:
    section = None if route is None else route.get("retries")
    if section is None:
        meaning = f"Istio's default: 2 retries on {DEFAULT_CONDITIONS}; here only a refused connection is one"
        reading.rows.append(Note("retries", None, APPROXIMATED, meaning))
        return [Retry.like(KIND, retry_on=ReplicaRefusedError, **allowance)], []
    options = reading.options(section, RETRIES)
    conditions = section.get("retryOn")
    if conditions is None or not conditions.text().strip():
        conditions = Node(f"{section.path}.retryOn", section.line, DEFAULT_CONDITIONS)
    codes = [int(word) for word in conditions.text().split(",") if word.strip().isdigit()]
    if any(code >= 500 or code == 429 for code in codes):
        conditions.value = f"{conditions.text()},retriable-status-codes"
    options["retry_on"] = envoy.errors_of(conditions, codes, reading)
    limit = section.get("perTryTimeout")
    tries = []
    if limit is not None and durations.seconds(limit):
        tries.append(Timeout(durations.seconds(limit)))
        reading.note(limit, MAPPED, "time limit of each try")
    if options.get("attempts") == 0:
        return [], list(tries)
    return [Retry.like(KIND, **options, **allowance)], list(tries)


def _limits(policy: Node | None, reading: Reading) -> tuple[list[Policy], dict[str, Any]]:
    if policy is None:
        return [], {}
    tcp, http = (policy.at("connectionPool", key) for key in ("tcp", "http"))
    values = reading.options(tcp, TCP) | reading.options(http, HTTP)
    allowance: dict[str, Any] = {"max_retries": values["max_retries"]} if "max_retries" in values else {}
    budget = policy.get("retryBudget")
    if budget is not None:
        percent, least = budget.get("percent"), budget.get("minRetryConcurrency")
        allowance["percent"] = 20.0 if percent is None else percent.number()
        allowance["min_retry_concurrency"] = 3 if least is None else least.whole()
        reading.note(budget, MAPPED, "retries at one time as a share of the active requests, and at least a number")
    requests, connections = values.get("requests", NO_LIMIT), values.get("connections", NO_LIMIT)
    if connections < requests:
        queue = values.get("pending", NO_LIMIT)
        return [Bulkhead(connections, max_queue=None if queue >= NO_LIMIT else queue)], allowance
    return ([] if requests >= NO_LIMIT else [Bulkhead(requests, max_queue=0)]), allowance


def write(policy: ResiliencePolicy, name: str, ejection: OutlierEjection | None = None) -> tuple[str, list[Note]]:
    """Return a VirtualService and a DestinationRule for one host."""
    parts = policy.flat()
    total, each = map(envoy_writing.seconds_of, envoy_writing.limits_of(parts))
    retry, bulkhead = first(parts, Retry), first(parts, Bulkhead)
    route: dict[str, Any] = {"route": [{"destination": {"host": name}}]}
    notes: list[Note] = []
    if total is not None:
        route["timeout"] = durations.with_unit(max(0.001, total))
    route["retries"] = {"attempts": 0}
    if retry is not None and envoy_writing.conditions_of(retry):
        law = law_of(retry)
        attempts = 2**31 - 1 if retry.max_retries is None else retry.max_retries
        conditions = envoy_writing.conditions_of(retry)
        codes = ",".join(map(str, envoy_writing.STATUSES))
        route["retries"] = {"attempts": attempts, "retryOn": conditions.replace(envoy_writing.CODES, codes)}
        if each is not None:
            route["retries"]["perTryTimeout"] = durations.with_unit(max(0.001, each))
        if law.first > 0:
            route["retries"]["backoff"] = durations.with_unit(max(0.001, law.first))
    pool: dict[str, Any] = {}
    if bulkhead is not None and (bulkhead.max_queue == 0 or bulkhead.max_wait == 0):
        pool["http"] = {"http2MaxRequests": bulkhead.max_concurrent}
    elif bulkhead is not None:
        pool["tcp"] = {"maxConnections": bulkhead.max_concurrent}
        if bulkhead.max_queue is not None:
            pool["http"] = {"http1MaxPendingRequests": bulkhead.max_queue}
    traffic: dict[str, Any] = {"connectionPool": pool} if pool else {}
    if retry is not None and isinstance(retry.budget, ActiveRetryBudget):
        if retry.budget.share:
            percent = durations.plain(100 * retry.budget.share)
            traffic["retryBudget"] = {"percent": percent, "minRetryConcurrency": retry.budget.minimum}
        elif retry.budget.minimum < NO_LIMIT:
            pool.setdefault("http", {})["maxRetries"] = retry.budget.minimum
            traffic["connectionPool"] = pool
    if ejection is not None:
        traffic["outlierDetection"] = outliers.written_istio(ejection)
    documents = [
        _resource("VirtualService", name, {"hosts": [name], "http": [route]}),
        _resource("DestinationRule", name, {"host": name, **({"trafficPolicy": traffic} if traffic else {})}),
    ]
    return yaml.safe_dump_all(documents, sort_keys=False), notes


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
