"""A dream and a seen world as one VectorEnv: the same resets, the same waiting, the same mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from reverie.agent import seen_vector_env
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dream.engine import Dream
from reverie.errors import ReverieError
from reverie.feature_env import FeatureEnv, FeatureVectorEnv
from reverie.hardware import single_thread
from reverie.play.loop import Limits, Population, play
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests import painted
from tests.dream import parts

INPUTS = ControllerConfig(inputs=("z", "c", "h"))
SIZE = parts.LATENT + 2 * parts.HIDDEN
ENGINE = parts.engine(parts.PREDICTED, model=parts.memory(done_bias=-4.0), inputs=INPUTS)
ENVS: dict[str, Callable[[int], FeatureEnv]] = {"dream": lambda n: Dream(ENGINE, n), "world": painted.seen}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture(params=ENVS)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def vector(place: str, num_envs: int = 4, **more: Any) -> FeatureVectorEnv:
    return FeatureVectorEnv(lambda: ENVS[place](num_envs), INPUTS, SIZE, **more)


def actions(env: FeatureVectorEnv, step: int) -> np.ndarray:
    return np.random.default_rng(step).uniform(-1, 1, env.action_space.shape).astype(np.float32)


def features(env: FeatureVectorEnv, seeds: int | list[int], steps: int = 2) -> np.ndarray:
    """What is seen in so many steps [T + 1, n, F], each row's actions a function of its seed."""
    rows = [env.reset(seed=seeds)[0]]
    each = [seeds + row for row in range(env.num_envs)] if isinstance(seeds, int) else seeds
    for step in range(steps):
        drawn = [np.random.default_rng((seed, step)).uniform(-1, 1, 3) for seed in each]
        rows.append(env.step(np.array(drawn, np.float32))[0])
    return np.stack(rows)


def test_it_is_a_vector_env_of_features_that_never_resets_itself(place: str) -> None:
    env = vector(place, 3)
    assert env.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    seen, infos = env.reset(seed=7)
    assert (seen.shape, seen.dtype, infos) == ((3, SIZE), np.float32, {})
    assert seen in env.observation_space
    assert env.action_space.contains(actions(env, 0))
    assert env.env.place == place
    assert env.render() is None
    env.close()


def test_an_episode_is_a_function_of_its_seed_in_any_row_and_company(place: str) -> None:
    three, again = features(vector(place, 3), [8, 9, 5]), features(vector(place, 3), [8, 9, 5])
    np.testing.assert_array_equal(three, again)
    np.testing.assert_allclose(features(vector(place, 1), [5])[:, 0], three[:, 2], atol=2e-3)
    np.testing.assert_allclose(features(vector(place, 3), 8)[:, :2], three[:, :2], atol=2e-3)  # seeds in turn
    assert np.abs(features(vector(place, 1), [6])[:, 0] - three[:, 2]).max() > 0.05


def test_the_constructors_seed_is_the_first_resets(place: str) -> None:
    by_reset, by_constructor = vector(place), vector(place, seed=9)
    first, _ = by_reset.reset(seed=9)
    np.testing.assert_array_equal(by_constructor.reset()[0], first)
    second, _ = by_constructor.reset()
    np.testing.assert_array_equal(second, by_reset.reset()[0])  # and both go on alike
    assert not np.array_equal(second, first)
    assert (vector(place).reset()[0] != vector(place).reset()[0]).any()  # without one, nobody knows


def test_finished_episodes_wait_for_their_reset(place: str) -> None:
    env = vector(place, 8)
    seen, _ = env.reset(seed=0)
    ended = np.zeros(8, bool)
    for step in range(4):
        last = seen
        seen, reward, terminated, truncated, _ = env.step(actions(env, step))
        np.testing.assert_array_equal(seen[ended], last[ended])
        assert (reward[ended] == 0).all()
        assert (terminated | truncated)[ended].all()
        assert (reward[~ended] != 0).all()
        ended |= terminated | truncated
    assert 0 < ended.sum() < 8
    after, _ = env.reset(options={"reset_mask": ended})
    np.testing.assert_array_equal(after[~ended], seen[~ended])
    assert (after[ended] != seen[ended]).any(axis=1).all()
    assert (after[ended][:, parts.LATENT :] == 0).all()  # M's state is empty again
    np.testing.assert_array_equal(env.reset(options={"reset_mask": np.zeros(8, bool)})[0], after)
    _, reward, terminated, truncated, _ = env.step(actions(env, 10))
    assert (reward[ended] != 0).all()


