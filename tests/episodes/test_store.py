from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from reverie.episodes.episode_file import FRAME_BYTES
from reverie.episodes.store import Problem, Store
from reverie.errors import DamagedFileError, ReverieError

from .episodes import assert_same_episode, make_episode

STEPS = (70, 0, 31, 32)
REMEDY = "delete the file and run `reverie collect` again"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "rollouts")
    for index, steps in enumerate(STEPS):
        store.append(index, make_episode(steps, seed=index), seed=100 + index, policy="held")
    return store


def test_an_empty_folder_is_an_empty_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "nothing")
    assert (store.entries, store.total_steps, store.total_frames, store.verify()) == ((), 0, 0, [])
    assert not (tmp_path / "nothing").exists()


def test_what_was_appended_is_read(store: Store) -> None:
    again = Store(store.folder)
    assert again.verify() == []
    assert (again.total_steps, again.total_frames) == (sum(STEPS), sum(STEPS) + len(STEPS))
    for index, entry in enumerate(again.entries):
        expected = make_episode(STEPS[index], seed=index)
        assert_same_episode(again.read(index), expected)
        assert (entry.index, entry.steps, entry.seed, entry.policy) == (index, STEPS[index], 100 + index, "held")
        assert (entry.total_reward, entry.terminated) == (expected.total_reward, expected.terminated)
        assert entry.size == (store.folder / entry.file).stat().st_size
        assert again.is_present(entry)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (0, 71), (31, 33), (32, 64), (5, 20), (64, 71), (70, 71), (33, 70)]
)
def test_any_range_of_frames_is_read(store: Store, start: int, stop: int) -> None:
    np.testing.assert_array_equal(store.frames(0, start, stop), make_episode(70, seed=0).frames[start:stop])


def test_a_range_reads_only_the_chunks_that_hold_it(store: Store) -> None:
    """Everything but the middle chunk is destroyed; its frames are still read."""
    path = store.folder / store.entries[0].file
    offsets = load_file(path)["offsets"]
    data = bytearray(path.read_bytes())
    base = _frames_begin(data)
    for first, last in ((0, offsets[1]), (offsets[2], offsets[3])):
        data[base + first : base + last] = bytes(int(last - first))
    path.write_bytes(data)
    np.testing.assert_array_equal(store.frames(0, 32, 64), make_episode(70, seed=0).frames[32:64])
    with pytest.raises(DamagedFileError, match="does not match its checksum"):
        store.frames(0, 31, 33)


def _frames_begin(data: bytes) -> int:
    header = int.from_bytes(data[:8], "little")
    return 8 + header + json.loads(data[8 : 8 + header])["frames"]["data_offsets"][0]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 3), (5, 2), (0, 72)])
def test_a_range_outside_the_episode_is_an_error(store: Store, start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=rf"frames {start}\.\.{stop} of episode 0, which has frames 0\.\.71"):
        store.frames(0, start, stop)


def test_an_index_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(ReverieError) as error:
        store.read(9)
    assert str(error.value) == f"{store.folder} has no episode 9; it has 4: run `reverie collect`"


def test_a_replaced_episode_is_the_one_that_is_read(store: Store) -> None:
    store.append(2, make_episode(40, seed=9), seed=1, policy="sweep")
    assert_same_episode(Store(store.folder).read(2), make_episode(40, seed=9))
    assert [entry.index for entry in store.entries] == [0, 1, 2, 3]
    assert store.verify() == []


def _append_range(folder: Path, indices: range) -> None:
    store = Store(folder)
    for index in indices:
        store.append(index, make_episode(index, seed=index), seed=index, policy="held")


def test_processes_append_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_range, args=(tmp_path, range(first, 40, 2))) for first in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    store = Store(tmp_path)
    assert [entry.steps for entry in store.entries] == list(range(40))
    assert store.verify() == []
    assert_same_episode(store.read(39), make_episode(39, seed=39))


def test_an_episode_file_without_its_line_is_not_in_the_store(store: Store) -> None:
    """Killed between the file and the manifest: the index is free, and appending it again is whole."""
    manifest = store.folder / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    resumed = Store(store.folder)
    assert [entry.index for entry in resumed.entries] == [0, 1, 2]
    resumed.append(3, make_episode(32, seed=3), seed=103, policy="held")
    assert manifest.read_bytes() == b"".join(lines)
    assert resumed.verify() == []


def test_verify_names_every_file_that_is_not_as_written(store: Store) -> None:
    paths = [store.folder / entry.file for entry in store.entries]
    paths[0].unlink()
    data = bytearray(paths[1].read_bytes())
    data[-1] ^= 1
    paths[1].write_bytes(data)
    size = paths[2].stat().st_size
    paths[2].write_bytes(paths[2].read_bytes()[:-5])
    assert store.verify() == [
        Problem(str(paths[0]), "missing", "run `reverie collect` again"),
        Problem(str(paths[1]), "its SHA-256 is not the manifest's", REMEDY),
        Problem(str(paths[2]), f"has {size - 5} bytes, expected {size}", REMEDY),
    ]
    assert [store.is_present(entry) for entry in store.entries] == [False, True, False, True]


