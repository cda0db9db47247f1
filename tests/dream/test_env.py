"""Dreams as Gymnasium environments: Gymnasium's own checks, endings, frames, learning in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from reverie.controller.config import ControllerConfig
from reverie.dream.env import DreamEnv, dream_vector_env
from reverie.errors import ReverieError
from reverie.feature_env import FeatureVectorEnv
from reverie.vision.model import ConvVAE
from reverie.worlds.spec import WorldSpec
from tests.dream import parts

MADE: dict[str, Any] = {"memory": parts.memory(), "starts": parts.starts(), "spec": parts.SURVIVAL}


def dreams(num_envs: int = 4, spec: WorldSpec = parts.PREDICTED, **changes: Any) -> FeatureVectorEnv:
    model = parts.memory(done_bias=-4.0, action_size=spec.actions.size)
    return dream_vector_env(model, parts.starts(), spec, parts.SAMPLED, num_envs, **changes)


def actions(env: FeatureVectorEnv, step: int) -> np.ndarray:
    return np.random.default_rng(step).uniform(-1, 1, env.action_space.shape).astype(np.float32)


# a dream's features have no bounds, which the checkers advise against
@pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is.*infinity")
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_passes_the_checkers_of_gymnasium_and_stable_baselines(render_mode: str | None) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gym.make(
        "reverie/Dream-v0",
        **MADE,
        vision=ConvVAE(parts.LATENT),
        render_mode=render_mode,
        disable_env_checker=True,
    )
    check_env(env.unwrapped, skip_render_check=False)
    checker.check_env(env.unwrapped)


def test_make_vec_gives_dreams_that_never_reset_themselves() -> None:
    env = gym.make_vec("reverie/Dream-v0", 3, "vector_entry_point", **MADE)
    assert env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    seen, _ = env.reset(seed=1)
    assert seen.shape == (3, parts.LATENT + parts.HIDDEN)
    assert seen.dtype == np.float32
    assert seen in env.observation_space


@pytest.mark.parametrize("inputs", [("z",), ("z", "h"), ("z", "c", "h")])
def test_an_episode_is_the_dream_by_the_book(inputs: tuple[Any, ...]) -> None:
    model = parts.memory()
    engine = parts.engine(parts.PREDICTED, model=model, inputs=ControllerConfig(inputs=inputs))
    params, shape = parts.candidates(engine, 1), parts.controller(engine)
    env = dream_vector_env(model, parts.starts(), parts.PREDICTED, parts.SAMPLED, 3, inputs=inputs, dtype=torch.float32)
    seen, _ = env.reset(seed=11)
    totals, live, lengths = np.zeros(3), np.ones(3, bool), np.zeros(3, int)
    while live.any():
        action = shape.act(torch.as_tensor(params).float(), torch.from_numpy(seen)[None])[0].numpy()
        seen, reward, terminated, truncated, _ = env.step(action)
        totals, lengths = totals + reward, lengths + live
        live &= ~(terminated | truncated)
    book = [parts.plain_dream(engine, [model], params[0], seed) for seed in (11, 12, 13)]
    np.testing.assert_array_equal(lengths, [length for _, length, _ in book])
    np.testing.assert_allclose(totals, [total for total, _, _ in book], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("done_bias", "last"), [(-50.0, (False, True)), (50.0, (True, False))])
def test_an_episode_ends_or_is_cut_off_never_both(done_bias: float, last: tuple[bool, bool]) -> None:
    model, steps = parts.memory(done_bias=done_bias), 3 if done_bias < 0 else 1
    env = dream_vector_env(model, parts.starts(), WorldSpec("small", parts.ACTIONS, "survival", steps), num_envs=2)
    env.reset(seed=0)
    for step in range(steps - 1):
        _, _, terminated, truncated, _ = env.step(actions(env, step))
        assert not (terminated | truncated).any()
    _, _, terminated, truncated, _ = env.step(actions(env, steps))
    assert [tuple(flags) for flags in zip(terminated, truncated, strict=True)] == [last, last]


@torch.no_grad()
def decoded(vision: ConvVAE, z: np.ndarray) -> np.ndarray:
    return vision.decode(torch.from_numpy(z)).permute(0, 2, 3, 1).numpy() * 255


def test_renders_what_v_decodes() -> None:
    vision = ConvVAE(parts.LATENT)
    env = dreams(2, vision=vision, render_mode="rgb_array", inputs=("z",))
    seen, _ = env.reset(seed=0)
    frames = env.render()
    assert [(frame.shape, frame.dtype) for frame in frames] == [((64, 64, 3), np.uint8)] * 2
    np.testing.assert_allclose(frames, decoded(vision, seen), atol=1)
    single = DreamEnv(**MADE, vision=vision, inputs=("z",), render_mode="rgb_array")
    features, _ = single.reset(seed=3)
    np.testing.assert_allclose(single.render(), decoded(vision, features[None])[0], atol=1)
    assert dreams(2).render() is None
    assert DreamEnv(**MADE, vision=vision).render() is None


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "no V": (
        lambda: dreams(render_mode="rgb_array"),
        "render_mode is 'rgb_array', and there is no V to decode the dream; pass vision=",
    ),
    "no such mode": (
        lambda: dreams(render_mode="human"),
        "render_mode is 'human'; a dream renders as 'rgb_array' or not at all",
    ),
    "no done head": (
        lambda: dream_vector_env(parts.memory(done_head=False), parts.starts(), parts.SURVIVAL),
        "M has no done head, and the reward of 'small' is to survive; train M with done_head to dream it",
    ),
}


@pytest.mark.parametrize(("attempt", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        attempt()
    assert str(caught.value) == message


def test_stable_baselines_trains_in_a_dream() -> None:
    ppo = pytest.importorskip("stable_baselines3")
    env = DreamEnv(parts.memory(done_bias=-4.0), parts.starts(), parts.PREDICTED, parts.SAMPLED)
    model = ppo.PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=2, seed=0, device="cpu")
    before = [weights.clone() for weights in model.policy.parameters()]
    model.learn(256)
    assert model.num_timesteps == 256
    assert len(model.ep_info_buffer) > 3
    assert any(not torch.equal(old, new) for old, new in zip(before, model.policy.parameters(), strict=True))
