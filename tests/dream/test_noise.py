"""A dream's noise is a function of its seed, whenever it begins and whatever runs beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.dream.noise import CHUNK, EpisodeNoise, Noise, SeededNoise, SharedNoise
from tests.dream import parts

CPU = torch.device("cpu")


def test_chunks_of_any_length_give_the_same_numbers() -> None:
    whole, parted = EpisodeNoise(3), EpisodeNoise(3)
    expected = whole.draw(10, 4)
    pieces = [parted.draw(length, 4) for length in (1, 6, 3)]
    for kind, draws in zip(zip(*pieces, strict=True), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(kind), draws)


def test_a_dream_that_begins_late_draws_as_one_that_began_first() -> None:
    starts, late = parts.starts(), 5
    alone, crowd = SeededNoise(1, starts, CPU), SeededNoise(3, starts, CPU)
    expected_begin = alone.begin(torch.tensor([0]), [42], 7)
    expected = [[draws.clone() for draws in alone.next()] for _ in range(CHUNK + 2)]
    crowd.begin(torch.arange(3), range(3), 7)
    for _ in range(late):
        crowd.next()
    for found, wanted in zip(crowd.begin(torch.tensor([1]), [42], 7), expected_begin, strict=True):
        assert torch.equal(found, wanted)
    for step in range(CHUNK + 2):
        for draws, numbers in zip(crowd.next(), expected[step], strict=True):
            assert torch.equal(draws[1], numbers[0])


def shared(streams: int) -> SharedNoise:
    noise = SharedNoise(streams, parts.starts(), CPU)
    noise.generator = torch.Generator().manual_seed(0)
    return noise


@pytest.mark.parametrize("noise", [SeededNoise(200, parts.starts(), CPU), shared(200)], ids=["seeded", "shared"])
def test_draws_are_uniform_and_normal(noise: Noise) -> None:
    begun = noise.begin(torch.arange(200), range(200), 40)
    steps = [noise.next() for _ in range(40)]
    component, spread, ending = (torch.stack(draws) for draws in zip(*steps, strict=True))
    assert begun.dropout is not None
    for uniform in (component, ending, begun.dropout):
        assert uniform.min() >= 0
        assert uniform.max() < 1
        assert abs(uniform.mean() - 0.5) < 4 * np.sqrt(1 / 12 / uniform.numel())
        assert abs(uniform.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / uniform.numel())
    assert abs(spread.mean()) < 4 / np.sqrt(spread.numel())
    assert abs(spread.var() - 1) < 4 * np.sqrt(2 / spread.numel())
    starts = parts.starts()
    off = (begun.z.numpy() - starts.mu[begun.start]) / np.exp(0.5 * starts.logvar[begun.start])
    assert abs(off.std() - 1) < 4 * np.sqrt(1 / 2 / off.size)
    assert len(begun.start.unique()) == len(starts)
    assert noise.begin(torch.arange(1), [5], 0).dropout is None


def test_shared_noise_is_a_function_of_its_generator() -> None:
    one, two = shared(3), shared(3)
    one.begin(torch.arange(3), [0, 0, 0], 0)
    two.begin(torch.arange(3), [7, 8, 9], 0)
    first, second = one.next(), two.next()
    assert all(map(torch.equal, first, second))
    assert not torch.equal(one.next().spread, first.spread)


def test_seeds_differ() -> None:
    assert not np.array_equal(EpisodeNoise(0).draw(3, 4)[1], EpisodeNoise(1).draw(3, 4)[1])
