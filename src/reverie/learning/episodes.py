"""Whole episodes in the real world of a C that tries things: the tasks of workers, and what is learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.controller.policy import Policy
from reverie.errors import ReverieError
from reverie.learning.arena import Arena, open_world
from reverie.learning.config import GradientConfig
from reverie.learning.learner import Experience, Learner, advantages
from reverie.worlds.vector import WorldDiedError


@dataclass(frozen=True)
class Task:
    """A C (parameters float32 [n]) that tries things with `log_spread` float32 [A], once on each of E `seeds`.

    noise: seed of what it tries
    """

    arena: Arena
    params: np.ndarray
    log_spread: np.ndarray
    seeds: tuple[int, ...]
    noise: int


class Episodes(NamedTuple):
    """E whole episodes, the longest of T steps.

    features: what C saw before each step and after the last, float32 [T + 1, E, F]
    choice: what it drew, float32 [T, E, A]
    reward: float32 [T, E], 0 after the end
    length: steps of each, int64 [E]; 0 where the environment died, for then nothing of it counts
    terminated: whether the world, or the arena's patience, ended it (else it met the cap), bool [E]
    """

    features: np.ndarray
    choice: np.ndarray
    reward: np.ndarray
    length: np.ndarray
    terminated: np.ndarray


@torch.inference_mode()
def play_episodes(task: Task) -> Episodes:
    """Play all episodes of a task side by side."""
    arena, seeds = task.arena, list(task.seeds)
    world, controller = open_world(arena, len(seeds)), arena.controller_shape()
    policy, generator = Policy(controller), torch.Generator().manual_seed(task.noise)
    params, log_spread = torch.from_numpy(task.params)[None], torch.from_numpy(task.log_spread)
    live, length, idle = np.ones(len(seeds), bool), np.zeros(len(seeds), np.int64), np.zeros(len(seeds), np.int64)
    terminated, choices, rewards = np.zeros(len(seeds), bool), list[np.ndarray](), list[np.ndarray]()
    try:
        seen = [np.asarray(world.reset(seed=seeds)[0])]
        while live.any():
            choice = policy.draw(controller.outputs(params, torch.from_numpy(seen[-1])[None])[0], log_spread, generator)
            features, reward, ended, cut, infos = world.step(policy.action(choice).numpy())
            seen.append(features)
            choices.append(choice.numpy())
            rewards.append((reward * live).astype(np.float32))
            length[live] += 1
            length[live & infos["died"]] = 0
            idle = np.where(reward > 0, 0, idle + 1)
            ended = ended | (idle >= (arena.patience or np.inf))
            terminated |= live & ended
            live &= ~(ended | cut | (length >= arena.full_length))
    except WorldDiedError as death:
        raise ReverieError(f"{death}; try the world by itself on that seed") from death
    return Episodes(np.stack(seen), np.stack(choices), np.stack(rewards), length, terminated)


def joined(parts: Sequence[Episodes]) -> Episodes:
    """The episodes of several tasks as one, the shorter ones filled up with zeros."""
    steps = max(len(part.reward) for part in parts)
    filled = [
        (_filled(part.features, steps + 1), _filled(part.choice, steps), _filled(part.reward, steps)) for part in parts
    ]
    features, choice, reward = (np.concatenate(arrays, 1) for arrays in zip(*filled, strict=True))
    length, terminated = (np.concatenate(arrays) for arrays in zip(*(part[3:] for part in parts), strict=True))
    return Episodes(features, choice, reward, length, terminated)


def _filled(array: np.ndarray, steps: int) -> np.ndarray:
    return np.pad(array, [(0, steps - len(array))] + [(0, 0)] * (array.ndim - 1))


@torch.no_grad()
def experience_of(
    episodes: Episodes, learner: Learner, config: GradientConfig, survival: bool, endless: bool = False
) -> Experience:
    """What C and the critic learn from episodes: every step of each.

    survival: whether the reward is to survive, and so is felt as the loss of life, as in the dream
    endless: whether the critic says at an end, as at the cap, what would have followed
    """
    features, choice = torch.from_numpy(episodes.features), torch.from_numpy(episodes.choice)
    length, terminated = torch.from_numpy(episodes.length), torch.from_numpy(episodes.terminated)
    time = torch.arange(len(choice))[:, None]
    stops = time == length - 1
    reward = -(stops & terminated).float() if survival else torch.from_numpy(episodes.reward)
    values = learner.value(features)
    cut_values = torch.where(stops if endless else stops & ~terminated, values[1:], torch.zeros(()))
    found = advantages(reward / learner.reward_scale, values, cut_values, stops, config)
    played = time < length
    seen, drawn = features[:-1][played], choice[played]
    log_chance = _log_chance(learner, seen, drawn)
    return Experience(seen, drawn, log_chance, found[played], (found + values[:-1])[played])


def _log_chance(learner: Learner, features: Tensor, choice: Tensor) -> Tensor:
    return learner.policy.odds(learner.outputs(features), learner.log_spread, choice)[0]
