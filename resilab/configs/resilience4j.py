"""resilience4j: Spring's YAML and properties.

Keys and defaults are those of resilience4j 2.4 (`Common...ConfigurationProperties`), the
nesting that of its Spring aspects: Retry around CircuitBreaker around RateLimiter around
TimeLimiter around Bulkhead.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker, CircuitState
from ..resilience.policy import ResiliencePolicy
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..resilience.windows import TimeWindow
from . import durations
from .config import APPROXIMATED, DROPPED, Config, Key, Note, Reading, first, written
from .documents import Node
from .laws import law_of

KIND = "resilience4j"
MS = 0.001


def _time(node: Node) -> float:
    return durations.seconds(node, bare=MS)


def _window_type(node: Node) -> str:
    word = node.text().upper()
    if word not in ("COUNT_BASED", "TIME_BASED"):
        node.refuse(f"must be COUNT_BASED or TIME_BASED, got {node.value!r}")
    return word


def _state(node: Node) -> str:
    word = node.text().upper()
    if word.lower() not in set(CircuitState):
        node.refuse(f"must be one of {', '.join(CircuitState).upper()}, got {node.value!r}")
    return word


def _window_size(breaker: CircuitBreaker) -> int:
    window = breaker.window
    if window is None:
        return breaker.failure_threshold
    return durations.whole_seconds(window.seconds) if isinstance(window, TimeWindow) else window.size


def _failure_rate(breaker: CircuitBreaker) -> float:
    if breaker.failure_rate_threshold is not None:
        return durations.plain(breaker.failure_rate_threshold * 100, 4)  # type: ignore[no-any-return]
    size = _window_size(breaker)
    return durations.plain(min(100.0, 100 * breaker.failure_threshold / size), 4)  # type: ignore[no-any-return]


def _minimum(breaker: CircuitBreaker) -> int:
    return max(1, breaker.failure_threshold if breaker.window is None else breaker.volume_threshold)


def _slow(breaker: CircuitBreaker) -> float | None:
    return breaker.slow_call_duration if breaker.slow_call_duration not in (None, math.inf) else None


def _probes(breaker: CircuitBreaker) -> int:
    return breaker.half_open.calls or breaker.half_open.success_capacity or breaker.success_threshold


BREAKER = (
    Key("slidingWindowType", "sliding_window_type", _window_type,
        lambda b: "TIME_BASED" if isinstance(b.window, TimeWindow) else "COUNT_BASED",
        "whether the window holds calls or seconds"),
    Key("slidingWindowSize", "sliding_window_size", Node.whole, _window_size,
        "calls in the window, or seconds of it"),
    Key("minimumNumberOfCalls", "minimum_number_of_calls", Node.whole, _minimum,
        "fewest calls in the window before it may open"),
    Key("failureRateThreshold", "failure_rate_threshold", Node.number, _failure_rate,
        "percent of failures in the window that opens it"),
    Key("slowCallDurationThreshold", "slow_call_duration_threshold", _time, _slow,
        "a call that takes longer is slow", durations.with_unit),
    Key("slowCallRateThreshold", "slow_call_rate_threshold", Node.number,
        lambda b: None if _slow(b) is None else durations.plain(b.slow_call_rate_threshold * 100, 4),
        "percent of slow calls in the window that opens it"),
    Key("waitDurationInOpenState", "wait_duration_in_open_state", _time,
        lambda b: None if callable(b.timeout) else b.timeout,
        "how long it stays open", durations.with_unit),
    Key("permittedNumberOfCallsInHalfOpenState", "permitted_number_of_calls_in_half_open_state", Node.whole, _probes,
        "probes, whose rates decide whether it closes"),
    Key("maxWaitDurationInHalfOpenState", "max_wait_duration_in_half_open_state", _time,
        lambda b: b.half_open.max_wait,
        "longest stay in half-open; 0 is no limit", durations.with_unit),
    Key("automaticTransitionFromOpenToHalfOpenEnabled", "automatic_transition_from_open_to_half_open_enabled",
        Node.flag, lambda b: b.opening.automatic or None,
        "half-open without waiting for a call"),
    Key("initialState", "initial_state", _state,
        lambda b: None if b.initial_state == CircuitState.CLOSED else b.initial_state,
        "the state that it begins in", str.upper),
)  # fmt: skip
BREAKER_REASONS = {
    "recordExceptions": "names Java classes: give recorded_errors the Python classes that play them",
    "ignoreExceptions": "names Java classes: give ignored_errors the Python classes that play them",
    "recordFailurePredicate": "is Java code: give recorded_errors a predicate",
    "ignoreExceptionPredicate": "is Java code: give ignored_errors a predicate",
    "recordResultPredicate": "is Java code: give recorded_results a predicate",
    "ignoreClassBindingExceptions": "is about names of classes, and changes no call",
    "registerHealthIndicator": "is about monitoring, and changes no call",
    "allowHealthIndicatorToFail": "is about monitoring, and changes no call",
    "eventConsumerBufferSize": "is about monitoring, and changes no call",
    "writableStackTraceEnabled": "changes no call",
    "baseConfig": "its keys were read first",
}
BULKHEAD = (
    Key("maxConcurrentCalls", "max_concurrent_calls", Node.whole, lambda b: b.max_concurrent, "calls at once"),
    Key("maxWaitDuration", "max_wait_duration", _time,
        lambda b: 0.0 if b.max_queue == 0 else b.max_wait,
        "longest wait for a permit", durations.with_unit),
)  # fmt: skip
TIME_LIMITER = (
    Key("timeoutDuration", "timeout_duration", _time, lambda t: t.seconds, "time limit of a call", durations.with_unit),
    Key("cancelRunningFuture", "cancel_running_future", Node.flag, lambda t: t.cancel,
        "whether the call is cancelled when its time is over"),
)  # fmt: skip
RATE_LIMITER = (
    Key("limitForPeriod", "limit_for_period", Node.whole, lambda r: r.permits, "calls in a period"),
    Key("limitRefreshPeriod", "limit_refresh_period", _time, lambda r: r.period, "length of a period",
        durations.with_unit),
    Key("timeoutDuration", "timeout_duration", _time, lambda r: r.max_wait, "longest wait for a permit",
        durations.with_unit),
)  # fmt: skip

SECTIONS = ("retry", "circuitbreaker", "ratelimiter", "timelimiter", "bulkhead", "thread-pool-bulkhead")
"""In the order of the aspects, the outermost first."""
ADVICE = {
    "Fallback": "name a fallbackMethod in the annotation of the call",
    "Hedge": "resilience4j has no hedging policy; send the second call in code",
    "AdaptiveThrottle": "resilience4j has none; throttle in code",
    "Deadline": "resilience4j has none; pass the deadline in code",
    "Retry.budget": "resilience4j has no retry budget: lower maxAttempts, and let the circuit breaker end the retries",
    "Retry.max_duration": "resilience4j limits attempts, not time: choose maxAttempts to fit",
    "Retry.retryable_errors": "name the Java classes in retryExceptions",
    "Timeout": "a TimeLimiter stands inside the Retry; a limit around all attempts belongs to the caller",
    "Bulkhead.max_queue": "its queue has no limit, only its wait has",
    "CircuitBreaker.recorded_errors": "name the Java classes in recordExceptions",
    "CircuitBreaker.ignored_errors": "name the Java classes in ignoreExceptions",
    "CircuitBreaker.success_threshold": "half-open is decided by the rate of its probes",
}


def matches(document: Node) -> bool:
    """Whether a document is a resilience4j configuration."""
    return document.has("resilience4j") or any(document.has(f"resilience4j.{section}") for section in SECTIONS)


def _instance(section: Node, name: str) -> list[Node]:
    """Return the nodes that make an instance: the default, its base, its own."""
    configs, own = section.get("configs"), section.at("instances", name)
    base = own.get("baseConfig", "base-config") if own is not None else None
    found = []
    if configs is not None:
        wanted = "default" if base is None else base.text()
        shared = configs.get(wanted)
        if base is not None and shared is None:
            base.refuse(f"must be one of the configs {', '.join(configs.fields)}, got {base.value!r}")
        found += [shared] if shared is not None else []
    return [*found, own] if own is not None else found


def names(document: Node) -> list[str]:
    """Return the names of the instances, in the order of the file."""
    found: dict[str, None] = {}
    root = document.get("resilience4j")
    for section in SECTIONS:
        instances = None if root is None else root.at(section, "instances")
        found |= dict.fromkeys(instances.fields if instances is not None else ())
    return list(found)


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the policy of the instance *name*."""
    root = document.get("resilience4j")
    if root is None:
        raise document.error("must have resilience4j, got nothing")
    makers = {
        "retry": _retry,
        "circuitbreaker": _breaker,
        "ratelimiter": lambda nodes, reading: RateLimiter.like(KIND, **_merged(nodes, RATE_LIMITER, reading)),
        "timelimiter": lambda nodes, reading: Timeout.like(KIND, **_merged(nodes, TIME_LIMITER, reading)),
        "bulkhead": lambda nodes, reading: Bulkhead.like(KIND, **_merged(nodes, BULKHEAD, reading)),
        "thread-pool-bulkhead": _thread_pool,
    }
    found: dict[str, Policy] = {}
    for section_name in SECTIONS:
        section = root.get(section_name)
        if section is None or section.at("instances", name) is None:
            continue
        nodes = _instance(section, name)
        found[section_name] = makers[section_name](nodes, reading)
        for node in nodes:
            reasons = BREAKER_REASONS | RETRY_REASONS
            reading.drop_rest(node, reasons, "is not a key that resilience4j has here: it ignores it, too")
    order = _order(root, found, reading)
    policy = ResiliencePolicy(*(found[section_name] for section_name in order))
    return Config(KIND, name, policy, "", tuple(reading.rows))


