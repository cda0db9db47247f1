from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from reverie.agent import Agent, SeenWorld
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.controller.senses import Senses
from reverie.errors import ReverieError
from reverie.hardware import single_thread
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.vision.encode import encode_frames
from reverie.vision.model import ConvVAE, fast_copy
from reverie.worlds.registry import make
from reverie.worlds.spec import ActionSpec, WorldSpec

ACTIONS = ActionSpec("driving", 3)
SPEC = WorldSpec("paint", ACTIONS, "predicted", 9)
Z, H = 4, 6
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


class Paint(VectorEnv):
    """Frames that are noise of (episode seed, step) tinted by the last action; an episode lasts 3 + seed % 4 steps."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.single_action_space = gym.spaces.Box(-1, 1, (3,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.seeds, self.clock = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self.frames = np.zeros((num_envs, 64, 64, 3), np.uint8)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        for i in np.flatnonzero(mask):
            self.seeds[i], self.clock[i] = seed[i], 0
            self.paint(i, 0)
        return self.frames.copy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        live = self.clock < self.length
        self.clock += live
        for i in np.flatnonzero(live):
            self.paint(i, int(100 * abs(actions[i, 0])))
        over = self.clock >= self.length
        return self.frames.copy(), live * 1.0, over, np.zeros_like(over), {"died": np.zeros_like(over)}

    @property
    def length(self) -> np.ndarray:
        return 3 + self.seeds % 4

    def paint(self, i: int, tint: int) -> None:
        rng = np.random.default_rng((self.seeds[i], self.clock[i]))
        self.frames[i] = rng.integers(0, 155, (64, 64, 3)) + tint


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture(scope="module")
def vision() -> ConvVAE:
    torch.manual_seed(0)
    vision = ConvVAE(Z)
    for layer in (vision.conv1, vision.conv2, vision.conv3, vision.conv4):
        torch.nn.init.kaiming_normal_(layer.weight)  # torch's own start hardly tells frames apart
    return vision


@pytest.fixture(scope="module")
def memory() -> MDNRNN:
    return MDNRNN(MemoryConfig(latent_size=Z, action_size=3, hidden_size=H, restart_input=True), seed=1)


def senses_of(vision: ConvVAE, memory: MDNRNN | None, names: str = "zch", sample_z: bool = True) -> Senses:
    return Senses(vision, memory, ControllerConfig(features=names, sample_z=sample_z), ACTIONS)


def candidate(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count) * 0.5


def test_act_is_v_then_c_on_the_old_state_then_m(vision: ConvVAE, memory: MDNRNN) -> None:
    """Against the three parts called by hand, over an episode of 4 steps."""
    controller = Controller(ControllerConfig(features="zch"), Z + 2 * H, ACTIONS)
    params = candidate(controller.parameter_count)
    agent = Agent(vision, memory, controller, params, SPEC)
    rng = np.random.default_rng(5)
    state, by_hand = agent.initial(2), memory.initial_state(2)
    weight = params[:-3].reshape(Z + 2 * H, 3)
    for step in range(4):
        frames, noise = rng.integers(0, 256, (2, 64, 64, 3), np.uint8), rng.standard_normal((2, Z), np.float32)
        actions, state = agent.act(state, frames, noise)
        mu, logvar = encode_frames(fast_copy(vision), frames)
        z = mu.numpy() + np.exp(logvar.numpy() / 2) * noise
        seen = np.concatenate([z, by_hand.c.numpy(), by_hand.h.numpy()], 1)
        np.testing.assert_allclose(actions, np.tanh(seen @ weight + params[-3:]), **CLOSE)
        felt = np.stack([actions[:, 0], (actions[:, 1] + 1) / 2, actions[:, 2].clip(0, 1)], 1)
        with torch.inference_mode():
            by_hand, _ = memory.step(by_hand, torch.tensor(z), torch.tensor(felt), torch.full((2,), float(step == 0)))
        np.testing.assert_allclose(state.memory.h, by_hand.h, **CLOSE)
    assert actions.dtype == np.float32
    assert actions.shape == (2, 3)


def test_the_mean_of_z_needs_no_noise(vision: ConvVAE) -> None:
    controller = Controller(ControllerConfig(features="z", sample_z=False), Z, ACTIONS)
    agent = Agent(vision, None, controller, candidate(controller.parameter_count), SPEC)
    frames = np.random.default_rng(5).integers(0, 256, (2, 64, 64, 3), np.uint8)
    first, state = agent.act(agent.initial(2), frames)
    again, _ = agent.act(state, frames)
    np.testing.assert_array_equal(first, again)


def episode_of(world: SeenWorld, slot: int, seeds: list[int], steps: int = 3) -> np.ndarray:
    """The features [steps + 1, F] of one sub-environment under fixed actions of that sub-environment's seed."""
    seen, _ = world.reset(seed=seeds)
    rows = [seen[slot]]
    for step in range(steps):
        actions = np.array([np.random.default_rng((seed, step)).uniform(-1, 1, 3) for seed in seeds], np.float32)
        rows.append(world.step(actions)[0][slot])
    return np.array(rows)


