"""V, M and C written plainly, the way published re-implementations are: torch's own layers, float32, nothing fused.

The baseline of every ratio. Networks and losses are the paper's, as ours are; tests hold the two against each other.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal
from torch.nn import functional as F

from reverie.memory.config import MemoryConfig

State = tuple[Tensor, Tensor]  # h and c, both [1, B, H], as nn.LSTM has them


class PlainVision(nn.Module):
    """The ConvVAE."""

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        channels = (3, 32, 64, 128, 256)
        convs = [nn.Conv2d(i, o, 4, stride=2) for i, o in pairwise(channels)]
        self.encoder = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU())), nn.Flatten())
        self.mu, self.logvar = nn.Linear(1024, latent_size), nn.Linear(1024, latent_size)
        self.dense = nn.Linear(latent_size, 1024)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(1024, 128, 5, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 5, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 6, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 3, 6, stride=2),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [B, 3, 64, 64] in [0, 1] -> mu, logvar [B, Nz]."""
        y = self.encoder(x)
        return self.mu(y), self.logvar(y)

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, Nz] -> frames [B, 3, 64, 64]."""
        decoded: Tensor = self.decoder(self.dense(z)[:, :, None, None])
        return decoded

    def loss(self, x: Tensor, noise: Tensor, kl_tolerance: float) -> Tensor:
        """Squared error summed over pixels plus the KL term with its free nats, mean over the batch."""
        mu, logvar = self.encode(x)
        x_hat = self.decode(mu + torch.exp(logvar / 2) * noise)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
        error = torch.sum((x - x_hat).pow(2), dim=(1, 2, 3))
        return torch.mean(error + torch.clamp(kl, min=kl_tolerance * mu.shape[1]))


class PlainMemory(nn.Module):
    """The MDN-RNN over nn.LSTM."""

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.lstm = nn.LSTM(config.input_size, config.hidden_size, batch_first=True)
        self.head = nn.Linear(config.hidden_size, config.output_size)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Inputs [B, L, I] -> outputs [B, L, O] and the state behind them."""
        hidden, state = self.lstm(x, state)
        return self.head(hidden), state

    def mixtures(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """logits, mean, log_std of outputs [..., O], each [..., K, Nz]."""
        parts = outputs[..., : self.config.mixture_size]
        logits, mean, log_std = parts.unflatten(-1, (3, self.config.mixtures, self.config.latent_size)).unbind(-3)
        return logits, mean, log_std

    def loss(self, outputs: Tensor, next_z: Tensor, done: Tensor) -> Tensor:
        """Mean negative log-likelihood of next_z [B, L, Nz], and the cross entropy of done [B, L] where M has it."""
        logits, mean, log_std = self.mixtures(outputs)
        log_prob = Normal(mean, log_std.exp(), validate_args=False).log_prob(next_z.unsqueeze(-2))
        loss = -torch.logsumexp(F.log_softmax(logits, -2) + log_prob, -2).mean()
        if self.config.done_head:
            logit, weight = outputs[..., self.config.mixture_size], torch.tensor(self.config.done_weight)
            loss = loss + F.binary_cross_entropy_with_logits(logit, done, pos_weight=weight)
        return loss

    def sample(self, outputs: Tensor, temperature: float) -> Tensor:
        """Draw z [..., Nz]: a component of each dimension, then its Gaussian."""
        logits, mean, log_std = self.mixtures(outputs)
        chosen = (
            Categorical(logits=(logits / temperature).transpose(-1, -2), validate_args=False).sample().unsqueeze(-2)
        )
        mean, log_std = mean.gather(-2, chosen).squeeze(-2), log_std.gather(-2, chosen).squeeze(-2)
        return mean + torch.exp(log_std) * math.sqrt(temperature) * torch.randn_like(mean)


class PlainController:
    """tanh(W x + b), one candidate, in NumPy."""

    def __init__(self, params: np.ndarray, features: int, actions: int, bias: bool) -> None:
        self.weight = params[: features * actions].reshape(features, actions).T
        self.bias = params[features * actions :] if bias else np.zeros(actions)

    def act(self, features: np.ndarray) -> np.ndarray:
        """features [F] -> action float32 [A]."""
        return np.tanh(self.weight @ features + self.bias).astype(np.float32)


def seen(kind: str, z: Tensor, state: State) -> np.ndarray:
    """z, [z, h] or [z, c, h] of one agent, [F]."""
    h, c = (part[0, 0].numpy() for part in state)
    parts = {"z": [z[0].numpy()], "zh": [z[0].numpy(), h], "zch": [z[0].numpy(), c, h]}
    return np.concatenate(parts[kind])


def empty_state(hidden_size: int) -> State:
    """h and c of one agent before its first step."""
    return torch.zeros(1, 1, hidden_size), torch.zeros(1, 1, hidden_size)
