"""AWS SDKs: retry mode and attempts, from the shared config file, the environment or botocore's options.

The rules of the modes changed on 10 November 2026: "standard" is the default, waits begin
at 50 ms, and a retry costs 14 tokens. `since` names the rules; the files do not.
"""

from __future__ import annotations

from typing import Any

from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from .config import APPROXIMATED, MAPPED, Config, Note, Reading, first
from .documents import Node

KIND = "aws"
MODES = ("legacy", "standard", "adaptive")
ADVICE = {
    "Timeout": "set connect_timeout and read_timeout on the client, in code",
    "CircuitBreaker": "the SDKs have none; wrap the client in code",
    "Bulkhead": "set max_pool_connections on the client, in code",
    "Fallback": "catch the error in code",
    "Retry.backoff": "only the mode and the attempts can be set",
    "Retry.budget": "the mode brings its own quota",
}
_NEW = "AWS_NEW_RETRIES_2026"


def _settings(document: Node) -> dict[str, Node]:
    """Return the nodes that hold retry settings, by profile."""
    found = {}
    for node in document.walk():
        if any(node.has(key) for key in ("retry_mode", "aws_retry_mode", "aws_max_attempts", "total_max_attempts")) or (
            node.has("max_attempts") and (node.has("mode") or node.name not in ("", "retry"))
        ):
            found[node.name or "default"] = node
    return found


def matches(document: Node) -> bool:
    """Whether a document sets the retries of an AWS SDK."""
    return bool(_settings(document))


def names(document: Node) -> list[str]:
    """Return the profiles."""
    return list(_settings(document))


def read(document: Node, name: str, reading: Reading) -> Config:
    """Return the retry of the profile *name*."""
    section = _settings(document)[name]
    options: dict[str, Any] = {}
    rules = "aws_2026"
    mode = section.get("retry_mode", "aws_retry_mode", "mode")
    if mode is not None:
        word = mode.text().lower()
        if word not in MODES:
            mode.refuse(f"must be one of {', '.join(MODES)}, got {mode.value!r}")
        rules = "aws_2025" if word == "legacy" else rules
        meaning = {
            "legacy": "played by the standard rules before November 2026, whose quota differs",
            "adaptive": "its limit on the rate of calls is left out",
        }.get(word)
        reading.note(mode, MAPPED if meaning is None else APPROXIMATED, meaning or "rules of retries and quota")
    attempts = section.get("max_attempts", "aws_max_attempts", "total_max_attempts")
    if attempts is not None:
        options["max_attempts"] = attempts.whole()
        if options["max_attempts"] < 1:
            attempts.refuse(f"must be >= 1, got {attempts.value!r}")
        reading.note(attempts, MAPPED, "attempts, the first one included")
    new = section.get(_NEW)
    if new is not None:
        rules = "aws_2026" if new.flag() else "aws_2025"
        reading.note(new, MAPPED, "the rules since November 2026")
    reading.drop_rest(section, {}, "is not about retries")
    return Config(KIND, name, ResiliencePolicy(Retry.like(rules, **options)), "", tuple(reading.rows))


def write(policy: ResiliencePolicy, name: str) -> tuple[str, list[Note]]:
    """Return a section of the shared config file."""
    retry = first(policy.flat(), Retry)
    attempts = 1 if retry is None or retry.max_retries is None else retry.max_retries + 1
    title = "default" if name == "default" else f"profile {name}"
    return f"[{title}]\nretry_mode = standard\nmax_attempts = {attempts}\n", []
