"""What keeps C from living off M's errors: each setting against it, and each method, in the same random play's dream.

For each seed one plain run on little random play; then for each arm a run that differs from it in one setting, and
takes over whatever that setting does not touch: the store, V, and M where it is the same M. Every C has the same number
of dreamt steps, and is scored in the dream and in the world: the distance between the two is what it lives off.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reverie.errors import ReverieError
from reverie.evaluation.table import as_text
from reverie.progress import announce
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment
from reverie.runs import stages
from reverie.runs.run_folder import RunFolder, create_run
from reverie.runs.scoring import read_scores
from reverie.settings import with_changes
from reverie.studies.summary import as_mean_std, mean_and_std

WORLD = "Pendulum-v1"

SETTINGS = (
    *("--collect.episodes", "60", "--evaluation-episodes", "40", "--memory.lr-decay", "0.998", "--rounds.count", "0"),
    *("--dream.starts", "initial", "--dream.horizon", "none", "--phases", "ppo:dream:100", "--ppo.num-envs", "512"),
    *("--cmaes.episodes", "8", "--cmaes.rescore-every", "5", "--cmaes.rescore-episodes", "64"),
)


@dataclass(frozen=True)
class Arm:
    """One setting changed: what it is called, how, and the arm whose M it has (None: one of its own)."""

    name: str
    changes: tuple[str, ...] = ()
    memory_of: str | None = "plain"


ARMS = (
    Arm("plain", memory_of=None),
    Arm("temperature 1.3", ("--dream.temperature", "1.3")),
    Arm("dropout 0.1", ("--dream.dropout", "0.1"), memory_of=None),
    Arm("three Ms", ("--dream.ensemble_size", "3")),
    Arm("penalty 0.5", ("--dream.ensemble_size", "3", "--dream.disagreement_penalty", "0.5"), memory_of="three Ms"),
    Arm("from the replay, 50 steps", ("--dream.starts", "replay", "--dream.horizon", "50")),
    Arm("backpropagation", ("--phases", "backprop:dream:100")),
    # 16 generations of 64 x 8 dreams of 200 steps: as many steps as 100 updates of 512 x 32
    Arm("CMA-ES", ("--phases", "cmaes:dream:16")),
)


@dataclass(frozen=True)
class Trial:
    """The mean scores of one C in its dream, at the temperature that it learned at, and in the world."""

    arm: str
    seed: int
    dream: float
    real: float

    @property
    def gap(self) -> float:
        """What the dream promised beyond what the world paid."""
        return self.dream - self.real


@dataclass(frozen=True)
class GuardsStudy:
    """All arms over the same seeds; random play's mean score in the world for each seed."""

    trials: tuple[Trial, ...]
    random: tuple[float, ...]

    def of(self, arm: str) -> list[Trial]:
        """The trials of one arm, in the order of their seeds."""
        return [trial for trial in self.trials if trial.arm == arm]

    def as_dict(self) -> dict[str, Any]:
        """Every trial, and each arm's figures over the seeds."""
        arms = {
            arm.name: {
                figure: mean_and_std([getattr(trial, figure) for trial in self.of(arm.name)])
                for figure in ("dream", "real", "gap")
            }
            for arm in ARMS
        }
        trials = [asdict(trial) | {"gap": trial.gap} for trial in self.trials]
        return {"study": "guards", "world": WORLD, "trials": trials, "arms": arms, "random": mean_and_std(self.random)}

    def table(self) -> str:
        """A line for each arm, and one for random play."""
        from rich.table import Table

        seeds = len(self.random)
        table = Table(title=f"{WORLD}: the same dream guarded, mean ± std over {seeds} seeds", title_justify="left")
        for column in ("", "dream", "real", "dream - real"):
            table.add_column(column, justify="left" if not column else "right")
        for arm in ARMS:
            some = self.of(arm.name)
            figures = ([getattr(trial, figure) for trial in some] for figure in ("dream", "real", "gap"))
            table.add_row(arm.name, *map(as_mean_std, figures))
        table.add_row("random play", "", as_mean_std(self.random), "")
        return as_text(table, width=110)


def guards_study(
    folder: Path,
    seeds: int,
    settings: Sequence[str] = (),
    workers: int | str = 0,
    device: str = "auto",
) -> GuardsStudy:
    """Make the runs of each seed in `folder`, or finish them; settings: beyond `SETTINGS`, as on the command line."""
    trials, random = [], []
    experiments = [(arm, seed, _experiment(arm, seed, settings)) for seed in range(seeds) for arm in ARMS]
    for arm, seed, experiment in experiments:
        announce(f"seed {seed}, {arm.name}")
        run = _finished(experiment, folder, arm, seed, workers, device)
        scores = read_scores(run)
        trials.append(Trial(arm.name, seed, scores["dream"].mean, scores["agent"].mean))
        if arm == ARMS[0]:
            random.append(scores["random"].mean)
    return GuardsStudy(tuple(trials), tuple(random))


def _finished(experiment: Experiment, folder: Path, arm: Arm, seed: int, workers: int | str, device: str) -> RunFolder:
    """The run of an arm, all of it but its report."""
    run = create_run(folder_of(folder, arm.name, seed), experiment)
    with run.locked():
        if arm != ARMS[0]:
            _take_over(run, folder_of(folder, ARMS[0].name, seed), ("rollouts", "vision", "latents", "scores"))
        if arm.memory_of is not None:
            _take_over(run, folder_of(folder, arm.memory_of, seed), ("memory",))
        for stage in (stages.collect, stages.vision, stages.memory, stages.controller, stages.evaluate):
            stage(run, workers, device)
    return run


def _take_over(run: RunFolder, source: Path, names: Sequence[str]) -> None:
    """Copy finished folders of another run, each as a whole or not at all; of its scores that of random play alone."""
    for name in names:
        target, making = run.path / name, run.path / f"{name}.tmp-taken"
        if target.exists():
            continue
        shutil.rmtree(making, ignore_errors=True)
        others = shutil.ignore_patterns("agent.json", "dream.json") if name == "scores" else None
        shutil.copytree(source / name, making, ignore=others)
        making.rename(target)


def _experiment(arm: Arm, seed: int, settings: Sequence[str]) -> Experiment:
    """Raises ReverieError where the settings leave arms that do not differ from one another."""
    plain = with_changes(make_experiment(WORLD, "quick", seed=seed), [*SETTINGS, *settings])
    changed = with_changes(plain, arm.changes)
    if arm.changes and changed == plain:
        raise ReverieError(f"the study's arm {arm.name!r} is what the settings say already; leave that setting out")
    return changed


def folder_of(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