def _merged(nodes: list[Node], keys: tuple[Key, ...], reading: Reading) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for node in nodes:
        options |= reading.options(node, keys)
    return options


_ORDERS = {
    "retry": 5,
    "circuitbreaker": 4,
    "ratelimiter": 3,
    "timelimiter": 2,
    "bulkhead": 1,
    "thread-pool-bulkhead": 0,
}
_LOWEST = 2_147_483_647


def _order(root: Node, found: dict[str, Policy], reading: Reading) -> list[str]:
    """Return the sections from the outermost in; a smaller aspect order is further outside."""
    orders = {name: _LOWEST - _ORDERS[name] for name in found}
    spelled = {"retry": "retryAspectOrder", "circuitbreaker": "circuitBreakerAspectOrder",
               "ratelimiter": "rateLimiterAspectOrder", "timelimiter": "timeLimiterAspectOrder",
               "bulkhead": "bulkheadAspectOrder", "thread-pool-bulkhead": "bulkheadAspectOrder"}  # fmt: skip
    for name in found:
        section = root.get(name)
        node = None if section is None else section.get(spelled[name])
        if node is not None:
            orders[name] = node.whole()
            reading.note(node, "mapped", "place in the nesting: the smaller number is further outside")
    return sorted(found, key=lambda name: (orders[name], SECTIONS.index(name)))


