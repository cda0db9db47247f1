"""Dreams as environments: Gymnasium's own checks, resets and endings, frames, learning in them."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from reverie.controller.config import ControllerConfig
from reverie.controller.senses import features
from reverie.dream.config import DreamConfig
from reverie.dream.engine import dream_returns
from reverie.dream.env import DreamEnv, DreamVectorEnv
from reverie.errors import ReverieError
from reverie.vision.model import ConvVAE
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.dream import parts

SAMPLED = DreamConfig(temperature=1.1, done="sample")


def dreams(num_envs: int = 4, spec: WorldSpec = parts.PREDICTED, **changes: object) -> DreamVectorEnv:
    model = parts.memory(done_bias=-4.0, action_size=spec.actions.size)
    return DreamVectorEnv(model, parts.starts(), spec, SAMPLED, num_envs, **changes)  # type: ignore[arg-type]


def actions(env: DreamVectorEnv, step: int) -> np.ndarray:
    return np.random.default_rng(step).uniform(-1, 1, env.action_space.shape).astype(np.float32)


# a dream's features have no bounds, which the checker advises against
@pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is.*infinity")
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_passes_gymnasiums_checker(render_mode: str | None) -> None:
    env = gym.make(
        "reverie/Dream-v0",
        memory=parts.memory(),
        starts=parts.starts(),
        spec=parts.SURVIVAL,
        vision=ConvVAE(parts.LATENT),
        render_mode=render_mode,
        disable_env_checker=True,
    )
    check_env(env.unwrapped, skip_render_check=False)


def test_make_vec_gives_dreams_that_never_reset_themselves() -> None:
    env = gym.make_vec(
        "reverie/Dream-v0", 3, "vector_entry_point", memory=parts.memory(), starts=parts.starts(), spec=parts.SURVIVAL
    )
    assert env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    seen, _ = env.reset(seed=1)
    assert seen.shape == (3, parts.LATENT + parts.HIDDEN)
    assert seen.dtype == np.float32
    assert seen in env.observation_space


@pytest.mark.parametrize(("kind", "size"), [("z", 6), ("zh", 30), ("zch", 54)])
def test_observations_are_what_c_sees(kind: str, size: int) -> None:
    env = dreams(features=kind)
    env.reset(seed=3)
    seen, *_ = env.step(actions(env, 0))
    assert seen.shape == (4, size)
    config = ControllerConfig(features=kind)  # type: ignore[arg-type]
    np.testing.assert_array_equal(seen, features(config, env._rows.z, env._rows.state).numpy())
    np.testing.assert_array_equal(seen[:, : parts.LATENT], env.latents)


def test_same_seed_same_dreams_and_other_seeds_others() -> None:
    runs = []
    for seed in (5, 5, 6):
        env = dreams()
        run = [env.reset(seed=seed)[0], *(env.step(actions(env, step))[0] for step in range(20))]
        runs.append(np.stack(run))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    np.testing.assert_array_equal(runs[0][0, 1:], runs[2][0, :-1])  # seed 5's second dream is seed 6's first


def test_the_constructors_seed_is_the_first_resets() -> None:
    by_reset = dreams()
    first, _ = by_reset.reset(seed=9)
    by_constructor = dreams(seed=9)
    np.testing.assert_array_equal(by_constructor.reset()[0], first)
    np.testing.assert_array_equal(by_constructor.reset()[0], by_reset.reset()[0])  # and both go on alike
    assert not np.array_equal(by_constructor.reset()[0], first)


@pytest.mark.parametrize("spec", [parts.SURVIVAL, parts.REPEATED, parts.PREDICTED], ids=["lives", "repeats", "paid"])
def test_an_episode_is_the_dream_that_the_engine_counts(spec: WorldSpec) -> None:
    model, chosen = parts.memory(), ControllerConfig(features="zch")
    engine = parts.engine(spec, SAMPLED, torch.float32, model=model, chosen=chosen)
    params = parts.candidates(engine.controller, 1)
    returns, steps = dream_returns(engine, params, [11, 12, 13])
    env = DreamVectorEnv(model, parts.starts(), spec, SAMPLED, 3, "zch", dtype=torch.float32)
    seen, _ = env.reset(seed=11)
    weights, totals, live = torch.as_tensor(params, dtype=torch.float32), np.zeros(3), np.ones(3, bool)
    lengths = np.zeros(3, int)
    while live.any():
        action = engine.controller.act(weights, torch.from_numpy(seen)[None])[0].numpy()
        seen, reward, terminated, truncated, _ = env.step(action)
        totals, lengths = totals + reward, lengths + live
        live &= ~(terminated | truncated)
    np.testing.assert_array_equal(lengths, steps[0])
    np.testing.assert_allclose(totals, returns[0], rtol=1e-3, atol=1e-3)


def test_finished_dreams_wait_for_their_reset() -> None:
    env = dreams(8)
    seen, _ = env.reset(seed=0)
    ended = np.zeros(8, bool)
    for step in range(10):
        last = seen
        seen, reward, terminated, truncated, _ = env.step(actions(env, step))
        np.testing.assert_array_equal(seen[ended], last[ended])
        assert (reward[ended] == 0).all()
        assert (terminated | truncated)[ended].all()
        ended |= terminated | truncated
    assert 0 < ended.sum() < 8
    after, _ = env.reset(options={"reset_mask": ended})
    np.testing.assert_array_equal(after[~ended], seen[~ended])
    assert (after[ended] != seen[ended]).any(axis=1).all()
    assert (after[ended][:, parts.LATENT :] == 0).all()  # h is empty again
    _, reward, *_ = env.step(actions(env, 10))
    assert (reward != 0).all()


@pytest.mark.parametrize(("done_bias", "last"), [(-50.0, (False, True)), (50.0, (True, False))])
def test_an_episode_ends_or_is_cut_off_never_both(done_bias: float, last: tuple[bool, bool]) -> None:
    model, steps = parts.memory(done_bias=done_bias), 3 if done_bias < 0 else 1
    env = DreamVectorEnv(model, parts.starts(), parts.SURVIVAL, DreamConfig(max_steps=steps), num_envs=2)
    env.reset(seed=0)
    for step in range(steps - 1):
        _, _, terminated, truncated, _ = env.step(actions(env, step))
        assert not (terminated | truncated).any()
    _, _, terminated, truncated, _ = env.step(actions(env, steps))
    assert [tuple(flags) for flags in zip(terminated, truncated, strict=True)] == [last, last]


def test_discrete_actions_are_made_one_hot() -> None:
    env = dreams(spec=WorldSpec("small", ActionSpec("discrete", 4), "predicted", 30))
    wanted = np.array([[0, 0.2, -1, 0.1]] * 4, np.float32)
    outcomes = []
    for action in (wanted, np.eye(4, dtype=np.float32)[[1] * 4], np.eye(4, dtype=np.float32)[[2] * 4]):
        env.reset(seed=0)
        outcomes.append(env.step(action)[0])
    np.testing.assert_array_equal(outcomes[0], outcomes[1])
    assert not np.array_equal(outcomes[0], outcomes[2])


def test_renders_what_v_decodes() -> None:
    vision = ConvVAE(parts.LATENT)
    env = dreams(2, vision=vision, render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    assert frames is not None
    assert len(frames) == 2
    assert frames[0].shape == (64, 64, 3)
    assert frames[0].dtype == np.uint8
    with torch.no_grad():
        pixels = vision.decode(torch.from_numpy(env.latents))[1].permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(frames[1], pixels, atol=1)
    assert dreams(2).render() is None


def step_with(action: np.ndarray) -> None:
    env = dreams()
    env.reset()
    env.step(action)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "no V": (
        lambda: dreams(render_mode="rgb_array"),
        "render_mode is 'rgb_array', and there is no V to decode the dream; pass vision=",
    ),
    "no such mode": (
        lambda: dreams(render_mode="human"),
        "render_mode is 'human'; a dream renders as 'rgb_array' or not at all",
    ),
    "mask": (
        lambda: dreams().reset(options={"reset_mask": np.ones(3, bool)}),
        "reset_mask is bool (3,), expected bool (4,)",
    ),
    "seeds": (
        lambda: dreams().reset(seed=[1, 2]),
        "reset got 2 seeds for 4 dreams; expected one for each",
    ),
    "step before reset": (
        lambda: dreams().step(np.zeros((4, 3), np.float32)),
        "the dreams have not begun; call reset before step",
    ),
    "actions": (
        lambda: step_with(np.zeros((4, 2), np.float32)),
        "actions have shape (4, 2), expected (4, 3)",
    ),
    "no done head": (
        lambda: DreamVectorEnv(parts.memory(done_head=False), parts.starts(), parts.SURVIVAL),
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
    env = DreamEnv(parts.memory(done_bias=-4.0), parts.starts(), parts.PREDICTED, SAMPLED)
    model = ppo.PPO("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=2, seed=0, device="cpu")
    before = [weights.clone() for weights in model.policy.parameters()]
    model.learn(256)
    assert model.num_timesteps == 256
    assert len(model.ep_info_buffer) > 3
    assert any(not torch.equal(old, new) for old, new in zip(before, model.policy.parameters(), strict=True))
