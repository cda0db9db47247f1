"""`reverie verify`: read every file of a run or an export and say which are not as they were written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from reverie.agents.card import CARD, faults, read_card
from reverie.controller.file import load_controller
from reverie.episodes.store import Problem, Store
from reverie.errors import ReverieError
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.files.checkpoint import load_arrays, load_checkpoint
from reverie.files.metrics import read_metrics
from reverie.learning.phases import BEST_FILE
from reverie.runs.opening import export_at, remedy_for, whole_latents
from reverie.runs.plans import read_plan
from reverie.runs.rounds import FRESH_FILE, fresh_losses
from reverie.runs.run_folder import CONFIG, COUNTS, PLAN, SELECTION, TIMINGS, VERSIONS, RunFolder, open_run
from reverie.vision.latents import Latents, read_part

NAMED_FILE = re.compile(r"(.+?/[^/ ]+\.(?:safetensors|jsonl?)):? (.*)")


def verify_run(path: Path) -> list[Problem]:
    """Every problem of the run folder at `path`, each with its remedy; an empty list where all is well.

    An export, and the name of an agent that comes with Reverie, are checked alike.
    """
    exported = export_at(path)
    if exported is not None:
        return _export_problems(exported)
    try:
        run = open_run(path)
    except ReverieError as error:
        return [_problem(path / CONFIG, error)]
    found: dict[str, Problem] = {}
    for problem in (*Store(run.rollouts).verify(), *chain.from_iterable(_checks(run))):
        found.setdefault(problem.file, problem)  # the first thing that is wrong with a file
    return list(found.values())


def _export_problems(folder: Path) -> list[Problem]:
    remedy = remedy_for(folder)
    try:
        card = read_card(folder, remedy)
    except ReverieError as error:
        return [_problem(folder / CARD, error)]
    return [_problem(folder, error) for error in faults(folder, card, remedy)]


def _checks(run: RunFolder) -> Iterator[Iterator[Problem]]:
    for number in range(run.experiment.rounds.count + 1):
        yield from _round_checks(run.at(number))
    for row in sorted(run.reproduced.glob("*/")):
        for folder in (row / "memory", *sorted((row / "controller").glob("*/"))):
            yield _each(folder, "step-*.json", load_checkpoint)
            yield _each(folder, "metrics.jsonl", read_metrics)
        yield _each(row / "controller", BEST_FILE, load_controller)
        yield _each(row / "scores", "*.json", lambda file: Score.from_dict(read_json(file), str(file)))
    yield _each(run.path, PLAN, lambda file: read_plan(run.path))
    yield _each(run.path, SELECTION, lambda file: run.chosen)
    yield _each(run.rollouts, COUNTS, lambda file: run.at(0).episodes_by(0))
    yield _each(run.path, VERSIONS, lambda file: run.versions)
    yield _each(run.path, TIMINGS, lambda file: run.timings)


def _round_checks(run: RunFolder) -> Iterator[Iterator[Problem]]:
    for folder in (run.vision, run.memory, *run.members, *run.phase_folders, run.curious):
        yield _each(folder, "step-*.json", load_checkpoint)
        yield _each(folder, "metrics.jsonl", read_metrics)
    for kind in ("part-*.safetensors", "mirrored-*.safetensors"):
        yield _each(run.latents, kind, lambda file: (read_part(file), load_arrays(file)))
    yield _each(run.latents.parent, run.latents.name, lambda folder: _latents(run))
    for folder in (run.controller, run.curious):
        yield _each(folder, BEST_FILE, load_controller)
    yield _each(run.memory, FRESH_FILE, fresh_losses)
    yield _each(run.scores, "*.json", lambda file: Score.from_dict(read_json(file), str(file)))


def _each(folder: Path, pattern: str, read: Callable[[Path], Any]) -> Iterator[Problem]:
    for file in sorted(folder.glob(pattern)):
        try:
            read(file)
        except ReverieError as error:
            if os.path.lexists(file):  # else a run at work has removed it since, as it does with old checkpoints
                yield _problem(file, error)


def _latents(run: RunFolder) -> None:
    """Refuse latents of which a part is missing: between others, or at the end although M was trained on them."""
    if run.is_last and any(run.memory.glob("step-*.json")):
        whole_latents(run)
    elif any(run.latents.glob("part-*.safetensors")):
        Latents(run.latents)


def _problem(file: Path, error: ReverieError) -> Problem:
    """The error's message, "file problem; remedy", in its parts; where it names a file, that is the one."""
    problem, _, remedy = str(error).partition("; ")
    found = NAMED_FILE.match(problem)
    if found:
        file, problem = Path(found[1]), found[2]
    return Problem(str(file), problem, remedy or "restore the file, or start again in another run folder")
