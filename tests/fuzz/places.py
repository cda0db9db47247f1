"""What may stand in the place of a file: nothing, a link, a pipe, a device, a file without end, one of the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.mutations import Random, pickled

Place = Callable[[Path, Random], None]
TERABYTE = 2**40
OUTSIDE = "outside"  # beside the samples: nothing in it is ever to be read
SECRET = "secret"


def _nothing(file: Path, rng: Random) -> None:
    """Already removed."""


def _empty(file: Path, rng: Random) -> None:
    file.touch()


def _link_out(file: Path, rng: Random) -> None:
    """A link to a whole file of this very kind, but elsewhere."""
    file.symlink_to(_samples(file).parent / OUTSIDE / file.relative_to(_samples(file)))


def _link_loop(file: Path, rng: Random) -> None:
    file.symlink_to(file)


def _link_device(file: Path, rng: Random) -> None:
    file.symlink_to("/dev/zero")


def _pipe(file: Path, rng: Random) -> None:
    os.mkfifo(file)


def _folder(file: Path, rng: Random) -> None:
    file.mkdir()


def _endless(file: Path, rng: Random) -> None:
    """A terabyte of zeros that takes no room."""
    with file.open("wb") as opened:
        opened.truncate(TERABYTE)


def _whole_then_endless(file: Path, rng: Random) -> None:
    """The file as it was, and a terabyte of zeros."""
    file.write_bytes((_samples(file).parent / OUTSIDE / file.relative_to(_samples(file))).read_bytes())
    os.truncate(file, TERABYTE)


def _other_file(file: Path, rng: Random) -> None:
    """Another of our own files, whole, under this name."""
    outside = _samples(file).parent / OUTSIDE
    others = sorted(path for path in outside.rglob(f"*{file.suffix}") if path.name != file.name)
    file.write_bytes(others[rng.integers(len(others))].read_bytes())


def _pickle(file: Path, rng: Random) -> None:
    file.write_bytes(pickled(str(_samples(file).parent / "canary")))


def _samples(file: Path) -> Path:
    return next(parent for parent in file.parents if parent.name == "samples")


PLACES: list[Place] = [
    *(_nothing, _empty, _link_out, _link_loop, _link_device, _pipe, _folder, _endless, _whole_then_endless),
    *(_other_file, _other_file, _pickle),
]


def put_in_place(file: Path, rng: Random) -> str:
    """Put one of these at `file`; returns which."""
    place = PLACES[rng.integers(len(PLACES))]
    file.unlink()
    place(file, rng)
    return place.__name__.strip("_")
