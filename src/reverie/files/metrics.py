"""A stage's metrics: one JSON object a line, only ever appended to, and cut back to the checkpoint on resume."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import DIVERGED, cannot_write, parse_json, read_bytes, write_bytes


class MetricsLog:
    """The log at `path`, continued after `resume_step`.

    Rows of later steps and a torn last line are dropped, so that a resumed run writes the same file as an
    uninterrupted one; -1 drops all. A loop appends a step's row before it saves that step's checkpoint.
    """

    def __init__(self, path: str | Path, resume_step: int) -> None:
        self.path = Path(path)
        kept = [row for row in read_metrics(self.path) if row["step"] <= resume_step]
        write_bytes(self.path, b"".join(map(_line, kept)))
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def append(self, *, step: int, **values: float) -> None:
        """Add one row; a value that is NaN or infinite raises `ReverieError` naming it."""
        row = {"step": step} | {name: _number(value) for name, value in values.items()}
        for name, value in row.items():
            if not math.isfinite(value):
                raise ReverieError(f"{name} became {value} at step {step} in {self.path}; {DIVERGED}")
        try:
            written = os.write(self._file, line := _line(row))
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if written < len(line):  # the torn line goes when the log is opened again
            raise cannot_write(self.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """All whole rows of a log in order, none where there is no file; a torn last line is passed over."""
    path = Path(path)
    if not os.path.lexists(path):
        return []
    *lines, _torn = read_bytes(path).split(b"\n")
    return [_row(line, number, path) for number, line in enumerate(lines, start=1)]


def read_in_turn(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """The rows of several logs as one: `step` and what counts steps (`*_steps`) go on from log to log.

    `turn` of a row says which log it is from, counted from 0; one without rows counts too.
    """
    found: list[dict[str, Any]] = []
    for turn, path in enumerate(paths):
        before = found[-1] if found else {}
        for row in read_metrics(path):
            counts = {
                name: before.get(name, 0) + row[name] for name in row if name == "step" or name.endswith("_steps")
            }
            found.append(row | counts | {"turn": turn})
    return found


def _row(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        row = parse_json(line)
        if isinstance(row, dict) and type(row["step"]) is int:
            return row
    except (ValueError, KeyError, RecursionError):
        pass
    raise DamagedFileError(f"{path} line {number} is not a row of metrics; remove that line")


def _number(value: float) -> float:
    return value if isinstance(value, int) else float(value)  # also from NumPy and torch scalars


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row) + "\n").encode()
