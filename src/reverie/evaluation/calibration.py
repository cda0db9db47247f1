"""Whether M's heads mean what they say: the next latent's distribution, and C's next action, beside what came.

Endings and rewards are in `foresight.Forecast`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.evaluation.foresight import BATCH, padded
from reverie.memory.mixture import cdf, log_prob
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode
    from reverie.worlds.spec import ActionSpec

LEVELS = np.linspace(0.05, 0.95, 19)
BINS = 10


@dataclass(frozen=True)
class LatentCalibration:
    """Where N real next latents fell in what M expected of them.

    places: [N, Nz], the share of M's distribution below each number: uniform in [0, 1] where M is calibrated
    nll: nats for each latent dimension, the mean
    """

    places: np.ndarray
    nll: float

    def held(self, levels: np.ndarray = LEVELS) -> np.ndarray:
        """The share of the real numbers that fell into M's central interval of each level, [L]."""
        distance = 2 * np.abs(self.places.ravel() - 0.5)  # the level of the smallest central interval that holds it
        shares: np.ndarray = np.searchsorted(np.sort(distance), levels, side="right") / distance.size
        return shares


@dataclass(frozen=True)
class ActionCalibration:
    """M's prediction of the next action and the one that was taken, both [N, A] as M sees actions.

    predicted: the mean that M expects; of one-hot actions the chance of each
    """

    kind: str
    predicted: np.ndarray
    taken: np.ndarray

    def agreement(self) -> float:
        """The share of steps whose action M named; of continuous actions the share of their variance foreseen."""
        if self.kind == "discrete":
            return float((self.predicted.argmax(1) == self.taken.argmax(1)).mean())
        if self.kind == "three-way":
            return float((np.rint(self.predicted) == self.taken).all(1).mean())
        spread = float(np.square(self.taken - self.taken.mean(0)).sum())
        return 1 - float(np.square(self.taken - self.predicted).sum()) / spread if spread else 0.0

    def baseline(self) -> float:
        """The same of always saying the commonest action, or their mean."""
        if self.kind not in ("discrete", "three-way"):
            return 0.0
        _, counts = np.unique(self.taken, axis=0, return_counts=True)
        return float(counts.max() / counts.sum())

    def bins(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean prediction, mean of what was taken and number of steps, in bins of equal width; empty ones left out."""
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
    """M one step ahead on recorded episodes, every z drawn from V's Gaussian as in training.

    The second is None where M has no action head, and where no episode has two steps.
    """
    longest_last = sorted(episodes, key=lambda episode: len(episode.actions))
    parts = [
        _batch(memory, actions, longest_last[first : first + BATCH], first)
        for first in range(0, len(longest_last), BATCH)
    ]
    places, nll, predicted, taken = (np.concatenate(column) for column in zip(*parts, strict=True))
    latents = LatentCalibration(places, float(nll.mean()))
    if not memory.config.action_head or not len(taken):
        return latents, None
    return latents, ActionCalibration(actions.kind, predicted, taken)


def _batch(
    memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode], number: int
) -> tuple[np.ndarray, ...]:
    """places and nll [steps, Nz]; predicted and taken next actions [steps that have one, A]."""
    rng = generator(0, "calibration", number)
    longest = max(len(episode) for episode in episodes)
    drawn = [_draw(episode, rng) for episode in episodes]
    z = padded([latents[:-1] for latents in drawn], longest)
    a = actions.for_memory(padded([episode.actions for episode in episodes], longest))
    restart = torch.zeros(z.shape[:2])
    restart[:, 0] = 1
    _, said = memory(memory.initial_state(len(z)), z, a, restart)
    real = padded([latents[1:] for latents in drawn], longest)
    mixture = (said.logits, said.mean, said.log_std)
    places, nll = cdf(*mixture, real).numpy(), -log_prob(*mixture, real).numpy()
    lengths = [len(episode) for episode in episodes]
    expected = torch.zeros_like(a) if said.action is None else said.action
    expected = expected.softmax(-1) if actions.kind == "discrete" else expected.tanh()
    return (
        np.concatenate([row[:length] for row, length in zip(places, lengths, strict=True)]),
        np.concatenate([row[:length] for row, length in zip(nll, lengths, strict=True)]),
        np.concatenate([row[: length - 1] for row, length in zip(expected.numpy(), lengths, strict=True)]),
        np.concatenate([row[1:length] for row, length in zip(a.numpy(), lengths, strict=True)]),
    )


def _draw(episode: LatentEpisode, rng: np.random.Generator) -> np.ndarray:
    """z ~ N(mu, exp(logvar)) of every frame, float32 [T + 1, Nz]."""
    noise = rng.standard_normal(episode.mu.shape, np.float32)
    return episode.mu.astype(np.float32) + np.exp(0.5 * episode.logvar.astype(np.float32)) * noise
