"""Episodes for the tests of this room."""

from __future__ import annotations

import numpy as np

from reverie.episodes.episode import Episode


def make_episode(steps: int, seed: int = 0, actions: int = 2) -> Episode:
    """Random actions and rewards; frames of noise on a constant ground, each unlike all others."""
    rng = np.random.default_rng(seed)
    frames = np.full((steps + 1, 64, 64, 3), rng.integers(256), np.uint8)
    frames[:, 20:28, 30:38] = rng.integers(0, 256, (steps + 1, 8, 8, 3))
    return Episode(
        frames,
        rng.uniform(-1, 1, (steps, actions)).astype(np.float32),
        rng.normal(size=steps).astype(np.float32),
        terminated=bool(seed % 2),
    )


def assert_same_episode(found: Episode, expected: Episode) -> None:
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.actions, expected.actions)
    np.testing.assert_array_equal(found.rewards, expected.rewards)
    assert found.terminated == expected.terminated
