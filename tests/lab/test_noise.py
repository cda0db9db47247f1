"""The lab's noise is what its docstring says, and looks random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reverie.lab import noise

WORD = 2**32


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % WORD
    x ^= x >> 15
    x = x * 0x846CA68B % WORD
    return x ^ x >> 16


def word(seed: int, stream: int, step: int, index: int) -> int:
    return mix(mix((mix(mix((seed + 0x9E3779B9) % WORD) ^ stream) + step) % WORD) ^ index)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_numbers_are_the_formula_in_plain_integers(seed: int) -> None:
    for stream, step in ((noise.COMPONENT, 0), (noise.SPREAD, 199)):
        uniform = noise.uniform(seed, stream, step, 5)
        normal = noise.normal(seed, stream, step, 5)
        for index in range(5):
            assert uniform[index] == (word(seed, stream, step, index) >> 8) / 2**24
            u = ((word(seed, stream, step, 2 * index) >> 8) + 0.5) / 2**24
            v = (word(seed, stream, step, 2 * index + 1) >> 8) / 2**24
            assert normal[index] == pytest.approx(math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v), rel=1e-6)


def test_draws_look_random_over_indices_and_over_steps() -> None:
    over_steps = np.concatenate([noise.uniform(3, noise.COMPONENT, step, 1) for step in range(4000)])
    for draws in (noise.uniform(3, noise.COMPONENT, 0, 4000), over_steps):
        assert stats.kstest(draws, "uniform").pvalue > 0.001
        assert draws.min() >= 0
        assert draws.max() < 1
        assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.06
    normal = noise.normal(3, noise.SPREAD, 0, 4000)
    assert stats.kstest(normal, "norm").pvalue > 0.001
    assert np.isfinite(normal).all()


def test_streams_steps_and_seeds_differ() -> None:
    draws = {noise.uniform(*path, 4).tobytes() for path in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))}
    assert len(draws) == 4
