"""Every stream is its path's alone, and training never sees a seed of evaluation."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from reverie.workers.seeds import (
    EVALUATION_SEED_BASE,
    evaluation_seeds,
    generator,
    seed_sequence,
    torch_seed,
    training_seeds,
)

COLLECT = [501042744, 3175681215, 444412792]
VISION = 4797096962871698448
TRAINING = [641929170, 956627918, 889068792]
PATHS = [(), ("vision",), ("memory",), ("vision", 0), ("vision", 1), ("vision", 1, 0), ("vision", "1"), (1, "vision")]


def test_a_path_is_its_words_and_numbers() -> None:
    expected = np.random.SeedSequence(entropy=7, spawn_key=(zlib.crc32(b"controller"), 3, 64))
    found = seed_sequence(7, "controller", 3, np.int64(64))
    assert found.spawn_key == expected.spawn_key
    assert (found.generate_state(8) == expected.generate_state(8)).all()


def test_streams_stay_as_they_are() -> None:
    """Constants: a run that was begun with an earlier version goes on with the same numbers."""
    assert generator(0, "collect", 5).integers(2**32, size=3).tolist() == COLLECT
    assert torch_seed(0, "vision", 5) == VISION
    assert training_seeds(0, "controller", 2, count=3) == TRAINING


@pytest.mark.parametrize("root", [0, 1, 2**64])
def test_every_path_has_a_stream_of_its_own(root: int) -> None:
    draws = {path: tuple(generator(root, *path).integers(2**63, size=2)) for path in PATHS}
    assert len(set(draws.values())) == len(PATHS)
    assert draws == {path: tuple(generator(root, *path).integers(2**63, size=2)) for path in PATHS}
    assert draws[PATHS[1]] != tuple(generator(root + 1, *PATHS[1]).integers(2**63, size=2))


def test_torch_takes_the_seed() -> None:
    seeds = [torch_seed(0, "vision", update) for update in range(200)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_training_and_evaluation_never_meet() -> None:
    training = training_seeds(3, "collect", count=5000)
    evaluation = evaluation_seeds(3, "collect", count=5000)
    assert all(0 <= seed < EVALUATION_SEED_BASE for seed in training)
    assert all(EVALUATION_SEED_BASE <= seed < 2 * EVALUATION_SEED_BASE for seed in evaluation)
    assert {seed - EVALUATION_SEED_BASE for seed in evaluation}.isdisjoint(training)  # nor the same ones, moved up
    assert len(set(training)) > 4990


def test_an_episode_keeps_its_seed_whatever_the_count() -> None:
    assert training_seeds(0, "collect", count=100)[:7] == training_seeds(0, "collect", count=7)
    assert evaluation_seeds(0, "doom", count=100)[:7] == evaluation_seeds(0, "doom", count=7)
