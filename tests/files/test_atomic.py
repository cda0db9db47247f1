"""Writes are whole or absent, reads name what is wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import (
    read_bytes,
    read_json,
    read_object,
    sha256,
    sweep_all_temporary,
    sweep_temporary,
    write_bytes,
    write_json,
)
from tests.files.crashes import cut_everywhere

RESTORE = "restore it from a copy, or remove it to have it made again"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new" / "deeper" / "a", b"one")
    write_bytes(str(tmp_path / "new" / "deeper" / "a"), b"two")
    assert read_bytes(tmp_path / "new" / "deeper" / "a") == b"two"
    assert _names(tmp_path / "new" / "deeper") == ["a"]
    value = {"text": "é\n", "numbers": [1, -2.5e-300, 2**70], "nothing": None}
    write_json(tmp_path / "b.json", value)
    assert read_json(tmp_path / "b.json") == value == read_object(tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes().endswith(b"}\n")


def test_the_mode_is_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert read_bytes(tmp_path / "link") == b"new"


def test_sha256_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_power_cut_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "a"
    seen = set()

    def check(call: int) -> None:
        seen.add(path.read_bytes())

    cuts = cut_everywhere(lambda: write_bytes(path, b"new" * 1000), check, lambda: path.write_bytes(b"old"))
    assert cuts >= 3  # the data, the rename and the folder are each flushed or done
    assert seen == {b"old", b"new" * 1000}


def test_the_order_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data reach the disk before the name does, and the name before the call returns."""
    order = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor: int) -> None:
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "data")
        fsync(descriptor)

    def recording_replace(source: Path, target: Path) -> None:
        order.append(f"name {os.path.getsize(source)}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    write_bytes(tmp_path / "a", b"12345")
    assert order == ["data", "name 5", "folder"]


@pytest.mark.parametrize(
    ("call", "number", "reason"),
    [
        ("fsync", errno.ENOSPC, "No space left on device"),
        ("replace", errno.EROFS, "Read-only file system"),
        ("fsync", errno.EIO, "Input/output error"),
    ],
)
def test_a_folder_that_cannot_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ReverieError) as caught:
        write_bytes(tmp_path / "a", b"new")
    assert str(caught.value) == (
        f"cannot write a in {tmp_path}: {reason}; make room there or allow writing, then give the same command again"
    )
    assert read_bytes(tmp_path / "a") == b"old"
    assert _names(tmp_path) == ["a"]


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(ReverieError, match=r"^cannot write b in .*a: File exists; make room"):
        write_bytes(tmp_path / "a" / "b", b"")


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    """The real thing where the system limits the size of files: the write itself comes up short."""
    program = (
        "import resource, signal, sys\n"
        "from reverie.files.atomic import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "write_bytes(sys.argv[1], b'n' * 100_000)\n"
    )
    write_bytes(tmp_path / "a", b"old")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True)
    assert f"ReverieError: cannot write a in {tmp_path}: File too large; make room there" in done.stderr
    assert _names(tmp_path) == ["a"]
    assert read_bytes(tmp_path / "a") == b"old"


def _nothing(path: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    path.with_name("real").write_text("{}")
    path.symlink_to("real")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _content(data: bytes) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        path.write_bytes(data)

    return put


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_nothing, "{path} is missing; {remedy}"),
        (_folder, "{path} is not a regular file; {remedy}"),
        (_link, "{path} is a link, expected a regular file; {remedy}"),
        (_fifo, "{path} is not a regular file; {remedy}"),
        (_content(b""), "{path} is not valid JSON (Expecting value: line 1 column 1 (char 0)); {remedy}"),
        (
            _content(b'{"a": 1'),
            "{path} is not valid JSON (Expecting ',' delimiter: line 1 column 8 (char 7)); {remedy}",
        ),
        (_content(b'{"a": NaN}'), "{path} is not valid JSON (NaN is not a JSON number); {remedy}"),
        (_content(b"[1]"), "{path} holds a JSON list, expected an object; {remedy}"),
        (_content(b"3"), "{path} holds a JSON int, expected an object; {remedy}"),
    ],
)
def test_what_is_not_an_object(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "a.json"
    damage(path)
    with pytest.raises(DamagedFileError) as caught:
        read_object(path)
    assert str(caught.value) == message.format(path=path, remedy=RESTORE)


BREAKING = {
    "binary": b"\xff\xfe\x00",
    "open": b"[" * 100_000,
    "deep": b"[" * 60 + b"]" * 60,
    "long": b"9" * 10_000,
    "infinite": b'{"a": 1e999}',
    "half": b'"\\ud800"',
}


@pytest.mark.parametrize("data", BREAKING.values(), ids=BREAKING)
def test_json_that_breaks_parsers(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"a\.json is not valid JSON \(.*\); restore it"):
        read_json(tmp_path / "a.json")


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)  # takes no room
    for read, most in ((read_bytes, "4,294,967,296"), (sha256, "4,294,967,296"), (read_json, "268,435,456")):
        with pytest.raises(DamagedFileError) as caught:
            read(tmp_path / "a")
        expected = f"{tmp_path / 'a'} has 1,099,511,627,776 bytes, expected at most {most}; {RESTORE}"
        assert str(caught.value) == expected


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReverieError) as caught:
        read_bytes(tmp_path / "a")
    assert str(caught.value) == f"cannot read {tmp_path / 'a'}: Permission denied; allow reading it"
    assert not isinstance(caught.value, DamagedFileError)


def test_nan_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert _names(tmp_path) == []


def own_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What tells this process's temporary files from those of a dead one with the same id."""
    names: list[str] = []
    inner = os.replace

    def watched(source: Path, target: Path) -> None:
        names.append(source.name)
        inner(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", watched)
        write_bytes(folder / "own", b"")
    (folder / "own").unlink()
    return names[0].split(".")[-2].split("-")[1]


def test_sweeping_spares_the_living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = own_token(tmp_path, monkeypatch)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        kept = [f"a.{living.pid}-00000000-0.tmp", f"a.{os.getpid()}-{token}-7.tmp", "theirs.tmp", "a"]
        with subprocess.Popen([sys.executable, "-c", ""]) as dead:
            pass
        swept = [f"a.{dead.pid}-00000000-0.tmp", f"a.{os.getpid()}-00000000-3.tmp"]
        for name in kept + swept:
            (tmp_path / name).write_bytes(b"")
        sweep_temporary(tmp_path)
        assert _names(tmp_path) == sorted(kept)
        living.communicate(b"\n")


def test_whoever_has_a_folder_to_himself_sweeps_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was left by a process whose number somebody else has now."""
    token = own_token(tmp_path, monkeypatch)
    (tmp_path / "deeper").mkdir()
    kept = [f"deeper/a.{os.getpid()}-{token}-7.tmp", "theirs.tmp", "deeper/a"]
    for name in [*kept, f"a.{os.getppid()}-00000000-0.tmp", f"deeper/a.{os.getpid()}-00000000-3.tmp"]:
        (tmp_path / name).write_bytes(b"")
    sweep_all_temporary(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
