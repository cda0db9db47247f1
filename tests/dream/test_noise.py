"""A dream's noise is a function of its seed, whenever it begins and whatever runs beside it."""

from __future__ import annotations

import numpy as np

from reverie.dream.noise import CHUNK, DreamNoise, EpisodeNoise
from tests.dream import parts


def test_chunks_of_any_length_give_the_same_numbers() -> None:
    whole, parted = EpisodeNoise(3), EpisodeNoise(3)
    expected = whole.draw(10, 4)
    pieces = [parted.draw(length, 4) for length in (1, 6, 3)]
    for kind, draws in zip(zip(*pieces, strict=True), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(kind), draws)


def test_a_dream_that_begins_late_draws_as_one_that_began_first() -> None:
    starts, late = parts.starts(), 5
    alone, crowd = DreamNoise(1, starts), DreamNoise(3, starts)
    expected_z = alone.begin(0, 42)
    expected = [[draws[0].copy() for draws in alone.next()] for _ in range(CHUNK + 2)]
    for index in range(3):
        crowd.begin(index, index)
    for _ in range(late):
        crowd.next()
    np.testing.assert_array_equal(crowd.begin(1, 42), expected_z)
    for step in range(CHUNK + 2):
        for draws, wanted in zip(crowd.next(), expected[step], strict=True):
            np.testing.assert_array_equal(draws[1], wanted)


def test_draws_are_uniform_and_normal() -> None:
    component, spread, ending = EpisodeNoise(0).draw(5000, 4)
    for uniform in (component.ravel(), ending):
        assert uniform.min() >= 0
        assert uniform.max() < 1
        assert abs(uniform.mean() - 0.5) < 4 * np.sqrt(1 / 12 / uniform.size)
    assert abs(spread.mean()) < 4 / np.sqrt(spread.size)
    assert abs(spread.var() - 1) < 4 * np.sqrt(2 / spread.size)


def test_seeds_differ() -> None:
    assert not np.array_equal(EpisodeNoise(0).draw(3, 4).spread, EpisodeNoise(1).draw(3, 4).spread)
