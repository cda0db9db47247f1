"""M's predictions beside reality: a window of an episode seen ahead, the drift over many, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reverie.memory.mixture import sample
from reverie.memory.model import LSTMState, Prediction
from reverie.workers.seeds import torch_seed

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode
    from reverie.worlds.spec import ActionSpec

STEPS = 50  # ahead
WARM_UP = 20  # real steps that M absorbs first
BATCH = 16
LEAST_CHANCE = 1e-6  # rarer than any run could show


@dataclass(frozen=True)
class Foresight:
    """Latents, float32 [STEPS + 1, Nz], of the same steps of one episode; the first is real in each.

    real: what V saw. one_step: M's mean prediction of the next latent, always from the real ones before it.
    free: M dreaming on alone from the first, with the actions that were really taken.
    """

    real: np.ndarray
    one_step: np.ndarray
    free: np.ndarray

    @property
    def liveliness(self) -> float:
        """How much the real latents move: their variance over the steps."""
        return float(self.real.var(axis=0).mean())

    def errors(self) -> np.ndarray:
        """Root mean square distance from the real latents, [3, STEPS]: one step, free, and the first one frozen."""
        guesses = np.stack([self.one_step, self.free, np.broadcast_to(self.real[0], self.real.shape)])
        distance: np.ndarray = np.sqrt(((guesses - self.real) ** 2).mean(axis=-1))[:, 1:]
        return distance


@torch.inference_mode()
def look_ahead(
    memory: MDNRNN, actions: ActionSpec, episode: LatentEpisode, index: int, temperature: float = 1.0
) -> Foresight | None:
    """M on the middle of an episode, None where that is too short; `index` seeds the noise that M dreams with."""
    start = middle(len(episode.actions))
    if start is None:
        return None
    z = torch.as_tensor(np.asarray(episode.mu, np.float32))[None]  # [1, T + 1, Nz]
    a = actions.for_memory(torch.as_tensor(np.asarray(episode.actions, np.float32)))[None]
    restart = torch.zeros(a.shape[:2])
    restart[:, 0] = 1
    before, window = slice(0, start), slice(start, start + STEPS)
    state, _ = memory(memory.initial_state(1), z[:, before], a[:, before], restart[:, before])
    _, prediction = memory(state, z[:, window], a[:, window], restart[:, window])
    one_step = torch.cat([z[0, start : start + 1], mixture_mean(prediction)[0]])
    free = _dream_on(memory, state, z[:, start], a[:, window], temperature, index)
    return Foresight(z[0, start : start + STEPS + 1].numpy(), one_step.numpy(), free.numpy())


def middle(steps: int) -> int | None:
    """Where a window of STEPS begins in the middle of what follows M's warm-up; None where it does not fit."""
    spare = steps - STEPS - WARM_UP
    return None if spare < 0 else WARM_UP + spare // 2


def mixture_mean(prediction: Prediction) -> Tensor:
    """The expected next latent, [..., Nz]."""
    return (torch.softmax(prediction.logits, -1) * prediction.mean).sum(-1)


def _dream_on(memory: MDNRNN, state: LSTMState, z: Tensor, a: Tensor, temperature: float, index: int) -> Tensor:
    """Feed M its own samples from z [1, Nz] on, with the actions a [1, L, A]: latents [L + 1, Nz]."""
    noise = torch.Generator().manual_seed(torch_seed(0, "foresight", index))
    latents = [z]
    for t in range(a.shape[1]):
        state, prediction = memory.step(state, z, a[:, t], torch.zeros(1))
        uniform = torch.rand(z.shape, generator=noise)
        spread = torch.randn(z.shape, generator=noise)
        z = sample(prediction.logits, prediction.mean, prediction.log_std, temperature, uniform, spread)
        latents.append(z)
    return torch.cat(latents)


@dataclass(frozen=True)
class Forecast:
    """What M expected of N real steps, and what came: chances and flags of an ending, rewards (None: no such head)."""

    done_chance: np.ndarray | None
    done: np.ndarray
    reward_hat: np.ndarray | None
    reward: np.ndarray

    def reliability(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Mean chance, rate and number of endings in bins of half a decade of chance; bins without one left out."""
        if self.done_chance is None or not self.done.any():
            return None
        bins = np.floor(2 * np.log10(np.maximum(self.done_chance, LEAST_CHANCE)))
        groups = [bins == value for value in np.unique(bins[self.done])]
        return (
            np.array([self.done_chance[group].mean() for group in groups]),
            np.array([self.done[group].mean() for group in groups]),
            np.array([self.done[group].sum() for group in groups]),
        )


@torch.inference_mode()
def forecast(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]) -> Forecast:
    """M's done and reward heads on recorded episodes, the weight of endings in training undone."""
    longest_last = sorted(episodes, key=lambda episode: len(episode.actions))
    parts = [
        _forecast_batch(memory, actions, longest_last[first : first + BATCH])
        for first in range(0, len(longest_last), BATCH)
    ]
    chance, done, reward_hat, reward = (np.concatenate(column) for column in zip(*parts, strict=True))
    config = memory.config
    return Forecast(chance if config.done_head else None, done, reward_hat if config.reward_head else None, reward)


def _forecast_batch(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]) -> tuple[np.ndarray, ...]:
    lengths = [len(episode.actions) for episode in episodes]
    z = padded([episode.mu[:-1] for episode in episodes], max(lengths))
    a = actions.for_memory(padded([episode.actions for episode in episodes], max(lengths)))
    restart = torch.zeros(z.shape[:2])
    restart[:, 0] = 1
    _, prediction = memory(memory.initial_state(len(z)), z, a, restart)
    chance = reward_hat = np.zeros(tuple(restart.shape), np.float32)
    if prediction.done_logit is not None:
        odds = torch.exp(prediction.done_logit) / memory.config.done_weight
        chance = (odds / (1 + odds)).numpy()
    if prediction.reward is not None:
        reward_hat = prediction.reward.numpy()
    done = [np.append(np.zeros(len(e.actions) - 1, bool), e.terminated) for e in episodes]
    real = [slice(0, length) for length in lengths]
    return (
        np.concatenate([row[part] for row, part in zip(chance, real, strict=True)]),
        np.concatenate(done),
        np.concatenate([row[part] for row, part in zip(reward_hat, real, strict=True)]),
        np.concatenate([np.asarray(e.rewards, np.float32) for e in episodes]),
    )


def padded(arrays: Sequence[np.ndarray], length: int) -> Tensor:
    """Arrays [T, n] as one float32 tensor [B, length, n], zeros after each end."""
    filled = np.zeros((len(arrays), length, arrays[0].shape[1]), np.float32)
    for row, array in zip(filled, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(filled)
