"""Locks where the disk knows them, and where it does not."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from reverie.files import locks
from reverie.files.locks import lock


def test_one_at_a_time(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    lock(first)
    with pytest.raises(BlockingIOError):
        lock(second, wait=False)
    os.close(first)
    lock(second, wait=False)
    os.close(second)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_told_once_and_used(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    locks.tell_once.cache_clear()
    file = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with caplog.at_level(logging.WARNING, "reverie.files"):
        lock(file)
        lock(file, wait=False)
    os.close(file)
    (record,) = caplog.records
    assert record.message.startswith(f"the disk of this run knows no locks ({os.strerror(number)}): give one command")


def test_a_system_without_locks_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    lock(-1)
