from __future__ import annotations

import hashlib
import json
import time
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from reverie.episodes.episode import Episode
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.vision import batches
from reverie.vision.batches import FrameBatches, shifted

LENGTHS = (1, 32, 33, 70, 5, 64, 2)  # frames of each episode: 207 in all


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Frame number k of the whole store is filled with k."""
    store, first = Store(tmp_path), 0
    for index, frames in enumerate(LENGTHS):
        numbers = np.arange(first, first + frames, dtype=np.uint8)
        pixels = np.broadcast_to(numbers[:, None, None, None], (frames, 64, 64, 3)).copy()
        zeros = np.zeros((frames - 1, 1), np.float32)
        store.append(index, Episode(pixels, zeros, zeros[:, 0], terminated=True), seed=0, policy="held")
        first += frames
    return store


@pytest.fixture(params=[1, 3, 256])
def block_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(batches, "BLOCK_CHUNKS", request.param)
    return request.param


def numbers(frames: np.ndarray) -> list[int]:
    assert frames.dtype == np.uint8
    assert frames.shape[1:] == (64, 64, 3)
    assert (frames == frames[:, :1, :1, :1]).all()
    return frames[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("batch_size", [1, 10, 23, 207, 500])
def test_each_epoch_shows_every_frame_once(store: Store, block_chunks: int, batch_size: int) -> None:
    source = FrameBatches(store, batch_size, seed=1)
    epochs = 3 if batch_size > 1 else 1
    dealt: list[int] = []
    for update in range(-(-epochs * 207 // batch_size)):
        found = numbers(source.batch(update))
        assert len(found) == batch_size
        dealt += found
    source.close()
    for epoch in range(epochs):
        assert sorted(dealt[epoch * 207 : (epoch + 1) * 207]) == list(range(207))


def test_a_batch_depends_on_seed_and_update_alone(store: Store, block_chunks: int) -> None:
    ours, theirs, other = (FrameBatches(store, 16, seed=seed) for seed in (1, 1, 2))
    forward = [numbers(ours.batch(update)) for update in range(40)]
    jumps = [39, 0, 20, 21, 3, 38, 12]
    assert [numbers(theirs.batch(update)) for update in jumps] == [forward[update] for update in jumps]
    assert [numbers(other.batch(update)) for update in range(5)] != forward[:5]
    for source in (ours, theirs, other):
        source.close()


def test_epochs_and_blocks_are_shuffled_anew(store: Store) -> None:
    source = FrameBatches(store, 207, seed=0)
    orders = [numbers(source.batch(update)) for update in range(3)]
    source.close()
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        neighbours = sum(abs(a - b) == 1 for a, b in pairwise(order))
        assert neighbours < 20  # 2 are expected of a shuffle, 200 where the frames come as recorded


def test_a_batch_mixes_episodes(store: Store) -> None:
    """A batch of 50 draws on the long episodes in proportion: no more than twice its share from any."""
    source = FrameBatches(store, 50, seed=0)
    edges = np.cumsum(LENGTHS)
    for update in range(8):
        counts = Counter(np.searchsorted(edges, numbers(source.batch(update)), side="right").tolist())
        assert all(count <= 2 * 50 * LENGTHS[episode] / 207 + 4 for episode, count in counts.items())
    source.close()


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        FrameBatches(Store(tmp_path), 10, seed=0)
    assert str(error.value) == f"{tmp_path} holds no episodes; run `reverie collect` first"


def test_an_error_of_the_reading_thread_reaches_the_caller(store: Store) -> None:
    for entry in store.entries:
        (store.folder / entry.file).unlink()
    source = FrameBatches(store, 10, seed=0)
    with pytest.raises(ReverieError, match="is damaged: it is missing"):
        source.batch(0)
    source.close()


def test_ten_thousand_episodes_open_quickly_and_stay_small(tmp_path: Path) -> None:
    """The size of the `paper` preset: 10 million frames in the manifest, none of them read."""
    with (tmp_path / "manifest.jsonl").open("w") as file:
        for index in range(10_000):
            entry = {"index": index, "file": f"episodes/{index:06d}.safetensors", "size": 4_000_000}
            entry |= {"sha256": hashlib.sha256(str(index).encode()).hexdigest(), "steps": 1000, "total_reward": 1.0}
            file.write(json.dumps(entry | {"seed": index, "policy": "held", "terminated": True}) + "\n")
    started = time.process_time()
    tracemalloc.start()
    store = Store(tmp_path)
    assert store.total_frames == 10_010_000
    source = FrameBatches(store, 100, seed=0)
    order = source.order(7)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    source.close()
    assert order.block_starts[-1] == 10_010_000
    assert len(order.chunks) == 10_000 * 32
    assert np.diff(order.block_starts).max() <= 8192
    assert peak < 60e6
    assert time.process_time() - started < 5


def test_a_mirror_turns_about_half_of_the_frames_and_changes_nothing_else(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, None, :, None], (40, 64, 64, 3)).copy()
    zeros = np.zeros((39, 1), np.float32)
    store = Store(tmp_path)
    store.append(0, Episode(ramp, zeros, zeros[:, 0], terminated=True), seed=0, policy="held")
    frames = np.concatenate([FrameBatches(store, 20, seed=0, mirror=True).batch(update) for update in range(10)])
    turned = frames[:, 0, 0, 0] == 63
    assert 60 < turned.sum() < 140
    assert (frames[turned] == ramp[0, :, ::-1]).all()
    assert (frames[~turned] == ramp[0]).all()


def test_shifted_moves_a_frame_and_what_lies_around_it_alike() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(40, 64, 64, 3), dtype=np.uint8)
    moved, around = shifted((frames, 255 - frames), 3, np.random.default_rng(1))
    assert np.array_equal(around, 255 - moved)
    found = set()
    for frame, image in zip(frames, moved, strict=True):
        padded = np.pad(frame, ((3, 3), (3, 3), (0, 0)), mode="edge")
        places = [(y, x) for y in range(7) for x in range(7) if np.array_equal(padded[y : y + 64, x : x + 64], image)]
        assert len(places) == 1
        found.add(places[0])
    assert len({y for y, _ in found}) == len({x for _, x in found}) == 7  # from -3 to 3
