"""Where C is tried, opened from files: once, whole, of one run, and from small files that travel."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.agent import SeenWorld
from reverie.dream.config import DreamConfig
from reverie.dream.engine import Dream, DreamEngine
from reverie.dream.replay import ReplayStarts
from reverie.dream.starts import load_starts, save_starts
from reverie.errors import ReverieError
from reverie.files.training import pack
from reverie.files.weights import save_weights
from reverie.memory.lstm import LSTMState
from reverie.memory.train import load_memory
from reverie.play.candidates import returns_of
from reverie.play.env_spec import EnvSpec, close_envs, ensemble, portable
from reverie.play.loop import Limits
from reverie.vision.train import load_vision
from reverie.workers.pool import Workers
from reverie.workers.seeds import generator
from tests.dream import parts


def world_of(env: EnvSpec, slots: int = 4) -> SeenWorld:
    ((opened, places),) = env.envs(range(slots))
    assert isinstance(opened, SeenWorld)
    assert places.tolist() == list(range(slots))
    return opened


def test_opens_once_until_the_files_change(envs: dict[str, EnvSpec], run: Path) -> None:
    (dream,), world = envs["dream"].engines(), world_of(envs["world"]).world
    assert envs["dream"].engines() == (dream,)
    assert world_of(envs["world"]).world is world
    checkpoint = run / "memory" / "step-00000001.safetensors"
    os.utime(checkpoint, ns=(0, checkpoint.stat().st_mtime_ns + 1))
    assert envs["dream"].engines() != (dream,)
    again = world_of(envs["world"]).world
    assert again is not world
    close_envs()
    assert world_of(envs["world"]).world is not again


def test_an_episodes_limits_are_those_of_its_place(envs: dict[str, EnvSpec]) -> None:
    cap = envs["dream"].spec.max_steps
    assert envs["dream"].episode_limits == Limits(12)
    assert replace(envs["dream"], learns=False).episode_limits == Limits(cap)  # scores have the whole dream
    assert replace(envs["dream"], dream=DreamConfig()).episode_limits == Limits(cap)
    assert replace(envs["world"], limits=Limits(7, 3)).episode_limits == Limits(7, 3)


@pytest.mark.parametrize(
    ("place", "lacking", "message"),
    [
        ("dream", "memory", "C cannot be tried in the dream without the folder of M (memory)"),
        ("dream", "latents", "C cannot be tried in the dream without the folder of latents"),
        ("world", "vision", "C cannot be tried in the world without the folder of V (vision)"),
        ("world", "memory", "C cannot be tried in the world without the folder of M (memory)"),
    ],
)
def test_refuses_what_is_not_whole(envs: dict[str, EnvSpec], place: str, lacking: str, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        replace(envs[place], **{lacking: None})
    assert str(error.value) == message


def test_refuses_sizes_of_another_run(envs: dict[str, EnvSpec], run: Path) -> None:
    with pytest.raises(ReverieError) as error:
        world_of(replace(envs["world"], memory_size=9))
    assert str(error.value) == (
        f"C reads 13 features, but V in {run / 'vision'} and M in {run / 'memory'} give 12; take all three from one run"
    )


def test_the_world_needs_no_memory_for_z_alone(envs: dict[str, EnvSpec]) -> None:
    blind = replace(envs["world"].controller, inputs=("z",))
    env = replace(envs["world"], controller=blind, memory=None, memory_size=0, limits=Limits(2))
    assert env.controller_shape().parameter_count == 5
    assert (returns_of(env, np.zeros((3, 5)), [1, 2], Workers(0), (3, 2)).returns > 0).all()


def export(run: Path, folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.safetensors" for name in ("vision", "memory", "latents")}
    vision, memory = load_vision(run / "vision"), load_memory(run / "memory")
    save_weights(files["vision"], pack(vision), {"latent_size": vision.latent_size})
    save_weights(files["memory"], pack(memory), asdict(memory.config))
    save_starts(files["latents"], load_starts(run / "latents"))
    return files


@pytest.mark.parametrize("place", ["dream", "world"])
def test_files_open_as_the_folders_of_a_run_do(place: str, envs: dict[str, EnvSpec], run: Path, tmp_path: Path) -> None:
    """The files of an export, whose weights are rounded to float16, and those for another machine, which are not."""
    env = envs[place]
    params = np.random.default_rng(0).normal(size=(3, env.controller_shape().parameter_count))
    used = [name for name in ("vision", "memory", "latents") if getattr(env, name) is not None]
    exported = replace(env, **{name: file for name, file in export(run, tmp_path).items() if name in used})
    moved = portable(env, tmp_path)
    own, rounded, exact = (
        returns_of(each, params, [1, 2, 3], Workers(0), (3, 3)).returns for each in (env, exported, moved)
    )
    assert len(np.unique(own)) > 3
    np.testing.assert_allclose(rounded, own, rtol=0.1)
    np.testing.assert_array_equal(exact, own)
    assert len(moved.files) == len(used)
    assert all(file.parent == tmp_path and file.is_file() for file in moved.files)
    assert portable(moved, tmp_path) == moved == portable(env, tmp_path)
    assert pickle.loads(pickle.dumps(moved)) == moved
    folder = run / "memory" / "step-00000001.safetensors"
    assert moved.memory is not None
    assert moved.memory.stat().st_size < folder.stat().st_size + 4096


def test_replay_starts_travel_as_the_latents_that_they_are(envs: dict[str, EnvSpec], run: Path, tmp_path: Path) -> None:
    env = replace(envs["dream"], dream=DreamConfig(starts="replay", horizon=5))
    assert portable(env, tmp_path).latents == run / "latents"
    (engine,) = env.engines()
    assert isinstance(engine.starts, ReplayStarts)
    (scored,) = replace(env, learns=False).engines()
    assert not isinstance(scored.starts, ReplayStarts)


def test_only_where_c_learns_all_of_the_dreams_settings_hold(envs: dict[str, EnvSpec], run: Path) -> None:
    config = DreamConfig(1.3, "sample", dropout=0.2, ensemble_size=2, disagreement_penalty=0.5)
    env = replace(envs["dream"], dream=config, members=(run / "memory-2",))
    assert run / "memory-2" in env.files
    (learned,), (scored,) = env.engines(), replace(env, learns=False).engines()
    assert (learned.dropout, learned.penalty, len(learned.others)) == (0.2, 0.5, 1)
    assert (scored.dropout, scored.penalty, scored.others) == (0.0, 0.0, ())
    assert scored.config.temperature == learned.config.temperature == 1.3


def test_every_member_takes_its_turn_by_the_seed_and_c_sees_the_first(envs: dict[str, EnvSpec], run: Path) -> None:
    env = replace(envs["dream"], dream=DreamConfig(ensemble_size=2), members=(run / "memory-2",))
    seeds = [5, 6, 7, 8, 5, 9, 10, 11]
    turns = [int(generator(seed, "dream", "member").integers(2)) for seed in seeds]
    assert set(turns) == {0, 1}
    opened = list(env.envs(seeds))
    assert [places.tolist() for _, places in opened] == [
        [place for place, turn in enumerate(turns) if turn == member] for member in (0, 1)
    ]
    first, second = load_memory(run / "memory"), load_memory(run / "memory-2")
    for (dream, places), memory in zip(opened, (first, second), strict=True):
        assert isinstance(dream, Dream)
        assert dream.num_envs == len(places)
        assert torch.equal(dream.engine.memory.bias, memory.bias)
        assert dream.engine.memory.head.float().allclose(memory.head_weight, atol=0.02)
    seen = opened[1][0].engine.seen  # type: ignore[attr-defined]
    assert seen.head.float().allclose(first.head_weight, atol=0.02)
    params = np.random.default_rng(0).normal(size=(2, env.controller_shape().parameter_count))
    whole = returns_of(env, params, seeds, Workers(0), (2, 8)).returns
    for place in range(len(seeds)):
        alone = returns_of(env, params, seeds[place : place + 1], Workers(0), (2, 1)).returns
        np.testing.assert_allclose(alone[:, 0], whole[:, place], atol=0.05)


MEMORIES = [parts.memory(), parts.memory(11), parts.memory(12)]


def engines_of(config: DreamConfig, count: int, seen: bool = False, replay: bool = False) -> Sequence[DreamEngine]:
    starts, state = parts.starts(), torch.zeros(20, parts.HIDDEN)
    if replay:  # the state of each M is its place in the list, that of the one that is seen 9
        places = [*range(count), *([9] if seen else [])]
        starts = ReplayStarts(starts.mu, starts.logvar, tuple(LSTMState(state + at, state + at) for at in places))
    other = parts.memory(13) if seen else None
    return ensemble(MEMORIES[:count], starts, parts.PREDICTED, config, parts.engine().inputs, other)


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_each_memory_of_an_ensemble_begins_with_its_own_state(penalty: float, seen: bool) -> None:
    """hidden: first of the M that dreams, then of the one that is seen, then of the others."""
    config = DreamConfig(ensemble_size=3, disagreement_penalty=penalty, dropout=0.2)
    engines = engines_of(config, 3, seen, replay=True)
    hidden = [[int(state.h[0, 0]) for state in engine.starts.hidden] for engine in engines]  # type: ignore[attr-defined]
    if penalty:
        assert hidden == [[0, 9, 1, 2] if seen else [0, 1, 2]]
    else:
        assert hidden == ([[0, 9], [1, 9], [2, 9]] if seen else [[0], [1, 0], [2, 0]])
    for engine, states in zip(engines, hidden, strict=True):
        dream = Dream(engine, 3, share_noise=True)
        assert len(dream.memories) == len(states)
        dream.begin(torch.arange(3), [0, 1, 2])
        assert [int(memory.state.c[0, 0]) for memory in dream.memories] == states
        assert engine.dropout == 0.2
