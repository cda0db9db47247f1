"""The dream that the page must agree with: M in PyTorch, float32, with the lab's noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reverie.dream.engine import open_loop
from reverie.lab import noise
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import ActionSpec, Span


@torch.inference_mode()
def dream_latents(
    memory: MDNRNN, actions: ActionSpec, start: np.ndarray, taken: np.ndarray, seed: int, temperature: float
) -> np.ndarray:
    """The latents float32 [T + 1, Nz] of a dream from `start` [Nz] with C's actions `taken` [T, A]."""
    z = torch.from_numpy(np.asarray(start, np.float32))[None]

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return (
            torch.from_numpy(noise.uniform(seed, noise.COMPONENT, step, z.shape[1]))[None],
            torch.from_numpy(noise.normal(seed, noise.SPREAD, step, z.shape[1]))[None],
        )

    steps = torch.from_numpy(np.asarray(taken, np.float32))[:, None]
    begin = memory.initial_state(1), torch.ones(1)
    return open_loop(memory, actions, z, *begin, steps, temperature, draw)[:, 0].numpy()


def swaying_actions(actions: ActionSpec, steps: int) -> np.ndarray:
    """Actions float32 [T, A] that visit all that a world allows: each part sways at a pace of its own, or in turn."""
    t = np.arange(steps)
    if actions.has_one_hots:
        return np.concatenate([_swaying_span(span, t) for span in actions.spans], 1, dtype=np.float32)
    swings = [np.sin(t / (5 + 2 * part)) for part in range(actions.size)]
    return np.stack(swings, axis=1).astype(np.float32)


def _swaying_span(span: Span, t: np.ndarray) -> np.ndarray:
    """One part's numbers [T, n]: a one-hot group takes turns, numbers sway."""
    size = span.stop - span.start
    if span.one_hot:
        return np.eye(size)[t // 5 % size]
    return np.stack([np.sin(t / (5 + 2 * part)) for part in range(size)], axis=1)
