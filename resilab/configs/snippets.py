"""Code for libraries that are configured in code: what it says is told as policies too, so that differences show."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..resilience.backoff import Backoff
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.policy import ResiliencePolicy
from ..resilience.rate_limiter import RateLimiter
from ..resilience.retry import Retry
from ..resilience.timeout import Timeout
from ..resilience.windows import CountWindow, TimeWindow
from . import durations
from .config import Reading, first
from .documents import parse
from .dotnet import PIPELINE, Polly
from .laws import Law, law_of

LONGEST = 3600.0
"""Seconds that stand for "no limit" where a library wants a number."""


class Snippet(NamedTuple):
    """Code, and the policies that it makes."""

    text: str
    policy: ResiliencePolicy


def _number(value: float) -> str:
    return f"{durations.plain(value)}"


def _attempts(retry: Retry) -> int | None:
    return None if retry.max_retries is None else retry.max_retries + 1


def _longest(law: Law) -> float:
    return law.longest if law.longest < math.inf else LONGEST


# Python


def tenacity(policy: ResiliencePolicy, name: str) -> Snippet:
    """Return a decorator of tenacity."""
    retry = first(policy.flat(), Retry)
    if retry is None:
        return Snippet("# tenacity retries, and nothing else: there is no retry in this policy\n", ResiliencePolicy())
    law, attempts = law_of(retry), _attempts(retry)
    stops = [f"stop_after_attempt({attempts})"] if attempts is not None else []
    if retry.max_duration is not None:
        stops.append(f"stop_after_delay({_number(retry.max_duration)})")
    limit = "" if law.longest == math.inf else f", max={_number(law.longest)}"
    grown = f"multiplier={_number(law.first)}, exp_base={_number(law.multiplier)}{limit}"
    is_full = law.jitter == "full"
    if law.kind == "constant":
        wait = f"wait_random(0, {_number(law.first)})" if is_full else f"wait_fixed({_number(law.first)})"
        back = Backoff("constant", law.first, jitter="full" if is_full else "none", cap="before")
    else:
        wait = f"wait_random_exponential({grown})" if is_full else f"wait_exponential({grown})"
        back = Backoff(
            "exponential", law.first, law.multiplier, max_delay=law.longest,
            jitter="full" if is_full else "none", cap="before",
        )  # fmt: skip
    names = sorted({word.partition("(")[0] for word in (*stops, wait)})
    options = [f"stop={' | '.join(stops)}"] if stops else []
    options += [f"wait={wait}", "reraise=True"]
    text = f"from tenacity import retry, {', '.join(names)}\n\n\n"
    text += f"@retry({', '.join(options)})\ndef {_identifier(name)}():\n    ...\n"
    said = Retry.like("tenacity", max_attempts=attempts, stop_after_delay=retry.max_duration, wait=back)
    return Snippet(text, ResiliencePolicy(said))


def stamina(policy: ResiliencePolicy, name: str) -> Snippet:
    """Return a decorator of stamina."""
    retry = first(policy.flat(), Retry)
    if retry is None:
        return Snippet("# stamina retries, and nothing else: there is no retry in this policy\n", ResiliencePolicy())
    law = law_of(retry)
    jitter = retry.backoff.amount if retry.backoff is not None and law.jitter == "add" else 0.0
    base = law.multiplier if law.kind != "constant" else 1.0
    said = {
        "attempts": _attempts(retry), "timeout": retry.max_duration, "wait_initial": durations.plain(law.first),
        "wait_max": durations.plain(_longest(law)), "wait_jitter": durations.plain(jitter),
        "wait_exp_base": durations.plain(base),
    }  # fmt: skip
    options = ", ".join(f"{key}={value!r}" for key, value in said.items())
    text = f"import stamina\n\n\n@stamina.retry(on=Exception, {options})\ndef {_identifier(name)}():\n    ...\n"
    return Snippet(text, ResiliencePolicy(Retry.like("stamina", **said)))


def hyx(policy: ResiliencePolicy, name: str) -> Snippet:
    """Return decorators of hyx, the outermost first."""
    lines, imports, said = [], set(), list[Policy]()
    for part in policy.flat():
        found = _hyx_part(part)
        if found is not None:
            module, decorator, made = found
            lines.append(f"@{decorator}")
            imports.add(f"from hyx.{module} import {decorator.partition('(')[0]}")
            for law in ("const", "expo"):
                if f"{law}(" in decorator:
                    imports.add(f"from hyx.retry.backoffs import {law}")
            if "jitters." in decorator:
                imports.add("from hyx.retry import jitters")
            said.append(made)
    body = "\n".join([*lines, f"async def {_identifier(name)}():", "    ..."])
    return Snippet("\n".join(sorted(imports)) + f"\n\n\n{body}\n", ResiliencePolicy(*said))


def _hyx_part(part: Policy) -> tuple[str, str, Policy] | None:
    """Return module, decorator and meaning of a policy in hyx; None if it has no such thing."""
    if isinstance(part, Retry):
        law, attempts = law_of(part), part.max_retries
        jitter = law.jitter if law.jitter in ("full", "equal") else "none"
        back = Backoff(
            "constant" if law.kind == "constant" else "exponential", law.first, law.multiplier,
            max_delay=_longest(law) if law.kind != "constant" else math.inf, jitter=jitter, cap="before",
        )  # fmt: skip
        word = "" if jitter == "none" else f", jitter=jitters.{jitter}"
        text = _number(law.first)
        if law.kind != "constant":
            text = f"expo(min_delay_secs={_number(law.first)}, base={_number(law.multiplier)}, "
            text += f"max_delay_secs={_number(_longest(law))}{word})"
        elif word:
            text = f"const({_number(law.first)}{word})"
        return (
            "retry",
            f"retry(attempts={attempts}, backoff={text})",
            Retry.like("hyx", attempts=attempts, backoff=back),
        )
    if isinstance(part, CircuitBreaker) and isinstance(part.timeout, int | float):
        options = {
            "failure_threshold": part.failure_threshold, "recovery_time": float(part.timeout),
            "recovery_threshold": part.success_threshold,
        }  # fmt: skip
        words = ", ".join(f"{key.replace('time', 'time_secs')}={value}" for key, value in options.items())
        return "circuitbreaker", f"consecutive_breaker({words})", CircuitBreaker.like("hyx", **options)
    if isinstance(part, Timeout) and isinstance(part.seconds, int | float):
        return "timeout", f"timeout({_number(part.seconds)})", Timeout.like("hyx", timeout=part.seconds)
    if isinstance(part, Bulkhead):
        queue = part.max_concurrent * 1000 if part.max_queue is None else part.max_queue
        most = part.max_concurrent + queue
        words = f"max_concurrency={part.max_concurrent}, max_capacity={most}"
        return (
            "bulkhead",
            f"bulkhead({words})",
            Bulkhead.like("hyx", max_concurrency=part.max_concurrent, max_capacity=most),
        )
    if isinstance(part, RateLimiter):
        burst = part.burst or part.permits
        words = f"max_executions={part.permits}, per_time_secs={_number(part.period)}, bucket_size={burst}"
        made = RateLimiter.like("hyx", max_executions=part.permits, time_period=part.period, bucket_size=part.burst)
        return "ratelimit", f"tokenbucket({words})", made
    return None


def _identifier(name: str) -> str:
    word = "".join(each if each.isalnum() else "_" for each in name)
    return word if word[:1].isalpha() else f"call_{word}"


# Java, JavaScript, C#


def failsafe(policy: ResiliencePolicy, name: str) -> Snippet:
    """Return Failsafe's builders in Java, and their order."""
    lines, variables, said = [], [], list[Policy]()
    for number, part in enumerate(policy.flat()):
        found = _failsafe_part(part)
        if found is not None:
            kind, calls, made = found
            variable = f"{kind[0].lower()}{kind[1:]}{number + 1}"
            is_generic = kind in ("RetryPolicy", "CircuitBreaker", "Timeout", "Bulkhead")
            lines.append(
                f"{kind}<Object> {variable} = {kind}.{'<Object>' if is_generic else ''}builder{calls}.build();"
            )
            variables.append(variable)
            said.append(made)
    lines.append(f"// the outermost first\nFailsafe.with({', '.join(variables)}).get(() -> {_identifier(name)}());")
    return Snippet("\n".join(lines) + "\n", ResiliencePolicy(*said))


