"""A FeatureEnv whose episodes are so plain that a loop in float64 can say what they bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.feature_env import Observation, Place, Step
from reverie.memory.lstm import LSTMState
from reverie.worlds.spec import ActionSpec, WorldSpec

SPEC = WorldSpec("clocks", ActionSpec("continuous", 1), "predicted", 99)
CONTROLLER = Controller(ControllerConfig(inputs=("z",)), 2, SPEC.actions)


def look(seed: int, clock: int) -> np.ndarray:
    return np.random.default_rng((seed, clock)).normal(size=2).astype(np.float32)


def length_of(seed: int) -> int:
    return 2 + seed % 7


class Clocks:
    """Episodes of 2 + seed % 7 steps whose reward is the action, minus a half; `deaths` (by seed) die at step 2.

    `penalty`: what every step costs beside; `begun` lists (row, seed) as they begin.
    """

    place: Place = "world"
    temperature: float | None = None
    spec = SPEC

    def __init__(self, num_envs: int, deaths: dict[int, int] | None = None, penalty: float | None = None) -> None:
        self.num_envs, self.deaths, self.penalty = num_envs, Counter(deaths), penalty
        self.seeds, self.clock, self.begun, self.simulated = [0] * num_envs, [0] * num_envs, list[tuple[int, int]](), 0

    def begin(self, rows: Tensor, seeds: Sequence[int]) -> None:
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self.seeds[row], self.clock[row] = seed, 0
            self.begun.append((row, seed))

    def observe(self) -> Observation:
        z = np.array([look(seed, clock) for seed, clock in zip(self.seeds, self.clock, strict=True)])
        nothing = torch.zeros(len(z), 0)
        return Observation(torch.from_numpy(z), LSTMState(nothing, nothing))

    def step(self, actions: Tensor) -> Step:
        assert len(actions) == len(self.seeds)
        self.simulated += len(self.seeds)
        self.clock = [clock + 1 for clock in self.clock]
        pairs = list(zip(self.seeds, self.clock, strict=True))
        assert all(clock <= length_of(seed) for seed, clock in pairs), "an episode that is over was stepped"
        died = torch.tensor([clock == 2 and self.deaths[seed] > 0 for seed, clock in pairs])
        self.deaths.subtract([seed for seed, dead in zip(self.seeds, died.tolist(), strict=True) if dead])
        over = torch.tensor([clock >= length_of(seed) for seed, clock in pairs])
        penalty = None if self.penalty is None else torch.full((len(pairs),), self.penalty)
        return Step((actions[:, 0] - 0.5).where(~died, torch.zeros(())), over & ~died, died, died, penalty=penalty)

    def keep(self, rows: Tensor) -> None:
        self.seeds, self.clock = ([each[row] for row in rows.tolist()] for each in (self.seeds, self.clock))


def plain_return(params: np.ndarray, seed: int, max_steps: int = 99, no_reward_timeout: int = 99) -> tuple[float, int]:
    """One episode by itself, in float64."""
    total, idle = 0.0, 0
    for steps in range(1, length_of(seed) + 1):
        reward = np.tanh(look(seed, steps - 1).astype(np.float64) @ params[:2] + params[2]) - 0.5
        total += reward
        idle = 0 if reward > 0 else idle + 1
        if steps in (length_of(seed), max_steps) or idle >= no_reward_timeout:
            break
    return total, steps
