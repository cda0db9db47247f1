"""What each command does, and `main`, which finds the one that the words ask for."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import reverie
from reverie.cli.parse import nearest, parse, print_help, split_settings
from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.cli import words as w
    from reverie.pipeline.experiment import Experiment

HELP = {"-h", "--help"}
SETTINGS_HELP = """Every setting of the stages is an option too, such as --vision.updates 300:
`reverie run WORLD --preset PRESET --help` lists them with their values."""


class Result(NamedTuple):
    """What a command prints on stdout, and its exit code."""

    text: str
    code: int = 0


@dataclass(frozen=True)
class Command:
    """One word of the command line.

    words: the dataclass in `words.py` that the further words fill
    act: does it, with those and the settings
    """

    words: str
    act: Callable[[Any, list[str]], Result]
    summary: str
    takes_settings: bool = False


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 the user's words or files are wrong, 130 stopped by Ctrl-C."""
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("reverie: stopped; the same command goes on from here", file=sys.stderr)
        code = 130
    sys.exit(code)


def _dispatch(argv: list[str]) -> int:
    name, *rest = argv or ["--help"]
    if name in HELP or name == "--version":
        print(_overview() if name in HELP else f"reverie {reverie.__version__}")
        return 0
    if name not in COMMANDS:
        known = list(COMMANDS)
        raise ReverieError(f"unknown command {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    command, (words, settings) = COMMANDS[name], split_settings(rest)
    from reverie.cli import words as w

    kind, prog = getattr(w, command.words), f"reverie {name}"
    if HELP & set(words):
        print_help(kind, prog, command.summary)
        if command.takes_settings:
            print(_settings_help(kind, [word for word in words if word not in HELP], settings))
        return 0
    if settings and not command.takes_settings:
        raise ReverieError(
            f"{settings[0]} is a setting of a run, which 'reverie run' or a stage makes; see {prog} --help"
        )
    parsed = parse(kind, words, prog)
    with _stdout_for_results():
        result = command.act(parsed, settings)
    print(result.text)
    return result.code


def _overview() -> str:
    lines = [f"  {name:<12}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: reverie COMMAND ...",
            "",
            "World models: learn a world from pixels, train the agent inside the dream, come back to reality.",
            "",
            *lines,
            "",
            "`reverie COMMAND --help` says more of each; `reverie --version` says which this is.",
        ]
    )


def _settings_help(kind: type, words: list[str], settings: list[str]) -> str:
    """All settings of the run that the words would make, where they say enough of it."""
    from reverie.pipeline.listing import settings_listing

    try:
        parsed = parse(kind, words, "reverie run")
    except ReverieError:  # no WORLD yet
        return SETTINGS_HELP
    return SETTINGS_HELP if parsed.world is None else settings_listing(_experiment(parsed, settings))


@contextlib.contextmanager
def _stdout_for_results() -> Iterator[None]:
    """Send to stderr whatever libraries, and what they start, print to stdout: scripts read that."""
    shown = sys.stdout
    shown.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _run(words: w.Run, settings: list[str]) -> Result:
    from reverie.pipeline.run import run

    experiment = _experiment(words, settings)
    folder = words.run_dir or Path("runs") / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', words.world)}-{words.preset}"
    result = run(experiment, folder, workers=_workers(words.workers), device=words.device)
    return Result(json.dumps(result.as_dict()) if words.json else result.table())


def _stage(name: Literal["collect", "vision", "memory", "controller"]) -> Callable[[w.Stage, list[str]], Result]:
    def act(words: w.Stage, settings: list[str]) -> Result:
        from reverie.pipeline import stages
        from reverie.pipeline.run_folder import create_run, open_run

        given = [f"--{n.replace('_', '-')}" for n in ("preset", "seed", "evolve_in") if getattr(words, n) is not None]
        if words.world is not None:
            folder = create_run(words.run, _experiment(words, settings))
        elif given or settings:
            raise ReverieError(f"{[*given, *settings][0]} is for a new run; add --world WORLD, or leave it out")
        else:
            folder = open_run(words.run)
        with folder.locked():
            getattr(stages, name)(folder, _workers(words.workers), words.device)
        return Result(f"{name}: done, in {folder.path}")

    return act


