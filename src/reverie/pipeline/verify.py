"""`reverie verify`: read every file of a run and say which are not as they were written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reverie.errors import ReverieError
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.files.checkpoint import load_arrays, load_checkpoint
from reverie.files.metrics import read_metrics
from reverie.pipeline.run_folder import RunFolder, open_run
from reverie.rollouts.store import Problem, Store


def verify_run(path: Path) -> list[Problem]:
    """Every problem of the run folder at `path`, each with its remedy; an empty list where all is well."""
    try:
        run = open_run(path)
    except ReverieError as error:
        return [_problem(path / "config.json", error)]
    return Store(run.rollouts).verify() + [problem for check in _checks(run) for problem in check]


def _checks(run: RunFolder) -> Iterator[Iterator[Problem]]:
    for folder in (run.vision, run.memory, run.controller):
        yield _each(folder, "step-*.json", load_checkpoint)
        yield _each(folder, "metrics.jsonl", read_metrics)
    yield _each(run.latents, "part-*.safetensors", load_arrays)
    yield _each(run.controller, "best.safetensors", load_arrays)
    yield _each(run.scores, "*.json", lambda file: Score.from_dict(read_json(file), str(file)))
    for name in ("versions.json", "timings.json"):
        yield _each(run.path, name, read_json)


def _each(folder: Path, pattern: str, read: Callable[[Path], Any]) -> Iterator[Problem]:
    for file in sorted(folder.glob(pattern)):
        try:
            read(file)
        except ReverieError as error:
            yield _problem(file, error)


def _problem(file: Path, error: ReverieError) -> Problem:
    problem, _, remedy = str(error).partition("; ")
    return Problem(str(file), problem, remedy or "restore the file, or start again in another run folder")
