"""Any Gymnasium environment: which actions and frames it offers, how vectors reach it, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

from reverie.errors import ReverieError
from reverie.worlds.faults import MIGRATION, in_one_line
from reverie.worlds.generic.options import WorldOptions
from reverie.worlds.generic.world import GenericWorld, generic_spec
from reverie.worlds.registry import make, most_slots, repeat_of, world_spec
from reverie.worlds.spec import ActionSpec
from reverie.worlds.vector import WorldDiedError

from ..fakes import SpaceEnv

OLD = f"that is the old Gym interface; how to bring it up to date: {MIGRATION}"
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


def test_an_environment_without_pixels_is_refused(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpaceEnv, "metadata", {"render_modes": ["ansi"]})
    with pytest.raises(ReverieError) as caught:
        world_spec(register(Discrete(2), Discrete(16)))
    assert str(caught.value) == (
        "world 'Generic0-v0' shows no pixels: its observations are Discrete(16) and its render modes ['ansi']; "
        "expected a picture among the observations, or render_mode 'rgb_array'"
    )


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"frame": np.zeros((20, 2, 3))}, "its frame is float64 (20, 2, 3), expected [height, width, 3]"),
    ({"frame": np.full((20, 30, 3), np.nan)}, "its frame holds NaN or infinity, expected colours"),
    ({"frame": "a picture"}, "its frame is <U9 (), expected [height, width, 3]"),
    ({"begun": np.zeros(3)}, f"reset() returned ndarray, expected (observation, info): {OLD}"),
    ({"begun": (np.zeros(3), np.zeros(3))}, f"reset() returned 2 values, expected (observation, info): {OLD}"),
]


@pytest.mark.parametrize(("options", "fault"), BROKEN)
def test_a_broken_contract_is_told_at_once(register: Register, options: dict[str, Any], fault: str) -> None:
    worlds = make(register(Discrete(2), NUMBERS, **options), 1)
    with pytest.raises(ReverieError) as caught:
        worlds.reset(seed=4)
    assert str(caught.value) == f"world 'Generic0-v0' with seed 4, step 0: {fault}"


BROKEN_STEPS: list[tuple[Any, str]] = [
    (float("nan"), "its reward is nan, expected a finite number (below 3.4e38); mend it"),
    (float("-inf"), "its reward is -inf, expected a finite number (below 3.4e38); mend it"),
    (1e39, "its reward is 1e+39, expected a finite number (below 3.4e38); mend it"),
    (None, "its reward is None, expected a number; have it return one"),
    ("much", "its reward is 'much', expected a number; have it return one"),
    (np.zeros(2), "its reward is 2 numbers, expected one; have it return their sum, or the one that counts"),
]


@pytest.mark.parametrize(("reward", "fault"), BROKEN_STEPS)
def test_rewards_that_are_no_numbers_are_refused_with_seed_and_step(
    register: Register, reward: Any, fault: str
) -> None:
    worlds = make(register(Discrete(2), IMAGES, reward=reward), 2)
    worlds.reset(seed=[4, 5])
    with pytest.raises(ReverieError) as caught:
        worlds.step(np.eye(2, dtype=np.float32))
    assert str(caught.value).startswith(f"world 'Generic0-v0' with seed 4, step 1: {fault}")


@pytest.mark.parametrize(
    ("ends", "fault"), [("False", "is 'False'"), (None, "is None"), (float("nan"), "is nan"), ([0, 1], "is 2 values")]
)
def test_flags_that_are_none_are_refused(register: Register, ends: Any, fault: str) -> None:
    worlds = make(register(Discrete(2), IMAGES, ends=ends), 1)
    worlds.reset(seed=4)
    with pytest.raises(ReverieError) as caught:
        worlds.step(np.eye(2, dtype=np.float32)[:1])
    assert str(caught.value) == (
        f"world 'Generic0-v0' with seed 4, step 1: its terminated {fault}, expected True or False"
    )


@pytest.mark.parametrize("ends", [1, 1.0, np.array([True]), torch.tensor(True)])
def test_flags_may_be_numbers_and_arrays_of_one(register: Register, ends: Any) -> None:
    worlds = make(register(Discrete(2), IMAGES, ends=ends), 1)
    worlds.reset(seed=4)
    assert worlds.step(np.eye(2, dtype=np.float32)[:1])[2].tolist() == [True]


def test_what_reset_tells_beside_the_observation_may_be_none(register: Register) -> None:
    worlds = make(register(Discrete(2), NUMBERS, begun=(np.zeros(3), None), frame=np.full((9, 9, 3), 7, np.uint8)), 1)
    assert worlds.reset(seed=4)[0].max() == 7


def test_an_observation_without_its_picture_is_told(register: Register) -> None:
    worlds = make(register(Discrete(2), Dict({"rgb": IMAGES}), begun=({"other": 1}, {})), 1)
    with pytest.raises(ReverieError) as caught:
        worlds.reset(seed=4)
    assert str(caught.value) == (
        "world 'Generic0-v0' with seed 4, step 0: its observation is dict without 'rgb', "
        "which its observation_space has"
    )


class Wordless(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Wordless(), "Wordless: (its words cannot be read: ValueError)"),
        (
            AttributeError("'NoneType' object has no attribute 'glGetError'"),  # PyOpenGL's, without its library
            "AttributeError: 'NoneType' object has no attribute 'glGetError'; without a screen it may need "
            "MUJOCO_GL=egl (or osmesa) in the environment, or `xvfb-run -a reverie ...`",
        ),
        (RuntimeError("\x1b[31mred\x07\nmore"), "RuntimeError: [31mred"),
    ],
)
def test_whatever_is_raised_is_one_line_of_text(error: Exception, line: str) -> None:
    assert in_one_line(error) == line


@pytest.mark.parametrize("reward", [np.array([0.5], np.float32), np.array(0.5), torch.tensor([0.5]), np.float16(0.5)])
def test_one_number_is_a_reward_however_it_is_wrapped(register: Register, reward: Any) -> None:
    worlds = make(register(Discrete(2), IMAGES, reward=reward), 1)
    worlds.reset(seed=4)
    _, rewards, terminated, *_ = worlds.step(np.eye(2, dtype=np.float32)[:1])
    assert rewards.tolist() == [0.5]
    assert not terminated.any()


def test_a_black_last_frame_repeats_the_one_before(register: Register) -> None:
    world = GenericWorld(register(Discrete(2), NUMBERS, frame=np.full((20, 30, 3), 50, np.uint8), ends=True))
    first = world.reset(seed=0)
    env = world.env.unwrapped
    assert isinstance(env, SpaceEnv)
    env.frame = np.zeros((20, 30, 3), np.uint8)
    frame, _, terminated, _ = world.step(np.array([1, 0], np.float32))
    assert terminated
    assert (frame == first).all()


def test_a_picture_within_a_dict_is_found_and_several_are_asked_for(register: Register) -> None:
    one = register(Discrete(2), Dict({"compass": NUMBERS, "pov": IMAGES}))
    assert make(one, 1).reset(seed=0)[0].std() > 10
    two = register(Discrete(2), Dict({"depth": Box(0, 255, (20, 30, 1), np.uint8), "rgb": IMAGES}))
    with pytest.raises(ReverieError) as caught:
        world_spec(two)
    assert str(caught.value) == (
        f"world {two!r} shows several pictures, depth, rgb; name the one to take, as --world.observation depth"
    )
    named = f"{two}?observation=rgb"
    assert world_spec(named).name == named
    frame = make(named, 1).reset(seed=0)[0]
    assert (frame[..., 0] != frame[..., 1]).any()  # colours, where the depth would be grey
    with pytest.raises(
        ReverieError, match="has no picture 'left' in its observations; those that it has are depth, rgb"
    ):
        world_spec(f"{two}?observation=left")


def test_a_board_is_drawn_where_it_can_be_and_else_stretched(
    register: Register, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    board = Box(0, 2, (9, 9), np.uint8)
    drawn = make(register(Discrete(2), board, frame=np.full((20, 30, 3), 77, np.uint8)), 1).reset(seed=3)[0]
    assert (drawn == 77).all()
    monkeypatch.setattr(SpaceEnv, "metadata", {"render_modes": []})
    stretched = make(register(Discrete(2), board), 1).reset(seed=3)[0]
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert "stretched to black and white" in caplog.text


def test_few_seeds_are_shared_out_between_training_and_scores(register: Register) -> None:
    name = register(Discrete(2), IMAGES, most_seeds=100)
    with pytest.raises(WorldDiedError, match=r"say how many: --world.seeds 100$"):
        make(name, 1).reset(seed=12345)
    worlds = make(f"{name}?seeds=100", 1)
    for seed in (5, 12345, 2**30 - 1, 2**30, 2**31 - 1):
        assert worlds.reset(seed=[seed])[1]["seeds"].tolist() == [seed]
    taken = {WorldOptions(seeds=100).seed(seed) for seed in range(500)}
    kept = {WorldOptions(seeds=100).seed(2**30 + seed) for seed in range(500)}
    assert (taken, kept) == (set(range(80)), set(range(80, 100)))


def test_a_world_that_a_process_holds_once_is_played_one_at_a_time(register: Register) -> None:
    name = register(Discrete(2), IMAGES, alone=True)
    with pytest.raises(ReverieError, match=r"one by itself could be: --world.instances 1$"):
        make(name, 2)
    one = f"{name}?instances=1"
    assert most_slots(one, 16) == 1
    worlds = make(one, most_slots(one, 16))
    worlds.reset(seed=0)
    worlds.close()
    with pytest.raises(ReverieError, match="a process holds at most 1"):
        make(one, 2)


def test_an_action_lasts_for_as_many_steps_as_are_asked_for() -> None:
    slow, plain = make("CartPole-v1?repeat=4", 1), make("CartPole-v1", 1)
    assert (slow.world_spec.max_steps, slow.world_spec.repeat, repeat_of("CartPole-v1?repeat=4")) == (125, 4, 4)
    (seen, _), (expected, _) = slow.reset(seed=7), plain.reset(seed=7)
    assert np.array_equal(seen, expected)
    left, over = np.array([[1.0, 0.0]], np.float32), False
    while not over:  # always left: the pole falls
        frames, reward, terminated, _, _ = slow.step(left)
        total = 0.0
        for _ in range(4):
            plain_frames, one, ended, _, _ = plain.step(left)
            total += float(one[0])
            if ended[0]:
                break
        assert (float(reward[0]), bool(terminated[0])) == (total, bool(ended[0]))
        assert np.array_equal(frames, plain_frames)
        over = bool(terminated[0])
    with pytest.raises(ReverieError, match=r"^--world.repeat is 0; expected a whole number, 1 or more$"):
        make("CartPole-v1?repeat=0", 1)


def test_old_interfaces_are_named(register: Register) -> None:
    worlds = make(register(Discrete(2), IMAGES, four=True), 1)
    worlds.reset(seed=4)
    with pytest.raises(ReverieError, match=r"step\(\) returned 4 values, .* old Gym interface"):
        worlds.step(np.eye(2, dtype=np.float32)[:1])


def test_a_failing_constructor_is_one_line(register: Register) -> None:
    name = register(Discrete(2), IMAGES, fails=FileNotFoundError(2, "No such file", "/opt/scene.xml"))
    with pytest.raises(ReverieError) as caught:
        world_spec(name)
    assert str(caught.value) == (
        f"world {name!r} cannot be opened: FileNotFoundError: [Errno 2] No such file: '/opt/scene.xml'"
    )
    with pytest.raises(ReverieError, match=r"cannot be opened: it called sys.exit\(0\)$"):
        world_spec(register(Discrete(2), IMAGES, fails=SystemExit(0)))
    with pytest.raises(ReverieError, match="MUJOCO_GL=egl"):
        world_spec(register(Discrete(2), IMAGES, fails=RuntimeError("cannot connect to X server :0")))


def test_frames_may_change_their_size(register: Register) -> None:
    world = GenericWorld(register(Discrete(2), NUMBERS))
    env = world.env.unwrapped
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
