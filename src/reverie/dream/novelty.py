"""Curiosity in the dream: what is unlike all that was recorded is worth something (random network distillation)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from reverie.hardware import single_thread
from reverie.vision.latents import Latents
from reverie.workers.seeds import torch_seed

UNITS, ANSWERS = 64, 32  # of each hidden layer, and outputs, of both networks
GAIN = 2.0  # of the random network's weights: far from the data it answers in ways that cannot be guessed
UPDATES, BATCH, LEARNING_RATE = 800, 256, 1e-3
MOST = 5.0  # that a step is worth, in usual rewards


@dataclass(frozen=True, repr=False)
class Novelty:
    """How new latents are (Burda et al., 2019): how far off a network is that learned a random network's answers
    on the recorded ones.

    mean, spread: of the recorded latents, [Nz]; usual: the mean error on them
    unit: what an error of twice the usual is worth, in the world's own rewards
    """

    random: nn.Sequential
    learned: nn.Sequential
    mean: Tensor
    spread: Tensor
    usual: Tensor
    unit: float

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Tensor:
        """What it is worth to be at z [n, Nz], from 0, where z is no newer than usual: float32 [n]."""
        return self.unit * (self.errors(z) / self.usual - 1).clamp(0, MOST)

    def errors(self, z: Tensor) -> Tensor:
        """The mean squared errors [n]."""
        x = (z - self.mean) / self.spread
        wrong: Tensor = (self.learned(x) - self.random(x)).square().mean(-1)
        return wrong


def fit_novelty(latents: Latents, weight: float, seed: int) -> Novelty:
    """What is new beside the recorded latents, drawn as in M's training so that V's own noise is nothing new.

    weight: what an error of twice the usual is worth, in rewards of usual size (their root mean square)
    """
    episodes = [latents.episode(entry.index) for entry in latents.entries if entry.index >= 0]
    mu, logvar = (
        torch.from_numpy(np.concatenate([getattr(each, name) for each in episodes]).astype(np.float32))
        for name in ("mu", "logvar")
    )
    rewards = np.concatenate([each.rewards for each in episodes]).astype(np.float64)
    size = float(np.sqrt(np.square(rewards).mean())) or 1.0
    generator = torch.Generator().manual_seed(torch_seed(seed, "novelty"))
    random, learned = (_network(mu.shape[1], gain, generator) for gain in (GAIN, 1.0))
    found = Novelty(random, learned, mu.mean(0), mu.std(0).clamp_min(1e-3), torch.ones(()), weight * size)
    optimizer = torch.optim.Adam(learned.parameters(), lr=LEARNING_RATE)
    errors = list[float]()
    with single_thread():
        for _ in range(UPDATES):
            rows = torch.randint(len(mu), (BATCH,), generator=generator)
            noise = torch.randn(BATCH, mu.shape[1], generator=generator)
            loss = found.errors(mu[rows] + torch.exp(0.5 * logvar[rows]) * noise).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            errors.append(loss.item())
    found.usual.fill_(max(float(np.mean(errors[-UPDATES // 10 :])), 1e-8))
    return found


def _network(inputs: int, gain: float, generator: torch.Generator) -> nn.Sequential:
    sizes = (inputs, UNITS, UNITS, ANSWERS)
    layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, gain, generator=generator)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
