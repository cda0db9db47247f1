"""How much a real step surprises M: its own loss on the next latent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.memory.mixture import log_prob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode
    from reverie.worlds.spec import ActionSpec


@torch.inference_mode()
def surprise(memory: MDNRNN, actions: ActionSpec, episode: LatentEpisode) -> np.ndarray:
    """Nats for each latent dimension, their mean at each of an episode's steps, float32 [T].

    V's means stand for draws from its Gaussians, so nothing is random.
    """
    z = torch.from_numpy(episode.mu.astype(np.float32))[None]
    a = torch.from_numpy(actions.for_memory(episode.actions).astype(np.float32))[None]
    restart = torch.zeros(a.shape[:2])
    restart[:, 0] = 1
    _, said = memory(memory.initial_state(1), z[:, :-1], a, restart)
    nats: np.ndarray = -log_prob(said.logits, said.mean, said.log_std, z[:, 1:]).mean(-1)[0].numpy()
    return nats


def usual_surprise(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]) -> tuple[float, float]:
    """Its mean and standard deviation over the steps of episodes that M knows the like of; the latter is over 0."""
    nats = np.concatenate([surprise(memory, actions, episode) for episode in episodes]).astype(np.float64)
    return float(nats.mean()), max(float(nats.std()), 1e-6)
