"""Rate limiters and hedges with the meaning and the defaults of named libraries.

A `like` takes the fields of our own spec, and the library's options under these names.

Rate limiter:
    resilience4j: limit_for_period 50, limit_refresh_period 500 ns, timeout_duration 5 s
    polly: permit_limit and window of .NET's fixed window limiter, queue_limit 0
    failsafe: kind "smooth" or "bursty", max_executions and period, or max_rate (seconds
        between two executions, smooth), max_wait_time 0
    bucket4j: capacity, refill_tokens (those of the capacity) and refill_period of a
        greedy refill
    envoy: max_tokens, tokens_per_fill 1, fill_interval of a local rate limit

Hedge:
    polly: delay 2 s, max_hedged_attempts 1, handle
    resilience4j: preconfigured_duration
    failsafe: delay, max_hedges 1 (the edition for Go)
    grpc: max_attempts (at most 5 count), hedging_delay 0, non_fatal_status_codes ()

`Fallback` has no `like`: no library has a default answer, and what they handle
(`handle` and `handle_result`, in hyx `on` and `if_`) are *handled_errors* and
*handled_results*.
"""

from __future__ import annotations

from typing import Any

from ..validation import one_of, whole
from .hedge import Hedge
from .profiles import Options
from .rate_limiter import RateLimiter


def rate_limiter_like(library: str, options: dict[str, Any]) -> RateLimiter:
    """Return the rate limiter of a library; see `RateLimiter.like`."""
    one_of("library", library, tuple(_LIMITERS))
    taken = Options(library, options)
    translated = _LIMITERS[library](taken)
    return RateLimiter(**(translated | taken.rest(RateLimiter)))


def hedge_like(library: str, options: dict[str, Any]) -> Hedge:
    """Return the hedge of a library; see `Hedge.like`."""
    one_of("library", library, tuple(_HEDGES))
    taken = Options(library, options)
    translated = _HEDGES[library](taken)
    return Hedge(**(translated | taken.rest(Hedge)))


def _told(options: Options, *names: str) -> Any:
    """Return an option that the library has no default for."""
    value = options.take(*names)
    if value is None:
        raise TypeError(f"{names[0]} must be given for {options.library}")
    return value


def _resilience4j_limiter(options: Options) -> dict[str, Any]:
    return {
        "permits": options.take("limit_for_period", "permits", default=50),
        "period": options.take("limit_refresh_period", "period", default=500e-9),
        "max_wait": options.take("timeout_duration", "max_wait", default=5.0),
        "kind": "cycle",
    }


def _polly_limiter(options: Options) -> dict[str, Any]:
    queue = options.take("queue_limit", default=0)
    if queue != 0:
        raise ValueError(f"queue_limit must be 0, got {queue!r}")
    return {
        "permits": _told(options, "permit_limit", "permits"),
        "period": _told(options, "window", "period"),
        "kind": "bursty",
    }


def _failsafe_limiter(options: Options) -> dict[str, Any]:
    between = options.take("max_rate")
    kind = _told(options, "kind") if between is None else options.take("kind", default="smooth")
    one_of("kind", kind, ("smooth", "bursty") if between is None else ("smooth",))
    return {
        "permits": 1 if between is not None else _told(options, "max_executions", "permits"),
        "period": between if between is not None else _told(options, "period"),
        "max_wait": options.take("max_wait_time", "max_wait", default=0.0),
        "kind": kind,
    }


def _bucket4j_limiter(options: Options) -> dict[str, Any]:
    capacity = _told(options, "capacity", "burst")
    return {
        "permits": options.take("refill_tokens", "permits", default=capacity),
        "period": _told(options, "refill_period", "period"),
        "burst": capacity,
        "kind": "token_bucket",
    }


def _envoy_limiter(options: Options) -> dict[str, Any]:
    return {
        "permits": options.take("tokens_per_fill", "permits", default=1),
        "period": _told(options, "fill_interval", "period"),
        "burst": _told(options, "max_tokens", "burst"),
        "kind": "token_bucket",
    }


_LIMITERS = {
    "resilience4j": _resilience4j_limiter,
    "polly": _polly_limiter,
    "polly_v8": _polly_limiter,
    "failsafe": _failsafe_limiter,
    "bucket4j": _bucket4j_limiter,
    "envoy": _envoy_limiter,
}


def _polly_hedge(options: Options) -> dict[str, Any]:
    return {
        "delay": options.take("delay", default=2.0),
        "max_hedges": options.take("max_hedged_attempts", "max_hedges", default=1),
        "handled_errors": options.take("handle", "handled_errors"),
    }


def _resilience4j_hedge(options: Options) -> dict[str, Any]:
    return {"delay": _told(options, "preconfigured_duration", "delay"), "wins": "completion"}


def _failsafe_hedge(options: Options) -> dict[str, Any]:
    return {
        "delay": _told(options, "delay"),
        "max_hedges": options.take("max_hedges", default=1),
        "wins": "completion",
    }


def _grpc_hedge(options: Options) -> dict[str, Any]:
    attempts = whole("max_attempts", _told(options, "max_attempts"), minimum=2)
    return {
        "max_hedges": min(attempts, 5) - 1,
        "delay": options.take("hedging_delay", "delay", default=0.0),
        "handled_errors": options.take("non_fatal_status_codes", "handled_errors", default=()),
    }


_HEDGES = {
    "polly": _polly_hedge,
    "polly_v8": _polly_hedge,
    "resilience4j": _resilience4j_hedge,
    "failsafe": _failsafe_hedge,
    "grpc": _grpc_hedge,
}
