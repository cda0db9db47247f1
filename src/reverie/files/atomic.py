"""Files that are whole or absent: a write that is interrupted anywhere leaves the previous content in place.

Each write goes to a temporary name in the same folder, is flushed to the disk, renamed over the target, and the
folder is flushed too, so that the order of several writes survives a power cut as well as `kill -9`.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import re
import secrets
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from reverie.errors import DamagedFileError, ReverieError

RESTORE = "restore it from a copy, or remove it to have it made again"
LARGEST, LARGEST_JSON = 4 << 30, 256 << 20  # bytes: what claims to be larger is nothing that we wrote
DEEPEST_JSON = 50  # lists and objects in one another; far below where Python's own recursion ends
DIVERGED = "training diverged: try gentler settings, such as a lower learning rate"
# flags of `os.open` that not every system has
NO_LINKS, NO_WAIT, CLOSED, BYTES = (
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
_TOKEN = secrets.token_hex(4)  # tells this process's temporary files from those of a dead one with the same id
_COUNTER = itertools.count()
_TEMPORARY = re.compile(r".+\.(\d+)-([0-9a-f]{8})-\d+\.tmp")


def write_bytes(path: str | Path, data: bytes) -> None:
    """Put `data` at `path`, replacing what is there in one step; missing folders are created.

    Raises `ReverieError` where the folder cannot take it (full, read-only); the old content then stays.
    """
    path = Path(path)
    try:
        _make_folder(path.parent)
        _replace(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_json(path: str | Path, obj: Any) -> None:
    """Put `obj` at `path` as indented JSON, as `write_bytes` does; NaN and infinities raise `ValueError`."""
    write_bytes(path, (json.dumps(obj, indent=2, allow_nan=False) + "\n").encode())


def cannot_write(path: Path, error: OSError) -> ReverieError:
    """What the user reads where the disk is full or the folder is read-only."""
    return ReverieError(
        f"cannot write {path.name} in {path.parent}: {error.strerror or error}; "
        "make room there or allow writing, then give the same command again"
    )


def read_bytes(path: str | Path, remedy: str = RESTORE, largest: int = LARGEST) -> bytes:
    """The content of a regular file of at most `largest` bytes.

    A missing one, a link or a device raises `DamagedFileError` ending in `remedy`.
    """
    path = Path(path)
    with open_regular(path, remedy) as file:
        _require_size(path, file, largest, remedy)
        try:
            return file.read()
        except OSError as error:
            raise ReverieError(f"cannot read {path}: {error.strerror}; check the disk") from error


def read_json(path: str | Path, remedy: str = RESTORE) -> Any:
    """The JSON value at `path`; raises `DamagedFileError` where there is none."""
    data = read_bytes(path, remedy, LARGEST_JSON)
    try:
        return parse_json(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not valid JSON ({error}); {remedy}") from None


def read_object(path: str | Path, remedy: str = RESTORE) -> dict[str, Any]:
    """The JSON object at `path`; raises `DamagedFileError` for any other value."""
    value = read_json(path, remedy)
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path} holds a JSON {type(value).__name__}, expected an object; {remedy}")
    return value


def parse_json(data: bytes | str) -> Any:
    """The JSON value in `data`; raises `ValueError` or `RecursionError`.

    Refused too is what Python's parser takes but no other need: NaN, numbers too large for a float, half of a
    surrogate pair, a thousand lists in one another.
    """
    text = data if isinstance(data, str) else data.decode()
    value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    if text.count("[") + text.count("{") > DEEPEST_JSON:
        _require_shallow(value)
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST_JSON):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]
    if level:
        raise ValueError(f"its values lie over {DEEPEST_JSON} deep in one another")


def sha256(path: str | Path, remedy: str = RESTORE) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits; errors as those of `read_bytes`."""
    path = Path(path)
    with open_regular(path, remedy) as file:
        _require_size(path, file, LARGEST, remedy)
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep_temporary(folder: str | Path) -> None:
    """Remove the temporary files that dead writers left in `folder`; those of living processes stay."""
    for path in Path(folder).glob("*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_being_written(int(match[1]), match[2]):
            path.unlink(missing_ok=True)


def sweep_all_temporary(folder: str | Path) -> None:
    """Remove the temporary files of all other processes anywhere below `folder`, which this process has to itself.

    The number of a dead writer may be that of a living process by now, which `sweep_temporary` would believe.
    """
    for path in Path(folder).rglob("*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and (int(match[1]), match[2]) != (os.getpid(), _TOKEN):  # forks share the token
            path.unlink(missing_ok=True)


def sync_folder(folder: str | Path) -> None:
    """Make renames and removals in `folder` last through a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | CLOSED)
    except PermissionError:
        if os.name == "nt":  # where folders cannot be opened
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # some disks know no such thing
            raise
    finally:
        os.close(descriptor)


def open_regular(path: Path, remedy: str = RESTORE) -> BufferedReader:
    """A regular file, opened to be read; errors as those of `read_bytes`."""
    flags = os.O_RDONLY | NO_LINKS | NO_WAIT | CLOSED | BYTES  # a FIFO would otherwise wait for a writer
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise DamagedFileError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DamagedFileError(f"{path} is a link, expected a regular file; {remedy}") from None
        raise ReverieError(f"cannot read {path}: {error.strerror}; allow reading it") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedFileError(f"{path} is not a regular file; {remedy}")
    return open(descriptor, "rb")


def require_regular(path: Path, remedy: str = RESTORE) -> None:
    """Refuse, as `read_bytes` does, what a library that opens files by their name would follow, wait for or map."""
    with open_regular(path, remedy) as file:
        _require_size(path, file, LARGEST, remedy)


def _require_size(path: Path, file: BufferedReader, largest: int, remedy: str) -> None:
    size = os.fstat(file.fileno()).st_size
    if size > largest:
        raise DamagedFileError(f"{path} has {size:,} bytes, expected at most {largest:,}; {remedy}")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{_TOKEN}-{next(_COUNTER)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _is_being_written(process: int, token: str) -> bool:
    return token == _TOKEN if process == os.getpid() else is_running(process)


def is_running(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
