"""V: the convolutional variational autoencoder of the paper (section A.1)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import relu

from reverie.vision.loss import free_nats, kl_divergence, reconstruction_error


class ConvVAE(nn.Module):
    """Frames [B, 3, 64, 64] in [0, 1] to latents of `latent_size` and back.

    4,348,547 parameters with 32 latents, 4,446,915 with 64.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.conv1 = nn.Conv2d(3, 32, kernel_size=4, stride=2)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=4, stride=2)
        self.conv3 = nn.Conv2d(64, 128, kernel_size=4, stride=2)
        self.conv4 = nn.Conv2d(128, 256, kernel_size=4, stride=2)
        self.mu = nn.Linear(1024, latent_size)
        self.logvar = nn.Linear(1024, latent_size)
        self.dense = nn.Linear(latent_size, 1024)
        self.deconv1 = nn.ConvTranspose2d(1024, 128, kernel_size=5, stride=2)
        self.deconv2 = nn.ConvTranspose2d(128, 64, kernel_size=5, stride=2)
        self.deconv3 = nn.ConvTranspose2d(64, 32, kernel_size=6, stride=2)
        self.deconv4 = nn.ConvTranspose2d(32, 3, kernel_size=6, stride=2)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames [B, 3, 64, 64] in [0, 1] -> mu, logvar, both [B, Nz]."""
        y = relu(self.conv1(x))  # [B, 32, 31, 31]
        y = relu(self.conv2(y))  # [B, 64, 14, 14]
        y = relu(self.conv3(y))  # [B, 128, 6, 6]
        y = relu(self.conv4(y))  # [B, 256, 2, 2]
        y = y.flatten(start_dim=1)  # [B, 1024]
        return self.mu(y), self.logvar(y)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Latents [B, Nz] -> frames [B, 3, 64, 64] in [0, 1]."""
        y = self.dense(z)[:, :, None, None]  # [B, 1024, 1, 1], linear
        y = relu(self.deconv1(y))  # [B, 128, 5, 5]
        y = relu(self.deconv2(y))  # [B, 64, 13, 13]
        y = relu(self.deconv3(y))  # [B, 32, 30, 30]
        return torch.sigmoid(self.deconv4(y))  # [B, 3, 64, 64]

    def loss(
        self, x: torch.Tensor, noise: torch.Tensor, kl_tolerance: float, weight: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The paper's loss, mean over the batch, with z = mu + exp(logvar / 2) * noise.

        x [B, 3, 64, 64] in [0, 1]; noise [B, Nz], standard normal; weight of pixels [B, 1, 64, 64] or None.
        Metrics are detached scalars: loss, reconstruction (unweighted), kl (before the free nats).
        """
        mu, logvar = (out.float() for out in self.encode(x))
        x_hat = self.decode(mu + torch.exp(0.5 * logvar) * noise).float()
        kl = kl_divergence(mu, logvar)
        error = reconstruction_error(x, x_hat, weight)
        loss = (error + free_nats(kl, self.latent_size, kl_tolerance)).mean()
        plain = error if weight is None else reconstruction_error(x, x_hat.detach())
        return loss, {"loss": loss.detach(), "reconstruction": plain.detach().mean(), "kl": kl.detach().mean()}
