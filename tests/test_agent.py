"""V, M and C as one, and a world seen through them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from reverie.agent import Agent, FrameWorld, SeenWorld
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.errors import ReverieError
from reverie.hardware import single_thread
from reverie.vision.encode import encode_frames
from reverie.vision.model import fast_copy
from tests import painted
from tests.dream import parts

Z, H = parts.LATENT, parts.HIDDEN
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def agent_of(*inputs: str, sample_z: bool = True) -> Agent:
    config = ControllerConfig(inputs=inputs, sample_z=sample_z)  # type: ignore[arg-type]
    controller = Controller(config, config.feature_size(Z, H), parts.ACTIONS)
    memory = painted.MEMORY if config.needs_memory else None
    return Agent(painted.VISION, memory, controller, parts.candidates(controller, 1)[0], painted.SPEC)


def test_act_is_v_then_c_on_the_old_state_then_m() -> None:
    """Against the three parts called by hand, over an episode of 4 steps."""
    agent = agent_of("z", "c", "h")
    params = parts.candidates(agent.controller, 1)[0]
    rng = np.random.default_rng(5)
    state, by_hand = agent.initial(2), painted.MEMORY.initial_state(2)
    weight = params[:-3].reshape(Z + 2 * H, 3)
    for step in range(4):
        frames, noise = rng.integers(0, 256, (2, 64, 64, 3), np.uint8), rng.standard_normal((2, Z), np.float32)
        actions, state = agent.act(state, frames, noise)
        mu, logvar = encode_frames(fast_copy(painted.VISION), frames)
        z = mu.numpy() + np.exp(logvar.numpy() / 2) * noise
        seen = np.concatenate([z, by_hand.c.numpy(), by_hand.h.numpy()], 1)
        np.testing.assert_allclose(actions, np.tanh(seen @ weight + params[-3:]), **CLOSE)
        encoded = np.stack([actions[:, 0], (actions[:, 1] + 1) / 2, actions[:, 2].clip(0, 1)], 1)
        restart = torch.full((2,), float(step == 0))
        with torch.inference_mode():
            by_hand, _ = painted.MEMORY.step(by_hand, torch.tensor(z), torch.tensor(encoded), restart)
        np.testing.assert_allclose(state.memory.h, by_hand.h, **CLOSE)
    assert actions.dtype == np.float32
    assert actions.shape == (2, 3)


def test_actions_may_be_changed_before_they_are_taken() -> None:
    agent = agent_of("z", "h", sample_z=False)
    frames = np.random.default_rng(5).integers(0, 256, (2, 64, 64, 3), np.uint8)
    own, followed = agent.act(agent.initial(2), frames)

    def still(actions: np.ndarray) -> None:
        actions[1] = 0

    changed, after = agent.act(agent.initial(2), frames, change=still)
    np.testing.assert_array_equal(changed[1], 0)
    np.testing.assert_array_equal(changed[0], own[0])
    assert torch.equal(after.memory.h[0], followed.memory.h[0])
    assert not torch.equal(after.memory.h[1], followed.memory.h[1])  # M follows what was done


def test_the_mean_of_z_needs_no_noise() -> None:
    agent = agent_of("z", sample_z=False)
    frames = np.random.default_rng(5).integers(0, 256, (2, 64, 64, 3), np.uint8)
    first, state = agent.act(agent.initial(2), frames)
    again, _ = agent.act(state, frames)
    np.testing.assert_array_equal(first, again)


def test_a_seen_world_shows_what_the_agent_would_see() -> None:
    """Agent.act on the bare world against C on the seen world's features."""
    agent = agent_of("z", "c", "h", sample_z=False)
    bare, seen = painted.world(2), SeenWorld(painted.world(2), painted.senses(sample_z=False))
    frames, state = bare.reset(seed=[3, 7])[0], agent.initial(2)
    seen.begin(torch.arange(2), [3, 7])
    for _ in range(6):
        actions, state = agent.act(state, frames)
        chosen = agent.controller.act(agent.params, seen.observe().features(agent.senses.config)[None])[0]
        np.testing.assert_allclose(actions, chosen, **CLOSE)
        frames = bare.step(actions)[0]
        seen.step(torch.from_numpy(actions))
        np.testing.assert_array_equal(seen.frames, frames)


def test_a_world_goes_on_with_some_of_its_rows_in_another_order() -> None:
    world, plain = FrameWorld(painted.world(4)), painted.world(4)
    world.begin(torch.arange(4), [3, 7, 11, 15])
    plain.reset(seed=[3, 7, 11, 15])
    world.keep(torch.tensor([3, 1]))
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 3)).astype(np.float32)
    step = world.step(torch.from_numpy(actions))
    all_actions = np.zeros((4, 3), np.float32)
    all_actions[[3, 1]] = actions
    frames, rewards, *_ = plain.step(all_actions)
    np.testing.assert_array_equal(world.observe(), frames[[3, 1]])
    np.testing.assert_array_equal(step.reward, rewards[[3, 1]])
    world.begin(torch.tensor([1]), [8])
    np.testing.assert_array_equal(world.observe()[0], frames[3])
    np.testing.assert_array_equal(world.observe()[1], painted.world(1).reset(seed=[8])[0][0])


def test_refuses_parts_that_do_not_fit() -> None:
    config = ControllerConfig()
    with pytest.raises(ReverieError) as error:
        Agent(painted.VISION, painted.MEMORY, Controller(config, 99, parts.ACTIONS), np.zeros(300), painted.SPEC)
    assert str(error.value) == (
        "the controller reads 99 features, but V and M give 30; take the V and M that it was trained with"
    )
    with pytest.raises(ReverieError, match=r"controller parameters have shape \(1, 300\), expected \[P, 93\]"):
        Agent(painted.VISION, painted.MEMORY, Controller(config, 30, parts.ACTIONS), np.zeros(300), painted.SPEC)
