"""Envoy: the route to a cluster, the cluster's limits, and the HTTP filters before both.

Envoy nests LocalRateLimit > AdmissionControl > route timeout > retries > limits of the
cluster > time limit of each try. Read are whole bootstraps, listeners, route
configurations, clusters, and single routes or retry policies, as YAML or JSON.

Keys and defaults are those of the API v3 of Envoy 1.40.
"""

from __future__ import annotations

from typing import Any

from ..errors import (
    ReplicaLostError,
    ReplicaRefusedError,
    ServiceOverloadedError,
    TimeoutExceededError,
)
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from . import durations, outliers
from .config import APPROXIMATED, DROPPED, MAPPED, Config, Note, Reading
from .documents import Node
from .envoy_filters import filters_of, mark
from .envoy_writing import ANSWERS, DEFAULT_LIMIT, NO_LIMIT, write

__all__ = ["ADVICE", "KIND", "errors_of", "matches", "names", "read", "write"]

KIND = "envoy"
ADVICE = {
    "CircuitBreaker": "Envoy's circuit_breakers are limits; for outlier_detection give write() an ejection",
    "Fallback": "answer with a local reply or in the service",
    "Hedge": "hedge_policy sends a retry beside a late try: say it as Retry(hedge_after=...)",
    "Retry.hedge_after": "hedge_policy uses per_try_timeout, which has to be below the route's timeout",
    "Deadline": "say it as the route's timeout",
    "Retry.budget": "Envoy limits retries at one time: max_retries, or retry_budget as a share of active requests",
    "Retry.max_duration": "the route's timeout ends all retries",
    "Retry.retryable_errors": "say it in retry_on and retriable_status_codes",
    "Retry.ignored_errors": "what overflows a limit of the cluster is never retried",
    "Retry.backoff": "Envoy draws waits up to base, 2 base, 4 base, ..., at most max_interval",
    "Bulkhead.max_wait": "a pending request waits until the route's timeout",
    "RateLimiter.kind": "Envoy's local rate limit is a token bucket",
}
REASONS = {
    "hedge_policy": "does nothing without hedge_on_per_try_timeout and a per_try_timeout",
    "hedge_on_per_try_timeout": "is read beside a retry_policy",
    "initial_requests": "is not implemented in Envoy",
    "additional_request_chance": "is not implemented in Envoy",
    "retry_host_predicate": "chooses among hosts, of which there is one here",
    "retry_priority": "chooses among priorities, of which there is one here",
    "host_selection_retry_max_attempts": "chooses among hosts, of which there is one here",
    "rate_limited_retry_back_off": "waits as a rate-limited answer says; answers say nothing here",
    "typed_extension_protocol_options": "is about protocols: it decides only whether requests share a connection",
    "idle_timeout": "ends idle streams; no answer here is idle",
    "stream_idle_timeout": "ends idle streams; no answer here is idle so long",
    "request_timeout": "limits how long a request takes to arrive; here it is there at once",
    "request_headers_timeout": "limits how long a request takes to arrive; here it is there at once",
    "delay": "is a fault: give it to the service, as a Slowdown or in its latency",
    "abort": "is a fault: give it to the service, as its failure_rate or Errors",
    "response_rate_limit": "slows the bytes of an answer; answers have no length here",
    "connect_timeout": "is not expressed: connecting takes no time here",
    "adaptive_concurrency": "has no policy here; bulkhead(max_requests) is a fixed limit",
    "health_checks": "belong to a fleet of replicas, not to a policy",
    "track_remaining": "is about statistics, and changes no call",
    "typed_per_filter_config": "sets a filter that is no policy here, or is not in http_filters",
    "budget_interval": "is not expressed: only what is active counts",
}
CLUSTER = ("circuit_breakers", "outlier_detection", "lb_policy", "load_assignment")
"""Keys by which a cluster is told."""
OTHERWISE = "changes no call of the policy here"
RETRIED: dict[str, tuple[type[BaseException], ...] | None] = {
    "5xx": None,
    "gateway-error": None,
    "reset": (TimeoutExceededError, ReplicaLostError),
    "reset-before-request": (ReplicaLostError,),
    "connect-failure": (ReplicaRefusedError,),
    "refused-stream": (ReplicaRefusedError,),
    "retriable-status-codes": ANSWERS,
    "unavailable": ANSWERS,
    "internal": ANSWERS,
    "resource-exhausted": (ServiceOverloadedError,),
}
"""Errors of the lab that a condition of retry_on stands for; None is every error."""