def test_an_episode_is_the_same_in_any_slot_and_company(vision: ConvVAE, memory: MDNRNN) -> None:
    senses = senses_of(vision, memory)
    alone = episode_of(SeenWorld(Paint(1), senses, seed=0), 0, [5])
    beside = episode_of(SeenWorld(Paint(3), senses, seed=0), 2, [8, 9, 5])
    np.testing.assert_allclose(alone, beside, atol=1e-3)
    other = episode_of(SeenWorld(Paint(1), senses, seed=0), 0, [6])
    assert np.abs(alone - other).max() > 0.05


def test_a_seen_world_shows_what_the_agent_would_see(vision: ConvVAE, memory: MDNRNN) -> None:
    """Agent.act on the bare world against C on the seen world's features."""
    controller = Controller(ControllerConfig(features="zch", sample_z=False), Z + 2 * H, ACTIONS)
    agent = Agent(vision, memory, controller, candidate(controller.parameter_count), SPEC)
    bare, seen_world = Paint(2), SeenWorld(Paint(2), senses_of(vision, memory, sample_z=False), seed=0)
    frames, seen, state = bare.reset(seed=[3, 7])[0], seen_world.reset(seed=[3, 7])[0], agent.initial(2)
    for _ in range(6):
        actions, state = agent.act(state, frames)
        chosen = controller.act(agent.params, torch.tensor(seen)[None])[0].numpy()
        np.testing.assert_allclose(actions, chosen, **CLOSE)
        frames, seen = bare.step(actions)[0], seen_world.step(actions)[0]


def test_a_mask_resets_only_its_own(vision: ConvVAE, memory: MDNRNN) -> None:
    world = SeenWorld(Paint(3), senses_of(vision, memory), seed=0)
    first, _ = world.reset(seed=[1, 2, 3])
    for _ in range(2):
        before = world.step(np.full((3, 3), 0.5, np.float32))[0]
    mask = np.array([False, True, False])
    after, _ = world.reset(seed=[0, 2, 0], options={"reset_mask": mask})
    np.testing.assert_array_equal(after[~mask], before[~mask])
    np.testing.assert_allclose(after[1], first[1], atol=1e-3)
    assert (after[1, Z:] == 0).all()
    assert (after[0, Z:] != 0).all()


def test_a_finished_episode_waits(vision: ConvVAE, memory: MDNRNN) -> None:
    world = SeenWorld(Paint(2), senses_of(vision, memory), seed=0)
    world.reset(seed=[4, 7])  # 3 and 6 steps
    actions = np.full((2, 3), 0.5, np.float32)
    for _ in range(3):
        seen, _, terminated, _, _ = world.step(actions)
    assert terminated.tolist() == [True, False]
    later, rewards, terminated, _, _ = world.step(actions)
    np.testing.assert_array_equal(later[0], seen[0])
    assert (later[1] != seen[1]).all()
    assert rewards.tolist() == [0.0, 1.0]


def test_it_is_a_vector_env_of_features(vision: ConvVAE, memory: MDNRNN) -> None:
    world = SeenWorld(
        make("tiny", 3), Senses(vision, None, ControllerConfig(features="z"), ActionSpec("continuous", 1)), 0
    )
    seen, _ = world.reset(seed=7)
    assert world.observation_space.contains(seen)
    assert seen.shape == (3, Z)
    np.testing.assert_array_equal(world.reset(seed=[7, 8, 9])[0], seen)
    drawn = world.reset()[0], world.reset()[0]
    assert (drawn[0] != drawn[1]).all()
    np.testing.assert_array_equal(SeenWorld(world.world, world.senses, 0).reset()[0].shape, seen.shape)
    world.close()


def test_refuses_parts_that_do_not_fit(vision: ConvVAE, memory: MDNRNN) -> None:
    config = ControllerConfig(features="zh")
    with pytest.raises(ReverieError) as error:
        Agent(vision, memory, Controller(config, 99, ACTIONS), np.zeros(300), SPEC)
    assert str(error.value) == (
        "the controller reads 99 features, but V and M give 10; take the V and M that it was trained with"
    )
    with pytest.raises(ReverieError, match=r"controller parameters have shape \(1, 300\), expected \[P, 33\]"):
        Agent(vision, memory, Controller(config, 10, ACTIONS), np.zeros(300), SPEC)
