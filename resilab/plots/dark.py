"""Pictures for a dark page: paper and ink change places, colours stay what they are."""

from __future__ import annotations

import functools

import numpy as np

_BITS = 6
_PAPER, _INK = 28.0, 227.0


def darken(pixels: np.ndarray) -> np.ndarray:
    """Return RGBA pixels of shape (height, width, 4) as a dark page shows them.

    What has no colour, such as paper, text and grey, is turned from light to dark. A colour
    stays, so that an outcome has the same one in both; only one too dark to be seen
    there becomes a light one of the same hue.
    """
    shift = 8 - _BITS
    codes = pixels[..., 0].astype(np.uint32) >> shift
    for channel in (1, 2):
        codes = codes << _BITS | pixels[..., channel] >> shift
    return np.take(_table(), codes, axis=0)


@functools.lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """Return the dark RGBA of each colour, by its highest bits."""
    steps = np.linspace(0.0, 255.0, 1 << _BITS, dtype=np.float32)
    colour = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    light = (colour @ np.array([0.299, 0.587, 0.114], np.float32))[:, None]
    strength = np.ptp(colour, axis=1, keepdims=True)
    scale = (_INK - _PAPER) / 255
    turned = _INK - scale * light + scale * (colour - light)
    stays = np.clip((strength - 25) / 50, 0, 1) * np.clip((light - 45) / 40, 0, 1)
    dimmed = colour * (1 - 0.35 * np.clip((light - 170) / 85, 0, 1))
    rgb = np.clip(stays * dimmed + (1 - stays) * turned, 0, 255)
    return np.column_stack([rgb, np.full(len(rgb), 255)]).round().astype(np.uint8)
