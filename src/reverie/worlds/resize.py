"""Area resizing: every output pixel is the exact mean of the rectangle of input that it covers."""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np

from reverie.worlds.spec import FRAME_SIZE


class AreaResize:
    """Resize uint8 [height, width, 3] to uint8 [64, 64, 3].

    Two small matrix products, one along each axis. Both axes repeat a pattern (160 columns to 64 is 5 to 2, over and
    over), so each product runs over blocks of the axis instead of all of it. No mean of the sizes used here lies
    within 0.001 of a rounding boundary, so float32 gives the same bytes on every processor.
    """

    def __init__(self, height: int, width: int) -> None:
        self._rows, self._columns = _blocks(height, 4), _blocks(width, 16)
        self._row_weights = area_weights(height // self._rows, FRAME_SIZE // self._rows)
        columns = area_weights(width // self._columns, FRAME_SIZE // self._columns)
        self._column_weights = np.ascontiguousarray(np.kron(columns, np.eye(3, dtype=np.float32)).T)
        self._input = np.empty((height, width * 3), np.float32)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height = len(self._input)
        np.copyto(self._input, image.reshape(height, -1))
        narrow = self._input.reshape(height * self._columns, -1) @ self._column_weights
        small = self._row_weights @ narrow.reshape(self._rows, height // self._rows, FRAME_SIZE * 3)
        small += np.float32(0.5)
        return small.astype(np.uint8).reshape(FRAME_SIZE, FRAME_SIZE, 3)


@cache
def area_weights(size: int, new_size: int) -> np.ndarray:
    """float32 [new_size, size]: the share of output pixel i that input pixel j fills; rows sum to 1."""
    edges = np.arange(new_size + 1) * (size / new_size)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (overlap.clip(0) * (new_size / size)).astype(np.float32)


def _blocks(size: int, most: int) -> int:
    """The number of equal blocks, at most `most`, into which both the axis and its 64 pixels divide."""
    return min(gcd(size, FRAME_SIZE), most)
