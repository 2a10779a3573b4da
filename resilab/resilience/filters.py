"""Which errors a policy is for: a class, a tuple of classes, or a predicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from ..validation import Rule


def error_filter(name: str, errors: Any) -> Callable[[BaseException], bool]:
    """Return *errors* as a predicate: None is every error."""
    if errors is None:
        return lambda error: True
    kinds = errors if isinstance(errors, tuple) else (errors,)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return lambda error: isinstance(error, kinds)
    if callable(errors):
        return errors  # type: ignore[no-any-return]
    raise TypeError(f"{name} must be an error class, a tuple of them, or a predicate, got {errors!r}")


def _checked_filter(name: str, errors: Any) -> Any:
    error_filter(name, errors)
    return errors


ErrorFilter = Annotated[
    type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool],
    Rule(_checked_filter, "an error class, a tuple of them, or a predicate"),
]
