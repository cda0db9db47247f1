"""The lab's randomness: a number is a hash of (seed, stream, step, index), so a page can compute it too.

`page/noise.js` is this file in JavaScript. Integers are unsigned 32-bit; * and + wrap.

    mix(x):   x ^= x >> 16; x *= 0x7feb352d; x ^= x >> 15; x *= 0x846ca68b; x ^= x >> 16
    word(seed, stream, step, index) = mix(mix(mix(mix(seed + 0x9e3779b9) ^ stream) + step) ^ index)
    uniform = (word >> 8) / 2^24                                    in [0, 1), exact in float32
    normal  = sqrt(-2 ln u) cos(2 pi v), in float64, then rounded to float32,
              u = ((word(.., 2 index) >> 8) + 1/2) / 2^24, v = (word(.., 2 index + 1) >> 8) / 2^24
"""

from __future__ import annotations

import numpy as np

WHICH_START, START, COMPONENT, SPREAD, ENDING = range(5)  # the streams of one dream


def uniform(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """float32 [count] in [0, 1)."""
    fractions: np.ndarray = (_top_bits(seed, stream, step, np.arange(count)) / 2**24).astype(np.float32)
    return fractions


def normal(seed: int, stream: int, step: int, count: int) -> np.ndarray:
    """Standard normal float32 [count]."""
    pair = 2 * np.arange(count)
    u = (_top_bits(seed, stream, step, pair) + 0.5) / 2**24
    v = _top_bits(seed, stream, step, pair + 1) / 2**24
    values: np.ndarray = (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).astype(np.float32)
    return values


def _top_bits(seed: int, stream: int, step: int, index: np.ndarray) -> np.ndarray:
    """The upper 24 bits of the words, as float64."""
    word = _mix(np.array([seed % 2**32], np.uint32) + np.uint32(0x9E3779B9))
    word = _mix(_mix(word ^ np.uint32(stream)) + np.uint32(step))
    return (_mix(word ^ index.astype(np.uint32)) >> np.uint32(8)).astype(np.float64)


def _mix(x: np.ndarray) -> np.ndarray:
    """A bijection of uint32 whose every output bit depends on every input bit."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