def _breaker(nodes: list[Node], reading: Reading) -> CircuitBreaker:
    options = _merged(nodes, BREAKER, reading)
    flags = {key: next((node.get(key) for node in reversed(nodes) if node.get(key) is not None), None)
             for key in ("enableExponentialBackoff", "exponentialBackoffMultiplier", "enableRandomizedWait",
                         "exponentialMaxWaitDurationInOpenState", "randomizedWaitFactor")}  # fmt: skip
    grows = flags["enableExponentialBackoff"] is not None and flags["enableExponentialBackoff"].flag()
    varies = flags["enableRandomizedWait"] is not None and flags["enableRandomizedWait"].flag()
    for given in filter(None, flags.values()):
        if grows and varies:
            given.refuse("exponential and randomized waits cannot be enabled together: resilience4j throws")
    extra: dict[str, Any] = {}
    if grows:
        growth, longest = flags["exponentialBackoffMultiplier"], flags["exponentialMaxWaitDurationInOpenState"]
        extra["enable_exponential_backoff"] = True
        extra |= {} if growth is None else {"exponential_backoff_multiplier": growth.number()}
        extra |= {} if longest is None else {"exponential_max_wait_duration_in_open_state": _time(longest)}
    if varies:
        factor = flags["randomizedWaitFactor"]
        extra["enable_randomized_wait"] = True
        extra |= {} if factor is None else {"randomized_wait_factor": factor.number()}
    for name, node in flags.items():
        if node is None:
            continue
        if grows and "andomized" not in name:
            reading.note(node, "mapped", "the time open grows from opening to opening while probes fail")
        elif varies and "xponential" not in name:
            reading.note(node, "mapped", "the time open is random")
        elif name.startswith("enable"):
            reading.note(node, "mapped", "is off")
        else:
            reading.note(
                node, DROPPED, "is ignored by resilience4j unless the matching enable... key is true", is_trap=True
            )
    return CircuitBreaker.like(KIND, **options, **extra)