def matches(document: Node) -> bool:
    """Whether routes, clusters or a retry policy of Envoy are somewhere in the document."""
    if document.has("apiVersion"):
        return False
    return any(
        each.has(name)
        for each in document.walk()
        for name in ("static_resources", "virtual_hosts", "retry_policy", "num_retries", "retry_on", *CLUSTER)
    )


def names(document: Node) -> list[str]:
    """Return the names of the clusters that routes lead to; of all clusters where there are no routes."""
    found = [target for route in _routes(document) for target in _targets(route)]
    return list(dict.fromkeys(found or [_text(cluster, "name") for cluster in _clusters(document)])) or ["service"]


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the policies around a call to the cluster *name*, in Envoy's order."""
    routes = [route for route in _routes(document) if name in _targets(route)] or _fragments(document)
    route = next((each for each in routes if any(map(each.has, ("retry_policy", "timeout")))), None)
    route = route or (routes[0] if routes else None)
    for other in _routes(document):
        if other is not route:
            cause = "is another route to this cluster" if name in _targets(other) else "is a route to another cluster"
            reading.note(other, DROPPED, cause)
            mark(other)
    clusters = _clusters(document)
    cluster = next((each for each in clusters if _text(each, "name") == name), None)
    for each in clusters if cluster is not None else ():
        if each is not cluster:
            reading.note(each, DROPPED, "is another cluster")
            mark(each)
    manager, owners = _manager(document, route), _owners(document, route)
    parts: list[Policy] = [*filters_of(manager, _filters_of_route(owners), reading)]
    limits, allowance = _limits(cluster, reading)
    if route is not None:
        total = _total(route, manager, reading)
        if total is not None:
            parts.append(Timeout(total))
        retry, limit = _retry(route, owners, allowance, total, reading)
        parts += [*retry, *limits, *limit]
    else:
        parts += limits
    ejection = outliers.read_envoy(cluster, reading)
    reading.drop_leaves(document, REASONS, OTHERWISE)
    rows = sorted(reading.rows, key=lambda row: row.line or 0)
    return Config(KIND, name, ResiliencePolicy(*parts), "", tuple(rows), ejection=ejection)


# Where things stand in a document


def _routes(document: Node) -> list[Node]:
    """Return the actions of all routes: what stands under `route`."""
    found = (route.get("route") for hosts in document.find("routes") for route in hosts.items)
    return [route for route in found if route is not None]


def _fragments(document: Node) -> list[Node]:
    """Return what looks like the action of a route, or like a retry policy, where there are no routes."""
    for node in document.walk():
        if any(map(node.has, ("retry_policy", "hedge_policy"))):
            return [node]
        if any(map(node.has, ("num_retries", "retry_on"))):
            return [Node(node.path, node.line, {"retry_policy": node})]
    return []


def _clusters(document: Node) -> list[Node]:
    lists = (each.items for each in document.find("clusters"))
    found = [each for clusters in lists for each in clusters if each.fields and not each.has("weight")]
    single = [node for node in document.walk() if any(map(node.has, CLUSTER)) and node not in found]
    return found + single


def _manager(document: Node, route: Node | None) -> Node:
    """Return the connection manager that a route belongs to; the document where none holds it, as with discovery."""
    managers = [node for node in document.walk() if node.has("http_filters")]
    return next((each for each in managers if any(node is route for node in each.walk())), document)


def _targets(route: Node) -> list[str]:
    weighted = route.at("weighted_clusters", "clusters")
    many = [] if weighted is None else [_text(each, "name") for each in weighted.items]
    return many or ([_text(route, "cluster")] if route.has("cluster") else [])


def _text(node: Node, name: str) -> str:
    found = node.get(name)
    return "service" if found is None else found.text()


def _owners(document: Node, route: Node | None) -> list[Node]:
    """Return what a route's action stands in: the entry of the route, and its virtual host."""
    for host in document.walk():
        routes = host.get("routes") if route is not None and host.has("routes") else None
        for entry in routes.items if routes is not None else ():
            if entry.get("route") is route:
                return [entry, host]
    return []


def _nearest(owners: list[Node], *names: str) -> Node | None:
    """Return what the names lead to from the first of the owners that has the first one."""
    owner = next((each for each in owners if each.has(names[0])), None)
    return None if owner is None else owner.at(*names)


