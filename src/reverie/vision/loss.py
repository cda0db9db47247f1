"""V's loss: squared error summed over a frame, and the KL term with its free nats. Pure functions."""

from __future__ import annotations

import torch

LEAST_VARIANCE = 4e-4  # a standard deviation of 5 in 255


def kl_divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) in nats, summed over dimensions; [B, Nz] -> [B]."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=-1)


def free_nats(kl: torch.Tensor, latent_size: int, kl_tolerance: float) -> torch.Tensor:
    """max(KL, kl_tolerance * Nz) for each sample; below it the gradient is 0. [B] -> [B]."""
    return kl.clamp(min=kl_tolerance * latent_size)


def reconstruction_error(x: torch.Tensor, x_hat: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Squared error summed over pixels and channels, each pixel times its weight; [B, 3, 64, 64] -> [B]."""
    error = (x_hat - x).square()
    if weight is not None:
        error = error * weight
    return error.sum(dim=(1, 2, 3))


def fitted_scale(error: torch.Tensor, pixels: int) -> torch.Tensor:
    """1 / (2 variance) of a decoder whose variance is the batch's mean squared error, sigma-VAE's best; [B] -> [].

    error: as `reconstruction_error` has it, summed over so many `pixels` (times channels). The gradient is that of
    pixels / 2 * log(mean error): an error's relative size counts, in a picture that is nearly right as in a rough one.
    Not below `LEAST_VARIANCE`: no nats are spent on what a pixel's last digits say.
    """
    return 0.5 / (error.detach().mean() / pixels).clamp(min=LEAST_VARIANCE)


def change_weights(x: torch.Tensor, mean_frame: torch.Tensor, strength: float) -> torch.Tensor:
    """Weights that rise with a pixel's distance from the mean frame, so that walls don't drown a small moving thing.

    1 + strength * |x - mean_frame|^2, the square summed over channels, scaled to mean 1 over each frame, so that the
    balance with the KL term stays. x [B, 3, 64, 64], mean_frame [3, 64, 64] or one each [B, 3, 64, 64], both in
    [0, 1] -> [B, 1, 64, 64].
    """
    weight = 1 + strength * (x - mean_frame).square().sum(dim=1, keepdim=True)
    return weight / weight.mean(dim=(2, 3), keepdim=True)