def test_verify_reports_a_damaged_manifest(store: Store) -> None:
    path = store.folder / "manifest.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    assert Store(store.folder).verify() == [
        Problem(
            str(path),
            "is damaged: line 1 is no episode's entry (Expecting value: line 1 column 1 (char 0))",
            "delete that line and run `reverie collect` again",
        )
    ]


def test_an_altered_file_is_refused_by_read(store: Store) -> None:
    path = store.folder / store.entries[0].file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError) as error:
        store.read(0)
    assert str(error.value) == f"{path} is damaged: its SHA-256 is not the manifest's; {REMEDY}"


def test_a_missing_file_is_named(store: Store) -> None:
    path = store.folder / store.entries[0].file
    path.unlink()
    for read in (lambda: store.read(0), lambda: store.frames(0, 0, 1)):
        with pytest.raises(DamagedFileError) as error:
            read()
        assert str(error.value) == f"{path} is damaged: it is missing; {REMEDY}"


def test_a_truncated_file_is_named(store: Store) -> None:
    path = store.folder / store.entries[0].file
    for size in (0, 4, 100, path.stat().st_size - 1):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(DamagedFileError) as error:
            store.frames(0, 0, 1)
        assert str(error.value).startswith(f"{path} is damaged: it is no safetensors file (")


ABOUT = {"format": "reverie-episode-1", "steps": 70, "terminated": False}
EXPECTED = "expected {'format': 'reverie-episode-1', 'steps': 70}"
BROKEN: list[tuple[dict, dict, str]] = [
    ({}, ABOUT | {"steps": 71}, f"it calls itself {ABOUT | {'steps': 71}}, {EXPECTED}"),
    ({}, ABOUT | {"format": "zip"}, f"it calls itself {ABOUT | {'format': 'zip'}}, {EXPECTED}"),
    ({}, ABOUT | {"terminated": "no"}, f"it calls itself {ABOUT | {'terminated': 'no'}}, {EXPECTED}"),
    ({}, {}, f"it calls itself {{}}, {EXPECTED}"),
    (
        {"more": np.zeros(1)},
        ABOUT,
        "it holds ['actions', 'checksums', 'frames', 'more', 'offsets', 'rewards'], "
        "expected ['actions', 'checksums', 'frames', 'offsets', 'rewards']",
    ),
    ({"actions": np.zeros((70, 2))}, ABOUT, "actions is F64 [70, 2], which 70 steps cannot have"),
    ({"actions": np.zeros(70, np.float32)}, ABOUT, "actions is F32 [70], which 70 steps cannot have"),
    ({"rewards": np.zeros(71, np.float32)}, ABOUT, "rewards is F32 [71], which 70 steps cannot have"),
    ({"frames": np.zeros((9, 9), np.uint8)}, ABOUT, "frames is U8 [9, 9], which 70 steps cannot have"),
    ({"offsets": np.zeros(3, np.int64)}, ABOUT, "offsets is I64 [3], which 70 steps cannot have"),
    ({"checksums": np.zeros(3, np.int64)}, ABOUT, "checksums is I64 [3], which 70 steps cannot have"),
    ({"offsets": np.array([0, 2, 1, 3])}, ABOUT, "chunk offsets [0, 2, 1, 3] do not lie in its SIZE bytes"),
    ({"offsets": np.array([-1, 2, 3, 4])}, ABOUT, "chunk offsets [-1, 2, 3, 4] do not lie in its SIZE bytes"),
    (
        {"offsets": np.array([0, 2, 3, 1 << 40])},
        ABOUT,
        f"chunk offsets [0, 2, 3, {1 << 40}] do not lie in its SIZE bytes",
    ),
]


@pytest.mark.parametrize(("tensors", "about", "reason"), BROKEN)
def test_a_file_with_other_contents_is_named(store: Store, tensors: dict, about: dict, reason: str) -> None:
    path = store.folder / store.entries[0].file
    altered = load_file(path) | tensors
    save_file(altered, path, metadata={"episode": json.dumps(about)})
    reason = reason.replace("SIZE", str(len(altered["frames"])))
    with pytest.raises(DamagedFileError) as error:
        store.frames(0, 0, 71)
    assert str(error.value) == f"{path} is damaged: {reason}; {REMEDY}"


def test_frames_are_stored_compressed(store: Store) -> None:
    assert store.entries[0].size < 71 * FRAME_BYTES / 10