def _filters_of_route(owners: list[Node]) -> dict[str, Node]:
    """Return the configurations of filters that a route has of its own, by the filter's name."""
    found: dict[str, Node] = {}
    for owner in reversed(owners):
        section = owner.get("typed_per_filter_config")
        found |= {} if section is None else section.fields
    return found


# Routes


def _total(route: Node, manager: Node, reading: Reading) -> float | None:
    """Return the time limit of all tries: the timeout, or the longest life of a stream if that is shorter."""
    limits = []
    node = route.get("timeout")
    if node is not None:
        limits.append(durations.seconds(node))
        reading.note(node, MAPPED, "time limit of all tries" if limits[0] else "no time limit")
    elif route.has("cluster") or route.has("weighted_clusters"):
        reading.rows.append(Note("timeout", "15s", MAPPED, "time limit of all tries: Envoy's default", route.line))
        limits.append(15.0)
    of_all = manager.get("common_http_protocol_options") if manager.has("http_filters") else None
    name = "max_stream_duration"
    life = route.at(name, name) or (None if of_all is None else of_all.get(name))
    if life is not None:
        limits.append(durations.seconds(life))
        reading.note(life, MAPPED, "time limit of all tries, too" if limits[-1] else "no time limit")
    return min(filter(None, limits), default=None)


def _retry(
    route: Node, owners: list[Node], allowance: dict[str, Any], total: float | None, reading: Reading
) -> tuple[list[Policy], list[Policy]]:
    """Return the retry, and the time limit of each try; both may be those of the virtual host."""
    section = _nearest([route, *owners], "retry_policy")
    if section is None:
        return [], []
    conditions = section.get("retry_on")
    options: dict[str, Any] = {"num_retries": 1}
    number = section.get("num_retries")
    if number is not None:
        options["num_retries"] = number.natural()
        reading.note(number, MAPPED, "retries after the first try")
    _back_off(section.get("retry_back_off"), options, reading)
    codes = section.get("retriable_status_codes")
    statuses = [] if codes is None else [code.natural() for code in codes.items]
    if codes is not None:
        reading.note(codes, APPROXIMATED, "errors have no status here: an error of the service is one of them")
        mark(codes)
    limit = _per_try(section.get("per_try_timeout"), total, reading)
    hedges = _nearest([route, *owners], "hedge_policy", "hedge_on_per_try_timeout")
    if hedges is not None and hedges.flag() and limit:
        options["hedge_after"], limit = limit, None
        reading.note(hedges, MAPPED, "a try that reaches its limit goes on beside its retry")
    elif hedges is not None:
        reading.note(hedges, MAPPED, REASONS["hedge_policy"] if hedges.flag() else "is off", is_trap=hedges.flag())
    idle = _idle(section.get("per_try_idle_timeout"), reading)
    each_try = [Timeout(min(filter(None, (limit, idle))))] if limit or idle else []
    if conditions is None or not conditions.text().strip():
        place = section if conditions is None else conditions
        reading.note(place, MAPPED, "without retry_on Envoy retries nothing", is_trap=True)
        return [], [*each_try]
    options["retry_on"] = errors_of(conditions, statuses, reading)
    return [Retry.like(KIND, **options, **allowance)], [*each_try]


def _back_off(node: Node | None, options: dict[str, Any], reading: Reading) -> None:
    if node is None:
        return
    base, longest = node.get("base_interval"), node.get("max_interval")
    if base is None:
        node.refuse("must have base_interval")
    for key, place, meaning in (
        ("base_interval", base, "the first wait is drawn from 0 to it, each further one up to twice as much"),
        ("max_interval", longest, "longest wait"),
    ):
        if place is not None:
            value = options[key] = durations.seconds(place)
            if not value:
                place.refuse(f"must be > 0, got {place.value!r}")
            reading.note(place, MAPPED, meaning)
    if longest is not None and options["max_interval"] < options["base_interval"]:
        longest.refuse(f"must be >= base_interval, got {longest.value!r}")


def _per_try(node: Node | None, total: float | None, reading: Reading) -> float | None:
    if node is None:
        return None
    value = durations.seconds(node)
    if value and total is not None and value >= total:
        reading.note(node, APPROXIMATED, "is not below the route's timeout, and ignored by Envoy", is_trap=True)
        return None
    reading.note(node, MAPPED, "time limit of each try" if value else "no time limit of each try")
    return value or None


