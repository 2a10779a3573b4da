"""Envoy, written: a whole bootstrap with one listener, one route and one cluster."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import yaml

from ..errors import ReplicaLostError, ReplicaRefusedError, ServiceError, ServiceOverloadedError, TimeoutExceededError
from ..resilience.adaptive_throttle import AdaptiveThrottle
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.policy import ResiliencePolicy
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.retry_budget import ActiveRetryBudget
from ..resilience.timeout import Timeout
from ..worlds.ejection import OutlierEjection
from . import durations, outliers
from .config import Note, first
from .laws import law_of

NO_LIMIT = 2**32 - 1
DEFAULT_LIMIT = 1024
CODES = "retriable-status-codes"
STATUSES = [500, 502, 503]
"""What an error of the service is written as, where time-outs of a try are not to be retried."""
ANSWERS: tuple[type[BaseException], ...] = (ServiceError, ServiceOverloadedError)
_TYPES = "type.googleapis.com/envoy.extensions.filters"


def write(policy: ResiliencePolicy, name: str, ejection: OutlierEjection | None = None) -> tuple[str, list[Note]]:
    """Return a whole bootstrap with one listener, one route and one cluster."""
    parts = policy.flat()
    tree = {
        "static_resources": {
            "listeners": [_listener(parts, name)],
            "clusters": [_cluster(parts, name) | _outliers(ejection)],
        }
    }
    return yaml.safe_dump(tree, sort_keys=False), []


def limits_of(parts: tuple[Policy, ...]) -> tuple[Timeout | None, Timeout | None]:
    """Return the time limit of all tries and that of each try: what stands outside the retry and inside it."""
    retries = [number for number, part in enumerate(parts) if isinstance(part, Retry)]
    found = [(number, part) for number, part in enumerate(parts) if isinstance(part, Timeout)]
    outer = [part for number, part in found if not retries or number < retries[0]]
    inner = [part for number, part in found if retries and number > retries[0]]
    return (outer[0] if outer else None), (inner[-1] if inner else None)


def seconds_of(limit: Timeout | None) -> float | None:
    """Return the seconds of a time limit; None for none, and for a function."""
    return None if limit is None or callable(limit.seconds) or math.isinf(limit.seconds) else limit.seconds


def _listener(parts: tuple[Policy, ...], name: str) -> dict[str, Any]:
    total, each = map(seconds_of, limits_of(parts))
    route: dict[str, Any] = {"cluster": name, "timeout": durations.proto(total or 0.0)}
    retry = first(parts, Retry)
    if retry is not None and conditions_of(retry):
        law = law_of(retry)
        count = 2**31 if retry.max_retries is None else retry.max_retries
        section: dict[str, Any] = {"retry_on": conditions_of(retry), "num_retries": count}
        if CODES in section["retry_on"]:
            section["retriable_status_codes"] = STATUSES
        if retry.hedge_after is not None and retry.hedge_after < math.inf:
            section["per_try_timeout"] = durations.proto(max(0.001, retry.hedge_after))
            route["hedge_policy"] = {"hedge_on_per_try_timeout": True}
        elif each is not None:
            section["per_try_timeout"] = durations.proto(each)
        if law.first > 0:
            base = max(0.001, law.first)
            longest = 10 * base if law.longest == math.inf else max(base, law.longest)
            back_off = {"base_interval": durations.proto(base), "max_interval": durations.proto(longest)}
            section["retry_back_off"] = back_off
        route["retry_policy"] = section
    hosts = [{"name": name, "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"name": name, "virtual_hosts": hosts},
        "http_filters": [*_written_filters(parts), _filter("router", "router.v3.Router", {})],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 10000}}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": address, "filter_chains": [chain]}


def conditions_of(retry: Retry) -> str:
    """Return what retry_on says for the errors that a retry is for; nothing if it is for none."""
    errors = retry.retryable_errors
    kinds = errors if isinstance(errors, tuple) else (errors,) if isinstance(errors, type) else None
    if kinds is None:
        return "5xx"
    words = {"reset": (TimeoutExceededError, ReplicaLostError), "connect-failure": (ReplicaRefusedError,)}
    found = [word for word, errors in words.items() if any(error in kinds for error in errors)]
    return ",".join([*found, *([CODES] if any(error in kinds for error in ANSWERS) else [])])


def _filter(title: str, kind: str, values: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{title}", "typed_config": {"@type": f"{_TYPES}.http.{kind}", **values}}


def _written_filters(parts: tuple[Policy, ...]) -> Iterator[dict[str, Any]]:
    limiter, throttle = first(parts, RateLimiter), first(parts, AdaptiveThrottle)
    if limiter is not None:
        always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        bucket = {
            "max_tokens": max(1, round(limiter.burst or limiter.permits)),
            "tokens_per_fill": limiter.permits,
            "fill_interval": durations.proto(max(0.05, limiter.period)),
        }
        values: dict[str, Any] = {"stat_prefix": "local_rate_limiter", "token_bucket": bucket}
        for word in ("enabled", "enforced"):
            values[f"filter_{word}"] = {"runtime_key": f"local_rate_limit_{word}", **always}
        yield _filter("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", values)
    if throttle is not None:
        yield _filter(
            "admission_control",
            "admission_control.v3.AdmissionControl",
            {
                "enabled": {"default_value": True, "runtime_key": "admission_control.enabled"},
                "sampling_window": durations.proto(throttle.window),
                "sr_threshold": _runtime("sr_threshold", {"value": durations.plain(100 / throttle.multiplier)}),
                "aggression": _runtime("aggression", durations.plain(throttle.exponent)),
                "rps_threshold": _runtime("rps_threshold", round(throttle.min_rate)),
                "max_rejection_probability": _runtime(
                    "max_rejection_probability", {"value": durations.plain(100 * throttle.max_probability)}
                ),
                "success_criteria": {"http_criteria": {"http_success_status": [{"start": 100, "end": 500}]}},
            },
        )


def _runtime(key: str, value: Any) -> dict[str, Any]:
    return {"default_value": value, "runtime_key": f"admission_control.{key}"}


def _outliers(ejection: OutlierEjection | None) -> dict[str, Any]:
    if ejection is None:
        return {}
    section, balancer = outliers.written_envoy(ejection)
    return {"outlier_detection": section} | ({"common_lb_config": balancer} if balancer else {})


def _cluster(parts: tuple[Policy, ...], name: str) -> dict[str, Any]:
    bulkhead, retry = first(parts, Bulkhead), first(parts, Retry)
    threshold: dict[str, Any] = {}
    if bulkhead is None:
        threshold |= dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), NO_LIMIT)
    elif bulkhead.max_queue == 0 or bulkhead.max_wait == 0:
        threshold |= {"max_connections": max(DEFAULT_LIMIT, bulkhead.max_concurrent)}
        threshold |= {"max_requests": bulkhead.max_concurrent}
    else:
        queue = NO_LIMIT if bulkhead.max_queue is None else bulkhead.max_queue
        threshold |= {"max_connections": bulkhead.max_concurrent, "max_pending_requests": queue}
        threshold |= {"max_requests": NO_LIMIT}
    if retry is not None:
        budget = retry.budget
        if isinstance(budget, ActiveRetryBudget) and budget.share:
            percent = {"value": durations.plain(100 * budget.share)}
            threshold["retry_budget"] = {"budget_percent": percent, "min_retry_concurrency": budget.minimum}
        else:
            threshold["max_retries"] = budget.minimum if isinstance(budget, ActiveRetryBudget) else NO_LIMIT
    place = {"socket_address": {"address": "127.0.0.1", "port_value": 8080}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": place}}]}]
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "circuit_breakers": {"thresholds": [threshold]},
    }
