from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from reverie.errors import DamagedFileError, ReverieError
from reverie.vision import latents
from reverie.vision.latents import LatentEntry, LatentEpisode, Latents, Part, part_path, write_part


def episode_of(steps: int, seed: int) -> LatentEpisode:
    rng = np.random.default_rng(seed)
    mu, logvar = rng.normal(size=(2, steps + 1, 3)).astype(np.float16)
    actions, rewards = rng.normal(size=(steps, 2)).astype(np.float32), rng.normal(size=steps).astype(np.float32)
    return LatentEpisode(mu, logvar, actions, rewards, terminated=seed % 2 == 0)


def entry_of(index: int, episode: LatentEpisode) -> LatentEntry:
    return LatentEntry(index, len(episode), float(episode.rewards.sum()), episode.terminated, sha256="0" * 64)


def write(folder: Path, parts: list[dict[int, LatentEpisode]], vision: str = "v") -> None:
    for number, episodes in enumerate(parts):
        entries = tuple(entry_of(index, episode) for index, episode in episodes.items())
        write_part(part_path(folder, number), Part(vision, entries), list(episodes.values()))


def assert_same(found: LatentEpisode, expected: LatentEpisode) -> None:
    for name in ("mu", "logvar", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
        assert getattr(found, name).dtype == getattr(expected, name).dtype
    assert found.terminated == expected.terminated


def test_each_episode_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "OPEN_PARTS", 1)
    episodes = {index: episode_of(steps, index) for index, steps in enumerate([5, 1, 12, 3, 8])}
    write(tmp_path, [{i: episodes[i] for i in (0, 1)}, {i: episodes[i] for i in (2, 3)}, {4: episodes[4]}])
    found = Latents(tmp_path)
    for index in (3, 0, 4, 1, 2, 0):
        assert_same(found.episode(index), episodes[index])
    assert found.entries == tuple(entry_of(index, episode) for index, episode in episodes.items())
    assert found.total_steps == 29


def test_a_part_is_checked_in_full_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [{0: episode_of(4, 0)}, {1: episode_of(4, 1)}])
    checked = []
    monkeypatch.setattr(latents, "load_arrays", lambda path: checked.append(path.name))
    found = Latents(tmp_path)
    assert checked == []
    for index in (1, 1, 0, 1):
        found.episode(index)
    assert checked == ["part-00001.safetensors", "part-00000.safetensors"]


def test_an_altered_byte_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, [{0: episode_of(4, 0)}])
    path = part_path(tmp_path, 0)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=re.escape(f"{path} was altered")):
        Latents(tmp_path).episode(0)


def remove_first(folder: Path) -> None:
    part_path(folder, 0).unlink()


def remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def mix(folder: Path) -> None:
    write_part(part_path(folder, 1), Part("w", (entry_of(1, episode_of(2, 1)),)), [episode_of(2, 1)])


def truncate(folder: Path) -> None:
    part_path(folder, 1).write_bytes(part_path(folder, 1).read_bytes()[:-1])


BROKEN = [
    (remove_all, "{folder} holds no latents; run `reverie vision` first"),
    (remove_first, "{folder}/part-00000.safetensors is missing; run `reverie vision` to make it again"),
    (mix, "{folder} holds latents of two different V; run `reverie vision` to encode again"),
    (
        truncate,
        "{folder}/part-00001.safetensors is no part of latents (Error while deserializing header: incomplete metadata, "
        "file not fully covered); remove it and run `reverie vision` to make it again",
    ),
]


@pytest.mark.parametrize(("harm", "message"), BROKEN)
def test_a_folder_that_is_not_whole_is_named(tmp_path: Path, harm: object, message: str) -> None:
    write(tmp_path, [{0: episode_of(4, 0)}, {1: episode_of(4, 1)}])
    assert callable(harm)
    harm(tmp_path)
    with pytest.raises(ReverieError) as error:
        Latents(tmp_path)
    assert str(error.value) == message.format(folder=tmp_path)


def test_an_episode_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path, [{0: episode_of(4, 0)}])
    with pytest.raises(ReverieError) as error:
        Latents(tmp_path).episode(7)
    assert str(error.value) == f"{tmp_path} holds no episode 7; run `reverie vision` to encode the store again"
