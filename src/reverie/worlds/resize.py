"""Area resizing: every output pixel is the exact mean of the rectangle of input that it covers."""

from __future__ import annotations

from functools import cache
from math import gcd

import numpy as np

from reverie.worlds.spec import FRAME_SIZE

# OpenBLAS wakes its threads for products of more than 2**18 multiplications, and their hand-over costs more than the
# product; under load a hundred times more.
LARGEST_PRODUCT = 2**18
ROW = FRAME_SIZE * 3


class AreaResize:
    """Resize uint8 [height, width, 3] to uint8 [64, 64, 3].

    One weighted sum along each axis, as stacks of small matrix products: both axes repeat a pattern (160 columns to 64
    is 5 to 2, over and over), so each product covers one block of the axis. At the sizes of doom and carracing no mean
    lies within 0.003 of a rounding boundary, so float32 gives the same bytes on every processor.
    """

    def __init__(self, height: int, width: int) -> None:
        self._column_blocks = min(gcd(width, FRAME_SIZE), 16)
        self._row_blocks = min(gcd(height, FRAME_SIZE), 4)
        columns = area_weights(width // self._column_blocks, FRAME_SIZE // self._column_blocks)
        self._column_weights = np.ascontiguousarray(np.kron(columns, np.eye(3, dtype=np.float32)).T)
        self._row_weights = area_weights(height // self._row_blocks, FRAME_SIZE // self._row_blocks)
        self._group = _largest_part(height * self._column_blocks, self._column_weights.size)
        self._part = _largest_part(ROW, self._row_weights.size)
        self._input = np.empty((height, width * 3), np.float32)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height = len(self._input)
        np.copyto(self._input, image.reshape(height, -1))
        # [groups, rows of blocks, block * 3] @ [block * 3, pixels * 3]
        narrow = self._input.reshape(-1, self._group, len(self._column_weights)) @ self._column_weights
        # [64 / blocks, height / blocks] @ [blocks, parts, height / blocks, part]
        stacked = narrow.reshape(self._row_blocks, height // self._row_blocks, -1, self._part).swapaxes(1, 2)
        small = self._row_weights @ stacked
        small += np.float32(0.5)
        return small.swapaxes(1, 2).astype(np.uint8, order="C").reshape(FRAME_SIZE, FRAME_SIZE, 3)


@cache
def area_weights(size: int, new_size: int) -> np.ndarray:
    """float32 [new_size, size]: the share of output pixel i that input pixel j fills; rows sum to 1."""
    edges = np.arange(new_size + 1) * (size / new_size)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (overlap.clip(0) * (new_size / size)).astype(np.float32)


def _largest_part(size: int, cost: int) -> int:
    """The largest divisor of `size` which, `cost` multiplications each, stays a small product (at least 1)."""
    return max((part for part in range(1, size + 1) if size % part == 0 and part * cost <= LARGEST_PRODUCT), default=1)
