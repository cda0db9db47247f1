"""The same agent twice from the same frame on: in the real world, and in M's dream of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.agent import Agent
from reverie.agents.trained import Trained, at_temperature
from reverie.dream.engine import Dream
from reverie.evaluation.published import published
from reverie.play.env_spec import close_envs
from reverie.play.loop import Limits, Population, play
from reverie.report.recording import Recorder, Recording, Track, play_episodes
from reverie.report.video import Film, film, prolonged
from reverie.workers.seeds import evaluation_seeds, generator

if TYPE_CHECKING:
    from torch import Tensor

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
    from reverie.vision.encode import decode_frames

    episodes = sorted(
        zip(play_episodes(agent, seeds, engine.max_steps), seeds, strict=True),
        key=lambda played: played[0].total_reward,
    )
    episode, seed = episodes[len(episodes) // 2]
    awake = min(AWAKE, len(episode.actions) // 2)
    latents, state = _followed(agent, episode, seed, awake)
    dreamt = _asleep(engine, agent, seed, latents[-1:], state, engine.max_steps - awake)
    encode_actions, vision = agent.spec.actions.for_memory, agent.senses.vision
    all_latents = torch.cat([latents.cpu(), torch.from_numpy(dreamt.views[1:])])
    dream = Recording(
        where="dream",
        temperature=engine.config.temperature,
        frames=decode_frames(vision, all_latents),
        reconstructed=None,
        actions=encode_actions(np.concatenate([episode.actions[:awake], dreamt.actions])),
        total=float(episode.rewards[:awake].sum() + dreamt.rewards.sum()),
        terminated=dreamt.terminated,
    )
    real = Recording(
        "world", None, episode.frames, None, encode_actions(episode.actions), episode.total_reward, episode.terminated
    )
    return Daydream(real, dream, awake)


def daydream_film(daydream: Daydream, frames_per_second: int, most_frames: int) -> Film:
    """The dream and reality side by side; the upper edge tells sleep from waking, and what ended goes dark."""
    length = min(max(len(daydream.dream.frames), len(daydream.real.frames)), most_frames)
    dream, real = daydream.dream.frames.copy(), daydream.real.frames.copy()
    real[:, :EDGE] = dream[: daydream.awake + 1, :EDGE] = AWAKE_COLOUR
    dream[daydream.awake + 1 :, :EDGE] = ASLEEP_COLOUR
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


def _asleep(engine: DreamEngine, agent: Agent, seed: int, z: Tensor, state: AgentState, max_steps: int) -> Track:
    """What the agent dreams from z [1, Nz] of a real frame on; `state` is before it, `seed` of M's noise."""
    dream = Dream(engine, 1)

    def look() -> np.ndarray:
        latents: np.ndarray = dream.rows.z.numpy(force=True)
        return latents

    class Sleeper(Recorder):
        """Falls asleep where the dream begins."""

        def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
            dream.resume(z, state.memory.h, state.memory.c, state.restart)
            super().begin(episodes, rows)

    recorder = Sleeper(look, 1)
    play(dream, Population.of(agent), [seed], Limits(max_steps), recorder)
    return recorder.tracks()[0]


FILMED = 3  # episodes, of which the middle one is shown
MOST_FRAMES = 2100  # a minute of Doom


def film_daydream(trained: Trained, seed: int, temperature: float | None = None) -> tuple[Film, Daydream]:
    """The film, and what is on it; tau of the dream is that of the training where None."""
    env = trained.env("dream")
    env = replace(env, dream=at_temperature(env.dream, temperature))
    # M follows what happens also where C sees z alone: the dream goes on from there
    agent = Agent(trained.vision, trained.memory, trained.controller, trained.params, trained.spec)
    try:
        seeds = evaluation_seeds(seed, "daydream", count=FILMED)
        daydream = record_daydream(agent, env.engines()[0], seeds)
    finally:
        close_envs()
    return daydream_film(daydream, published(trained.spec.name).frames_per_second, MOST_FRAMES), daydream
