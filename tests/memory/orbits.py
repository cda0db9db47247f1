"""Latents that can be predicted, in memory: what the tests of M train on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from reverie.vision.latents import LatentEpisode
from reverie.worlds.spec import ActionSpec

ACTIONS = ActionSpec("continuous", 2)
LOGVAR = -6.0  # so that a perfect M reaches about 0.5 log(2 pi e) - 3 = -1.58 nats


class Orbits:
    """Episodes in which each pair of latents turns on a circle, and the action turns it further.

    Stands in for `Latents`. The reward is the first latent, and odd episodes end, even ones are cut off.
    """

    def __init__(self, lengths: list[int], latent_size: int = 4, seed: int = 0, one_hot: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.episodes = {
            index: _orbit(length, latent_size, rng, index % 2 == 1) for index, length in enumerate(lengths)
        }
        self.entries = tuple(SimpleNamespace(index=index, steps=length) for index, length in enumerate(lengths))
        if one_hot:
            for episode in self.episodes.values():
                episode.actions[:] = np.eye(2)[episode.actions.argmax(1)]

    def __repr__(self) -> str:
        return "Orbits"

    def episode(self, index: int) -> LatentEpisode:
        """Episode `index`."""
        return self.episodes[index]


def _orbit(length: int, latent_size: int, rng: np.random.Generator, terminated: bool) -> LatentEpisode:
    actions = rng.uniform(-1, 1, (length, 2)).astype(np.float32)
    turns = np.concatenate([[rng.uniform(0, 2 * np.pi)], 0.3 + 0.2 * actions[:, 0]]).cumsum()
    angle = turns[:, None] + np.arange(latent_size) * np.pi / 2
    mu = np.sin(angle).astype(np.float16)
    rewards = mu[1:, 0].astype(np.float32)
    return LatentEpisode(mu, np.full_like(mu, LOGVAR), actions, rewards, terminated)
