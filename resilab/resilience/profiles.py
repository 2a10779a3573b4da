"""Breakers, bulkheads and timeouts with the meaning and the defaults of named libraries.

A `like` takes the fields of our own spec, and the library's options under these names.

Circuit breaker:
    resilience4j: sliding_window_type, sliding_window_size, minimum_number_of_calls,
        failure_rate_threshold and slow_call_rate_threshold in percent,
        slow_call_duration_threshold, wait_duration_in_open_state or
        wait_interval_function_in_open_state, permitted_number_of_calls_in_half_open_state,
        max_wait_duration_in_half_open_state, transition_to_state_after_wait_duration,
        automatic_transition_from_open_to_half_open_enabled, record_exceptions,
        ignore_exceptions, record_result
    polly: failure_ratio, minimum_throughput, sampling_duration, break_duration or
        break_duration_generator, handle, handle_result
    polly_v7: the same, or exceptions_allowed_before_breaking and duration_of_break
    failsafe: failure_threshold, failure_thresholding_capacity, failure_rate_threshold in
        percent, failure_execution_threshold, failure_thresholding_period,
        success_threshold, success_thresholding_capacity, delay or delay_fn, handle,
        handle_result
    hyx: exceptions, failure_threshold, recovery_time, recovery_threshold

Bulkhead:
    resilience4j: max_concurrent_calls 25, max_wait_duration 0
    polly: permit_limit 1000, queue_limit 0
    failsafe: max_concurrency, max_wait_time 0
    hyx: max_concurrency, max_capacity (running and waiting)

Timeout:
    resilience4j: timeout_duration 1 s, cancel_running_future
    polly: timeout 30 s
    failsafe, hyx: timeout
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from ..validation import one_of, whole
from .bulkhead import Bulkhead
from .circuit_breaker import CircuitBreaker
from .timeout import Timeout
from .windows import CountWindow, TimeWindow

AT_ONCE = math.ulp(0.0)
"""The shortest time there is: a breaker that stays open so long is half-open at the next call."""

_POLLY_RESOLUTION = 0.02  # Polly keeps 10 sub-windows of at least so many seconds, or a single one


class Options:
    """The options of one `like`: a library's own words, several spellings each, and our fields."""

    def __init__(self, library: str, given: dict[str, Any]) -> None:
        self.library = library
        self._left = dict(given)
        self._known: list[str] = []

    def take(self, *names: str, default: Any = None) -> Any:
        """Return the option by the first of its *names* that was given, or the default."""
        self._known.append(names[0])
        value = default
        for name in names:
            if name in self._left:
                value = self._left.pop(name)
        return value

    def rest(self, spec: type) -> dict[str, Any]:
        """Return what is left: fields of *spec* itself. Refuse anything else."""
        own = {field.name for field in fields(spec)}
        for name in self._left:
            if name not in own:
                raise TypeError(
                    f"{name} must be an option of {self.library} ({', '.join(self._known)}), or of {spec.__name__}"
                )
        return self._left


def circuit_breaker_like(library: str, options: dict[str, Any]) -> CircuitBreaker:
    """Return the breaker of a library; see `CircuitBreaker.like`."""
    one_of("library", library, tuple(_BREAKERS))
    taken = Options(library, options)
    translated = _BREAKERS[library](taken)
    return CircuitBreaker(**(translated | taken.rest(CircuitBreaker)))


def _resilience4j(options: Options) -> dict[str, Any]:
    size = whole("sliding_window_size", options.take("sliding_window_size", "window_size", default=100), minimum=1)
    kind = str(options.take("sliding_window_type", "window_type", default="COUNT_BASED")).lower()
    one_of("sliding_window_type", kind, ("count_based", "time_based", "count", "time"))
    permitted = options.take("permitted_number_of_calls_in_half_open_state", "permitted_calls_in_half_open", default=10)
    function = options.take("wait_interval_function_in_open_state")
    wait = options.take("wait_duration_in_open_state", "wait_in_open", default=60.0)
    after = options.take("transition_to_state_after_wait_duration", "transition_after_max_wait", default="open")
    return {
        "window": TimeWindow(float(size), buckets=size) if kind.startswith("time") else CountWindow(size),
        "failure_rate_threshold": options.take("failure_rate_threshold", default=50) / 100,
        "slow_call_duration": options.take("slow_call_duration_threshold", "slow_call_duration", default=60.0),
        "slow_call_rate_threshold": options.take("slow_call_rate_threshold", default=100) / 100,
        "volume_threshold": options.take("minimum_number_of_calls", "minimum_calls", default=100),
        "timeout": wait if function is None else function,
        "probes_at_timeout": False,
        "half_open_calls": permitted,
        "half_open_max_calls": permitted,
        "half_open_budget": "total",
        "max_half_open_wait": options.take("max_wait_duration_in_half_open_state", "max_wait_in_half_open") or None,
        "after_half_open_wait": str(after).lower(),
        "automatic_half_open": options.take("automatic_transition_from_open_to_half_open_enabled", default=False),
        "recorded_errors": options.take("record_exceptions", "record_exception"),
        "ignored_errors": options.take("ignore_exceptions", "ignore_exception"),
        "recorded_results": options.take("record_result"),
        "late_results": "count",
    }


