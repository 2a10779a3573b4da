"""What a run writes: one row a request, one row an attempt, numbers for the words of causes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import cause_of, outcome_of

OUTCOMES = ("success", "degraded", "rejected", "timeout", "failure")
"""The five ways a request can end; a column holds an index of this tuple."""
SUCCESS, DEGRADED, REJECTED, TIMEOUT, FAILURE = range(5)
OPEN = -1
"""Code of a request or an attempt that had not ended at the horizon."""
CANCELLED = len(OUTCOMES)
"""Code of an attempt that nobody waited for any more because another copy of a hedge had won."""
ATTEMPT_OUTCOMES = (*OUTCOMES, "cancelled")
"""The ways an attempt can end."""
CODES = {word: code for code, word in enumerate(OUTCOMES)}

AttemptRow = tuple[int, int, float, float, int, int, float, float]
"""A call as a service writes it: request_id, attempt, start, end, outcome, cause, work_start, work_end."""

ATTEMPT = np.dtype(
    [
        ("request_id", np.int64),
        ("attempt", np.int32),  # from 1, of that request at that service
        ("start", np.float64),
        ("end", np.float64),  # when its caller had the answer or left
        ("outcome", np.int8),
        ("cause", np.int16),
        ("work_start", np.float64),  # when a worker took it; the end of its wait if none did
        ("work_end", np.float64),
        ("service", np.int16),
    ]
)
"""A call as a result holds it."""


class Causes:
    """Numbers for the words of the `cause` column; 0 is no cause."""

    def __init__(self) -> None:
        self.words: list[str] = [""]
        self._codes: dict[str, int] = {"": 0}

    def code(self, word: str) -> int:
        """Return the number of *word*, a new one if it is new."""
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = len(self.words)
            self.words.append(word)
        return code

    def of(self, error: BaseException) -> tuple[int, int]:
        """Return the codes of the outcome and the cause of *error*."""
        return CODES[outcome_of(error)], self.code(cause_of(error))


class RequestColumns:
    """What is known of each request, in numpy columns written by index.

    A request that ends in a success after one send needs its arrival and its end
    alone; the rest is right already.
    """

    def __init__(self, capacity: int) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._allocate(max(1, capacity))

    def _allocate(self, capacity: int) -> None:
        old, rows = self.arrays, len(self.arrays.get("end", ()))
        self.capacity = capacity
        self.arrays = {
            "arrival": np.zeros(capacity),
            "end": np.full(capacity, np.nan),
            "outcome": np.full(capacity, SUCCESS, np.int8),
            "cause": np.zeros(capacity, np.int16),
            "attempts": np.ones(capacity, np.int32),
            "client": np.zeros(capacity, np.int32),
            "operation": np.zeros(capacity, np.int16),
        }
        for name, values in old.items():
            self.arrays[name][:rows] = values
        # A memoryview writes one value in a third of the time of an array.
        views: list[Any] = [memoryview(values) for values in self.arrays.values()]
        self.arrival, self.end, self.outcome, self.cause, self.attempts, self.client, self.operation = views

    def grow(self) -> None:
        """Double the number of rows."""
        self._allocate(2 * self.capacity)

    def first(self, count: int) -> dict[str, np.ndarray]:
        """Return the first *count* rows of each column."""
        return {name: values[:count].copy() for name, values in self.arrays.items()}


class AttemptColumns:
    """The calls of one service: rows appended flat, packed into arrays from time to time.

    Attributes:
        append: Adds an `AttemptRow`.
    """

    append: Callable[[AttemptRow], None]

    def __init__(self) -> None:
        self._flat: list[float] = []
        self._packed: list[np.ndarray] = []
        self.append = self._flat.extend

    def pack(self) -> None:
        """Move the rows so far into an array, which takes less memory."""
        if self._flat:
            self._packed.append(np.array(self._flat, dtype=np.float64))
            self._flat.clear()

    def to_array(self, service: int = 0) -> np.ndarray:
        """Return the rows as an array of `ATTEMPT`, all of the service of that number."""
        self.pack()
        flat = np.concatenate(self._packed) if self._packed else np.empty(0)
        return attempt_array(flat.reshape(-1, len(ATTEMPT.names or ()) - 1), service)


def attempt_array(rows: np.ndarray, service: int | np.ndarray) -> np.ndarray:
    """Return rows of numbers, one `AttemptRow` each, as an array of `ATTEMPT`."""
    array = np.empty(len(rows), ATTEMPT)
    for index, name in enumerate(array.dtype.names or ()):
        array[name] = service if name == "service" else rows[:, index]
    return array


def merge(columns: Iterable[AttemptColumns]) -> np.ndarray:
    """Return the rows of several services, by request and attempt."""
    return in_order(np.concatenate([part.to_array(number) for number, part in enumerate(columns)]))


def in_order(rows: np.ndarray) -> np.ndarray:
    """Return attempts by request and attempt, those of one service before those of the next."""
    return rows[np.lexsort((rows["attempt"], rows["request_id"]))]