RETRY_REASONS = {
    "retryExceptions": "names Java classes: give retryable_errors the Python classes that play them",
    "failAfterMaxAttempts": "changes which exception the caller sees, and no call",
    "resultPredicate": "is Java code: give retryable_results a predicate",
    "retryExceptionPredicate": "is Java code: give retryable_errors a predicate",
}
_RETRY_KEYS = ("maxAttempts", "waitDuration", "enableExponentialBackoff", "exponentialBackoffMultiplier",
               "exponentialMaxWaitDuration", "enableRandomizedWait", "randomizedWaitFactor")  # fmt: skip
IGNORED_KEYS = {
    "exponentialMaxWaitDuration": "exponentialBackoffMultiplier",
    "enableExponentialBackoff": "waitDuration",
}


def _retry(nodes: list[Node], reading: Reading) -> Retry:
    given: dict[str, Node] = {}
    for node in nodes:
        given |= {key: found for key in _RETRY_KEYS if (found := node.get(key)) is not None}
    flags = {key: key in given and given[key].flag() for key in ("enableExponentialBackoff", "enableRandomizedWait")}
    grows, varies = flags["enableExponentialBackoff"], flags["enableRandomizedWait"]
    ignored: dict[str, str] = {}
    if (grows or varies) and "waitDuration" not in given:
        # RetryConfigurationProperties builds an interval function only where waitDuration is set.
        grows = varies = False
        ignored |= dict.fromkeys(_RETRY_KEYS[2:], "is ignored by resilience4j, since waitDuration is not set")
    if not grows:
        ignored |= {
            key: "is ignored by resilience4j: exponential back-off is not on"
            for key in _RETRY_KEYS[3:5]
            if not ignored.get(key)
        }
    elif "exponentialBackoffMultiplier" not in given or (varies and "randomizedWaitFactor" not in given):
        ignored["exponentialMaxWaitDuration"] = "is ignored by resilience4j unless multiplier (and factor) are set"
    if not varies:
        ignored.setdefault("randomizedWaitFactor", "is ignored by resilience4j: randomized wait is not on")
    kinds = {
        (False, False): "constant",
        (True, False): "exponential",
        (False, True): "random",
        (True, True): "exponential_random",
    }
    options: dict[str, Any] = {"interval_function": kinds[grows, varies]}
    readers = {
        "maxAttempts": ("max_attempts", Node.whole, "attempts, the first one included"),
        "waitDuration": ("wait_duration", _time, "wait before the first retry"),
        "exponentialBackoffMultiplier": ("multiplier", Node.number, "growth of the wait from retry to retry"),
        "exponentialMaxWaitDuration": ("max_interval", _time, "longest wait"),
        "randomizedWaitFactor": ("randomization_factor", Node.number, "the wait varies by so much to both sides"),
    }
    for key, node in given.items():
        if key in ignored:
            reading.note(node, DROPPED, ignored[key], is_trap=True)
        elif key in readers:
            option, convert, meaning = readers[key]
            options[option] = convert(node)
            reading.note(node, "mapped", meaning)
        else:
            reading.note(node, "mapped", "is on" if flags[key] else "is off")
    return Retry.like(KIND, **options)


def _thread_pool(nodes: list[Node], reading: Reading) -> Bulkhead:
    given: dict[str, Node] = {}
    for node in nodes:
        keys = ("maxThreadPoolSize", "coreThreadPoolSize", "queueCapacity", "keepAliveDuration")
        given |= {key: found for key in keys if (found := node.get(key)) is not None}
    for key, node in given.items():
        if key == "maxThreadPoolSize":
            reading.note(node, "mapped", "calls at once")
        elif key == "queueCapacity":
            reading.note(node, "mapped", "places in the queue")
        else:
            reading.note(
                node,
                APPROXIMATED,
                "here the pool always has its largest size; Java goes above the core size once the queue is full",
            )
    threads, queue = given.get("maxThreadPoolSize"), given.get("queueCapacity")
    if threads is None:
        raise nodes[-1].refuse(
            "must have maxThreadPoolSize: its default is the number of processors, which no file tells"
        )
    return Bulkhead(threads.whole(), max_queue=100 if queue is None else queue.whole())


