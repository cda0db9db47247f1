"""One dream kept step by step, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.controller.senses import AgentState
from reverie.dream.engine import DreamEngine, Dreams


@dataclass(frozen=True)
class DreamEpisode:
    """T dreamt steps: action t was taken on latent t, and brought reward t and latent t + 1.

    latents: float32 [T + 1, Nz]; actions: float32 [T, A], as C emits them; rewards: float32 [T]
    terminated: M ended the dream (False: it was cut off)
    """

    latents: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool

    def __repr__(self) -> str:
        steps, total = len(self.actions), self.rewards.sum()
        return f"DreamEpisode(steps={steps}, return={total:.1f}, terminated={self.terminated})"


@torch.inference_mode()
def dream_episode(engine: DreamEngine, params: np.ndarray, seed: int) -> DreamEpisode:
    """The dream of one candidate [n] in the episode of `seed`: what `dream_returns` counts, with its latents."""
    return _recorded(Dreams(engine, params[None], [seed]), engine.max_steps)


@torch.inference_mode()
def dream_on(
    engine: DreamEngine, params: np.ndarray, seed: int, z: Tensor, state: AgentState, max_steps: int
) -> DreamEpisode:
    """The dream of one candidate [n] that was awake until now: it sees z [1, Nz] of a real frame, `state` is before it.

    seed: of M's noise; max_steps: of the dream
    """
    dreams = Dreams(engine, params[None], [seed])
    restart = state.restart[:, None][:, : dreams.rows.restart.shape[1]]
    dreams.rows.resume(z, state.memory.h, state.memory.c, restart)
    return _recorded(dreams, max_steps)


def _recorded(dreams: Dreams, max_steps: int) -> DreamEpisode:
    latents = [dreams.rows.z.numpy(force=True)[0].copy()]
    actions: list[np.ndarray] = []
    rewards: list[float] = []
    terminated = False
    while not terminated and len(actions) < max_steps:
        action, reward, ended = dreams.step()
        latents.append(dreams.rows.z.numpy(force=True)[0].copy())  # a view that the next step overwrites
        actions.append(action.numpy(force=True)[0])
        rewards.append(float(reward))
        terminated = bool(ended)
    return DreamEpisode(np.stack(latents), np.stack(actions), np.array(rewards, np.float32), terminated)
