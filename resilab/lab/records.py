"""Columns that a run writes: one row a request, one row an attempt."""

from __future__ import annotations

from typing import Any

import numpy as np

OUTCOMES = ("success", "degraded", "rejected", "timeout", "failure")
"""The five ways a request can end; a column holds an index of this tuple."""
SUCCESS, DEGRADED, REJECTED, TIMEOUT, FAILURE = range(5)
OPEN = -1
"""Code of a request or an attempt that had not ended at the horizon."""

ATTEMPT_FIELDS = ("request_id", "attempt", "start", "end", "outcome", "cause", "work_start", "work_end", "service")
"""Columns of the rows of attempts; what a service writes lacks the last one."""


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
        views: list[Any] = [memoryview(values) for values in self.arrays.values()]
        self.arrival, self.end, self.outcome, self.cause, self.attempts, self.client, self.operation = views

    def grow(self) -> None:
        """Double the number of rows."""
        self._allocate(2 * self.capacity)


class AttemptColumns:
    """The calls of one service: rows appended flat, packed into arrays from time to time."""

    def __init__(self) -> None:
        self._flat: list[float] = []
        self._packed: list[np.ndarray] = []
        self.append = self._flat.extend

    def pack(self) -> None:
        """Move the rows so far into an array, which takes less memory."""
        if self._flat:
            self._packed.append(np.array(self._flat, dtype=np.float64))
            self._flat.clear()

    def to_array(self) -> np.ndarray:
        """Return the rows as an array of shape (attempts, fields)."""
        self.pack()
        flat = np.concatenate(self._packed) if self._packed else np.empty(0)
        return flat.reshape(-1, len(ATTEMPT_FIELDS) - 1)


def merge(columns: list[AttemptColumns]) -> np.ndarray:
    """Return the rows of several services, with the number of each, by request and attempt."""
    parts = []
    for number, part in enumerate(columns):
        rows = part.to_array()
        parts.append(np.column_stack([rows, np.full(len(rows), number)]))
    rows = np.concatenate(parts)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]
