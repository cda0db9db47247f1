"""The same agent twice from the same frames on: awake to the end, and asleep after a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.report.recording import Recording, play_episodes
from reverie.report.video import Film, film, prolonged
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.agent import Agent
    from reverie.controller.senses import AgentState
    from reverie.dream.engine import DreamEngine
    from reverie.episodes.episode import Episode

AWAKE = 100  # steps before it falls asleep, or half of a shorter episode; the car's world zooms in for the first 50
EDGE = 2  # rows of a frame
AWAKE_COLOUR, ASLEEP_COLOUR = (11, 125, 115), (106, 76, 209)  # those of reality and of dreams in every chart


@dataclass(frozen=True, repr=False)
class Daydream:
    """An episode in the real world, and what the agent dreams from its step `awake` on.

    dream: up to there V's picture of the real frames, and the real actions and rewards; then M's
    """

    real: Recording
    dream: Recording
    awake: int

    def __repr__(self) -> str:
        return f"Daydream(awake={self.awake}, real={self.real!r}, dream={self.dream!r})"


def record_daydream(agent: Agent, engine: DreamEngine, seeds: Sequence[int]) -> Daydream:
    """Of the real episodes on `seeds`, take the middle one by return, and let the agent fall asleep in it.

    agent: with the engine's M, also where C sees z alone
    """
    from reverie.dream.record import dream_on
    from reverie.vision.encode import decode_frames

    episodes = sorted(zip(play_episodes(agent, seeds), seeds, strict=True), key=lambda played: played[0].total_reward)
    episode, seed = episodes[len(episodes) // 2]
    awake = min(AWAKE, len(episode.actions) // 2)
    latents, state = _followed(agent, episode, seed, awake)
    params = agent.params[0].double().cpu().numpy()
    dreamt = dream_on(engine, params, seed, latents[-1:], state, engine.max_steps - awake)
    felt, vision = agent.spec.actions.for_memory, agent.senses.vision
    seen = torch.cat([latents.cpu(), torch.from_numpy(dreamt.latents[1:])])
    dream = Recording(
        where="dream",
        temperature=engine.config.temperature,
        frames=decode_frames(vision, seen),
        seen=None,
        actions=felt(np.concatenate([episode.actions[:awake], dreamt.actions])),
        total=float(episode.rewards[:awake].sum() + dreamt.rewards.sum()),
        terminated=dreamt.terminated,
    )
    real = Recording(
        "world", None, episode.frames, None, felt(episode.actions), episode.total_reward, episode.terminated
    )
    return Daydream(real, dream, awake)


def daydream_film(found: Daydream, frames_per_second: int, most_frames: int) -> Film:
    """The dream and reality side by side; the upper edge tells sleep from waking, and what ended goes dark."""
    length = min(max(len(found.dream.frames), len(found.real.frames)), most_frames)
    dream, real = found.dream.frames.copy(), found.real.frames.copy()
    real[:, :EDGE] = dream[: found.awake + 1, :EDGE] = AWAKE_COLOUR
    dream[found.awake + 1 :, :EDGE] = ASLEEP_COLOUR
    return film([prolonged(frames, length) for frames in (dream, real)], frames_per_second)


@torch.inference_mode()
def _followed(agent: Agent, episode: Episode, seed: int, steps: int) -> tuple[Tensor, AgentState]:
    """The z that the agent drew for the first frames, [steps + 1, Nz], and its state before the last of them."""
    senses, noise = agent.senses, generator(0, "z", seed)
    state, latents = agent.initial(1), []
    for step in range(steps + 1):
        z = senses.see(episode.frames[step : step + 1], noise.standard_normal(senses.latent_size, np.float32)[None])
        latents.append(z)
        if step < steps:
            state = senses.follow(state, z, torch.from_numpy(episode.actions[step : step + 1]).to(z.device))
    return torch.cat(latents), state
