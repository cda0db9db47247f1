"""The list of a store's episodes: one JSON line each, appended whole, by any number of processes.

An append is one write under an exclusive lock, so lines never mix. A process that is killed while writing leaves a
last line without its newline: readers pass over it, the next append cuts it off.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from reverie.episodes.config import MOST_STEPS
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import CLOSED, LARGEST, NO_LINKS, open_regular, parse_json
from reverie.files.locks import lock


@dataclass(frozen=True)
class Entry:
    """One episode of a store.

    index: its place; episodes are ordered by it
    file: its file's name, relative to the store's folder
    size: bytes of that file
    sha256: of that file
    steps: T; it has T + 1 frames
    total_reward: the sum of its rewards
    seed: the world's seed
    policy: what acted
    terminated: the world ended it (False: it was cut off)
    """

    index: int
    file: str
    size: int
    sha256: str
    steps: int
    total_reward: float
    seed: int
    policy: str
    terminated: bool


AGAIN = "delete that line and run `reverie collect` again"
WHOLE = "restore it from a copy, or remove it and run `reverie collect` again"
MOST_EPISODES = 10**8
FILE = re.compile(r"episodes/\d{6,9}\.safetensors")  # no other path is ever opened
SHA256 = re.compile(r"[0-9a-f]{64}")
TYPES = {field.name: {"int": int, "str": str, "float": float, "bool": bool}[str(field.type)] for field in fields(Entry)}


class Manifest:
    """An append-only file of entries; for an index that comes twice, the later line counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._consumed = 0  # bytes of complete lines that are in _entries
        self._line_count = 0
        self._entries: dict[int, Entry] = {}
        self._sorted: tuple[Entry, ...] = ()

    def append(self, entry: Entry) -> None:
        """Add one entry. It is not flushed to the disk: a line lost in a power cut costs that episode, played again."""
        line = json.dumps(asdict(entry)).encode() + b"\n"
        try:
            with self._locked() as file:
                _cut_torn_line(file)
                if os.write(file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise ReverieError(
                f"cannot append to {self.path}: {error.strerror or error}; "
                "make room there or allow writing, then give the same command again"
            ) from error

    def entries(self) -> tuple[Entry, ...]:
        """All entries by index, what other processes appended so far included. Raises DamagedFileError."""
        lines = self._fresh_lines()
        if lines:
            self._entries |= {entry.index: entry for entry in self._parsed(lines)}
            self._consumed += sum(len(line) + 1 for line in lines)
            self._line_count += len(lines)
            self._sorted = tuple(entry for _, entry in sorted(self._entries.items()))
        return self._sorted

    def get(self, index: int) -> Entry | None:
        """The entry of one index, where there is one."""
        self.entries()
        return self._entries.get(index)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_LINKS | CLOSED, 0o644)
        try:
            lock(file)
            yield file
        finally:
            os.close(file)  # also gives the lock back

    def _fresh_lines(self) -> list[bytes]:
        """The complete lines that no earlier call has taken in."""
        try:
            status = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        if status.st_size < self._consumed:  # another file took the place of the one that was read
            self._consumed, self._line_count, self._entries, self._sorted = 0, 0, {}, ()
        if status.st_size == self._consumed and stat.S_ISREG(status.st_mode):
            return []
        if status.st_size > LARGEST:
            raise DamagedFileError(f"{self.path} has {status.st_size:,} bytes, expected at most {LARGEST:,}; {WHOLE}")
        with open_regular(self.path, WHOLE) as file:
            file.seek(self._consumed)
            return file.read().split(b"\n")[:-1]  # after the last newline stands nothing, or a torn line

    def _parsed(self, lines: list[bytes]) -> Iterator[Entry]:
        for number, line in enumerate(lines, self._line_count + 1):
            try:
                yield _parse(line)
            except (ValueError, RecursionError) as error:
                raise DamagedFileError(
                    f"{self.path} is damaged: line {number} is no episode's entry ({error}); {AGAIN}"
                ) from None


def _parse(line: bytes) -> Entry:
    fields_read = parse_json(line)
    if not isinstance(fields_read, dict) or fields_read.keys() != TYPES.keys():
        raise ValueError(f"expected the fields {', '.join(TYPES)}")
    for name, kind in TYPES.items():
        if type(fields_read[name]) is not kind:
            raise ValueError(f"{name} is {fields_read[name]!r:.100}, expected {kind.__name__}")
    entry = Entry(**fields_read)
    is_known = 0 <= entry.index < MOST_EPISODES and FILE.fullmatch(entry.file)
    if not is_known or not 0 <= entry.steps <= MOST_STEPS:
        raise ValueError(f"index {entry.index}, steps {entry.steps}, file {entry.file[:100]!r} are out of range")
    if not 0 <= entry.seed < 2**32 or not 0 <= entry.size <= LARGEST or not SHA256.fullmatch(entry.sha256):
        raise ValueError(f"seed {entry.seed}, size {entry.size}, sha256 {entry.sha256[:100]!r} are out of range")
    return entry


def _cut_torn_line(file: int) -> None:
    """Truncate what stands after the last newline: the write that a killed process did not finish."""
    end = size = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - 4096)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
