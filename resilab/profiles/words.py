"""From a library's words to our specs: what the profiles share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from ..resilience.backoff import Backoff
from ..resilience.retry import Retry

Made = TypeVar("Made")


def made(spec: Callable[..., Made], own: dict[str, Any], /, **translated: Any) -> Made:
    """Return a *spec* of what a library's words came to, and of our *own* fields, which win."""
    return spec(**(translated | own))


def told(own: dict[str, Any], field: str, word: str, value: Any) -> Any:
    """Return an option that the library has no default for: by its own *word*, or as our *field*."""
    value = own.pop(field, value)
    if value is None:
        raise TypeError(f"{word} must be given: the library has no default for it")
    return value


def retry_with(backoff: Backoff, own: dict[str, Any], **translated: Any) -> Retry:
    """Return a retry of a library's law of delays, of its other words, and of our own fields, which win."""
    law = {field.name: own.pop(field.name) for field in fields(Backoff) if field.name in own}
    return made(Retry, own, backoff=backoff.replace(**law), **translated)


def retries_of(attempts: float | None) -> int | None:
    """Return how many retries follow the first of so many attempts; None and infinity are no limit."""
    return None if attempts is None or attempts == float("inf") else attempts - 1  # type: ignore[return-value]
