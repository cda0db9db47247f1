"""The results of the suite on disk: one JSON line for each run, and one for each training of a peer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar, get_type_hints

from reverie.errors import DamagedFileError
from reverie.evaluation.score import Score
from reverie.files.atomic import parse_json, read_bytes, write_bytes
from reverie.files.locks import lock

PLAIN: dict[object, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float)}
RESULTS, PEERS, LOCK = "results.jsonl", "peers.jsonl", "results.lock"

Budget = Literal["steps", "time"]


@dataclass(frozen=True)
class SuiteRun:
    """A finished run of the suite.

    digest: of its settings; random, random_std: of random play on the same seeds
    seconds: wall time of all stages, over all sessions; learning_seconds: without the scores and the report
    """

    world: str
    preset: str
    seed: int
    digest: str
    run_dir: str
    score: Score
    random: float
    random_std: float
    dream: Score | None
    real_steps: int
    seconds: float
    learning_seconds: float
    cores: int
    verdict: str

    @property
    def key(self) -> tuple[object, ...]:
        """What there is one line of."""
        return self.world, self.preset, self.seed

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> Self:
        """The inverse of `asdict`."""
        _require_plain(cls, data)
        dream = data["dream"]
        scores = {
            "score": Score.from_dict(data["score"], source),
            "dream": None if dream is None else Score.from_dict(dream, source),
        }
        return cls(**data | scores)


@dataclass(frozen=True)
class PeerRun:
    """What another library got in the world of a suite's run.

    allowed: the run's real steps, or its `learning_seconds`, by `budget`; steps, seconds: what was taken of them
    """

    world: str
    preset: str
    seed: int
    peer: str
    budget: Budget
    allowed: float
    steps: int
    seconds: float
    cores: int
    version: str
    score: Score

    @property
    def key(self) -> tuple[object, ...]:
        """What there is one line of."""
        return self.world, self.preset, self.seed, self.peer, self.budget

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> Self:
        """The inverse of `asdict`."""
        _require_plain(cls, data)
        return cls(**data | {"score": Score.from_dict(data["score"], source)})

    def is_beside(self, run: SuiteRun) -> bool:
        """Whether it had the budget of this run."""
        allowed = {"steps": run.real_steps, "time": run.learning_seconds}[self.budget]
        return self.key[:3] == run.key and self.allowed == allowed


class Line(Protocol):
    """A line of either file."""

    @property
    def key(self) -> tuple[object, ...]: ...


Found = TypeVar("Found")


def read_runs(folder: Path) -> list[SuiteRun]:
    """The finished runs of the suite in `folder`."""
    return _read(folder / RESULTS, SuiteRun.from_dict)


def read_peers(folder: Path) -> list[PeerRun]:
    """What peers got, where `benchmarks/peers.py` has put it beside the runs."""
    return _read(folder / PEERS, PeerRun.from_dict)


def keep_run(folder: Path, run: SuiteRun) -> None:
    """Put a run's line into the file, in place of one that is there."""
    with _locked(folder):
        _write(folder / RESULTS, [*read_runs(folder)], run)


def keep_peer(folder: Path, peer: PeerRun) -> None:
    """Put a peer's line into the file, in place of one that is there."""
    with _locked(folder):
        _write(folder / PEERS, [*read_peers(folder)], peer)


def _read(file: Path, parse: Callable[[dict[str, Any], str], Found]) -> list[Found]:
    if not os.path.lexists(file):
        return []
    found = []
    for number, line in enumerate(read_bytes(file).splitlines(), start=1):
        source = f"{file} line {number}"
        try:
            found.append(parse(parse_json(line), source))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DamagedFileError(
                f"{source} is not a result of the suite ({error!r:.200}); remove that line and give the command again"
            ) from None
    return found


def _require_plain(kind: type, data: dict[str, Any]) -> None:
    """Refuse a text or number of another type than the record's."""
    for name, hint in get_type_hints(kind).items():
        if hint in PLAIN and type(data[name]) not in PLAIN[hint]:
            raise ValueError(f"{name} is {data[name]!r:.50}")


def _write(file: Path, lines: Sequence[Line], new: Any) -> None:
    kept = [line for line in lines if line.key != new.key]
    write_bytes(file, b"".join((json.dumps(_plain(line)) + "\n").encode() for line in [*kept, new]))


def _plain(line: Any) -> dict[str, Any]:
    """A record as JSON, its scores as their own files have them."""
    scores = {name: value.as_dict() for name, value in vars(line).items() if isinstance(value, Score)}
    return asdict(line) | scores


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time read the lines and write them back."""
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock(file)
        yield
    finally:
        os.close(file)