def _millis(seconds: float) -> str:
    return f"Duration.ofMillis({durations.milliseconds(seconds)})"


def _failsafe_part(part: Policy) -> tuple[str, str, Policy] | None:
    """Return builder, calls and meaning of a policy in Failsafe; None if it has no such thing."""
    if isinstance(part, Retry):
        law = law_of(part)
        options: dict[str, Any] = {"max_retries": -1 if part.max_retries is None else part.max_retries}
        calls = f"().withMaxRetries({options['max_retries']})"
        first_wait = round(law.first, 3)
        if law.kind == "constant" or law.longest <= law.first or law.multiplier <= 1:
            options["delay"] = first_wait
            calls += f".withDelay({_millis(first_wait)})" if first_wait else ""
        else:
            options |= {"delay": first_wait, "delay_factor": law.multiplier, "max_delay": round(_longest(law), 3)}
            calls += f".withBackoff({_millis(first_wait)}, {_millis(_longest(law))}, {_number(law.multiplier)})"
        if law.jitter in ("minus_plus", "plus_minus") and law.spread:
            options["jitter_factor"] = law.spread
            calls += f".withJitter({_number(law.spread)})"
        if part.max_duration is not None:
            options["max_duration"] = round(part.max_duration, 3)
            calls += f".withMaxDuration({_millis(part.max_duration)})"
        return "RetryPolicy", calls, Retry.like("failsafe", **options)
    if isinstance(part, CircuitBreaker) and isinstance(part.timeout, int | float):
        options = {"delay": round(float(part.timeout), 3)}
        window = part.window
        if isinstance(window, TimeWindow) and part.failure_rate_threshold is not None:
            executions = max(1, part.volume_threshold)
            options |= {
                "failure_rate_threshold": 100 * part.failure_rate_threshold, "failure_execution_threshold": executions,
                "failure_thresholding_period": window.seconds,
            }  # fmt: skip
            rate = round(100 * part.failure_rate_threshold)
            calls = f"().withFailureRateThreshold({rate}, {executions}, {_millis(window.seconds)})"
        elif isinstance(window, CountWindow):
            share = part.failure_rate_threshold
            count = part.failure_threshold if share is None else max(1, math.ceil(share * window.size))
            options |= {"failure_threshold": count, "failure_thresholding_capacity": window.size}
            calls = f"().withFailureThreshold({count}, {window.size})"
        else:
            options |= {"failure_threshold": part.failure_threshold}
            calls = f"().withFailureThreshold({part.failure_threshold})"
        options["success_threshold"] = part.success_threshold
        calls += f".withSuccessThreshold({part.success_threshold}).withDelay({_millis(part.timeout)})"
        return "CircuitBreaker", calls, CircuitBreaker.like("failsafe", **options)
    if isinstance(part, Timeout) and isinstance(part.seconds, int | float):
        return "Timeout", f"({_millis(part.seconds)}).withInterrupt()", Timeout(round(part.seconds, 3))
    if isinstance(part, Bulkhead):
        wait = 0.0 if part.max_queue == 0 else (LONGEST if part.max_wait is None else part.max_wait)
        calls = f"({part.max_concurrent}).withMaxWaitTime({_millis(wait)})"
        return "Bulkhead", calls, Bulkhead.like("failsafe", max_concurrency=part.max_concurrent, max_wait_time=wait)
    return None


