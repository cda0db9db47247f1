"""The command line, thin: words -> Experiment -> stages. Results go to stdout, progress and logs to stderr."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, subcommand

from reverie.errors import ReverieError

Where = Literal["dream", "world"]
World = Annotated[Positional[str], tyro.conf.arg(metavar="WORLD")]
RunPath = Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]


@dataclass(frozen=True)
class Machine:
    """Where the work is done; no result depends on the number of workers."""

    workers: int | None = None
    """worker processes (default: one for each core; 0: everything in this process)"""
    device: str = "auto"
    """auto, cpu or cuda: where V and M are trained"""


@dataclass(frozen=True)
class Run:
    """The whole pipeline: learn a world, train in the dream (or the world), score in the world. Run again to resume."""

    world: World
    """doom, carracing, tiny or any Gymnasium id"""
    preset: Literal["tiny", "quick", "standard", "paper"] = "quick"
    """how large: tiny (seconds), quick (minutes), standard (an evening), paper (the paper's own counts)"""
    run_dir: Path | None = None
    """the run folder (default: runs/WORLD-PRESET)"""
    seed: int = 0
    """root of every random stream"""
    evolve_in: Where | None = None
    """where C trains (default: the dream; for carracing the world, as in the paper)"""
    json: bool = False
    """print one JSON object on stdout and nothing else"""
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine()


@dataclass(frozen=True)
class Stage:
    """One stage of a run alone."""

    run: RunPath
    """the run folder; made first where it is not there and --world is given"""
    world: str | None = None
    """makes a new run folder for this world"""
    preset: Literal["tiny", "quick", "standard", "paper"] = "quick"
    """the new run folder's preset"""
    seed: int = 0
    """the new run folder's root seed"""
    evolve_in: Where | None = None
    """where the new run's C trains"""
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine()


@dataclass(frozen=True)
class Collect(Stage):
    """Stage 1: real episodes from exploration policies, to disk."""


@dataclass(frozen=True)
class Vision(Stage):
    """Stage 2: train V on the episodes, then turn every frame into latents."""


@dataclass(frozen=True)
class Memory(Stage):
    """Stage 3: train M on the latents."""


@dataclass(frozen=True)
class Controller(Stage):
    """Stage 4: evolve C, in M's dream or in the real world."""


@dataclass(frozen=True)
class Evaluate:
    """Score an agent over unseen seeds, beside the random baseline."""

    run: RunPath
    """a run folder"""
    episodes: int = 100
    """how many episodes"""
    seed: int = 0
    """root of the evaluation seeds, which training never sees"""
    dream: bool = False
    """score in M's dream instead of the real world"""
    temperature: float | None = None
    """tau of the dream (default: the one the run was trained at)"""
    json: bool = False
    """print one JSON object on stdout and nothing else"""
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine()


@dataclass(frozen=True)
class Report:
    """Write the run's report: one HTML file with pictures, curves, scores and videos."""

    run: RunPath
    """a run folder"""
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine()


@dataclass(frozen=True)
class Verify:
    """Check every file of a run against its checksum; say what is damaged and what to do."""

    run: RunPath
    """a run folder"""
    json: bool = False
    """print one JSON object on stdout and nothing else"""


@dataclass(frozen=True)
class Worlds:
    """List the worlds that this machine can open."""


Command = (
    Annotated[Run, subcommand("run")]
    | Annotated[Collect, subcommand("collect")]
    | Annotated[Vision, subcommand("vision")]
    | Annotated[Memory, subcommand("memory")]
    | Annotated[Controller, subcommand("controller")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Verify, subcommand("verify")]
    | Annotated[Worlds, subcommand("worlds")]
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 the user's words or files are wrong, 130 stopped by Ctrl-C."""
    try:
        _dispatch(list(sys.argv[1:] if argv is None else argv))
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("reverie: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _dispatch(argv: list[str]) -> None:
    words, settings = _split_settings(argv)
    command: Any = _parse(Command, words, prog="reverie")
    if settings and not isinstance(command, Run | Stage):
        raise ReverieError(f"{settings[0]} is a setting of a run; it goes with 'reverie run' or a stage")
    if isinstance(command, Run):
        _run(command, settings)
    elif isinstance(command, Stage):
        _stage(command, settings)
    elif isinstance(command, Evaluate):
        _evaluate(command)
    elif isinstance(command, Report):
        from reverie.pipeline.reporting import report

        print(report(_open(command.run), _workers(command.machine)))
    elif isinstance(command, Verify):
        _verify(command)
    else:
        from reverie.worlds.registry import describe

        print(describe())


def _split_settings(argv: list[str]) -> tuple[list[str], list[str]]:
    """Part `--vision.updates 200` (a setting of the experiment, its name has a dot) from the command's own words."""
    words: list[str] = []
    settings: list[str] = []
    target = words
    for word in argv:
        if word.startswith("--"):
            target = settings if "." in word.split("=", 1)[0] else words
        target.append(word)
    return words, settings


def _parse(kind: Any, argv: list[str], prog: str, default: Any = tyro.MISSING_NONPROP) -> Any:
    """tyro's parse, with its boxed error condensed to one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=argv, prog=prog, default=default, description=__doc__ if not argv else None)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ReverieError(_condense(said.getvalue())) from None


def _condense(boxed: str) -> str:
    """The first paragraph of tyro's error box as one line, with its suggestion where it has one."""
    lines = [line.strip("│╭╰╮╯ ") for line in boxed.splitlines()][1:]
    groups = [" ".join(group).strip() for rule, group in itertools.groupby(lines, _is_rule) if not rule]
    said = " ".join(groups[:2]) if groups and groups[0].endswith(":") else (groups or ["unreadable words"])[0]
    hints = [group.split()[3] for group in groups if group.startswith("Perhaps you meant:")]
    return f"{said.rstrip('.')}{f'; did you mean {hints[0]}?' if hints else ''}; see reverie --help"


def _is_rule(line: str) -> bool:
    return bool(line) and set(line) == {"─"}


def _experiment(world: str, preset: str, seed: int, evolve_in: Where | None, settings: list[str]) -> Any:
    from reverie.pipeline.experiment import Experiment
    from reverie.pipeline.presets import make_experiment

    experiment = make_experiment(world, preset, seed=seed, evolve_in=evolve_in)
    return _parse(Experiment, settings, prog="reverie run WORLD", default=experiment) if settings else experiment


def _workers(machine: Machine) -> int:
    from reverie.hardware import core_count

    if machine.workers is not None and machine.workers < 0:
        raise ReverieError(f"--workers is {machine.workers}; expected 0 (this process) or more")
    return core_count() if machine.workers is None else machine.workers


def _run(command: Run, settings: list[str]) -> None:
    from reverie.pipeline.run import run

    experiment = _experiment(command.world, command.preset, command.seed, command.evolve_in, settings)
    folder = command.run_dir or Path("runs") / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', command.world)}-{command.preset}"
    result = run(experiment, folder, workers=_workers(command.machine), device=command.machine.device)
    print(json.dumps(result.as_dict()) if command.json else result.table())


def _stage(command: Stage, settings: list[str]) -> None:
    from reverie.pipeline import stages
    from reverie.pipeline.run_folder import create_run

    if command.world is not None:
        experiment = _experiment(command.world, command.preset, command.seed, command.evolve_in, settings)
        folder = create_run(command.run, experiment)
    elif settings:
        raise ReverieError(f"{settings[0]} cannot change a run that is there; it goes with --world and a new folder")
    else:
        folder = _open(command.run)
    stage = getattr(stages, type(command).__name__.lower())
    with folder.locked():
        stage(folder, _workers(command.machine), command.machine.device)


def _open(path: Path) -> Any:
    from reverie.pipeline.run_folder import open_run

    return open_run(path)


def _evaluate(command: Evaluate) -> None:
    from reverie.pipeline.scoring import score

    if command.episodes < 1:
        raise ReverieError(f"--episodes is {command.episodes}; expected at least 1")
    if command.temperature is not None and not command.dream:
        raise ReverieError("--temperature is a dream's; add --dream")
    where: Where = "dream" if command.dream else "world"
    scored = score(
        _open(command.run), where, command.episodes, command.seed, command.temperature, _workers(command.machine)
    )
    print(json.dumps(scored.as_dict()) if command.json else scored.table())


def _verify(command: Verify) -> None:
    from reverie.pipeline.verify import verify_run

    problems = verify_run(command.run)
    if command.json:
        print(json.dumps({"ok": not problems, "problems": [asdict(problem) for problem in problems]}))
    elif problems:
        print("\n".join(f"{problem.file}: {problem.problem}; {problem.remedy}" for problem in problems))
    else:
        print(f"{command.run}: every file is as it was written")
    sys.exit(2 if problems else 0)
