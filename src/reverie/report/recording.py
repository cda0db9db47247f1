"""The agent filmed: one episode in the real world with what V made of it, or one in its dream.

Of a few episodes the middle one is kept, neither the best nor the worst: what is shown is what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.evaluation.score import Where
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from reverie.agent import Agent
    from reverie.dream.engine import DreamEngine
    from reverie.episodes.episode import Episode
    from reverie.vision.model import ConvVAE
    from reverie.worlds.vector import WorldVectorEnv


@dataclass(frozen=True, repr=False)
class Recording:
    """One episode of T steps.

    frames: uint8 [T + 1, 64, 64, 3]; of a dream, decoded by V
    seen: the real frames as V reconstructs them, as `frames`; None in a dream
    actions: float32 [T, A], as M sees them (`ActionSpec.for_memory`)
    total: the sum of its rewards
    """

    where: Where
    temperature: float | None
    frames: np.ndarray
    seen: np.ndarray | None
    actions: np.ndarray
    total: float
    terminated: bool

    def __repr__(self) -> str:
        return f"Recording({self.where}, steps={len(self.actions)}, return={self.total:.1f})"


def record_world(agent: Agent, seeds: Sequence[int]) -> Recording:
    """Film the agent in its real world on each of `seeds` (three of `world_seeds`, say); the middle one by return."""
    from reverie.vision.encode import decode_frames, encode_frames

    episodes = sorted(play_episodes(agent, seeds), key=lambda episode: episode.total_reward)
    chosen = episodes[len(episodes) // 2]
    mu, _ = encode_frames(agent.senses.vision, chosen.frames)
    seen = decode_frames(agent.senses.vision, mu)
    felt = agent.spec.actions.for_memory(chosen.actions)
    return Recording("world", None, chosen.frames, seen, felt, chosen.total_reward, chosen.terminated)


def record_dream(engine: DreamEngine, params: np.ndarray, vision: ConvVAE, seeds: Sequence[int]) -> Recording:
    """Film a candidate [n] in M's dream on each of `seeds`, V decoding what it dreams; the middle one by return."""
    from reverie.dream.record import dream_episode
    from reverie.vision.encode import decode_frames

    dreams = sorted((dream_episode(engine, params, seed) for seed in seeds), key=lambda dream: dream.rewards.sum())
    chosen = dreams[len(dreams) // 2]
    frames = decode_frames(vision, torch.from_numpy(chosen.latents))
    felt = engine.spec.actions.for_memory(chosen.actions)
    tau, total = engine.config.temperature, float(chosen.rewards.sum())
    return Recording("dream", tau, frames, None, felt, total, chosen.terminated)


def play_episodes(agent: Agent, seeds: Sequence[int], most: int | None = None) -> list[Episode]:
    """Play an episode on each seed, side by side, for at most `most` steps, and keep all that is seen and done.

    Where an environment dies, its episode is left as far as it came.
    """
    from reverie.evaluation.shards import close_worlds, open_world

    try:
        return _play(agent, open_world(agent.spec.name, len(seeds)), seeds, most)
    finally:
        close_worlds()


def _play(agent: Agent, world: WorldVectorEnv, seeds: Sequence[int], most: int | None) -> list[Episode]:
    from reverie.episodes.episode import Episode

    noise = [generator(0, "z", seed) for seed in seeds]
    seen, _ = world.reset(seed=list(seeds))
    state = agent.initial(len(seeds))
    frames = [[frame] for frame in seen]
    actions: list[list[np.ndarray]] = [[] for _ in seeds]
    rewards: list[list[float]] = [[] for _ in seeds]
    live = terminated = np.ones(len(seeds), bool)
    played = 0
    while live.any() and played != most:
        played += 1
        drawn = np.stack([rng.standard_normal(agent.senses.latent_size, np.float32) for rng in noise])
        taken, state = agent.act(state, seen, drawn)
        seen, reward, terminated, truncated, _ = world.step(taken)
        for slot in np.flatnonzero(live):
            frames[slot].append(seen[slot].copy())
            actions[slot].append(taken[slot])
            rewards[slot].append(float(reward[slot]))
        live = live & ~(terminated | truncated)
    return [
        Episode(np.stack(f), np.stack(a), np.array(r, np.float32), bool(end))
        for f, a, r, end in zip(frames, actions, rewards, terminated, strict=True)
    ]
