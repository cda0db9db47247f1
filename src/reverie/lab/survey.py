"""What V's latents are like over a whole world: which numbers matter, a flat map of them, where M is surprised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.memory.mixture import log_prob
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import ActionSpec

if TYPE_CHECKING:
    from reverie.lab.source import LabEpisode


@dataclass(frozen=True)
class Map:
    """A plane through the latents: z of a point (x, y) is mean + x * axes[0] + y * axes[1].

    mean: [Nz]; axes: orthonormal [2, Nz], the directions of largest variance; points: [N, 2], all float32
    share: of the variance that the plane keeps
    """

    mean: np.ndarray
    axes: np.ndarray
    points: np.ndarray
    share: float


def flat_map(mu: np.ndarray) -> Map:
    """The first two principal components of the latents mu [N, Nz]."""
    mean = mu.mean(axis=0)
    centred = mu - mean
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    axes = np.concatenate([axes, np.zeros((2, mu.shape[1]))])[:2]  # a latent of one number has one axis
    axes *= np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]  # the sign is arbitrary
    share = float(np.square(scale[:2]).sum() / max(np.square(scale).sum(), 1e-12))
    points = centred @ axes.T
    return Map(mean.astype(np.float32), axes.astype(np.float32), points.astype(np.float32), share)


def nats(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """How much each of V's numbers tells about a frame: its mean KL from the prior, [Nz]."""
    told: np.ndarray = 0.5 * (np.square(mu) + np.exp(logvar) - 1 - logvar).mean(axis=0)
    return told


@torch.inference_mode()
def surprise(memory: MDNRNN, actions: ActionSpec, episode: LabEpisode) -> np.ndarray:
    """M's loss at each step of an episode: nats per latent dimension of the frame that followed, float32 [T]."""
    z = torch.from_numpy(episode.mu)[None]  # [1, T + 1, Nz]
    felt = actions.for_memory(torch.from_numpy(episode.actions))[None]
    restart = torch.zeros(felt.shape[:2])
    restart[:, 0] = 1
    _, prediction = memory(memory.initial_state(1), z[:, :-1], felt, restart)
    density = log_prob(prediction.logits, prediction.mean, prediction.log_std, z[:, 1:])
    loss: np.ndarray = -density.mean(-1)[0].numpy()
    return loss
