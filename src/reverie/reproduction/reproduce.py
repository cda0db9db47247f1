"""`reverie reproduce`: the main run, then every row of the table, the tests, the film and the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reverie.errors import ReverieError
from reverie.files.atomic import sweep_temporary, write_bytes, write_json
from reverie.learning.arena import close_arenas
from reverie.progress import announce
from reverie.recipe.experiment import Experiment, Preset
from reverie.recipe.presets import make_experiment
from reverie.reproduction.carracing import carracing_plan
from reverie.reproduction.daydream import show_daydream
from reverie.reproduction.doom import doom_plan
from reverie.reproduction.exploit import show_exploit
from reverie.reproduction.films import Shown
from reverie.reproduction.outcome import Reproduction
from reverie.reproduction.page import write_page
from reverie.reproduction.plan import Plan
from reverie.reproduction.rows import finish
from reverie.reproduction.significance import compare
from reverie.reproduction.work import Work
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
        work = Work(main, plan, episodes, seed, pool)
        for folder in (work.folder, *work.folder.glob("*/scores")):
            sweep_temporary(folder)
        outcomes = []
        for number, row in enumerate(plan.rows, start=1):
            announce(f"reproduce {number}/{len(plan.rows)}: {row.label}")
            outcomes.append(finish(work, row))
        close_arenas()
        by_name = {outcome.row.name: outcome.real for outcome in outcomes}
        announce("reproduce: the film and the page")
        shown = show_exploit(work) or show_daydream(work)
        found = Reproduction(
            run_dir=main.path,
            preset=main.experiment.preset,
            plan=plan,
            outcomes=tuple(outcomes),
            tests=tuple(compare(a, by_name[a], b, by_name[b]) for a, b in plan.comparisons),
            seconds=time.monotonic() - started,
            page=work.folder / "reproduce.html",
            film=None if shown is None else _write_film(work, shown),
        )
        write_page(work, found, shown)
        write_json(work.folder / "reproduce.json", found.as_dict())
    return found


def main_experiment(name: str, preset: str | None, folder: Path) -> Experiment:
    """That of the run in `folder`, whatever its settings, or of a new one; refuses a run that was not asked for."""
    if not (folder / CONFIG).exists():
        return make_experiment(name, preset or DEFAULT_PRESET)
    found = open_run(folder).experiment
    if found.world != name:
        raise ReverieError(f"{folder} is a run of {found.world!r}, expected {name}; choose another run folder")
    if preset not in (None, found.preset):
        raise ReverieError(
            f"{folder} is a run of preset {found.preset}, asked for {preset}; leave --preset out, or choose another "
            "run folder"
        )
    return found


def _is_finished(folder: Path) -> bool:
    """Whether the main run has come to its last stage, so that not even its report need be made again."""
    if not (folder / CONFIG).exists():
        return False
    found = open_run(folder)
    return found.report.exists() and {"agent", "random"} <= read_scores(found).keys()


def _write_film(work: Work, shown: Shown) -> Path:
    path = work.folder / shown.file
    write_bytes(path, shown.film.content)
    return path
