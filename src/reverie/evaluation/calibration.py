"""M's calibration: its predictions of the next latent, the next action, endings and rewards, beside the outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reverie.memory.config import DONE_WEIGHT
from reverie.memory.mixture import cdf, log_prob
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode
    from reverie.worlds.spec import ActionSpec

LEVELS = np.linspace(0.05, 0.95, 19)
BINS = 10
BATCH = 16
LEAST_PROB = 1e-6  # rarer than any run could show


@dataclass(frozen=True)
class LatentCalibration:
    """The ranks of N real next latents in M's predicted distributions.

    ranks: [N, Nz], the share of M's distribution below each number: uniform in [0, 1] where M is calibrated
    nll: nats for each latent dimension, the mean
    """

    ranks: np.ndarray
    nll: float

    def coverage(self, levels: np.ndarray = LEVELS) -> np.ndarray:
        """The share of the real numbers that fell into M's central interval of each level, [L]."""
        distance = 2 * np.abs(self.ranks.ravel() - 0.5)  # the level of the smallest central interval that holds it
        shares: np.ndarray = np.searchsorted(np.sort(distance), levels, side="right") / distance.size
        return shares


@dataclass(frozen=True)
class ActionCalibration:
    """M's prediction of the next action and the action taken, both [N, A] as M sees such `actions`.

    predicted: the mean; the probabilities of one-hot actions
    """

    actions: ActionSpec
    predicted: np.ndarray
    taken: np.ndarray

    def agreement(self) -> float:
        """The accuracy of the predicted action; of continuous actions the share of their variance that is explained."""
        if self.actions.kind == "three-way":
            return float((np.rint(self.predicted) == self.taken).all(1).mean())
        if self.actions.choices:
            right = [
                self.predicted[:, span.start : span.stop].argmax(1) == self.taken[:, span.start : span.stop].argmax(1)
                for span in self.actions.spans
            ]
            return float(np.all(right, axis=0).mean())
        variance = float(np.square(self.taken - self.taken.mean(0)).sum())
        return 1 - float(np.square(self.taken - self.predicted).sum()) / variance if variance else 0.0

    def baseline(self) -> float:
        """The same for always predicting the commonest action, or the mean."""
        if not self.actions.choices:
            return 0.0
        _, counts = np.unique(self.taken, axis=0, return_counts=True)
        return float(counts.max() / counts.sum())

    def bins(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean prediction, mean action taken and number of steps, in bins of equal width; empty ones left out."""
        predicted, taken = self.predicted.ravel(), self.taken.ravel()
        low, high = float(predicted.min()), float(predicted.max())
        bins = np.minimum((BINS * (predicted - low) / max(high - low, 1e-9)).astype(int), BINS - 1)
        groups = [bins == value for value in np.unique(bins)]
        return (
            np.array([predicted[group].mean() for group in groups]),
            np.array([taken[group].mean() for group in groups]),
            np.array([group.sum() for group in groups]),
        )


@torch.inference_mode()
def calibrate(
    memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]
) -> tuple[LatentCalibration, ActionCalibration | None]:
    """M one step ahead on recorded episodes, every z sampled from V's Gaussian as in training.

    The second is None where M has no action head, and where no episode has two steps.
    """
    by_length = sorted(episodes, key=lambda episode: len(episode.actions))
    parts = [
        _batch(memory, actions, by_length[first : first + BATCH], first) for first in range(0, len(by_length), BATCH)
    ]
    ranks, nll, predicted, taken = (np.concatenate(column) for column in zip(*parts, strict=True))
    latents = LatentCalibration(ranks, float(nll.mean()))
    if not memory.config.action_head or not len(taken):
        return latents, None
    return latents, ActionCalibration(actions, predicted, taken)


def _batch(
    memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode], number: int
) -> tuple[np.ndarray, ...]:
    """ranks and nll [steps, Nz]; predicted and taken next actions [steps that have one, A]."""
    rng = generator(0, "calibration", number)
    longest = max(len(episode) for episode in episodes)
    samples = [_draw(episode, rng) for episode in episodes]
    z = padded([latents[:-1] for latents in samples], longest)
    a = actions.for_memory(padded([episode.actions for episode in episodes], longest))
    restart = torch.zeros(z.shape[:2])
    restart[:, 0] = 1
    _, prediction = memory(memory.initial_state(len(z)), z, a, restart)
    real = padded([latents[1:] for latents in samples], longest)
    mixture = (prediction.logits, prediction.mean, prediction.log_std)
    ranks, nll = cdf(*mixture, real).numpy(), -log_prob(*mixture, real).numpy()
    lengths = [len(episode) for episode in episodes]
    expected = torch.zeros_like(a) if prediction.action is None else prediction.action
    expected = actions.by_part(expected, partial(torch.softmax, dim=-1), torch.tanh)
    return (
        np.concatenate([row[:length] for row, length in zip(ranks, lengths, strict=True)]),
        np.concatenate([row[:length] for row, length in zip(nll, lengths, strict=True)]),
        np.concatenate([row[: length - 1] for row, length in zip(expected.numpy(), lengths, strict=True)]),
        np.concatenate([row[1:length] for row, length in zip(a.numpy(), lengths, strict=True)]),
    )


def _draw(episode: LatentEpisode, rng: np.random.Generator) -> np.ndarray:
    """z ~ N(mu, exp(logvar)) of every frame, float32 [T + 1, Nz]."""
    noise = rng.standard_normal(episode.mu.shape, np.float32)
    return episode.mu.astype(np.float32) + np.exp(0.5 * episode.logvar.astype(np.float32)) * noise


@dataclass(frozen=True)
class HeadPredictions:
    """M's predictions for N real steps and the outcomes: probability and flag of an ending, rewards (None: no head)."""

    done_prob: np.ndarray | None
    done: np.ndarray
    reward_hat: np.ndarray | None
    reward: np.ndarray

    def reliability(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Mean probability, rate and number of endings in bins of half a decade; bins without endings are left out."""
        if self.done_prob is None or not self.done.any():
            return None
        bins = np.floor(2 * np.log10(np.maximum(self.done_prob, LEAST_PROB)))
        groups = [bins == value for value in np.unique(bins[self.done])]
        return (
            np.array([self.done_prob[group].mean() for group in groups]),
            np.array([self.done[group].mean() for group in groups]),
            np.array([self.done[group].sum() for group in groups]),
        )


@torch.inference_mode()
def predict_heads(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]) -> HeadPredictions:
    """M's done and reward heads on recorded episodes, corrected for the weight of endings in training."""
    by_length = sorted(episodes, key=lambda episode: len(episode.actions))
    parts = [
        _heads_batch(memory, actions, by_length[first : first + BATCH]) for first in range(0, len(by_length), BATCH)
    ]
    prob, done, reward_hat, reward = (np.concatenate(column) for column in zip(*parts, strict=True))
    config = memory.config
    return HeadPredictions(prob if config.done_head else None, done, reward_hat if config.reward_head else None, reward)


def _heads_batch(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]) -> tuple[np.ndarray, ...]:
    lengths = [len(episode.actions) for episode in episodes]
    z = padded([episode.mu[:-1] for episode in episodes], max(lengths))
    a = actions.for_memory(padded([episode.actions for episode in episodes], max(lengths)))
    restart = torch.zeros(z.shape[:2])
    restart[:, 0] = 1
    _, prediction = memory(memory.initial_state(len(z)), z, a, restart)
    prob = reward_hat = np.zeros(tuple(restart.shape), np.float32)
    if prediction.done_logit is not None:
        odds = torch.exp(prediction.done_logit) / DONE_WEIGHT
        prob = (odds / (1 + odds)).numpy()
    if prediction.reward is not None:
        reward_hat = prediction.reward.numpy()
    done = [np.append(np.zeros(len(e.actions) - 1, bool), e.terminated) for e in episodes]
    real = [slice(0, length) for length in lengths]
    return (
        np.concatenate([row[part] for row, part in zip(prob, real, strict=True)]),
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