def _evaluate(words: w.Evaluate, settings: list[str]) -> Result:
    from reverie.pipeline.run_folder import open_run
    from reverie.pipeline.scoring import score

    if words.episodes < 1:
        raise ReverieError(f"--episodes is {words.episodes}; expected at least 1")
    if words.temperature is not None and not words.dream:
        raise ReverieError("--temperature is a dream's; add --dream")
    where: Literal["dream", "world"] = "dream" if words.dream else "world"
    workers = _workers(words.workers)
    scored = score(open_run(words.run), where, words.episodes, words.seed, words.temperature, workers)
    return Result(json.dumps(scored.as_dict()) if words.json else scored.table())


def _report(words: w.Report, settings: list[str]) -> Result:
    from reverie.pipeline.reporting import report
    from reverie.pipeline.run_folder import open_run

    return Result(str(report(open_run(words.run))))


def _verify(words: w.Verify, settings: list[str]) -> Result:
    from reverie.pipeline.verify import verify_run

    problems = verify_run(words.run)
    if words.json:
        text = json.dumps({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    elif problems:
        text = "\n".join(f"{problem.file}: {problem.problem}; {problem.remedy}" for problem in problems)
    else:
        text = f"{words.run}: ok, every file is as it was written"
    return Result(text, 2 if problems else 0)


def _worlds(words: w.Worlds, settings: list[str]) -> Result:
    from reverie.worlds.registry import describe

    return Result(describe())


def _bench(words: w.Bench, settings: list[str]) -> Result:
    from reverie.bench.run import bench, machine, report

    rows = bench(words.names)
    if words.json:
        return Result(json.dumps({"machine": machine(), "cases": [row.as_dict() for row in rows]}))
    return Result(report(rows))


def _experiment(words: w.Run | w.Stage, settings: list[str]) -> Experiment:
    """The preset's experiment, with the settings that were given."""
    from reverie.pipeline.presets import make_experiment
    from reverie.pipeline.settings import with_changes

    assert words.world is not None
    if any(word.startswith("--evolution.where") for word in settings):
        raise ReverieError("evolution.where decides what M must learn too; use --evolve-in dream or --evolve-in world")
    experiment = make_experiment(
        words.world,
        words.preset or "quick",
        seed=words.seed or 0,
        evolve_in=words.evolve_in,  # type: ignore[arg-type]
    )
    return with_changes(experiment, settings)


def _workers(given: int | None) -> int:
    from reverie.hardware import core_count

    if given is not None and given < 0:
        raise ReverieError(f"--workers is {given}; expected 0 (this process) or more")
    return core_count() if given is None else given


COMMANDS = {
    "run": Command(
        "Run", _run, "The whole pipeline, from a world to a scored agent and a report. Run again to resume.", True
    ),
    "collect": Command("Stage", _stage("collect"), "Stage 1: real episodes from exploration policies, to disk.", True),
    "vision": Command(
        "Stage", _stage("vision"), "Stage 2: train V on the episodes, then turn all frames into latents.", True
    ),
    "memory": Command("Stage", _stage("memory"), "Stage 3: train M on the latents.", True),
    "controller": Command("Stage", _stage("controller"), "Stage 4: evolve C, in M's dream or in the real world.", True),
    "evaluate": Command("Evaluate", _evaluate, "Score a run's agent over unseen seeds, beside the random policy."),
    "report": Command("Report", _report, "Write a run's report: one HTML file of pictures, curves, scores and videos."),
    "verify": Command("Verify", _verify, "Check every file of a run; say what is damaged and what to do."),
    "bench": Command("Bench", _bench, "Measure how fast this machine does it, beside a plain baseline and the limit."),
    "worlds": Command("Worlds", _worlds, "List the worlds that this machine can open."),
}
