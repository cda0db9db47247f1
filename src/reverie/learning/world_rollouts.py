"""What C learns from in the real world: whole episodes of a C that tries things, played by workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.controller.model import Controller
from reverie.controller.policy import Policy
from reverie.errors import ReverieError
from reverie.feature_env import FeatureEnv, Observation
from reverie.learning.config import PPOConfig
from reverie.learning.learner import Experience, Learner, gae
from reverie.play.env_spec import ENVS_PER_WORKER, EnvSpec, close_envs, portable
from reverie.play.loop import play
from reverie.workers.pool import Workers
from reverie.workers.seeds import torch_seed, training_seeds


@dataclass(frozen=True)
class Task:
    """A C (parameters float32 [n]) that tries things with `log_std` float32 [A], once on each of E `seeds`.

    noise: seed of what it tries
    """

    env: EnvSpec
    params: np.ndarray
    log_std: np.ndarray
    seeds: tuple[int, ...]
    noise: int


class Episodes(NamedTuple):
    """E whole episodes, the longest of T steps.

    features: what C saw before each step and after the last, float32 [T + 1, E, F]
    choice: what it drew, float32 [T, E, A]
    reward: float32 [T, E], 0 after the end
    length: steps of each, int64 [E]
    terminated: whether the world, or the timeout, ended it (else it met the cap), bool [E]
    """

    features: np.ndarray
    choice: np.ndarray
    reward: np.ndarray
    length: np.ndarray
    terminated: np.ndarray


def play_episodes(task: Task) -> Episodes:
    """Play all episodes of a task side by side."""
    seeds, controller = list(task.seeds), task.env.controller_shape()
    ((env, _),) = task.env.envs(seeds)  # the world is one
    actor = _Explorer(controller, task)
    record = _Record(env, actor, len(seeds))
    played = play(env, actor, seeds, task.env.episode_limits, watch=record)
    return record.episodes(played.steps, played.terminated)


class _Explorer:
    """C with its exploration noise."""

    def __init__(self, controller: Controller, task: Task) -> None:
        self.controller, self.policy = controller, Policy(controller)
        self.choice = torch.zeros(0)  # of the last step, of each row
        self._params, self._log_std = torch.from_numpy(task.params)[None], torch.from_numpy(task.log_std)
        self._generator = torch.Generator().manual_seed(task.noise)

    def act(self, seen: Observation, episodes: Tensor) -> Tensor:
        features = seen.features(self.controller.config).cpu()
        outputs = self.controller.outputs(self._params, features[None])[0]
        self.choice = self.policy.draw(outputs, self._log_std, self._generator)
        return self.policy.action(self.choice)


class _Record:
    """Keeps what C saw, chose and got in each episode."""

    def __init__(self, env: FeatureEnv, actor: _Explorer, episodes: int) -> None:
        self._env, self._actor = env, actor
        self._features: list[list[np.ndarray]] = [[] for _ in range(episodes)]
        self._choice: list[list[np.ndarray]] = [[] for _ in range(episodes)]
        self._reward: list[list[float]] = [[] for _ in range(episodes)]

    def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
        features = self._look()
        for episode, row in zip(episodes, rows, strict=True):
            self._features[episode], self._choice[episode], self._reward[episode] = [features[row]], [], []

    def step(self, episodes: Sequence[int], actions: np.ndarray, rewards: np.ndarray) -> None:
        features, choice = self._look(), self._actor.choice.numpy()
        for row, episode in enumerate(episodes):
            self._features[episode].append(features[row])
            self._choice[episode].append(choice[row].copy())
            self._reward[episode].append(float(rewards[row]))

    def end(self, episode: int, terminated: bool) -> None:
        pass

    def episodes(self, length: np.ndarray, terminated: np.ndarray) -> Episodes:
        steps = int(length.max())
        features, choice = (
            np.stack([_padded(np.stack(rows), count) for rows in kept], 1)
            for kept, count in ((self._features, steps + 1), (self._choice, steps))
        )
        reward = np.stack([_padded(np.array(rows, np.float32), steps) for rows in self._reward], 1)
        return Episodes(features, choice, reward, length, terminated)

    def _look(self) -> np.ndarray:
        features: np.ndarray = self._env.observe().features(self._actor.controller.config).numpy(force=True)
        return features


def joined(parts: Sequence[Episodes]) -> Episodes:
    """The episodes of several tasks as one, the shorter ones filled up with zeros."""
    steps = max(len(part.reward) for part in parts)
    padded = [
        (_padded(part.features, steps + 1), _padded(part.choice, steps), _padded(part.reward, steps)) for part in parts
    ]
    features, choice, reward = (np.concatenate(arrays, 1) for arrays in zip(*padded, strict=True))
    length, terminated = (np.concatenate(arrays) for arrays in zip(*(part[3:] for part in parts), strict=True))
    return Episodes(features, choice, reward, length, terminated)


def _padded(array: np.ndarray, steps: int) -> np.ndarray:
    return np.pad(array, [(0, steps - len(array))] + [(0, 0)] * (array.ndim - 1))


class WorldRollouts:
    """Whole episodes in the real world, on seeds of their own in each update, spread over workers."""

    checkpoint_every = 1  # real episodes are dear
    takes_over_critic = True  # and so are the critic and the scales that an earlier phase learned
    keeps_best = True  # a real return says how good C was

    def __init__(self, env: EnvSpec, seed: int, workers: Workers) -> None:
        self._env, self._seed, self._workers = env, seed, workers
        self.steps, self.device = 0, torch.device("cpu")

    def collect(
        self, learner: Learner, config: PPOConfig, generator: torch.Generator, update: int
    ) -> tuple[Experience, dict[str, float], list[float]]:
        """The steps of an update's episodes; metrics; the episodes' returns."""
        episodes = self._play(learner, config, update)
        self.steps += int(episodes.length.sum())
        survival = self._env.spec.reward == "survival"
        if not learner.has_scale:
            learner.set_scale(*_mean_squares(episodes, survival), config.gamma)
        returns = episodes.reward.sum(0, dtype=np.float64)
        metrics = {"episode_return_min": float(returns.min()), "episode_length_mean": float(episodes.length.mean())}
        return experience_of(episodes, learner, config, survival), metrics, returns.tolist()

    def close(self) -> None:
        """Close what was opened in this process."""
        if self._workers.count == 0:
            close_envs()  # worker processes end with the pool

    def _play(self, learner: Learner, config: PPOConfig, update: int) -> Episodes:
        """The episodes of an update, in tasks of a fixed size whatever the number of workers."""
        scratch = self._workers.scratch
        env = self._env if scratch is None else portable(self._env, scratch)
        seeds = training_seeds(self._seed, "episodes", update, count=config.num_envs)
        params, log_std = learner.params.detach().cpu().numpy(), learner.log_std.detach().cpu().numpy()
        tasks = [
            Task(
                env,
                params,
                log_std,
                tuple(seeds[at : at + ENVS_PER_WORKER]),
                torch_seed(self._seed, "noise", update, at),
            )
            for at in range(0, len(seeds), ENVS_PER_WORKER)
        ]
        return joined(self._workers.map(play_episodes, tasks, files=env.files))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that the next update depends on: nothing."""
        return {}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        if arrays:
            raise ReverieError(f"episodes in the world carry nothing over, found {sorted(arrays)[:3]}")


