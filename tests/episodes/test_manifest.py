from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from reverie.episodes.manifest import Entry, Manifest
from reverie.errors import DamagedFileError, ReverieError

ENTRY = Entry(3, "episodes/000003.safetensors", 100, "ab" * 32, 7, 1.5, 12, "held", True)


def line(**changes: object) -> str:
    return json.dumps(asdict(ENTRY) | changes)


def test_entries_come_back_ordered_by_index(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "new" / "manifest.jsonl")
    assert manifest.entries() == ()
    entries = [replace(ENTRY, index=i, total_reward=i / 3) for i in (5, 2, 9)]
    for entry in entries:
        manifest.append(entry)
    expected = (entries[1], entries[0], entries[2])
    assert manifest.entries() == Manifest(manifest.path).entries() == expected
    assert manifest.get(9) == entries[2]
    assert manifest.get(4) is None


def test_what_another_manifest_appends_is_seen(tmp_path: Path) -> None:
    ours, theirs = Manifest(tmp_path / "m"), Manifest(tmp_path / "m")
    ours.append(ENTRY)
    assert theirs.entries() == (ENTRY,)
    later = replace(ENTRY, index=4)
    ours.append(later)
    assert theirs.entries() == (ENTRY, later)


def test_the_later_line_of_an_index_counts(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "m")
    manifest.append(ENTRY)
    manifest.append(replace(ENTRY, seed=99))
    assert [entry.seed for entry in manifest.entries()] == [99]
    assert [entry.seed for entry in Manifest(manifest.path).entries()] == [99]


@pytest.mark.parametrize("length", [1, 20, 5000])
def test_a_torn_last_line_is_passed_over_and_cut_off_by_the_next_append(tmp_path: Path, length: int) -> None:
    manifest = Manifest(tmp_path / "m")
    manifest.append(ENTRY)
    whole = manifest.path.read_bytes()
    manifest.path.write_bytes(whole + b"{" * length)
    assert manifest.entries() == Manifest(manifest.path).entries() == (ENTRY,)
    later = replace(ENTRY, index=4)
    manifest.append(later)
    assert manifest.path.read_bytes() == whole + json.dumps(asdict(later)).encode() + b"\n"
    assert manifest.entries() == (ENTRY, later)


def test_a_torn_first_line_leaves_an_empty_manifest(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b'{"index"')
    manifest = Manifest(tmp_path / "m")
    assert manifest.entries() == ()
    manifest.append(ENTRY)
    assert manifest.entries() == (ENTRY,)


def _append_many(path: Path, first: int) -> None:
    manifest = Manifest(path)
    for index in range(first, first + 50):
        manifest.append(replace(ENTRY, index=index, policy="p" * (index % 60)))


def test_processes_append_at_once_without_losing_or_mixing_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_many, args=(tmp_path / "m", first)) for first in (0, 50, 100)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = Manifest(tmp_path / "m").entries()
    assert [(entry.index, entry.policy) for entry in found] == [(i, "p" * (i % 60)) for i in range(150)]


FIELDS = "index, file, size, sha256, steps, total_reward, seed, policy, terminated"
BROKEN = [
    ("nonsense", "Expecting value: line 1 column 1 (char 0)"),
    ("[1]", f"expected the fields {FIELDS}"),
    ('{"index": 3}', f"expected the fields {FIELDS}"),
    (line(extra=1), f"expected the fields {FIELDS}"),
    (line(steps="7"), "steps is '7', expected int"),
    (line(terminated=1), "terminated is 1, expected bool"),
    (line(index=-1), f"index -1, steps 7, file '{ENTRY.file}' are out of range"),
    (line(file="../../x"), "index 3, steps 7, file '../../x' are out of range"),
    (line(file="/etc/x"), "index 3, steps 7, file '/etc/x' are out of range"),
]


@pytest.mark.parametrize(("text", "reason"), BROKEN)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "m"
    path.write_text(line() + "\n" + text + "\n" + line(index=5) + "\n")
    manifest = Manifest(path)
    for _ in range(2):  # it stays an error, however often it is asked
        with pytest.raises(DamagedFileError) as error:
            manifest.entries()
        assert str(error.value) == (
            f"{path} is damaged: line 2 is no episode's entry ({reason}); "
            "delete that line and run `reverie collect` again"
        )


def test_a_manifest_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(ReverieError) as error:
        Manifest(tmp_path / "m").append(ENTRY)
    assert str(error.value) == (
        f"cannot append to {tmp_path / 'm'}: Is a directory; "
        "make room there or allow writing, then give the same command again"
    )


def test_a_line_cut_by_a_full_disk_is_an_error_and_leaves_the_rest_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(tmp_path / "m")
    manifest.append(ENTRY)
    whole, write = manifest.path.read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:9]))
        with pytest.raises(ReverieError, match=r"cannot append to .*: No space left on device; make room"):
            manifest.append(replace(ENTRY, index=4))
    assert manifest.entries() == (ENTRY,)
    manifest.append(ENTRY)
    assert manifest.path.read_bytes() == whole * 2
