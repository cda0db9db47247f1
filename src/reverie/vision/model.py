"""V: the convolutional variational autoencoder of the paper (appendix A.1)."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.functional import relu

from reverie.hardware import compute_dtype
from reverie.vision.layers import (
    conv_to_few_pixels,
    transposed_conv,
    transposed_conv_from_point,
    transposed_conv_to_pixels,
)
from reverie.vision.loss import fitted_scale, free_nats, kl_divergence, reconstruction_error


class ConvVAE(nn.Module):
    """Frames [B, 3, 64, 64] in [0, 1] to latents of `latent_size` and back.

    4,348,547 parameters with 32 latents, 4,446,915 with 64. Frames and latents are float32 at the door, whatever number
    format the weights have within (`fast_copy`).

    A centred one sees what differs from `mean_frame`, float32 [3, 64, 64] in [0, 1], and draws what it adds to it,
    without a sigmoid. Where most of a page never changes, a decoder that has to make the page first ends with the page
    alone: its sigmoid is so far open by then that no gradient passes it.
    """

    mean_frame: torch.Tensor | None

    def __init__(self, latent_size: int, centred: bool = False) -> None:
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
        self.register_buffer("mean_frame", torch.full((3, 64, 64), 0.5) if centred else None)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames [B, 3, 64, 64] in [0, 1] -> mu, logvar, both [B, Nz]."""
        x = (x if self.mean_frame is None else x - self.mean_frame).to(self.conv1.weight.dtype)
        y = relu(self.conv1(x))  # [B, 32, 31, 31]
        y = relu(self.conv2(y))  # [B, 64, 14, 14]
        y = relu(self.conv3(y))  # [B, 128, 6, 6]
        y = relu(conv_to_few_pixels(y, self.conv4))  # [B, 256, 2, 2]
        y = y.flatten(start_dim=1).to(self.mu.weight.dtype)  # [B, 1024]
        return self.mu(y), self.logvar(y)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Latents [B, Nz] -> frames [B, 3, 64, 64] in [0, 1]."""
        return self.draw(z).clamp(0, 1)

    def draw(self, z: torch.Tensor) -> torch.Tensor:
        """`decode` as it is trained: a centred V may draw beyond 0 and 1, where a clamp would hold gradients back."""
        y = self.dense(z.to(self.dense.weight.dtype))  # [B, 1024], linear
        y = relu(transposed_conv_from_point(y, self.deconv1))  # [B, 128, 5, 5]
        y = relu(transposed_conv(y, self.deconv2))  # [B, 64, 13, 13]
        y = relu(transposed_conv(y, self.deconv3))  # [B, 32, 30, 30]
        y = transposed_conv_to_pixels(y, self.deconv4).to(z.dtype)  # [B, 3, 64, 64]
        return torch.sigmoid(y) if self.mean_frame is None else self.mean_frame + y

    def loss(
        self,
        x: torch.Tensor,
        noise: torch.Tensor,
        kl_tolerance: float,
        weight: torch.Tensor | None = None,
        fitted: bool = False,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The paper's loss, mean over the batch, with z = mu + exp(logvar / 2) * noise.

        x [B, 3, 64, 64] in [0, 1]; noise [B, Nz], standard normal; weight of pixels [B, 1, 64, 64] or None.
        fitted: squared errors are weighed as `fitted_scale` says, not as they are.
        Metrics are detached scalars: loss, reconstruction (unweighted), kl (before the free nats).
        """
        mu, logvar = self.encode(x)
        x_hat = self.draw(mu + torch.exp(0.5 * logvar) * noise)
        kl = kl_divergence(mu, logvar)
        error = reconstruction_error(x, x_hat, weight)
        scale = fitted_scale(error, x[0].numel()) if fitted else 1.0
        loss = (scale * error + free_nats(kl, self.latent_size, kl_tolerance)).mean()
        plain = error if weight is None else reconstruction_error(x, x_hat.detach())
        return loss, {"loss": loss.detach(), "reconstruction": plain.detach().mean(), "kl": kl.detach().mean()}


def initialise(model: ConvVAE, generator: torch.Generator) -> None:
    """Draw all weights anew: Glorot uniform, biases 0, as in the paper's code."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_uniform_(parameter, generator=generator)


def fast_copy(model: ConvVAE) -> ConvVAE:
    """A copy that computes in the fastest number format of the model's device (bf16 where it has that).

    The heads mu and logvar stay float32: bf16 would leave latents three digits.
    """
    fast = copy.deepcopy(model)
    dtype = compute_dtype(model.conv1.weight.device.type)
    for name, layer in fast.named_children():
        layer.to(torch.float32 if name in ("mu", "logvar") else dtype)
    return fast
