from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.episodes.episode import Episode
from reverie.episodes.store import Store
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.arrays import load_arrays
from reverie.vision import encode
from reverie.vision.encode import decode_frames, encode_frames, encode_store
from reverie.vision.frames import to_frames, to_input
from reverie.vision.model import ConvVAE, fast_copy
from reverie.worlds.spec import ActionSpec

from .squares import fill, frames_of
from .test_model import new

LENGTHS = [3, 40, 7, 1, 22]


@pytest.fixture(autouse=True)
def two_episodes_to_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "PART_EPISODES", 2)


class CountingStore(Store):
    """Notes which episodes are read; reading `breaks_at` raises, as if the process had been killed."""

    def __init__(self, folder: Path, breaks_at: int | None = None) -> None:
        super().__init__(folder)
        self.reads: list[int] = []
        self.breaks_at = breaks_at

    def read(self, index: int) -> Episode:
        if index == self.breaks_at:
            raise InterruptedError
        self.reads.append(index)
        return super().read(index)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_frames_are_encoded_in_batches_of_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "BATCH_FRAMES", 4)
    model, frames = new(), frames_of(11, seed=0)
    with torch.no_grad():
        expected = model.encode(to_input(frames))
    for found, one in zip(encode_frames(model, frames), expected, strict=True):
        assert (found.dtype, found.shape) == (torch.float32, (11, 8))
        np.testing.assert_allclose(found.numpy(), one.numpy(), atol=1e-5)


def test_latents_are_decoded_to_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "BATCH_FRAMES", 2)
    model, z = new(), torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    frames = decode_frames(model, z)
    assert (frames.dtype, frames.shape) == (np.uint8, (5, 64, 64, 3))
    expected = to_frames(model.decode(z)).astype(int)
    assert np.abs(frames.astype(int) - expected).max() <= 1


def test_a_store_is_encoded_with_all_that_m_needs(tmp_path: Path) -> None:
    store, model = fill(Store(tmp_path / "rollouts"), LENGTHS), new()
    latents = encode_store(model, store, tmp_path / "latents")
    assert [entry.steps for entry in latents.entries] == LENGTHS
    for entry in latents.entries:
        found, episode = latents.episode(entry.index), store.read(entry.index)
        mu, logvar = encode_frames(model, episode.frames)
        assert found.mu.dtype == found.logvar.dtype == np.float16
        np.testing.assert_allclose(found.mu, mu.numpy(), atol=0.05 * mu.std().item())
        np.testing.assert_allclose(found.logvar, logvar.numpy(), atol=0.05 * logvar.std().item())
        np.testing.assert_array_equal(found.actions, episode.actions)
        np.testing.assert_array_equal(found.rewards, episode.rewards)
        assert found.terminated == episode.terminated


def test_a_killed_encoding_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, model = tmp_path / "rollouts", new()
    fill(Store(folder), LENGTHS)
    encode_store(model, Store(folder), tmp_path / "straight")
    with pytest.raises(InterruptedError):
        encode_store(model, CountingStore(folder, breaks_at=4), tmp_path / "broken")
    store = CountingStore(folder)
    encode_store(model, store, tmp_path / "broken")
    assert store.reads == [4]
    assert names_in(tmp_path / "broken") == names_in(tmp_path / "straight")
    for name in names_in(tmp_path / "straight"):
        broken, straight = (load_arrays(tmp_path / folder / name) for folder in ("broken", "straight"))
        assert broken[1] == straight[1]
        for array in straight[0]:
            np.testing.assert_array_equal(broken[0][array], straight[0][array])


def test_what_is_still_true_is_not_encoded_again(tmp_path: Path) -> None:
    folder, latents, model = tmp_path / "rollouts", tmp_path / "latents", new()
    fill(Store(folder), LENGTHS)
    cases: list[tuple[Any, list[int]]] = [
        (lambda: None, [0, 1, 2, 3, 4]),  # nothing there yet
        (lambda: None, []),
        (lambda: fill(Store(folder), [9], first=5), [4, 5]),  # the store has grown
        (lambda: fill(Store(folder), [8], first=1), [0, 1]),  # an episode was collected again
        (lambda: (latents / "part-00001.safetensors").unlink(), [2, 3]),
        (lambda: (latents / "part-00001.safetensors").write_bytes(b"torn"), [2, 3]),
        (lambda: model.conv1.weight.data.mul_(1.1), [0, 1, 2, 3, 4, 5]),  # V was trained again
    ]
    for change, expected in cases:
        change()
        store = CountingStore(folder)
        encode_store(model, store, latents)
        assert store.reads == expected


def test_parts_that_no_episode_belongs_to_are_removed(tmp_path: Path) -> None:
    model = new()
    encode_store(model, fill(Store(tmp_path / "long"), LENGTHS), tmp_path / "latents")
    latents = encode_store(model, fill(Store(tmp_path / "short"), LENGTHS[:2]), tmp_path / "latents")
    assert names_in(tmp_path / "latents") == ["part-00000.safetensors"]
    assert len(latents.entries) == 2


def test_a_damaged_episode_is_named_and_no_part_written(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "rollouts"), [3])
    (tmp_path / "rollouts" / store.entries[0].file).write_bytes(b"no episode")
    with pytest.raises(DamagedFileError, match=r"000000\.safetensors"):
        encode_store(new(), store, tmp_path / "latents")
    assert not list((tmp_path / "latents").glob("*"))


def test_an_empty_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        encode_store(ConvVAE(2), Store(tmp_path), tmp_path / "latents")
    assert str(error.value) == f"{tmp_path} holds no episodes; run `reverie collect` first"


def test_the_mirror_images_stand_behind_the_episodes(tmp_path: Path) -> None:
    store, model = fill(Store(tmp_path / "store"), LENGTHS), new()
    plain = encode_store(model, store, tmp_path / "latents")
    both = encode_store(model, store, tmp_path / "latents", ActionSpec("driving", 2))
    assert [entry.index for entry in both.entries] == [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4]
    for index in range(5):
        episode, image = store.read(index), both.episode(-1 - index)
        mu, _ = encode_frames(fast_copy(model), np.ascontiguousarray(episode.frames[:, :, ::-1]))
        np.testing.assert_array_equal(image.mu, mu.numpy().astype(np.float16))
        np.testing.assert_array_equal(image.actions, episode.actions * (-1, 1))
        np.testing.assert_array_equal(image.rewards, episode.rewards)
        np.testing.assert_array_equal(both.episode(index).mu, plain.episode(index).mu)
    encode_store(model, store, tmp_path / "latents")
    assert not list((tmp_path / "latents").glob("mirrored-*"))
