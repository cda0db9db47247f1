"""M's open-loop prediction of an episode's latents, beside its one-step predictions and the real latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reverie.dream.engine import open_loop
from reverie.memory.model import LSTMState, Prediction
from reverie.workers.seeds import torch_seed

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode
    from reverie.worlds.spec import ActionSpec

STEPS = 50  # ahead
WARM_UP = 20  # real steps that M absorbs first


@dataclass(frozen=True)
class OpenLoop:
    """Latents, float32 [STEPS + 1, Nz], of the same steps of one episode; the first is real in each.

    real: what V saw. one_step: M's mean prediction of the next latent, always from the real ones before it.
    open_loop: M fed its own samples from the first on, with the actions that were really taken.
    """

    real: np.ndarray
    one_step: np.ndarray
    open_loop: np.ndarray

    @property
    def variance(self) -> float:
        """The variance of the real latents over the steps: how much moves."""
        return float(self.real.var(axis=0).mean())

    def errors(self) -> np.ndarray:
        """Root mean square errors, [3, STEPS]: one step, open loop, and the first latent repeated."""
        predictions = np.stack([self.one_step, self.open_loop, np.broadcast_to(self.real[0], self.real.shape)])
        distance: np.ndarray = np.sqrt(((predictions - self.real) ** 2).mean(axis=-1))[:, 1:]
        return distance


@torch.inference_mode()
def predict_open_loop(
    memory: MDNRNN, actions: ActionSpec, episode: LatentEpisode, index: int, temperature: float = 1.0
) -> OpenLoop | None:
    """M on the middle of an episode, None where that is too short; `index` seeds the noise that M dreams with."""
    start = middle(len(episode.actions))
    if start is None:
        return None
    z = torch.as_tensor(np.asarray(episode.mu, np.float32))[None]  # [1, T + 1, Nz]
    taken = torch.as_tensor(np.asarray(episode.actions, np.float32))  # [T, A]
    a = actions.for_memory(taken)[None]
    restart = torch.zeros(a.shape[:2])
    restart[:, 0] = 1
    before, ahead = slice(0, start), slice(start, start + STEPS)
    state, _ = memory(memory.initial_state(1), z[:, before], a[:, before], restart[:, before])
    _, prediction = memory(state, z[:, ahead], a[:, ahead], restart[:, ahead])
    one_step = torch.cat([z[0, start : start + 1], mixture_mean(prediction)[0]])
    sampled = _open_loop(memory, actions, state, z[:, start], taken[ahead, None], temperature, index)
    return OpenLoop(z[0, start : start + STEPS + 1].numpy(), one_step.numpy(), sampled.numpy())


def middle(steps: int) -> int | None:
    """Where the STEPS predicted steps begin: in the middle of what follows M's warm-up; None where they do not fit."""
    spare = steps - STEPS - WARM_UP
    return None if spare < 0 else WARM_UP + spare // 2


def mixture_mean(prediction: Prediction) -> Tensor:
    """The expected next latent, [..., Nz]."""
    return (torch.softmax(prediction.logits, -1) * prediction.mean).sum(-1)


def _open_loop(
    memory: MDNRNN, actions: ActionSpec, state: LSTMState, z: Tensor, taken: Tensor, temperature: float, index: int
) -> Tensor:
    """Feed M its own samples from z [1, Nz] on, with C's actions `taken` [L, 1, A]: latents [L + 1, Nz]."""
    rng = torch.Generator().manual_seed(torch_seed(0, "foresight", index))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return torch.rand(z.shape, generator=rng), torch.randn(z.shape, generator=rng)

    return open_loop(memory, actions, z, state, torch.zeros(1), taken, temperature, draw)[:, 0]
