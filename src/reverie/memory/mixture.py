"""The arithmetic of M's mixtures: one mixture of K Gaussians for each latent dimension, independently.

Every function takes logits, mean and log_std [..., Nz, K]; the mixture weights are softmax(logits) over K.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def log_prob(logits: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    """The log density [..., Nz] of each dimension of z [..., Nz], in nats (paper, appendix A.2)."""
    deviation = (z.unsqueeze(-1) - mean) * torch.exp(-log_std)
    joint = logits - log_std - 0.5 * deviation.square()
    return torch.logsumexp(joint, -1) - torch.logsumexp(logits, -1) - HALF_LOG_TAU


def cdf(logits: Tensor, mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    """The share [..., Nz] of each dimension's distribution below z [..., Nz]: uniform where M is calibrated."""
    below = torch.special.ndtr((z.unsqueeze(-1) - mean) * torch.exp(-log_std))
    return (torch.softmax(logits, -1) * below).sum(-1)


def sample(logits: Tensor, mean: Tensor, log_std: Tensor, temperature: float, uniform: Tensor, noise: Tensor) -> Tensor:
    """Draw z [..., Nz]: a component by softmax(logits / tau), then mean + std * sqrt(tau) * noise.

    uniform [..., Nz] in [0, 1) chooses the components by inverse CDF; noise [..., Nz] is standard normal.
    """
    cumulative = torch.softmax(logits / temperature, -1).cumsum(-1)
    chosen = (uniform.unsqueeze(-1) >= cumulative[..., :-1]).sum(-1, keepdim=True)
    mean, log_std = mean.gather(-1, chosen).squeeze(-1), log_std.gather(-1, chosen).squeeze(-1)
    return mean + torch.exp(log_std) * math.sqrt(temperature) * noise
