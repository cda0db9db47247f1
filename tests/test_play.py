from __future__ import annotations

from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.errors import ReverieError
from reverie.play import play
from reverie.worlds.spec import ActionSpec
from reverie.worlds.vector import WorldDiedError

CONTROLLER = Controller(ControllerConfig(), 2, ActionSpec("continuous", 1))


def look(seed: int, clock: int) -> np.ndarray:
    return np.random.default_rng((seed, clock)).normal(size=2).astype(np.float32)


def length_of(seed: int) -> int:
    return 2 + seed % 7


class Clocks(VectorEnv):
    """Episodes of 2 + seed % 7 steps whose reward is the action, minus a half; seeds in `deaths` die at step 2."""

    def __init__(self, num_envs: int, deaths: dict[int, int] | None = None) -> None:
        self.num_envs, self.deaths = num_envs, Counter(deaths)
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.single_action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.seeds, self.clock = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self.over = np.ones(num_envs, bool)
        self.simulated = 0

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        mask = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        self.seeds[mask], self.clock[mask], self.over[mask] = np.array(seed)[mask], 0, False
        return self.look(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        live = ~self.over
        self.simulated += live.sum()
        self.clock += live
        rewards = np.where(live, actions[:, 0] - 0.5, 0.0)
        died = np.array([live[i] and self.clock[i] == 2 and self.deaths[s] > 0 for i, s in enumerate(self.seeds)])
        self.deaths.subtract(self.seeds[died].tolist())
        rewards[died] = 0
        self.over |= (self.clock >= length_of(self.seeds)) | died
        return self.look(), rewards, self.over & ~died, died, {"died": died}

    def look(self) -> np.ndarray:
        return np.array([look(seed, clock) for seed, clock in zip(self.seeds, self.clock, strict=True)])


def plain_return(
    params: np.ndarray, seed: int, max_steps: int = 99, patience: int = 99, full_length: int | None = None
) -> tuple[float, int]:
    """One episode by itself, in float64."""
    total, idle = 0.0, []
    for steps in range(1, length_of(seed) + 1):
        reward = np.tanh(look(seed, steps - 1).astype(np.float64) @ params[:2] + params[2]) - 0.5
        total += reward
        idle = [] if reward > 0 else [*idle, reward]
        if steps in (length_of(seed), max_steps):
            break
        if len(idle) >= patience:
            total += 0 if full_length is None else np.mean(idle) * (full_length - steps)
            break
    return total, steps


PARAMS = np.random.default_rng(1).normal(size=(23, 3)) * 2
SEEDS = list(range(100, 123))


def expected(**limits: int) -> tuple[list[float], list[int]]:
    pairs = [plain_return(params, seed, **limits) for params, seed in zip(PARAMS, SEEDS, strict=True)]
    return [total for total, _ in pairs], [steps for _, steps in pairs]


@pytest.mark.parametrize("slots", [1, 4, 23, 30])
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_steps": 3},
        {"patience": 2},
        {"max_steps": 5, "patience": 3},
        {"patience": 2, "full_length": 20},
        {"max_steps": 5, "patience": 3, "full_length": 5},
    ],
)
def test_every_episode_is_played_with_its_own_candidate_and_seed(slots: int, limits: dict[str, int]) -> None:
    played = play(Clocks(slots), CONTROLLER, PARAMS, SEEDS, **limits)
    returns, steps = expected(**limits)
    np.testing.assert_allclose(played.returns, returns, atol=1e-5)
    assert played.steps.tolist() == steps


def test_slots_are_kept_busy() -> None:
    world = Clocks(4)
    played = play(world, CONTROLLER, PARAMS, SEEDS)
    assert world.simulated == played.steps.sum()


@pytest.mark.parametrize("deaths", [{103: 1}, {100: 2, 101: 1, 122: 2}])
@pytest.mark.parametrize("limits", [{}, {"patience": 3, "full_length": 20}])
def test_an_episode_that_died_is_played_again(deaths: dict[int, int], limits: dict[str, int]) -> None:
    world = Clocks(4, deaths)
    played = play(world, CONTROLLER, PARAMS, SEEDS, **limits)
    returns, steps = expected(**limits)
    np.testing.assert_allclose(played.returns, returns, atol=1e-5)
    assert played.steps.tolist() == steps
    assert not +world.deaths


def test_three_deaths_are_enough() -> None:
    with pytest.raises(ReverieError) as error:
        play(Clocks(4, {107: 3}), CONTROLLER, PARAMS, SEEDS)
    assert str(error.value) == (
        "the world died 3 times in the episode with seed 107; try the world by itself on that seed"
    )


def test_a_world_that_gives_up_is_named() -> None:
    class Broken(Clocks):
        def step(self, actions: np.ndarray) -> Any:
            raise WorldDiedError("doom", 107, 12, "ViZDoomUnexpectedExitException")

    with pytest.raises(ReverieError) as error:
        play(Broken(4), CONTROLLER, PARAMS, SEEDS)
    assert str(error.value) == (
        "world 'doom' with seed 107 died at step 12: ViZDoomUnexpectedExitException; it died 3 times in a row, "
        "so try the world by itself on that seed"
    )