def test_a_mask_leaves_the_other_episodes_what_they_are(place: str) -> None:
    whole = features(vector(place, 3), [11, 12, 13], steps=2)
    env = vector(place, 3)
    features(env, [11, 12, 13], steps=1)
    anew, _ = env.reset(seed=[0, 13, 0], options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_allclose(anew[1], whole[0, 2], atol=2e-3)  # it is seed 13's first look
    drawn = [np.random.default_rng((seed, 1)).uniform(-1, 1, 3) for seed in (11, 12, 13)]
    seen, *_ = env.step(np.array(drawn, np.float32))
    np.testing.assert_allclose(seen[[0, 2]], whole[2, [0, 2]], atol=2e-3)


def test_a_cap_truncates_what_has_not_ended(place: str) -> None:
    env = vector(place, 8, max_steps=3)
    env.reset(seed=0)
    for step in range(3):
        *_, terminated, truncated, _ = env.step(actions(env, step))
        assert truncated.any() == (step == 2)
    assert (terminated ^ truncated).all()
    assert terminated.any()


def test_playing_is_stepping_by_hand(place: str) -> None:
    """`play` in as many rows as there are episodes, and in fewer, against the VectorEnv stepped until all are over."""
    controller = Controller(INPUTS, SIZE, parts.ACTIONS)
    params, seeds, n = parts.candidates(controller, 1), [20, 21, 22, 23, 24, 25], 6
    env = vector(place, n, max_steps=7)
    seen, _ = env.reset(seed=seeds)
    returns, steps, over = np.zeros(n), np.zeros(n, int), np.zeros(n, bool)
    weights = torch.as_tensor(params).float()
    while not over.all():
        acted = controller.act(weights, torch.from_numpy(seen)[None])[0].numpy()
        seen, reward, terminated, truncated, _ = env.step(acted)
        returns, steps = returns + reward, steps + ~over
        over = terminated | truncated
    assert len(set(steps)) > 2
    for rows in (6, 2, 9):
        played = play(ENVS[place](rows), Population(controller, params), seeds, Limits(7))
        np.testing.assert_allclose(played.returns, returns, atol=5e-3)
        np.testing.assert_array_equal(played.steps, steps)
        np.testing.assert_array_equal(played.terminated, terminated)
    fresh = play(env.fresh(), Population(controller, params), seeds, Limits(7))
    np.testing.assert_array_equal(fresh.steps, steps)


def test_a_dead_environment_is_flagged_and_waits_too() -> None:
    env = seen_vector_env(painted.world(2, {5: 1}), painted.senses())
    env.reset(seed=[5, 6])
    env.step(actions(env, 0))
    last, reward, terminated, truncated, infos = env.step(actions(env, 1))
    assert (infos["died"].tolist(), terminated.tolist(), truncated.tolist()) == (
        [True, False],
        [False] * 2,
        [True, False],
    )
    seen, reward, _, truncated, infos = env.step(actions(env, 2))
    assert (reward[0], truncated[0], infos["died"].tolist()) == (0, True, [False, False])
    np.testing.assert_array_equal(seen[0], last[0])
    assert env.render_mode == "rgb_array"
    assert [frame.shape for frame in env.render()] == [(64, 64, 3)] * 2


def test_discrete_actions_are_made_one_hot() -> None:
    spec = WorldSpec("small", ActionSpec("discrete", 4), "predicted", 30)
    engine = parts.engine(spec)
    env = FeatureVectorEnv(lambda: Dream(engine, 4), engine.inputs, engine.feature_size)
    outcomes = []
    for action in (np.array([0, 0.2, -1, 0.1]), np.eye(4)[1], np.eye(4)[2]):
        env.reset(seed=0)
        outcomes.append(env.step(np.array([action] * 4, np.float32))[0])
    np.testing.assert_array_equal(outcomes[0], outcomes[1])
    assert not np.array_equal(outcomes[0], outcomes[2])


def begun(place: str) -> FeatureVectorEnv:
    env = vector(place)
    env.reset(seed=0)
    return env


MISTAKES: dict[str, tuple[Callable[[str], object], str]] = {
    "mask": (
        lambda place: vector(place).reset(options={"reset_mask": np.ones(3, bool)}),
        "reset_mask is bool (3,), expected bool (4,)",
    ),
    "mask of numbers": (
        lambda place: vector(place).reset(options={"reset_mask": [1, 0, 1, 0]}),
        "reset_mask is int64 (4,), expected bool (4,)",
    ),
    "seeds": (
        lambda place: vector(place).reset(seed=[1, 2]),
        "reset got 2 seeds for 4 sub-environments; expected one for each",
    ),
    "step before reset": (
        lambda place: vector(place).step(np.zeros((4, 3), np.float32)),
        "the episodes have not begun; call reset before step",
    ),
    "actions": (
        lambda place: begun(place).step(np.zeros((4, 2), np.float32)),
        "actions have shape (4, 2), expected (4, 3)",
    ),
}


@pytest.mark.parametrize(("attempt", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(attempt: Callable[[str], object], message: str, place: str) -> None:
    with pytest.raises(ReverieError) as caught:
        attempt(place)
    assert str(caught.value) == message
