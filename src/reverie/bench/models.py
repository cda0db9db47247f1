"""Models of the paper's sizes: ours, untrained, in the files of a run; and plain ones, the baseline of every ratio.

Speed does not depend on weights. The plain V, M and C are written as published re-implementations are: torch's own
layers, float32, nothing fused. Networks and losses are the paper's, as ours are; tests hold the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal
from torch.nn import functional as F

from reverie.feature_env import Place
from reverie.files.checkpoint import Checkpoint, save_checkpoint
from reverie.files.training import pack
from reverie.learning.phases import Phase
from reverie.memory.config import DONE_WEIGHT, MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.play.env_spec import EnvSpec
from reverie.play.loop import Limits
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment
from reverie.vision.latents import LatentEntry, LatentEpisode, Part, part_path, write_part
from reverie.vision.model import ConvVAE
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import WorldSpec

NEVER = -30.0  # a done logit that ends nothing


def paper(world: str, place: Place) -> Experiment:
    """The paper's sizes for a world whose C trains there."""
    return make_experiment(world, "paper", phases=[Phase("cmaes", place, 1)])


def make_env(folder: Path, experiment: Experiment, max_steps: int, done_logit: float = NEVER) -> EnvSpec:
    """Where the candidates of an experiment are tried, up to `max_steps`, with an untrained V and M.

    Its dreams end at every step with the probability sigmoid(done_logit).
    """
    spec, place = world_spec(experiment.world), experiment.phases[0].place
    _write_vision(folder / "vision", experiment.vision.latent_size)
    _write_memory(folder / "memory", experiment, done_logit)
    if place == "dream":
        write_latents(folder / "latents", spec, experiment.vision.latent_size, episodes=1, steps=1)
    return EnvSpec(
        place=place,
        spec=spec,
        controller=experiment.controller,
        latent_size=experiment.vision.latent_size,
        memory_size=experiment.memory.hidden_size,
        dream=replace(experiment.dream, termination="sample", horizon=max_steps),
        vision=folder / "vision",
        memory=folder / "memory",
        latents=folder / "latents" if place == "dream" else None,
        learns=True,  # so that the dream's horizon holds
        limits=Limits(max_steps),
    )


def candidates(env: EnvSpec, count: int) -> np.ndarray:
    """A population as CMA-ES starts it, float64 [count, n]."""
    return np.random.default_rng(0).standard_normal((count, env.controller_shape().parameter_count)) * 0.1


def write_latents(folder: Path, spec: WorldSpec, latent_size: int, episodes: int, steps: int) -> None:
    """Episodes of random latents."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    entries = tuple(LatentEntry(index, steps, float(steps), True, str(index)) for index in range(episodes))
    write_part(part_path(folder, 0), Part("bench", entries), [_episode(rng, spec, latent_size, steps) for _ in entries])


def _episode(rng: np.random.Generator, spec: WorldSpec, latent_size: int, steps: int) -> LatentEpisode:
    mu = rng.standard_normal((steps + 1, latent_size)).astype(np.float16)
    actions = rng.uniform(-1, 1, (steps, spec.actions.size)).astype(np.float32)
    return LatentEpisode(mu, np.full_like(mu, -2.0), actions, np.ones(steps, np.float32), True)


def _write_vision(folder: Path, latent_size: int) -> None:
    save_checkpoint(folder, Checkpoint(0, pack(ConvVAE(latent_size)), {"latent_size": latent_size}))


def _write_memory(folder: Path, experiment: Experiment, done_logit: float) -> None:
    memory = MDNRNN(experiment.memory)
    if experiment.memory.done_head:
        with torch.no_grad():
            memory.head_weight[experiment.memory.mixture_size] = 0
            memory.head_bias[experiment.memory.mixture_size] = done_logit
    save_checkpoint(folder, Checkpoint(0, pack(memory), asdict(experiment.memory)))


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
            logit, weight = outputs[..., self.config.mixture_size], torch.tensor(DONE_WEIGHT)
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


def features_of(inputs: Sequence[str], z: Tensor, state: State) -> np.ndarray:
    """z, [z, h] or [z, c, h] of one agent, [F]."""
    h, c = (part[0, 0].numpy() for part in state)
    parts = {"z": z[0].numpy(), "c": c, "h": h}
    return np.concatenate([parts[name] for name in inputs])


def empty_state(hidden_size: int) -> State:
    """h and c of one agent before its first step."""
    return torch.zeros(1, 1, hidden_size), torch.zeros(1, 1, hidden_size)
