"""`reverie reproduce`: the main run, then every row of the table, the tests, the film and the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reverie.errors import ReverieError
from reverie.files.atomic import sweep_temporary, write_bytes, write_json
from reverie.play.env_spec import close_envs
from reverie.progress import announce
from reverie.recipe.experiment import Experiment, Preset
from reverie.recipe.presets import make_experiment
from reverie.reproduction.context import Context
from reverie.reproduction.films import CaptionedFilm, film_exploit, film_main_daydream
from reverie.reproduction.page import write_page
from reverie.reproduction.paired_test import compare
from reverie.reproduction.paper_tables import carracing_plan, doom_plan
from reverie.reproduction.plan import Plan
from reverie.reproduction.results import Reproduction
from reverie.reproduction.rows import finish_row
from reverie.runs.run import run
from reverie.runs.run_folder import CONFIG, RunFolder, open_run
from reverie.runs.scoring import read_scores
from reverie.workers.pool import Workers

PLANS: dict[str, Callable[[Preset], Plan]] = {"doom": doom_plan, "carracing": carracing_plan}
DEFAULT_PRESET: Preset = "standard"


def reproduce(
    name: str, preset: str | None, folder: Path | None, episodes: int, seed: int, workers: int | str
) -> Reproduction:
    """Bring the reproduction of one of `PLANS` to its end, from wherever it is.

    preset: of a new main run; that of the run where `folder` holds one
    folder: of the main run, runs/NAME-PRESET by default
    episodes, seed: of every score
    """
    if name not in PLANS:
        raise ReverieError(f"cannot reproduce {name!r}; expected {' or '.join(PLANS)}")
    if episodes < 1:
        raise ReverieError(f"--episodes is {episodes}; expected at least 1")
    if seed < 0:
        raise ReverieError(f"--seed is {seed}; expected 0 or more")
    folder = folder or Path("runs") / f"{name}-{preset or DEFAULT_PRESET}"
    experiment = main_experiment(name, preset, folder)
    if not _is_finished(folder):
        run(experiment, folder, workers)
    return reproduce_run(open_run(folder), PLANS[name](experiment.preset), episodes, seed, workers)


def reproduce_run(main: RunFolder, plan: Plan, episodes: int, seed: int, workers: int | str) -> Reproduction:
    """Every row of `plan` for a finished run, and the page that shows them."""
    started = time.monotonic()
    with main.locked(), Workers(workers) as pool:
        context = Context(main, plan, episodes, seed, pool)
        for folder in (context.folder, *context.folder.glob("*/scores")):
            sweep_temporary(folder)
        results = []
        for number, row in enumerate(plan.rows, start=1):
            announce(f"reproduce {number}/{len(plan.rows)}: {row.label}")
            results.append(finish_row(context, row))
        close_envs()
        by_name = {result.row.name: result.real for result in results}
        announce("reproduce: the film and the page")
        film = film_exploit(context) or film_main_daydream(context)
        reproduction = Reproduction(
            run_dir=main.path,
            preset=main.experiment.preset,
            plan=plan,
            results=tuple(results),
            tests=tuple(compare(a, by_name[a], b, by_name[b]) for a, b in plan.comparisons),
            seconds=time.monotonic() - started,
            page=context.folder / "reproduce.html",
            film=None if film is None else _write_film(context, film),
        )
        write_page(context, reproduction, film)
        write_json(context.folder / "reproduce.json", reproduction.as_dict())
    return reproduction


def main_experiment(name: str, preset: str | None, folder: Path) -> Experiment:
    """That of the run in `folder`, whatever its settings, or of a new one; refuses a run that was not asked for."""
    if not (folder / CONFIG).exists():
        return make_experiment(name, preset or DEFAULT_PRESET)
    experiment = open_run(folder).experiment
    if experiment.world != name:
        raise ReverieError(f"{folder} is a run of {experiment.world!r}, expected {name}; choose another run folder")
    if preset not in (None, experiment.preset):
        raise ReverieError(
            f"{folder} is a run of preset {experiment.preset}, asked for {preset}; leave --preset out, or choose "
            "another run folder"
        )
    return experiment


def _is_finished(folder: Path) -> bool:
    """Whether the main run has come to its last stage, so that not even its report need be made again."""
    if not (folder / CONFIG).exists():
        return False
    run_folder = open_run(folder)
    return run_folder.report.exists() and {"agent", "random"} <= read_scores(run_folder).keys()


def _write_film(context: Context, film: CaptionedFilm) -> Path:
    path = context.folder / film.file
    write_bytes(path, film.film.content)
    return path
