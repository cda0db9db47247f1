"""V's latents over a whole world: a map of them in two dimensions, and how much each dimension tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LatentMap:
    """A plane through the latents: z of a point (x, y) is mean + x * axes[0] + y * axes[1].

    mean: [Nz]; axes: orthonormal [2, Nz], the directions of largest variance; points: [N, 2], all float32
    share: of the variance that the plane keeps
    """

    mean: np.ndarray
    axes: np.ndarray
    points: np.ndarray
    share: float


def latent_map(mu: np.ndarray) -> LatentMap:
    """The first two principal components of the latents mu [N, Nz]."""
    mean = mu.mean(axis=0)
    centred = mu - mean
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    axes = np.concatenate([axes, np.zeros((2, mu.shape[1]))])[:2]  # a latent of one number has one axis
    axes *= np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1, 1)[:, None]  # the sign is arbitrary
    share = float(np.square(scale[:2]).sum() / max(np.square(scale).sum(), 1e-12))
    points = centred @ axes.T
    return LatentMap(mean.astype(np.float32), axes.astype(np.float32), points.astype(np.float32), share)


def kl_per_dimension(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """How much each dimension of z tells about a frame: its mean KL from the prior in nats, [Nz]."""
    kl: np.ndarray = 0.5 * (np.square(mu) + np.exp(logvar) - 1 - logvar).mean(axis=0)
    return kl
