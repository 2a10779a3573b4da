"""Retries with the meaning and the defaults of named libraries.

`Retry.like` takes the fields of `Retry` and `Backoff`, and the library's options under
these names, here with their defaults:

resilience4j: max_attempts 3, wait_duration 0.5, interval_function "constant" (or
    "random", "exponential", "exponential_random"), multiplier 1.5, randomization_factor
    0.5, max_interval, interval_bi_function, retry_exceptions, retry_on_result
polly: max_retry_attempts 3, delay 2, backoff_type "constant" (or "linear",
    "exponential"), use_jitter False, max_delay, delay_generator, handle, handle_result
failsafe: max_retries 2 (-1 is no limit) or max_attempts 3, delay 0, delay_factor 2 with
    max_delay, delay_min and delay_max, jitter_factor or jitter in seconds, delay_fn,
    max_duration, handle, handle_result
hyx: attempts 3, backoff 0.5 (seconds, a list of them, or a `Backoff`), on
tenacity: max_attempts (no limit), wait (a `Backoff`)
stamina: attempts 10, timeout 45, wait_initial 0.1, wait_max 5, wait_jitter 1,
    wait_exp_base 2, on
aws: max_attempts 3, base 0.1, cap 20, jitter "full" (or "none", "equal", "decorrelated")
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from ..validation import one_of
from .backoff import Backoff
from .profiles import Options
from .retry import Retry


def retry_like(library: str, options: dict[str, Any]) -> Retry:
    """Return the retry of a library; see `Retry.like`."""
    one_of("library", library, tuple(_RETRIES))
    taken = Options(library, options)
    translated = _RETRIES[library](taken)
    backoff = translated.pop("backoff")
    law = {field.name: taken.take(field.name) for field in fields(Backoff) if field.name in options}
    backoff = backoff.replace(**{name: value for name, value in law.items() if value is not None})
    return Retry(**({"backoff": backoff} | translated | taken.rest(Retry)))


def _attempts(options: Options, name: str, default: int | None) -> int | None:
    """Return the retries after the first of so many attempts."""
    attempts = options.take(name, "max_attempts", default=default)
    return None if attempts is None or attempts == math.inf else attempts - 1


def _resilience4j(options: Options) -> dict[str, Any]:
    kind = options.take("interval_function", default="constant")
    one_of("interval_function", kind, ("constant", "random", "exponential", "exponential_random"))
    growth = options.take("multiplier", default=1.5)
    spread = options.take("randomization_factor", default=0.5)
    return {
        "max_retries": _attempts(options, "max_attempts", 3),
        "retryable_errors": options.take("retry_exceptions", "retry_on_exception"),
        "retryable_results": options.take("retry_on_result"),
        "delay_from": options.take("interval_bi_function"),
        "backoff": Backoff(
            "exponential" if kind.startswith("exponential") else "constant",
            options.take("wait_duration", "initial_interval", default=0.5),
            growth,
            max_delay=options.take("max_interval", default=math.inf),
            jitter="plus_minus" if kind.endswith("random") else "none",
            amount=spread if kind.endswith("random") else 0.0,
        ),
    }


def _polly(options: Options) -> dict[str, Any]:
    kind = options.take("backoff_type", default="constant")
    one_of("backoff_type", kind, ("constant", "linear", "exponential"))
    retries = options.take("max_retry_attempts", default=3)
    has_jitter = options.take("use_jitter", default=False)
    is_smooth = has_jitter and kind == "exponential"
    longest = options.take("max_delay")
    return {
        "max_retries": None if retries == math.inf else retries,
        "retryable_errors": options.take("handle"),
        "retryable_results": options.take("handle_result"),
        "delay_from": options.take("delay_generator"),
        "backoff": Backoff(
            "smooth" if is_smooth else kind,
            options.take("delay", default=2.0),
            max_delay=math.inf if longest is None else longest,
            jitter="plus_minus" if has_jitter and not is_smooth else "none",
            amount=0.25 if has_jitter and not is_smooth else 0.0,
        ),
    }


def _failsafe(options: Options) -> dict[str, Any]:
    attempts = options.take("max_attempts", default=3)
    retries = options.take("max_retries", default=None if attempts in (None, -1, math.inf) else attempts - 1)
    delay = options.take("delay", default=0.0)
    low, high = options.take("delay_min"), options.take("delay_max")
    longest = options.take("max_delay")
    ratio, seconds = options.take("jitter_factor", default=0.0), options.take("jitter", default=0.0)
    jitter, amount = ("minus_plus", ratio) if ratio else ("add_minus", seconds) if seconds else ("none", 0.0)
    if low is not None and high is not None:
        delay, jitter, amount = low, "range", high
    return {
        "max_retries": None if retries == -1 else retries,
        "retryable_errors": options.take("handle"),
        "retryable_results": options.take("handle_result"),
        "delay_from": options.take("delay_fn"),
        "max_duration": options.take("max_duration"),
        "backoff": Backoff(
            "constant" if longest is None else "exponential",
            delay,
            options.take("delay_factor", default=2.0),
            max_delay=math.inf if longest is None else longest,
            jitter=jitter,
            amount=amount,
            cap="before",
        ),
    }


def _hyx(options: Options) -> dict[str, Any]:
    backoff = options.take("backoff", default=0.5)
    if isinstance(backoff, int | float):
        backoff = Backoff("constant", backoff, cap="before")
    elif not isinstance(backoff, Backoff):
        backoff = Backoff("cycle", delays=tuple(backoff), cap="before")
    return {
        "max_retries": _attempts(options, "attempts", 3),
        "retryable_errors": options.take("on"),
        "backoff": backoff,
    }


def _tenacity(options: Options) -> dict[str, Any]:
    return {
        "max_retries": _attempts(options, "max_attempts", None),
        "backoff": options.take("wait", default=Backoff("constant", 0.0)),
    }


def _stamina(options: Options) -> dict[str, Any]:
    timeout = options.take("timeout", default=45.0)
    return {
        "max_retries": _attempts(options, "attempts", 10),
        "retryable_errors": options.take("on"),
        "max_duration": timeout,
        "backoff": Backoff(
            "exponential",
            options.take("wait_initial", default=0.1),
            options.take("wait_exp_base", default=2.0),
            max_delay=options.take("wait_max", default=5.0),
            jitter="add",
            amount=options.take("wait_jitter", default=1.0),
        ),
    }


def _aws(options: Options) -> dict[str, Any]:
    base = options.take("base", default=0.1)
    jitter = options.take("jitter", default="full")
    one_of("jitter", jitter, ("none", "full", "equal", "decorrelated"))
    longest = options.take("cap", "max_delay", default=20.0)
    if jitter == "decorrelated":
        law = Backoff("decorrelated", base, 3.0, max_delay=longest)
    else:
        # The article's first ceiling is base * 2: its exponent counts attempts from 1.
        law = Backoff("exponential", 2 * base, max_delay=longest, jitter=jitter, cap="before")
    return {"max_retries": _attempts(options, "max_attempts", 3), "backoff": law}


_RETRIES = {
    "resilience4j": _resilience4j,
    "polly": _polly,
    "polly_v8": _polly,
    "failsafe": _failsafe,
    "hyx": _hyx,
    "tenacity": _tenacity,
    "stamina": _stamina,
    "aws": _aws,
}
