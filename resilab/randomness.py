"""Random numbers that belong to a key, not to the order in which they are asked for.

A draw is named by (seed, stream, key, send). What one policy does can therefore
never shift the luck of another request, and two scenarios under one seed see the
same arrivals and the same work. Blocks come from numpy's counter-based Philox
generator, so that a keyed draw costs about as much as the next one of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .validation import whole

Sampler = Callable[[np.random.Generator, int], np.ndarray]

_BITS = 10
BLOCK = 1 << _BITS
"""Draws made at once; no draw depends on it being asked for in any order."""
_MASK = BLOCK - 1
_BLOCKS = (
    64  # send numbers that are drawn in blocks: few requests are sent so often, and a block would be for them alone
)
_KEPT = 64  # blocks of one send number; keys come nearly in order, and an older block is made again


def uniform(generator: np.random.Generator, size: int) -> np.ndarray:
    """Return *size* draws from 0 to 1."""
    return generator.random(size)


class KeyedDraws:
    """The draws of one stream, addressed by key and send number.

    Args:
        seed: The seed of the run, a whole number of at least 0.
        stream: What the draws are for; streams are independent of one another.
        sample: Makes draws from a generator: `sample(generator, size)`.

    Example:
        >>> draws = KeyedDraws(1, "example", uniform)
        >>> draws(5, 2) == KeyedDraws(1, "example", uniform)(5, 2)
        True
    """

    __slots__ = ("_bits", "_generator", "_rows", "_sample", "_state")

    def __init__(self, seed: int, stream: str, sample: Sampler) -> None:
        entropy = np.random.SeedSequence(whole("seed", seed), spawn_key=tuple(stream.encode()))
        self._bits = np.random.Philox(key=entropy.generate_state(2, np.uint64))
        self._generator = np.random.Generator(self._bits)
        self._state: Any = self._bits.state
        self._sample = sample
        self._rows: list[list[memoryview | None]] = []

    def draw(self, key: int, send: int = 0) -> float:
        """Return the draw of *key* for its send number *send*."""
        try:
            return self._rows[send][key >> _BITS][key & _MASK]  # type: ignore[index]
        except (IndexError, TypeError):
            return self._fill(send, key >> _BITS)[key & _MASK] if send < _BLOCKS else self._single(key, send)

    __call__ = draw

    def first(self, count: int) -> np.ndarray:
        """Return the draws of keys 0 to *count* - 1 for send number 0."""
        blocks = [self.block(0, index) for index in range((count + BLOCK - 1) >> _BITS)]
        return np.concatenate(blocks)[:count] if blocks else np.empty(0)

    def block(self, send: int, index: int) -> np.ndarray:
        """Return the draws of one block: BLOCK keys from *index* * BLOCK on."""
        self._state["state"]["counter"] = np.array([0, 0, index, send], np.uint64)
        self._bits.state = self._state
        return self._sample(self._generator, BLOCK)

    def _single(self, key: int, send: int) -> float:
        """Return one draw, of which nothing is kept: it has a counter of its own beside those of the blocks."""
        self._state["state"]["counter"] = np.array([0, key + 1, 0, send], np.uint64)
        self._bits.state = self._state
        return float(self._sample(self._generator, 1)[0])

    def _fill(self, send: int, index: int) -> memoryview:
        rows = self._rows
        while len(rows) <= send:
            rows.append([])
        row = rows[send]
        row.extend([None] * (index + 1 - len(row)))
        draws = np.ascontiguousarray(self.block(send, index), dtype=np.float64)
        row[index] = view = memoryview(draws)
        if index >= _KEPT:
            row[index - _KEPT] = None
        return view