def _idle(node: Node | None, reading: Reading) -> float | None:
    """Return the time limit of the silence of a try."""
    if node is None:
        return None
    reading.note(node, APPROXIMATED, "time limit of each try, too: an answer here comes all at once, after silence")
    return durations.seconds(node) or None


def errors_of(node: Node, statuses: list[int], reading: Reading) -> Any:
    """Return the errors that retry_on stands for; None is every error."""
    kinds: list[type[BaseException]] = []
    unknown, has_all = [], False
    for word in (each.strip() for each in node.text().split(",")):
        found = RETRIED.get(word, ())
        if word == "retriable-status-codes" and not any(code >= 500 or code == 429 for code in statuses):
            found = ()
        if found is None:
            has_all = True
        elif found:
            kinds += [kind for kind in found if kind not in kinds]
        elif word:
            unknown.append(word)
    meaning = "every error and time-out of a try is retried; errors have no status here"
    if not has_all:
        meaning = f"retried here: {', '.join(kind.__name__ for kind in kinds) or 'nothing'}"
    if unknown:
        meaning += f"; nothing here is {', '.join(unknown)}"
    reading.note(node, APPROXIMATED if unknown or not has_all else MAPPED, meaning)
    return None if has_all else tuple(kinds)


# Clusters


def _limits(cluster: Node | None, reading: Reading) -> tuple[list[Policy], dict[str, Any]]:
    """Return the limit of requests of a cluster, and the options of the limit of its retries."""
    if cluster is None:
        meaning = "the file has no such cluster: Envoy's defaults hold, 1024 requests and 3 retries at one time"
        reading.rows.append(Note("circuit_breakers", None, APPROXIMATED, meaning))
        return [Bulkhead(DEFAULT_LIMIT, max_queue=0)], {}
    listed = cluster.at("circuit_breakers", "thresholds")
    thresholds = [] if listed is None else listed.items
    for each in thresholds:
        if not _has_default_priority(each):
            reading.note(each, DROPPED, "holds for requests of another priority")
            mark(each)
    section = next(filter(_has_default_priority, thresholds), Node(cluster.path, cluster.line, {}))
    return _bulkhead(cluster, section, reading), _allowance(section, reading)


def _has_default_priority(threshold: Node) -> bool:
    priority = threshold.get("priority")
    return priority is None or priority.text() in ("DEFAULT", "0")


def _bulkhead(cluster: Node, section: Node, reading: Reading) -> list[Policy]:
    values = {}
    for key, meaning in (
        ("max_connections", "connections at once"),
        ("max_pending_requests", "places for requests that wait for a connection"),
        ("max_requests", "requests at once; the next is refused"),
    ):
        node = section.get(key)
        values[key] = DEFAULT_LIMIT if node is None else node.natural()
        if node is not None:
            is_moot = key == "max_pending_requests" and _is_shared(cluster)
            reading.note(
                node, APPROXIMATED if is_moot else MAPPED, f"{meaning}{'; none waits on HTTP/2' if is_moot else ''}"
            )
    requests, connections = values["max_requests"], values["max_connections"]
    if not _is_shared(cluster) and connections < requests:  # on HTTP/1.1 each request needs a connection
        if not connections:
            section.get("max_connections").refuse("must be >= 1 here, got 0")  # type: ignore[union-attr]
        return [Bulkhead(connections, max_queue=values["max_pending_requests"])]
    if not requests:
        section.get("max_requests").refuse("must be >= 1 here, got 0")  # type: ignore[union-attr]
    return [] if requests >= NO_LIMIT else [Bulkhead(requests, max_queue=0)]


def _is_shared(cluster: Node) -> bool:
    """Whether requests share connections: HTTP/2 or 3."""
    return any("http2" in node.path.lower() or "http3" in node.path.lower() for node in cluster.walk())


def _allowance(section: Node, reading: Reading) -> dict[str, Any]:
    found: dict[str, Any] = {}
    number, budget = section.get("max_retries"), section.get("retry_budget")
    if number is not None:
        found["max_retries"] = number.natural()
        overruled = "; retry_budget overrules it" if budget is not None else ""
        reading.note(number, MAPPED, f"retries at one time{overruled}")
    if budget is not None:
        percent, least = budget.at("budget_percent", "value"), budget.get("min_retry_concurrency")
        found["budget_percent"] = 20.0 if percent is None else percent.number()
        found["min_retry_concurrency"] = 3 if least is None else least.natural()
        reading.note(budget, MAPPED, "retries at one time as a share of the active requests, and at least a number")
        mark(budget)
    return found
