"""Changes to a file's bytes: blind ones, and ones that know JSON or safetensors."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator
LENGTHS = (0, 1, 7, 8, 2**20, 10**8 - 1, 10**8 + 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
NAMES = ("../../outside/secret", "/etc/passwd", "a/../../b", "..", "\0", "", "x" * 5000, "\ud800", "%2e%2e/", "\n\n")
NUMBERS = (-1, 0, 1, 2, 3, 2**31, 2**53, 2**63, 2**64, 10**30, 10**400, -(10**30), 0.5, -0.0, 1e308, 5e-324, 10**12)
HOSTILE: tuple[Any, ...] = (*NAMES, *NUMBERS, None, True, False, [], {}, [[]], [None], {"a": 1}, "7", [1] * 1000)
# as text, since no writer of JSON makes them
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "9" * 5000,
    "[" * 100_000,
    '{"a":' * 5000,
    "[" * 900 + "]" * 900,
)
RAW += ('"\\ud800"', "0x10", "tru", "'a'", "-", '"', "\\", "1.5.5", '"\\u0000"')
MARK = "@hostile@"
DTYPES = (
    "F64",
    "F32",
    "F16",
    "BF16",
    "I64",
    "I32",
    "I8",
    "U8",
    "U16",
    "U32",
    "U64",
    "BOOL",
    "F8_E4M3",
    "F4",
    "C64",
    "X",
    "",
)


class Canary:
    """What a pickle in the place of a file would run."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def pickled(canary: str) -> bytes:
    """A pickle that makes a file at `canary` when it is loaded."""
    return pickle.dumps(Canary(canary))


def blind(data: bytes, rng: Random) -> bytes:
    """Truncate, flip, overwrite, cut out, repeat, insert, append: what knows no format."""
    change = BLIND[rng.integers(len(BLIND))]
    return change(data, rng)


def _place(data: bytes, rng: Random) -> int:
    """Anywhere, but often near the beginning, where headers are."""
    return int(rng.integers(min(len(data), 200) + 1 if rng.random() < 0.3 else len(data) + 1))


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = _place(data, rng)
    return start, min(len(data), start + int(rng.integers(1, 64)))


def _truncate(data: bytes, rng: Random) -> bytes:
    return data[: _place(data, rng)]


def _flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(data: bytes, rng: Random) -> bytes:
    start, stop = _span(data, rng)
    fill = (rng.bytes(stop - start), b"\0" * (stop - start), b"\xff" * (stop - start))[rng.integers(3)]
    return data[:start] + fill + data[stop:]


def _cut_out(data: bytes, rng: Random) -> bytes:
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def _repeat(data: bytes, rng: Random) -> bytes:
    start, stop = _span(data, rng)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 50)) + data[stop:]


def _insert(data: bytes, rng: Random) -> bytes:
    start = _place(data, rng)
    return data[:start] + rng.bytes(int(rng.integers(1, 64))) + data[start:]


def _append(data: bytes, rng: Random) -> bytes:
    return data + (rng.bytes(int(rng.integers(1, 100))), data, b"\n", b"\0" * 5000)[rng.integers(4)]


def _long_header(data: bytes, rng: Random) -> bytes:
    """Another length in the first eight bytes, which is where safetensors has that of its header."""
    return int(LENGTHS[rng.integers(len(LENGTHS))]).to_bytes(8, "little") + data[8:]


BLIND: list[Callable[[bytes, Random], bytes]] = [
    *(_truncate, _flip, _flip, _overwrite, _cut_out, _repeat, _insert, _append, _long_header)
]


def hostile_json(data: bytes, rng: Random) -> bytes:
    """One value, key or line of a JSON text, or of a file of such lines, becomes something else."""
    lines = data.decode().splitlines() if b"\n{" in data else [data.decode()]
    number = int(rng.integers(len(lines)))
    raw = RAW[rng.integers(len(RAW))] if rng.random() < 0.4 else None
    value = altered(json.loads(lines[number]), rng, MARK if raw else None)
    text = json.dumps(value)
    lines[number] = text.replace(f'"{MARK}"', raw, 1) if raw else text
    return ("\n".join(lines) + "\n").encode()


def altered(value: Any, rng: Random, new: Any = None) -> Any:
    """A copy of a JSON value with one change somewhere in it: `new`, or anything hostile."""
    parents = [holder for holder in _holders(value) if len(holder)]
    if not parents or rng.random() < 0.02:
        return new if new is not None else HOSTILE[rng.integers(len(HOSTILE))]
    holder = parents[rng.integers(len(parents))]
    key = list(holder)[rng.integers(len(holder))] if isinstance(holder, dict) else int(rng.integers(len(holder)))
    choice = rng.random()
    if new is None and choice < 0.12:
        del holder[key]
    elif new is None and choice < 0.2 and isinstance(holder, dict):
        holder[NAMES[rng.integers(len(NAMES))]] = holder[key]
    else:
        holder[key] = new if new is not None else HOSTILE[rng.integers(len(HOSTILE))]
    return value


def _holders(value: Any) -> list[Any]:
    """All objects and lists in a JSON value, itself included."""
    found, queue = [], [value]
    while queue:
        item = queue.pop()
        if isinstance(item, dict | list):
            found.append(item)
            queue.extend(item.values() if isinstance(item, dict) else item)
    return found


def hostile_header(data: bytes, rng: Random) -> bytes:
    """Another dtype, shape, offset, name or note in the header of a safetensors file; the tensors stay."""
    header, body = split(data)
    tensors = [name for name in header if name != "__metadata__"]
    name = tensors[rng.integers(len(tensors))]
    tensor = header[name]
    choice = int(rng.integers(7))
    if choice == 0:
        tensor["dtype"] = DTYPES[rng.integers(len(DTYPES))]
    elif choice == 1:
        tensor["shape"] = [int(rng.choice([0, 1, 2**31, 2**62, 2**63, -1, 5])) for _ in range(int(rng.integers(4)))]
    elif choice == 2:
        tensor["data_offsets"] = [int(rng.choice([0, 8, 2**40, len(body), 2**63 - 1, -8])) for _ in range(2)]
    elif choice == 3:
        header[NAMES[rng.integers(len(NAMES))].encode("utf-8", "replace").decode()] = header.pop(name)
    elif choice == 4:
        notes = header.get("__metadata__", {})
        key = list(notes)[rng.integers(len(notes))] if notes else "a"
        notes[key] = [RAW[rng.integers(len(RAW))], "", "x" * 10**6, notes.get(key, "") + "1"][rng.integers(4)]
    elif choice == 5:
        header = altered(header, rng)
    else:
        body = body[: len(body) // 2]
    return join(header, body)


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the tensors of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: Any, body: bytes) -> bytes:
    """A safetensors file of these parts, true or not."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body
