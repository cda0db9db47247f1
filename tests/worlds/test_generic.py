"""Any Gymnasium environment: which actions and frames it offers, how vectors reach it, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from reverie.errors import ReverieError
from reverie.worlds.generic import GenericWorld, box_bounds, generic_spec, is_image, to_env_action
from reverie.worlds.registry import make, world_spec
from reverie.worlds.spec import ActionSpec
from reverie.worlds.vector import WorldDiedError

from .fakes import SpaceEnv

NUMBERS = Box(-1, 1, (3,), np.float32)
IMAGES = Box(0, 255, (20, 30, 3), np.uint8)
Register = Callable[..., str]


@pytest.fixture
def register() -> Iterator[Register]:
    """Register a `SpaceEnv` under a fresh id."""
    ids: list[str] = []

    def add(actions: gym.Space, observations: gym.Space, max_steps: int | None = None, **options: Any) -> str:
        ids.append(f"Generic{len(ids)}-v0")
        kwargs = {"actions": actions, "observations": observations, **options}
        gym.register(ids[-1], entry_point=SpaceEnv, kwargs=kwargs, max_episode_steps=max_steps)
        return ids[-1]

    yield add
    generic_spec.cache_clear()
    for name in ids:
        gym.registry.pop(name)


def test_specs(register: Register) -> None:
    assert world_spec(register(Discrete(4), IMAGES, 50)).actions == ActionSpec("discrete", 4)
    assert world_spec(register(Box(-2, 2, (2, 3)), IMAGES)).actions == ActionSpec("continuous", 6)
    capped, open_ended = world_spec("Generic0-v0"), world_spec("Generic1-v0")
    assert (capped.max_steps, open_ended.max_steps) == (50, 1000)
    assert capped.reward == "predicted"


def test_image_observations_are_resized_as_they_are(register: Register) -> None:
    frame, _ = make(register(Discrete(2), IMAGES), 1).reset(seed=3)
    env = SpaceEnv(Discrete(2), IMAGES)
    image, _ = env.reset(seed=3)
    assert abs(frame[0].mean() - image.mean()) < 1


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1)])
def test_grey_images_become_three_channels(register: Register, shape: tuple[int, ...]) -> None:
    frame, _ = make(register(Discrete(2), Box(0, 255, shape, np.uint8)), 1).reset(seed=3)
    assert frame.shape == (1, 64, 64, 3)
    assert (frame[..., 0] == frame[..., 2]).all()
    assert frame.std() > 10


def test_other_observations_are_rendered(register: Register) -> None:
    picture = np.full((20, 30, 3), 77, np.uint8)
    frame, _ = make(register(Discrete(2), NUMBERS, frame=picture), 1).reset(seed=3)
    assert (frame == 77).all()


IS_IMAGE = [
    (IMAGES, True),
    (Box(0, 255, (20, 30), np.uint8), True),
    (Box(0, 255, (20, 30, 1), np.uint8), True),
    (Box(0, 255, (20, 30, 4), np.uint8), False),
    (Box(0, 255, (4, 84, 84), np.uint8), False),
    (Box(0, 255, (128,), np.uint8), False),
    (Box(0, 1, (20, 30, 3), np.float32), False),
    (NUMBERS, False),
    (Discrete(3), False),
]


@pytest.mark.parametrize(("space", "expected"), IS_IMAGE)
def test_is_image(space: gym.Space, expected: bool) -> None:
    assert is_image(space) == expected


TO_ENV: list[tuple[gym.Space, list[float], Any]] = [
    (Discrete(3), [0, 1, 0], 1),
    (Discrete(3, start=5), [0, 0, 1], 7),
    (Discrete(3), [-0.9, -0.5, -0.7], 1),
    (Box(-2, 2, (1,)), [0.5], [1.0]),
    (Box(0, 10, (2,)), [-1, 1], [0, 10]),
    (Box(0, 10, (1,)), [7], [10]),
    (Box(-np.inf, np.inf, (2,)), [-0.3, 1], [-0.3, 1]),
    (Box(np.array([3, -np.inf], np.float32), np.array([np.inf, 3], np.float32)), [0, 0], [4, 2]),
    (Box(0, 4, (2, 2)), [-1, -0.5, 0, 1], [[0, 1], [2, 4]]),
    (Box(0, 5, (2,), np.int32), [-0.1, 1], [2, 5]),
]


@pytest.mark.parametrize(("space", "action", "expected"), TO_ENV)
def test_vectors_become_the_environments_actions(space: gym.Space, action: list[float], expected: Any) -> None:
    taken = to_env_action(space, np.array(action, np.float32))
    assert np.asarray(taken) == pytest.approx(np.asarray(expected), abs=1e-6)
    assert space.contains(taken)


def test_every_corner_lies_inside_the_box() -> None:
    space = Box(np.float32(-0.1), np.float32(0.3), (1,))
    for value in np.linspace(-1, 1, 101, dtype=np.float32):
        assert space.contains(to_env_action(space, np.array([value])))
    assert box_bounds(space)[0].dtype == np.float64


REFUSED_SPACES = [
    (MultiDiscrete([2, 3]), "MultiDiscrete([2 3])"),
    (Tuple([Discrete(2)]), "Tuple(Discrete(2))"),
    (Dict({"a": Discrete(2)}), "Dict('a': Discrete(2))"),
]


@pytest.mark.parametrize(("space", "text"), REFUSED_SPACES)
def test_other_actions_are_refused_by_name(register: Register, space: gym.Space, text: str) -> None:
    with pytest.raises(ReverieError) as caught:
        world_spec(register(space, IMAGES))
    assert str(caught.value) == (
        f"world 'Generic0-v0' has actions {text}; only Box and Discrete actions can be learned"
    )


def test_an_environment_without_pixels_is_refused(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpaceEnv, "metadata", {"render_modes": ["ansi"]})
    with pytest.raises(ReverieError) as caught:
        world_spec(register(Discrete(2), Discrete(16)))
    assert str(caught.value) == (
        "world 'Generic0-v0' shows no pixels: its observations are Discrete(16) and its render modes ['ansi']; "
        "expected uint8 images or render_mode 'rgb_array'"
    )


def test_frames_that_are_no_images_are_named(register: Register) -> None:
    worlds = make(register(Discrete(2), NUMBERS, frame=np.zeros((20, 30, 3))), 1)
    message = (
        r"^world 'Generic0-v0' with seed 4 died at step 0: "
        r"ValueError: its frame is float64 \(20, 30, 3\), expected uint8 \[height, width, 3\]$"
    )
    with pytest.raises(WorldDiedError, match=message):
        worlds.reset(seed=4)


def test_frames_may_change_their_size(register: Register) -> None:
    world = GenericWorld(register(Discrete(2), NUMBERS))
    env = world._env.unwrapped
    assert isinstance(env, SpaceEnv)
    world.reset(seed=0)
    env.frame = np.full((40, 10, 3), 9, np.uint8)
    frame, *_ = world.step(np.array([1, 0], np.float32))
    assert (frame == 9).all()
    assert env.taken == [0]


def test_a_real_one_plays_the_same_twice() -> None:
    runs = []
    for slot in (0, 1):
        worlds = make("CartPole-v1", 2)
        seeds = [1, 1]
        seeds[slot] = 42
        frames = [worlds.reset(seed=seeds)[0][slot]]
        for step in range(5):
            action = np.eye(2, dtype=np.float32)[[step % 2] * 2]
            frames.append(worlds.step(action)[0][slot])
        worlds.close()
        runs.append(np.stack(frames))
    assert (runs[0] == runs[1]).all()
    assert (runs[0][0] != runs[0][5]).any()