def opossum(policy: ResiliencePolicy, name: str) -> Snippet:
    """Return options of opossum: a semaphore and a time limit inside a breaker."""
    parts = policy.flat()
    breaker, limit, bulkhead = (first(parts, kind) for kind in (CircuitBreaker, Timeout, Bulkhead))
    options: dict[str, Any] = {"timeout": False}
    said = list[Policy]()
    if breaker is not None and isinstance(breaker.timeout, int | float):
        share = 0.5 if breaker.failure_rate_threshold is None else breaker.failure_rate_threshold
        length = breaker.window.seconds if isinstance(breaker.window, TimeWindow) else 10.0
        options |= {
            "errorThresholdPercentage": durations.plain(100 * share), "volumeThreshold": breaker.volume_threshold,
            "resetTimeout": durations.milliseconds(breaker.timeout),
            "rollingCountTimeout": durations.milliseconds(length),
        }  # fmt: skip
        said.append(
            CircuitBreaker.like(
                "opossum", error_threshold_percentage=100 * share, volume_threshold=breaker.volume_threshold,
                reset_timeout=float(breaker.timeout), rolling_count_timeout=length,
            )
        )  # fmt: skip
    if bulkhead is not None:
        options["capacity"] = bulkhead.max_concurrent
        said.append(Bulkhead.like("opossum", capacity=bulkhead.max_concurrent))
    if limit is not None and isinstance(limit.seconds, int | float):
        options["timeout"] = durations.milliseconds(limit.seconds)
        said.append(Timeout.like("opossum", timeout=limit.seconds))
    text = "const CircuitBreaker = require('opossum');\n\n"
    return Snippet(
        f"{text}const {_identifier(name)}Breaker = new CircuitBreaker({_identifier(name)}, "
        f"{json.dumps(options, indent=2)});\n",
        ResiliencePolicy(*said),
    )


