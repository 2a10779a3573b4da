"""The waits of a retry in one form, whichever way it says them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from ..resilience.retry import Retry


class Law(NamedTuple):
    """How long a retry waits.

    Attributes:
        kind: "constant", "linear", "exponential" or another kind of `Backoff`.
        first: Seconds before the first retry, without jitter.
        multiplier: Growth of an exponential law.
        longest: Longest wait in seconds.
        jitter: Name of the jitter, of `Retry` or of `Backoff`.
        spread: Half the width of a symmetric jitter, as a share; 1 for "full".
    """

    kind: str
    first: float
    multiplier: float
    longest: float
    jitter: str
    spread: float


def law_of(retry: Retry) -> Law:
    """Return the law of a retry."""
    backoff = retry.backoff
    kind: str
    if backoff is None:
        jitter = retry.jitter if isinstance(retry.jitter, str) else "function"
        kind = "decorrelated" if jitter == "decorrelated" else "exponential"
        if kind == "exponential" and (retry.backoff_multiplier == 1 or retry.max_retries == 1):
            kind = "constant"
        spread = {"full": 1.0, "equal": 0.5, "reference": 0.1}.get(jitter, 0.0)
        return Law(kind, retry.initial_delay, retry.backoff_multiplier, retry.max_delay, jitter, spread)
    word = str(backoff.jitter) if isinstance(backoff.jitter, str) else "function"
    first, kind = backoff.initial_delay, backoff.kind if isinstance(backoff.kind, str) else "function"
    if kind in ("list", "cycle"):
        first = backoff.delays[0]
    elif kind == "exponential" and backoff.multiplier == 1:
        kind = "constant"
    spread = {"full": 1.0, "equal": 0.5}.get(word, backoff.amount if word in ("plus_minus", "minus_plus") else 0.0)
    return Law(kind, first, backoff.multiplier, backoff.max_delay, word, spread)


_DRAWS = (0.0, *((number + 0.5) / 16 for number in range(16)), 1.0)


def waits(retry: Retry, of: Callable[[Sequence[float]], float] = fmean) -> Iterator[float]:
    """Yield the wait before each retry: on average, or the shortest or longest if *of* is `min` or `max`.

    Example:
        >>> sum(waits(Retry(max_retries=3, initial_delay=1.0, jitter="full")))
        3.5
        >>> sum(waits(Retry(max_retries=3, initial_delay=1.0, jitter="full"), max))
        7.0
    """
    previous = None
    for attempt in itertools.count() if retry.max_retries is None else range(retry.max_retries):
        delays = [retry.delay(attempt, draw, previous) for draw in _DRAWS]
        previous = fmean(delays)
        yield of(delays)