# Writing


def write(policy: ResiliencePolicy, name: str) -> tuple[str, list[Note]]:
    """Return Spring YAML that says as much of *policy* as resilience4j can."""
    parts = policy.flat()
    sections: dict[str, dict[str, Any]] = {}
    retry, breaker, limiter = first(parts, Retry), first(parts, CircuitBreaker), first(parts, RateLimiter)
    limit = _time_limit(parts)
    bulkhead = first(parts, Bulkhead)
    if retry is not None:
        sections["retry"] = _written_retry(retry)
    if breaker is not None:
        sections["circuitbreaker"] = _written_breaker(breaker)
    if limiter is not None:
        sections["ratelimiter"] = written(limiter, RATE_LIMITER)
    if limit is not None:
        sections["timelimiter"] = written(limit, TIME_LIMITER)
    if bulkhead is not None and bulkhead.max_queue and bulkhead.max_wait is None:
        pool = {"maxThreadPoolSize": bulkhead.max_concurrent, "coreThreadPoolSize": bulkhead.max_concurrent}
        sections["thread-pool-bulkhead"] = pool | {"queueCapacity": bulkhead.max_queue}
    elif bulkhead is not None:
        sections["bulkhead"] = written(bulkhead, BULKHEAD)
    return _text(sections, parts, name), []


def _time_limit(parts: tuple[Policy, ...]) -> Timeout | None:
    """Return the time limit that a TimeLimiter can say: the innermost, inside the retry if there is one."""
    retries = [number for number, part in enumerate(parts) if isinstance(part, Retry)]
    inner = [
        part for number, part in enumerate(parts) if isinstance(part, Timeout) and (not retries or number > retries[0])
    ]
    return inner[-1] if inner else None


def _written_retry(retry: Retry) -> dict[str, Any]:
    law = law_of(retry)
    values: dict[str, Any] = {}
    if retry.max_retries is not None:
        values["maxAttempts"] = retry.max_retries + 1
    values["waitDuration"] = durations.with_unit(max(law.first, 0.001))
    grows = law.kind == "exponential" and law.multiplier > 1
    if grows:
        values |= {"enableExponentialBackoff": True, "exponentialBackoffMultiplier": durations.plain(law.multiplier)}
        if law.longest < math.inf:
            values["exponentialMaxWaitDuration"] = durations.with_unit(law.longest)
    if law.spread:  # above 0 and below 1 is what resilience4j takes
        values |= {"enableRandomizedWait": True, "randomizedWaitFactor": durations.plain(min(law.spread, 0.99))}
    return values


def _written_breaker(breaker: CircuitBreaker) -> dict[str, Any]:
    values = written(breaker, BREAKER)
    if breaker.opening.multiplier > 1:
        values |= {"enableExponentialBackoff": True,
                   "exponentialBackoffMultiplier": durations.plain(breaker.opening.multiplier)}  # fmt: skip
        if breaker.opening.max_timeout < math.inf:
            values["exponentialMaxWaitDurationInOpenState"] = durations.with_unit(breaker.opening.max_timeout)
    elif breaker.opening.jitter:
        values |= {"enableRandomizedWait": True, "randomizedWaitFactor": durations.plain(breaker.opening.jitter)}
    return values


def _text(sections: dict[str, dict[str, Any]], parts: tuple[Policy, ...], name: str) -> str:
    kinds = {Retry: "retry", CircuitBreaker: "circuitbreaker", RateLimiter: "ratelimiter", Timeout: "timelimiter",
             Bulkhead: "bulkhead"}  # fmt: skip
    wanted = [kinds[type(part)] for part in parts if kinds.get(type(part)) in sections]
    tree: dict[str, Any] = {section: {"instances": {name: values}} for section, values in sections.items()}
    standard = [section for section in SECTIONS if section in wanted]
    comment = ""
    if wanted != standard and len(set(wanted)) == len(wanted):
        comment = "# The aspect orders change the nesting: the smaller number is further outside.\n"
        for place, section in enumerate(wanted):
            word = {"circuitbreaker": "circuitBreaker", "ratelimiter": "rateLimiter", "timelimiter": "timeLimiter"}.get(
                section, section
            )
            tree[section][f"{word}AspectOrder"] = place + 1
    return comment + str(yaml.safe_dump({"resilience4j": tree}, sort_keys=False))
