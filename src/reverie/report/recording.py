"""The agent filmed: in the real world with V's reconstruction beside it, in its dream, or once for each round.

Of a few episodes the median one by return is shown, neither the best nor the worst.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from reverie.evaluation.score import Score
from reverie.feature_env import Place

if TYPE_CHECKING:
    from reverie.agent import Agent
    from reverie.dream.engine import DreamEngine
    from reverie.episodes.episode import Episode
    from reverie.vision.model import ConvVAE


@dataclass(frozen=True, repr=False)
class Recording:
    """One episode of T steps.

    frames: uint8 [T + 1, 64, 64, 3]; of a dream, decoded by V
    reconstructed: the real frames as V reconstructs them, as `frames`; None in a dream
    actions: float32 [T, A], as M sees them (`ActionSpec.for_memory`)
    total: the sum of its rewards
    """

    where: Place
    temperature: float | None
    frames: np.ndarray
    reconstructed: np.ndarray | None
    actions: np.ndarray
    total: float
    terminated: bool

    def __repr__(self) -> str:
        return f"Recording({self.where}, steps={len(self.actions)}, return={self.total:.1f})"


class Track(NamedTuple):
    """What was looked at in an episode of T steps, [T + 1, ...]; its actions [T, A] and rewards [T]; who ended it."""

    views: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool


class Recorder:
    """A watcher that keeps whole episodes: what `look` shows of every row, the actions and the rewards."""

    def __init__(self, look: Callable[[], np.ndarray], episodes: int) -> None:
        self._look = look
        self._views: list[list[np.ndarray]] = [[] for _ in range(episodes)]
        self._actions: list[list[np.ndarray]] = [[] for _ in range(episodes)]
        self._rewards: list[list[float]] = [[] for _ in range(episodes)]
        self._terminated = [False] * episodes

    def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
        views = self._look()
        for episode, row in zip(episodes, rows, strict=True):
            self._views[episode], self._actions[episode], self._rewards[episode] = [views[row].copy()], [], []

    def step(self, episodes: Sequence[int], actions: np.ndarray, rewards: np.ndarray) -> None:
        views = self._look()
        for row, episode in enumerate(episodes):
            self._views[episode].append(views[row].copy())
            self._actions[episode].append(actions[row].copy())
            self._rewards[episode].append(float(rewards[row]))

    def end(self, episode: int, terminated: bool) -> None:
        self._terminated[episode] = terminated

    def tracks(self) -> list[Track]:
        """The episodes, in their order."""
        columns = zip(self._views, self._actions, self._rewards, self._terminated, strict=True)
        return [
            Track(np.stack(views), np.stack(actions), np.array(rewards, np.float32), terminated)
            for views, actions, rewards, terminated in columns
        ]


def record_world(agent: Agent, seeds: Sequence[int], most: int | None = None) -> Recording:
    """Film the agent in its real world on each of `seeds` (three of `world_seeds`, say); the middle one by return.

    most: steps after which it is cut; None: the world's cap
    """
    from reverie.vision.encode import decode_frames, encode_frames

    episodes = sorted(play_episodes(agent, seeds, most), key=lambda episode: episode.total_reward)
    chosen = episodes[len(episodes) // 2]
    mu, _ = encode_frames(agent.senses.vision, chosen.frames)
    reconstructed = decode_frames(agent.senses.vision, mu)
    actions = agent.spec.actions.for_memory(chosen.actions)
    return Recording("world", None, chosen.frames, reconstructed, actions, chosen.total_reward, chosen.terminated)


def record_dream(engine: DreamEngine, agent: Agent, vision: ConvVAE, seeds: Sequence[int]) -> Recording:
    """Film the agent in M's dream on each of `seeds`, V decoding what it dreams; the middle one by return."""
    from reverie.vision.encode import decode_frames

    dreams = sorted((dream_episode(engine, agent, seed) for seed in seeds), key=lambda dream: dream.rewards.sum())
    chosen = dreams[len(dreams) // 2]
    frames = decode_frames(vision, torch.from_numpy(chosen.views))
    actions = engine.spec.actions.for_memory(chosen.actions)
    tau, total = engine.config.temperature, float(chosen.rewards.sum())
    return Recording("dream", tau, frames, None, actions, total, chosen.terminated)


def dream_episode(engine: DreamEngine, agent: Agent, seed: int) -> Track:
    """The agent's dream in the episode of `seed`: what a score counts, with its latents as views."""
    from reverie.dream.engine import Dream
    from reverie.play.loop import Limits, Population, play

    dream = Dream(engine, 1)
    recorder = Recorder(lambda: dream.rows.z.numpy(force=True), 1)
    play(dream, Population.of(agent), [seed], Limits(engine.max_steps), recorder)
    return recorder.tracks()[0]


def play_episodes(agent: Agent, seeds: Sequence[int], most: int | None = None) -> list[Episode]:
    """Play an episode on each seed, side by side, for at most `most` steps, and keep every frame, action and reward."""
    from reverie.agent import SeenWorld
    from reverie.episodes.episode import Episode
    from reverie.evaluation.shards import close_worlds, open_world
    from reverie.play.loop import Limits, Population, play
    from reverie.worlds.registry import most_slots

    try:
        world = SeenWorld(open_world(agent.spec.name, most_slots(agent.spec.name, len(seeds))), agent.senses)
        recorder = Recorder(lambda: world.frames, len(seeds))
        play(world, Population.of(agent), seeds, Limits(most), recorder)
    finally:
        close_worlds()
    return [Episode(track.views, track.actions, track.rewards, track.terminated) for track in recorder.tracks()]


MOST_STEPS = 1050  # half a minute of Doom, a whole lap of the car; some seconds of play a round
PANELS = 4  # of more rounds the first, the last, and some between


@dataclass(frozen=True, repr=False)
class RoundFilm:
    """The agent that round `number` ended with, filmed for at most `MOST_STEPS` steps.

    real_steps: in the real world to learn from, up to and with this round
    score: of many episodes on other seeds; None where it is not scored yet
    frames: uint8 [T + 1, 64, 64, 3]; total: the sum of the rewards that it is shown to get
    cut: whether the episode went on
    """

    number: int
    real_steps: int
    score: Score | None
    frames: np.ndarray
    total: float
    cut: bool

    def __repr__(self) -> str:
        return f"RoundFilm({self.number}, steps={len(self.frames) - 1}, return={self.total:.1f})"


def film_round(agent: Agent, number: int, real_steps: int, score: Score | None, seed: int) -> RoundFilm:
    """Film the agent of a round in its real world."""
    (episode,) = play_episodes(agent, [seed], MOST_STEPS)
    cut = len(episode.actions) == MOST_STEPS and not episode.terminated
    return RoundFilm(number, real_steps, score, episode.frames, episode.total_reward, cut)


def shown_rounds(count: int) -> list[int]:
    """Which of `count` rounds are shown, at most `PANELS`: the first, the last, and what lies evenly between."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, PANELS)).tolist()})
