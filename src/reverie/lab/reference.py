"""The dream that the page must agree with: M in PyTorch, float32, with the lab's noise."""

from __future__ import annotations

import numpy as np
import torch

from reverie.lab import noise
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import ActionSpec


@torch.inference_mode()
def dream_latents(
    memory: MDNRNN, actions: ActionSpec, start: np.ndarray, taken: np.ndarray, seed: int, temperature: float
) -> np.ndarray:
    """The latents float32 [T + 1, Nz] of a dream from `start` [Nz] with C's actions `taken` [T, A]."""
    z = torch.from_numpy(np.asarray(start, np.float32))[None]
    felt = actions.for_memory(torch.from_numpy(np.asarray(taken, np.float32)))
    state, restart = memory.initial_state(1), torch.ones(1)
    latents = [z]
    for step, action in enumerate(felt):
        state, prediction = memory.step(state, z, action[None], restart)
        uniform, normal = (
            torch.from_numpy(draw(seed, stream, step, z.shape[1]))[None]
            for draw, stream in ((noise.uniform, noise.COMPONENT), (noise.normal, noise.SPREAD))
        )
        z = sample(prediction.logits, prediction.mean, prediction.log_std, temperature, uniform, normal)
        latents.append(z)
        restart = torch.zeros(1)
    return torch.cat(latents).numpy()


def swaying_actions(actions: ActionSpec, steps: int) -> np.ndarray:
    """Actions float32 [T, A] that visit all that a world allows: each part sways at a pace of its own, or in turn."""
    t = np.arange(steps)
    if actions.kind == "discrete":
        return np.eye(actions.size, dtype=np.float32)[t // 5 % actions.size]
    swings = [np.sin(t / (5 + 2 * part)) for part in range(actions.size)]
    return np.stack(swings, axis=1).astype(np.float32)
