"""What a library cannot say of a policy: the policy held against what the library makes of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ..resilience.backoff import Backoff
from ..resilience.base import Policy
from ..resilience.bulkhead import Bulkhead
from ..resilience.policy import ResiliencePolicy
from ..resilience.retry import Retry
from .config import APPROXIMATED, DROPPED, Note

ROUNDING = 0.02
"""Relative difference up to which a number counts as rounded, not as another number."""

Advice = Mapping[str, str]
"""What to do instead, by "Policy" or "Policy.field"."""


def differences(wanted: ResiliencePolicy, got: ResiliencePolicy, advice: Advice) -> Iterator[Note]:
    """Yield a note for each policy and field of *wanted* that *got* does not have.

    Args:
        wanted: What was to be written.
        got: What reading the written text gives.
        advice: What to do instead where the library cannot say it.
    """
    mine, theirs = list(map(canonical, wanted.flat())), list(map(canonical, got.flat()))
    pairs = _pairs(mine, theirs)
    for number, part in enumerate(mine):
        name = type(part).__name__
        if number not in pairs:
            yield Note(name, repr(part), DROPPED, advice.get(name, "the library has no such policy; write it in code"))
        else:
            yield from _fields(part, theirs[pairs[number]], advice)
    for number, part in enumerate(theirs):
        if number not in pairs.values():
            yield Note(type(part).__name__, repr(part), APPROXIMATED, "the library adds it")
    yield from _order([mine[number] for number in pairs], list(pairs.values()), theirs)


def canonical(policy: Policy) -> Policy:
    """Return a policy in the form in which equal policies are equal: a retry with its law as a `Backoff`."""
    if isinstance(policy, Bulkhead) and policy.max_wait == 0:
        return policy.replace(max_queue=0, max_wait=None)  # nobody waits
    if not isinstance(policy, Retry):
        return policy
    backoff = policy.backoff
    if backoff is None:
        if policy.jitter not in ("none", "full", "equal"):
            return policy
        law = Backoff(
            "exponential", policy.initial_delay, policy.backoff_multiplier, max_delay=policy.max_delay,
            jitter=policy.jitter, cap="before",
        )  # fmt: skip
        defaults = Retry()
        policy = policy.replace(
            initial_delay=defaults.initial_delay, max_delay=defaults.max_delay, jitter=defaults.jitter,
            backoff_multiplier=defaults.backoff_multiplier, backoff=law,
        )  # fmt: skip
        backoff = law
    if backoff.kind == "exponential" and backoff.multiplier == 1:
        backoff = backoff.replace(kind="constant")
    if backoff.kind == "constant":
        backoff = backoff.replace(multiplier=Backoff().multiplier)
    if backoff.jitter == "none":
        backoff = backoff.replace(amount=0.0, cap="before")
    return policy.replace(backoff=backoff)


def _pairs(mine: list[Policy], theirs: list[Policy]) -> dict[int, int]:
    """Return which of *theirs* stands for each of *mine*: those that differ least first, in order of *mine*."""
    costs = sorted(
        (len(list(_unequal(part, other))), abs(number - place), number, place)
        for number, part in enumerate(mine)
        for place, other in enumerate(theirs)
        if type(part) is type(other)
    )
    found: dict[int, int] = {}
    for _, _, number, place in costs:
        if number not in found and place not in found.values():
            found[number] = place
    return dict(sorted(found.items()))


def _order(mine: list[Policy], places: list[int], theirs: list[Policy]) -> Iterator[Note]:
    if places != sorted(places):
        order, wanted = (" > ".join(type(part).__name__ for part in parts) for parts in (theirs, mine))
        yield Note("order", wanted, APPROXIMATED, f"the library nests them as {order}, the outermost first")


def _unequal(part: Policy, other: Policy) -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields that differ, those of values inside with dotted names."""
    for field in fields(part):
        mine, theirs = getattr(part, field.name), getattr(other, field.name)
        if mine == theirs:
            continue
        if type(mine) is type(theirs) and hasattr(mine, "__dataclass_fields__"):
            for name, inner, outer in _unequal(mine, theirs):
                yield f"{field.name}.{name}", inner, outer
        else:
            yield field.name, mine, theirs


def _fields(part: Policy, other: Policy, advice: Advice) -> Iterator[Note]:
    kind = type(part).__name__
    for name, mine, theirs in _unequal(part, other):
        key = f"{kind}.{name}"
        if _is_rounded(mine, theirs):
            yield Note(key, mine, APPROXIMATED, f"rounded to {theirs!r}")
        else:
            instead = advice.get(key) or advice.get(f"{kind}.{name.partition('.')[0]}")
            status = DROPPED if theirs is None else APPROXIMATED
            yield Note(key, mine, status, f"becomes {_short(theirs)}" + (f"; {instead}" if instead else ""))


def _is_rounded(mine: Any, theirs: Any) -> bool:
    numbers = (int, float)
    if not isinstance(mine, numbers) or not isinstance(theirs, numbers) or isinstance(mine, bool):
        return False
    if not (math.isfinite(mine) and math.isfinite(theirs)):
        return False
    return abs(mine - theirs) <= max(ROUNDING * max(abs(mine), abs(theirs)), 0.001)


def _short(value: Any) -> str:
    return "none" if value is None else repr(value)
