"""Tasks on their way to other machines: what several share travels once, and files come along as copies.

Only bytes between our own processes, through the cluster's object store: nothing here is read from a run's files.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

Files = dict[str, bytes]  # content by path below the file's or folder's place; "" for a file


class Item(NamedTuple):
    """Something that was put into the object store: the digest of its content, and where it is."""

    key: str
    ref: Any


class Freight:
    """What the tasks of one `map` share, each thing put into the store once for as long as it does not change."""

    def __init__(self, put: Callable[[Any], Any]) -> None:
        self._put = put
        self._files: dict[Path, tuple[tuple[Any, ...], Item]] = {}
        self._shared: dict[str, Item] = {}

    def load(self, files: Sequence[Path], shared: Sequence[object]) -> Packer:
        """Put what is new or has changed; returns what packs the tasks that hold these paths and objects."""
        by_path = {path: self._file(path) for path in files}
        pickled = [pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL) for value in shared]
        keys = [hashlib.sha256(data).hexdigest() for data in pickled]
        known, self._shared = self._shared, {}
        for key, data in zip(keys, pickled, strict=True):
            self._shared[key] = known.get(key) or self._shared.get(key) or Item(key, self._put(data))
        by_id = {id(value): self._shared[key] for value, key in zip(shared, keys, strict=True)}
        return Packer(by_path, by_id)

    def _file(self, path: Path) -> Item:
        found = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        state = tuple((str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in found)
        if path not in self._files or self._files[path][0] != state:
            content = {"" if file == path else str(file.relative_to(path)): file.read_bytes() for file in found}
            self._files[path] = (state, Item(_digest(path, content), self._put(content)))
        return self._files[path][1]


@dataclass(frozen=True)
class Packer:
    """Pickles tasks, leaving out what travels by itself: `files` by path, `shared` by identity."""

    files: Mapping[Path, Item]
    shared: Mapping[int, Item]

    @property
    def items(self) -> dict[str, Any]:
        """Where everything that was left out is, by its name in the parcels."""
        files = {f"file {path.name} {item.key}": item.ref for path, item in self.files.items()}
        return files | {f"object {item.key}": item.ref for item in self.shared.values()}

    def pack(self, value: object) -> bytes:
        """`value` as bytes for `unpack`."""
        stream = io.BytesIO()
        _Pickler(stream, self.name).dump(value)
        return stream.getvalue()

    def name(self, value: object) -> str | None:
        """What stands for `value` in a parcel; None for what goes as it is."""
        if isinstance(value, Path):
            item = self.files.get(value)
            return None if item is None else f"file {value.name} {item.key}"
        item = self.shared.get(id(value))
        return None if item is None else f"object {item.key}"


def unpack(data: bytes, find: Callable[[str], Any]) -> Any:
    """The inverse of `Packer.pack`; `find` gives what was left out, by its name."""
    return _Unpickler(io.BytesIO(data), find).load()


def lay_out(content: Files, folder: Path, name: str) -> Path:
    """Write what `Freight` read of a file or folder below `folder`/`name`; returns its path.

    Many processes of one machine may do so at once: each writes to a name of its own, and the first rename counts.
    """
    place = folder / name
    if place.exists():
        return place
    draft = folder / f"{name}.{os.getpid()}"
    for below, data in content.items():
        file = draft / below if below else draft
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    try:
        draft.rename(place)
    except OSError:  # another process was first: a folder that holds files is not replaced
        assert place.exists(), place
    return place


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, name: Callable[[object], str | None]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._name = name

    def persistent_id(self, value: object) -> str | None:
        return self._name(value)


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, find: Callable[[str], Any]) -> None:
        super().__init__(stream)
        self._find = find

    def persistent_load(self, name: str) -> Any:
        return self._find(name)


def _digest(path: Path, content: Files) -> str:
    digest = hashlib.sha256(path.name.encode())
    for name, data in content.items():
        digest.update(f"{name} {len(data)} ".encode() + data)
    return digest.hexdigest()