@torch.no_grad()
def experience_of(episodes: Episodes, learner: Learner, config: PPOConfig, survival: bool) -> Experience:
    """What C and the critic learn from episodes: every step of each.

    survival: the reward is to survive, and so is learned from as the loss of life, as in the dream
    """
    features, choice = torch.from_numpy(episodes.features), torch.from_numpy(episodes.choice)
    length, terminated = torch.from_numpy(episodes.length), torch.from_numpy(episodes.terminated)
    time = torch.arange(len(choice))[:, None]
    stops = time == length - 1
    reward = -(stops & terminated).float() if survival else torch.from_numpy(episodes.reward)
    values = learner.value(features)
    goes_on = stops if config.bootstrap_at_end else stops & ~terminated
    cut_values = torch.where(goes_on, values[1:], torch.zeros(()))
    advantage = gae(reward / learner.reward_scale, values, cut_values, stops, config)
    played = time < length
    seen, drawn = features[:-1][played], choice[played]
    log_prob, _ = learner.policy.evaluate_actions(learner.outputs(seen), learner.log_std, drawn)
    return Experience(seen, drawn, log_prob, advantage[played], (advantage + values[:-1])[played])


def _mean_squares(episodes: Episodes, survival: bool) -> tuple[Tensor, Tensor]:
    """The mean squares of the features [F] and of the rewards [] of all steps."""
    played = np.arange(len(episodes.choice))[:, None] < episodes.length
    square = episodes.terminated.sum() / played.sum() if survival else np.square(episodes.reward[played]).mean()
    return torch.from_numpy(np.square(episodes.features[:-1][played]).mean(0)), torch.tensor(float(square))
