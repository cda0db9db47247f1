"""The commands: what each does with its words. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.cli import words as w
    from reverie.tracking.tracker import MakeTracker


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


def _run(words: w.Run, settings: list[str]) -> Result:
    from reverie.cli.planning import plan_run, would_take
    from reverie.runs.run import run

    workers = _workers(words.workers)
    if words.dry_run:
        estimated = would_take(words, settings, workers)
        return Result(json.dumps(estimated.as_dict()) if words.json else estimated.table())
    tracker = _tracker(words)
    planned = plan_run(words, settings, workers)
    result = run(planned.experiment, planned.folder, workers, words.device, tracker, planned.left)
    return Result(json.dumps(result.as_dict()) if words.json else result.table())


def _stage(name: Literal["collect", "vision", "memory", "controller"]) -> Callable[[w.Stage, list[str]], Result]:
    def act(words: w.Stage, settings: list[str]) -> Result:
        from reverie.cli.planning import new_experiment
        from reverie.runs import stages
        from reverie.runs.run_folder import create_run, open_run

        new = {"preset": words.preset, "seed": words.seed, "from": words.from_}
        given = [f"--{name}" for name, value in new.items() if value is not None]
        if words.world is not None:
            folder = create_run(words.run, new_experiment(words, settings))
        elif given or settings:
            raise ReverieError(f"{[*given, *settings][0]} is for a new run; add --world WORLD, or leave it out")
        else:
            folder = open_run(words.run)
        with folder.locked():
            getattr(stages, name)(folder.at(words.round), _workers(words.workers), words.device)
        return Result(f"{name}: done, in {folder.path}")

    return act


def _evaluate(words: w.Evaluate, settings: list[str]) -> Result:
    from reverie.runs.opening import open_trained
    from reverie.runs.scoring import score

    if words.episodes < 1:
        raise ReverieError(f"--episodes is {words.episodes}; expected at least 1")
    if words.temperature is not None and not words.dream:
        raise ReverieError("--temperature is a dream's; add --dream")
    if words.film is not None and not words.dream:
        raise ReverieError("--film shows a dream; add --dream")
    workers = _workers(words.workers)
    trained = open_trained(words.run)
    scored = score(trained, "dream" if words.dream else "world", words.episodes, words.seed, words.temperature, workers)
    if words.film is not None:
        from reverie.files.atomic import write_bytes
        from reverie.report.daydream_film import film_daydream

        write_bytes(words.film, film_daydream(trained, words.seed, words.temperature)[0].content)
    return Result(json.dumps(scored.as_dict()) if words.json else scored.table())


def _reproduce(words: w.Reproduce, settings: list[str]) -> Result:
    from reverie.reproduction.reproduce import reproduce
    from reverie.reproduction.table import reproduction_table

    workers = _workers(words.workers)
    found = reproduce(words.experiment, words.preset, words.run_dir, words.episodes, words.seed, workers)
    return Result(json.dumps(found.as_dict()) if words.json else reproduction_table(found))


def _study(words: w.Study, settings: list[str]) -> Result:
    from reverie.files.atomic import write_json

    if words.name not in STUDIES:
        raise ReverieError(f"cannot study {words.name!r}; expected one of {', '.join(STUDIES)}")
    if words.seeds < 1:
        raise ReverieError(f"--seeds is {words.seeds}; expected at least 1")
    if words.weight is not None and words.name != "curiosity":
        raise ReverieError("--weight is curiosity's; leave it out")
    folder = words.run_dir or Path("runs") / f"study-{words.name}"
    study = STUDIES[words.name](words, folder, settings)
    write_json(folder / "study.json", study.as_dict())
    return Result(json.dumps(study.as_dict()) if words.json else study.table())


def _study_curiosity(words: w.Study, folder: Path, settings: list[str]) -> Any:
    from reverie.studies.curiosity import WEIGHT, curiosity_study

    weight = WEIGHT if words.weight is None else words.weight
    return curiosity_study(folder, words.seeds, weight, settings, _workers(words.workers), words.device)


def _study_absorption(words: w.Study, folder: Path, settings: list[str]) -> Any:
    from reverie.studies.absorption import absorption_study

    return absorption_study(folder, words.seeds, settings, _workers(words.workers), words.device)


def _study_guards(words: w.Study, folder: Path, settings: list[str]) -> Any:
    from reverie.studies.guards import guards_study

    return guards_study(folder, words.seeds, settings, _workers(words.workers), words.device)


STUDIES = {"curiosity": _study_curiosity, "absorption": _study_absorption, "guards": _study_guards}


def _suite(words: w.Suite, settings: list[str]) -> Result:
    from reverie.studies.suite import suite

    workers = _workers(words.workers)
    found = suite(words.dir, words.worlds, words.preset, words.seeds, settings, workers, words.device)
    text = json.dumps(found.as_dict()) if words.json else f"{found.table()}\n\n{found.file}"
    return Result(text, 2 if found.problems else 0)


def _export(words: w.Export, settings: list[str]) -> Result:
    from reverie.runs.export import export_run
    from reverie.runs.run_folder import open_run

    if words.to.startswith("minari:"):
        return _export_data(words)
    to = Path(words.to)
    card = export_run(open_run(words.run), to).card
    assert card is not None
    megabytes = sum(file.stat().st_size for file in to.iterdir()) / 1e6
    said = f"{words.to}: {megabytes:.1f} MB; the agent of {words.run} scored {card.scores['agent']!r}"
    return Result(f"{said}\nreverie evaluate {words.to}")


def _export_data(words: w.Export) -> Result:
    from reverie.episodes.minari_data import export_minari
    from reverie.episodes.store import Store
    from reverie.runs.run_folder import open_run
    from reverie.runs.starting import minari_name
    from reverie.worlds.registry import world_spec

    run = open_run(words.run)
    world = run.experiment.world
    folder = export_minari(Store(run.rollouts), world_spec(world), minari_name(words.to))
    return Result(f"{folder}: the episodes of {words.run}\nreverie run {world} --data {words.to}")


def _report(words: w.Report, settings: list[str]) -> Result:
    from reverie.runs.gather import report
    from reverie.runs.run_folder import open_run

    return Result(str(report(open_run(words.run))))


def _lab(words: w.Lab, settings: list[str]) -> Result:
    from reverie.lab.command import export_lab, open_lab

    runs = [words.run] if words.beside is None else [words.run, words.beside]
    if words.export is not None:
        return Result(str(export_lab(runs, words.export)))
    open_lab(runs, words.port, browser=not words.no_browser)
    return Result("lab: closed")


def _doctor(words: w.Doctor, settings: list[str]) -> Result:
    from reverie.runs.gather import diagnosis_table, examine
    from reverie.runs.run_folder import open_run

    run = open_run(words.run)
    diagnosis = examine(run)
    return Result(json.dumps(diagnosis.as_dict()) if words.json else diagnosis_table(run, diagnosis))


def _verify(words: w.Verify, settings: list[str]) -> Result:
    from reverie.runs.verify import verify_run

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

    if words.check is not None:
        return Result(_checked(words.check, words.picture))
    if words.picture is not None:
        raise ReverieError("--picture is what --check WORLD shows; add it")
    return Result(describe())


def _checked(world: str, picture: Path | None) -> str:
    """What a short look at a world shows, and what a run of it would take."""
    import io

    from PIL import Image

    from reverie.cost.estimate import estimate
    from reverie.cost.rates import measure
    from reverie.files.atomic import write_bytes
    from reverie.recipe.presets import make_experiment
    from reverie.worlds.check import check_world

    found = check_world(world)
    png = io.BytesIO()
    Image.fromarray(found.picture()).save(png, "PNG")
    place = picture or Path(re.sub(r"[^A-Za-z0-9.-]+", "-", world).strip("-.") + ".png")
    write_bytes(place, png.getvalue())
    experiment = make_experiment(world, "quick")
    cost = estimate(experiment, measure(experiment, _workers(None))).line()
    return "\n".join(
        [world, *found.lines(), f"quick run  {cost}", f"picture    {place}, as V sees it: first and last frame"]
    )


def _bench(words: w.Bench, settings: list[str]) -> Result:
    from reverie.bench.run import bench, machine, report

    rows = bench(words.names)
    if words.json:
        return Result(json.dumps({"machine": machine(), "cases": [row.as_dict() for row in rows]}))
    return Result(report(rows))


def _tracker(words: w.Run) -> MakeTracker | None:
    from reverie.tracking.tracker import find_tracker

    return None if words.track is None else find_tracker(words.track)


def _workers(given: str | None) -> int | str:
    """How many processes on this machine, or where the Ray cluster is."""
    from reverie.hardware import core_count

    if given is None:
        return core_count() if hasattr(os, "fork") else 0
    if given == "ray" or re.fullmatch(r"(ray://)?[^/\s]+:\d+", given):
        return given
    if not re.fullmatch(r"-?\d+", given):
        raise ReverieError(f"--workers is {given!r}; expected a number, ray, HOST:PORT or ray://HOST:PORT")
    if int(given) < 0:
        raise ReverieError(f"--workers is {given}; expected 0 (this process) or more")
    return int(given)


COMMANDS = {
    "run": Command(
        "Run", _run, "The whole pipeline, from a world to a scored agent and a report. Run again to resume.", True
    ),
    "collect": Command("Stage", _stage("collect"), "Stage 1: real episodes from exploration policies, to disk.", True),
    "vision": Command(
        "Stage", _stage("vision"), "Stage 2: train V on the episodes, then turn all frames into latents.", True
    ),
    "memory": Command("Stage", _stage("memory"), "Stage 3: train M on the latents.", True),
    "controller": Command(
        "Stage", _stage("controller"), "Stage 4: train C, phase by phase, in M's dream or in the world.", True
    ),
    "evaluate": Command("Evaluate", _evaluate, "Score a run's agent over unseen seeds, beside the random policy."),
    "reproduce": Command("Reproduce", _reproduce, "The paper's table beside ours, row by row. Run again to resume."),
    "study": Command(
        "Study", _study, "Ablations over seeds: what curiosity and guards are worth, what M absorbs of C's skill.", True
    ),
    "suite": Command(
        "Suite", _suite, "The recipe on thirteen worlds, in one table beside random play. Run again to resume.", True
    ),
    "export": Command("Export", _export, "Put a finished run's agent into a small folder of its own, to pass on."),
    "report": Command("Report", _report, "Write a run's report: one HTML file of pictures, curves, scores and videos."),
    "lab": Command("Lab", _lab, "Play inside the dream, in the browser: a page of a run's V, M and C."),
    "doctor": Command("Doctor", _doctor, "Is a run learning, and if not, whose fault: V, M, C or exploration."),
    "verify": Command("Verify", _verify, "Check every file of a run; say what is damaged and what to do."),
    "bench": Command("Bench", _bench, "Measure how fast this machine does it, beside a plain baseline and the limit."),
    "worlds": Command("Worlds", _worlds, "List the worlds that this machine can open."),
}