def _polly(options: Options) -> dict[str, Any]:
    seconds = options.take("sampling_duration", "sampling", default=30.0)
    generator = options.take("break_duration_generator")
    duration = options.take("break_duration", "duration_of_break", "break", default=5.0)
    buckets = 1 if seconds < 10 * _POLLY_RESOLUTION else 10
    return {
        "window": TimeWindow(seconds, buckets=buckets, start="event"),
        "failure_rate_threshold": options.take("failure_ratio", default=0.1),
        "volume_threshold": options.take("minimum_throughput", default=100),
        "timeout": duration if generator is None else generator,
        "success_threshold": 1,
        "half_open_max_calls": 1,
        "half_open_budget": "total",
        "opens_on": "failure",
        "recorded_errors": options.take("handle"),
        "recorded_results": options.take("handle_result"),
        "late_results": "count",
    }


def _polly_v7(options: Options) -> dict[str, Any]:
    allowed = options.take("exceptions_allowed_before_breaking")
    breaker = _polly(options)
    if allowed is not None:
        breaker |= {"window": None, "failure_rate_threshold": None, "failure_threshold": allowed, "volume_threshold": 0}
    interval = breaker["timeout"] if not callable(breaker["timeout"]) else None
    return breaker | {"probe_interval": interval, "automatic_half_open": True, "other_errors": "ignored"}


def _failsafe(options: Options) -> dict[str, Any]:
    failures = options.take("failure_threshold", default=1)
    capacity = options.take("failure_thresholding_capacity", "failure_capacity", default=failures)
    percent = options.take("failure_rate_threshold")
    period = options.take("failure_thresholding_period", "failure_period")
    executions = options.take("failure_execution_threshold", default=None if period is None else failures)
    successes = options.take("success_threshold")
    places = options.take("success_thresholding_capacity", "success_capacity", default=successes)
    delay = options.take("delay", default=60.0)
    breaker = {
        "window": CountWindow(capacity) if period is None else TimeWindow(period, buckets=10, start="opening"),
        "failure_threshold": failures,
        "volume_threshold": executions or 0,
        "timeout": delay or AT_ONCE,
        "open_for": options.take("delay_fn"),
        "recorded_errors": options.take("handle"),
        "recorded_results": options.take("handle_result"),
        "half_open_max_calls": places or executions or capacity,
        "late_results": "count",
    }
    if percent is not None:
        # The rate is compared after rounding to whole percent.
        breaker["failure_rate_threshold"] = (percent - 0.5) / 100
    if successes is not None:
        breaker |= {"success_threshold": successes, "success_capacity": places}
    elif percent is not None:
        breaker["half_open_calls"] = executions
    else:
        breaker |= {"success_threshold": capacity - failures + 1, "success_capacity": capacity}
    return breaker


def _hyx(options: Options) -> dict[str, Any]:
    return {
        "failure_threshold": options.take("failure_threshold", default=5),
        "timeout": options.take("recovery_time", "recovery_time_secs", "recovery_delay_secs", default=30.0),
        "success_threshold": options.take("recovery_threshold", default=3),
        "recorded_errors": options.take("exceptions"),
        "other_errors": "ignored",
        "volume_threshold": 0,
        "late_results": "count",
    }


_BREAKERS = {
    "resilience4j": _resilience4j,
    "polly": _polly,
    "polly_v8": _polly,
    "polly_v7": _polly_v7,
    "failsafe": _failsafe,
    "hyx": _hyx,
}


def bulkhead_like(library: str, options: dict[str, Any]) -> Bulkhead:
    """Return the bulkhead of a library; see `Bulkhead.like`."""
    one_of("library", library, ("resilience4j", "polly", "polly_v8", "failsafe", "hyx"))
    taken = Options(library, options)
    names = {"resilience4j": "max_concurrent_calls", "polly": "permit_limit", "polly_v8": "permit_limit"}
    defaults = {"resilience4j": 25, "polly": 1000, "polly_v8": 1000}
    limit = taken.take(names.get(library, "max_concurrency"), "max_concurrent", default=defaults.get(library))
    if limit is None:
        raise TypeError(f"max_concurrency must be given for {library}")
    if library == "hyx":
        capacity = taken.take("max_capacity", default=None)
        extra = {} if capacity is None else {"max_queue": capacity - limit}
    elif library.startswith("polly"):
        extra = {"max_queue": taken.take("queue_limit", default=0)}
    else:
        extra = {"max_wait": taken.take("max_wait_duration", "max_wait_time", default=0.0)}
    return Bulkhead(limit, **(extra | taken.rest(Bulkhead)))


def timeout_like(library: str, options: dict[str, Any]) -> Timeout:
    """Return the timeout of a library; see `Timeout.like`."""
    one_of("library", library, ("resilience4j", "polly", "polly_v8", "failsafe", "hyx"))
    taken = Options(library, options)
    default = {"resilience4j": 1.0, "polly": 30.0, "polly_v8": 30.0}.get(library)
    seconds = taken.take("timeout", "timeout_duration", "timeout_secs", "seconds", default=default)
    if seconds is None:
        raise TypeError(f"timeout must be given for {library}")
    cancel = taken.take("cancel_running_future", default=True)
    return Timeout(seconds, **({"cancel": cancel} | taken.rest(Timeout)))
