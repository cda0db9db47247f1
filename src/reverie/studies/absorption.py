"""Skill absorption: does a fresh C that sees what M expects of C learn faster than one that does not?

For each seed C is evolved, plays, and M learns on from what it played, its next actions included. Then two fresh Cs
are evolved inside that M on the same seeds: one sees [z, h], the other the action that M expects too. The bar is what
the old C scored in its own dream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from reverie.agent import Agent
from reverie.controller.config import Input
from reverie.controller.file import load_controller, save_controller
from reverie.evaluation.calibration import calibrate
from reverie.evaluation.score import evaluate_agent
from reverie.evaluation.table import as_text
from reverie.files.metrics import read_metrics
from reverie.learning.cmaes import evolve
from reverie.learning.phases import BEST_FILE
from reverie.memory.sequences import split_episodes
from reverie.memory.train import load_memory
from reverie.recipe.presets import make_experiment
from reverie.runs.opening import env_of
from reverie.runs.run import run
from reverie.runs.run_folder import RunFolder, open_run
from reverie.runs.scoring import read_scores
from reverie.settings import with_changes
from reverie.studies.summary import as_mean_std, mean_and_std
from reverie.vision.latents import Latents
from reverie.vision.train import load_vision
from reverie.workers.pool import Workers
from reverie.worlds.registry import world_spec

WORLD = "tiny"
GENERATIONS = 60  # that a fresh C has
EPISODES = 100

Arm = Literal["without", "with"]
ARMS: tuple[Arm, ...] = ("without", "with")
NAMES = {"without": "C sees z and h", "with": "and the action that M expects"}
INPUTS: dict[Arm, tuple[Input, ...]] = {"without": ("z", "h"), "with": ("z", "h", "action")}

SETTINGS = (
    *("--memory.action-head", "true", "--phases", "cmaes:dream:40:first"),
    *("--rounds.count", "1", "--rounds.episodes", "150", "--rounds.epsilon", "0", "--rounds.memory-updates", "300"),
)


@dataclass(frozen=True)
class Trial:
    """One fresh C.

    bar: the old C's score in its own dream; agreement: the share of the variance of its actions that M foresees
    means, best: by generation, of the population, and of the best agent so far on fresh seeds
    reached: the first generation whose best agent is at the bar; None where none is
    real: mean score in the world; old: the old C's there
    """

    arm: Arm
    seed: int
    bar: float
    agreement: float
    means: tuple[float, ...]
    best: tuple[float, ...]
    reached: int | None
    real: float
    old: float


@dataclass(frozen=True)
class AbsorptionStudy:
    """Both arms over the same seeds."""

    generations: int
    trials: tuple[Trial, ...]

    def of(self, arm: Arm) -> list[Trial]:
        """The trials of one arm, in the order of their seeds."""
        return [trial for trial in self.trials if trial.arm == arm]

    def as_dict(self) -> dict[str, Any]:
        """Every trial, and each arm's figures; never to reach the bar counts as one generation more than all."""
        arms = {
            arm: {
                "reached": sum(trial.reached is not None for trial in self.of(arm)),
                "generations": mean_and_std(self._needed(arm)),
                "best": mean_and_std([trial.best[-1] for trial in self.of(arm)]),
                "real": mean_and_std([trial.real for trial in self.of(arm)]),
            }
            for arm in ARMS
        }
        trials = [asdict(trial) for trial in self.trials]
        return {"study": "absorption", "world": WORLD, "generations": self.generations, "trials": trials, "arms": arms}

    def table(self) -> str:
        """A line for each arm, and what both are measured against."""
        from rich.table import Table

        seeds = len(self.of("without"))
        title = f"{WORLD}: a fresh C inside the M that absorbed the old one, mean ± std over {seeds} seeds"
        table = Table(title=title, title_justify="left")
        for column in ("", "reached the old C", "generations to it", "best in the dream", "real"):
            table.add_column(column, justify="left" if not column else "right")
        for arm in ARMS:
            some = self.of(arm)
            reached = f"{sum(trial.reached is not None for trial in some)} of {seeds}"
            best, real = as_mean_std([trial.best[-1] for trial in some]), as_mean_std([trial.real for trial in some])
            table.add_row(NAMES[arm], reached, as_mean_std(self._needed(arm)), best, real)
        bars, olds = ([getattr(trial, name) for trial in self.of("without")] for name in ("bar", "old"))
        table.add_row("the old C", "", "", as_mean_std(bars), as_mean_std(olds))
        foreseen = as_mean_std([100 * trial.agreement for trial in self.of("without")])
        return f"{as_text(table, width=110)}\nM foresees {foreseen} % of the variance of the old C's actions."

    def _needed(self, arm: Arm) -> list[float]:
        return [self.generations + 1 if trial.reached is None else trial.reached for trial in self.of(arm)]


def absorption_study(
    folder: Path,
    seeds: int,
    settings: Sequence[str] = (),
    workers: int | str = 0,
    device: str = "auto",
    generations: int = GENERATIONS,
) -> AbsorptionStudy:
    """Make the run of each seed and its fresh Cs in `folder`, or finish them; settings: beyond `SETTINGS`."""
    trials = []
    for seed in range(seeds):
        path = folder / f"seed-{seed}"
        run(with_changes(make_experiment(WORLD, "tiny", seed=seed), [*SETTINGS, *settings]), path, workers, device)
        finished = open_run(path)
        agreement = foreseen(finished)
        for arm in ARMS:
            place = folder / f"{arm}-{seed}"
            _evolve_fresh(finished, arm, place, generations, workers)
            trials.append(_trial(finished, arm, seed, place, agreement, workers))
    return AbsorptionStudy(generations, tuple(trials))


def foreseen(finished: RunFolder) -> float:
    """How well M foresees C on the episodes that C played and M did not train on."""
    latents = Latents(finished.latents)
    _, held_out = split_episodes(latents)
    played = [index for index in held_out if index >= finished.episodes_by(0)]
    memory, actions = load_memory(finished.memory), world_spec(WORLD).actions
    _, calibration = calibrate(memory, actions, [latents.episode(index) for index in played])
    assert calibration is not None, "M has an action head"
    return calibration.agreement()


def _evolve_fresh(finished: RunFolder, arm: Arm, place: Path, generations: int, workers: int | str) -> None:
    """A C of its own in the dream of the run's last M, from zeros."""
    env = env_of(finished, "dream")
    env = replace(env, controller=replace(env.controller, inputs=INPUTS[arm]))
    config = replace(finished.experiment.cmaes, rescore_every=1)
    with Workers(workers) as pool:
        params = evolve(config, generations, env, place, finished.experiment.seed, pool)
    save_controller(place / BEST_FILE, env.controller_shape(), params)


def _trial(finished: RunFolder, arm: Arm, seed: int, place: Path, agreement: float, workers: int | str) -> Trial:
    rows = read_metrics(place / "metrics.jsonl")
    old = read_scores(finished.at(0))
    bar, best = old["dream"].mean, tuple(float(row["best_return_mean"]) for row in rows)
    controller, params = load_controller(place / BEST_FILE)
    agent = Agent(load_vision(finished.vision), load_memory(finished.memory), controller, params, world_spec(WORLD))
    with Workers(workers) as pool:
        real = evaluate_agent(agent, EPISODES, 0, pool).mean
    return Trial(
        arm=arm,
        seed=seed,
        bar=bar,
        agreement=agreement,
        means=tuple(float(row["fitness_mean"]) for row in rows),
        best=best,
        reached=next((generation for generation, score in enumerate(best, start=1) if score >= bar), None),
        real=real,
        old=old["agent"].mean,
    )
