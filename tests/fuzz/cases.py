"""One case: a sample is changed in one of many ways, read, judged, and put back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reverie.errors import ReverieError
from tests.fuzz.bounds import OutOfBoundsError, Watch
from tests.fuzz.forging import forge
from tests.fuzz.mutations import Random, blind, hostile_header, hostile_json
from tests.fuzz.places import OUTSIDE, put_in_place
from tests.fuzz.readers import READERS, Reader, Reported, is_as_written

LONGEST_MESSAGE = 1000
Verdict = Literal["refused", "as written", "taken", "fault"]


@dataclass(frozen=True)
class Outcome:
    """What came of one case.

    verdict: refused by our error; read as it was written; taken with another content, where no checksum can tell;
        or a fault
    """

    number: int
    reader: str
    change: str
    verdict: Verdict
    detail: str = ""


class Bench:
    """Samples in `folder`, and what each reader says of them untouched."""

    def __init__(self, folder: Path) -> None:
        self.samples, self.canary = folder / "samples", folder / "canary"
        self.outside = folder / OUTSIDE
        shutil.copytree(self.samples, self.outside, dirs_exist_ok=True)
        self.original = {reader.name: reader.read(self.samples) for reader in READERS}
        self.watch = Watch(self.outside)

    def case(self, number: int, seed: int) -> Outcome:
        """Case `number` of the series `seed`; each is a function of these two."""
        rng = np.random.default_rng([seed, number])
        reader = READERS[number % len(READERS)]
        with self._put_back(reader.file):
            change, forged = _change(self.samples / reader.file, rng)
            allowed = (change == "nothing" and reader.optional) or (change == "other_file" and reader.lone)
            verdict, detail = self._judge(reader, forged or allowed)
        return Outcome(number, reader.name, change, verdict, detail)

    def _judge(self, reader: Reader, may_differ: bool) -> tuple[Verdict, str]:
        try:
            with self.watch.reading():
                found = reader.read(self.samples)
            verdict: tuple[Verdict, str] = self._judge_content(reader, found, may_differ)
        except Reported as reported:
            verdict = _judge_messages(reader, list(reported.args))
        except ReverieError as error:
            verdict = _judge_messages(reader, [str(error)])
        except (Exception, OutOfBoundsError) as error:
            verdict = "fault", f"{type(error).__name__}: {error!s:.300}"
        return ("fault", "a pickle was loaded") if self.canary.exists() else verdict

    def _judge_content(self, reader: Reader, found: Any, may_differ: bool) -> tuple[Verdict, str]:
        if is_as_written(found, self.original[reader.name]):
            return "as written", ""
        if may_differ or not reader.sealed:
            return "taken", ""
        return "fault", "other content was taken for the file's own"

    @contextmanager
    def _put_back(self, name: str) -> Iterator[None]:
        """Every file beside the changed one too: changes reach into records and manifests."""
        file = self.samples / name
        try:
            yield
        finally:
            for folder in {file.parent, file.parent.parent} - {self.samples}:
                _restore(folder, self.outside / folder.relative_to(self.samples))


def _change(file: Path, rng: Random) -> tuple[str, bool]:
    """Change the file; returns how, and whether its checksums were made to fit."""
    choice, is_json = rng.random(), file.suffix != ".safetensors"
    if choice < 0.12:
        return put_in_place(file, rng), False
    if choice < 0.37:
        forge(file, rng)
        return "forged", True
    informed = hostile_json if is_json else hostile_header
    change = informed if choice < 0.65 else blind
    data = file.read_bytes()
    for _ in range(int(rng.integers(1, 3)) if change is blind else 1):
        data = change(data, rng) if data else data
    file.write_bytes(data)
    return change.__name__.replace("_", " "), False


def _judge_messages(reader: Reader, messages: list[str]) -> tuple[Verdict, str]:
    """The file, or for want of it the folder that it should be in, is named in one line of bearable length."""
    names = {Path(reader.file).name, Path(reader.file).stem, Path(reader.file).parent.name}
    for message in messages:
        if "\n" in message or len(message) > LONGEST_MESSAGE:
            return "fault", f"a message of {len(message)} characters: {message[:300]!r}"
    if not any(name in message for name in names for message in messages):
        return "fault", f"no message names the file: {messages[0]:.300}"
    return "refused", ""


def _restore(folder: Path, original: Path) -> None:
    """Make the files of `folder` what they are in `original`."""
    for file in folder.iterdir():
        if file.is_symlink() or not file.is_dir():
            file.unlink()
        elif not (original / file.name).is_dir():
            file.rmdir()
    for file in original.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