def polly_code(policy: ResiliencePolicy, name: str) -> Snippet:
    """Return a pipeline of Polly in C#: its `Add` calls, the outermost first."""
    text, _ = Polly.write(policy, name)
    said = Polly.read(parse(text)[0], name, Reading()).policy
    lines = [f"// {name}", "var pipeline = new ResiliencePipelineBuilder()"]
    for title, values in next(iter(json.loads(text).values())).items():
        kind = next(each for each in PIPELINE if title.startswith(each))
        if kind in ("RateLimiter", "ConcurrencyLimiter"):
            lines.append(f"    .AddConcurrencyLimiter({values['PermitLimit']}, {values.get('QueueLimit', 0)})")
        elif kind == "Timeout" and "Timeout" in values:
            lines.append(f"    .AddTimeout({_csharp(values['Timeout'])})")
        else:
            options = ", ".join(f"{key} = {_csharp(value, key)}" for key, value in values.items())
            options_of = "CircuitBreakerStrategyOptions" if kind == "CircuitBreaker" else f"{kind}StrategyOptions"
            generic = "<HttpResponseMessage>" if kind == "Hedging" else ""
            lines.append(f"    .Add{kind}(new {options_of}{generic} {{ {options} }})")
    return Snippet("\n".join(lines) + "\n    .Build();\n", said)


def _csharp(value: Any, key: str = "") -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if key == "BackoffType":
        return f"DelayBackoffType.{value}"
    return f'TimeSpan.Parse("{value}")' if isinstance(value, str) else str(value)


WRITERS: Mapping[str, Callable[[ResiliencePolicy, str], Snippet]] = {
    "tenacity": tenacity,
    "stamina": stamina,
    "hyx": hyx,
    "failsafe": failsafe,
    "opossum": opossum,
    "polly_code": polly_code,
}
"""Libraries that are configured in code alone."""
ADVICE = {
    "Retry.budget": "the library has no retry budget",
    "Fallback": "answer in code",
    "Deadline": "pass the deadline in code",
}
