"""What a row and a whole reproduction resulted in, and what training each C took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reverie.evaluation.published import Figure
from reverie.evaluation.score import Score
from reverie.files.metrics import read_in_turn, read_metrics
from reverie.learning.phases import Phase
from reverie.recipe.experiment import Preset
from reverie.reproduction.context import Context
from reverie.reproduction.paired_test import PairedTest
from reverie.reproduction.plan import FreshC, Plan, Row

METRICS = "metrics.jsonl"

Rows = Sequence[Mapping[str, Any]]
Trainings = Sequence[tuple[Phase, Path]]  # phases of the training of a C, and their folders


@dataclass(frozen=True)
class TrainingCost:
    """What training an agent's C took, in all rounds together.

    parameters: of C
    updates: of gradient methods, in the dream and in the world; generations: of CMA-ES
    dream_steps, world_steps: of all episodes, re-scoring included
    seconds: wall time
    """

    parameters: int
    updates: int
    generations: int
    dream_steps: int
    world_steps: int
    seconds: float


def training_cost(context: Context, row: Row) -> TrainingCost | None:
    """The cost of the row's own C, or of the main run's in all rounds; None for a row without a trained C."""
    if not context.is_main(row) and not isinstance(row.player, FreshC):
        return None
    metrics = [(phase, read_metrics(folder / METRICS)) for phase, folder in trainings(context, row)]
    done = [(phase, rows) for phase, rows in metrics if rows]

    def total(name: str, cmaes: bool | None = None) -> int:
        last = (rows[-1] for phase, rows in done if cmaes in (None, phase.method == "cmaes"))
        return sum(int(row.get(name, 0)) for row in last)

    return TrainingCost(
        parameters=len(context.trained(row).params),
        updates=total("step", cmaes=False),
        generations=total("step", cmaes=True),
        dream_steps=total("dream_steps"),
        world_steps=total("world_steps"),
        seconds=_main_seconds(context) if context.is_main(row) else sum(_training_seconds(rows) for _, rows in done),
    )


def trainings(context: Context, row: Row) -> Trainings:
    """The phases of the training of the row's C; of the main agent round by round."""
    if isinstance(row.player, FreshC):
        folder = context.controller_folder(row, row.player)
        return [(one.phase, one.folder(folder)) for one in context.phases(row.player)]
    return main_trainings(context) if context.is_main(row) else []


def main_trainings(context: Context) -> Trainings:
    """The phases of the training of the main run's C, round by round."""
    rounds = [context.run.at(number) for number in range(context.run.round + 1)]
    return [(one.phase, one.folder(run.controller)) for run in rounds for one in run.phases]


def cmaes_metrics(phases: Trainings) -> Rows:
    """The metrics of CMA-ES, phase after phase: the steps of each go on from those of the one before."""
    return read_in_turn(folder / METRICS for phase, folder in phases if phase.method == "cmaes")


def gradient_metrics(phases: Trainings) -> Rows:
    """The metrics of the gradient methods in the dream, likewise."""
    folders = (folder for phase, folder in phases if phase.method != "cmaes" and phase.place == "dream")
    return read_in_turn(folder / METRICS for folder in folders)


def _training_seconds(rows: Rows) -> float:
    """Wall time of one training."""
    return sum(float(row.get("seconds", 0)) for row in rows)


def _main_seconds(context: Context) -> float:
    """Wall time of the stage that trains C, in all rounds."""
    return sum(seconds for stage, seconds in context.run.timings.items() if stage.split(",")[0] == "controller")


@dataclass(frozen=True)
class RowResult:
    """A finished row.

    temperature: tau of the dream of the score `dream`: the one that its C was trained in, if it was in a dream
    dream: None for a player without a dream; real: in the row's world
    seconds: wall time spent on it; real_steps: steps in the real world that it learned from
    engine: in the plan's engine; None for a player that was not trained
    cost: of training its C; None where no C was trained for it
    """

    row: Row
    temperature: float | None
    dream: Score | None
    real: Score
    seconds: float
    real_steps: int
    engine: Score | None = None
    cost: TrainingCost | None = None

    @property
    def gap(self) -> float | None:
        """How much more it scores in the plan's engine, where training plays, than where scores are taken."""
        return None if self.engine is None else self.engine.mean - self.real.mean

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the fields that scripts rely on."""
        row = self.row
        return {
            "name": row.name,
            "label": row.label,
            "world": row.world,
            "tau": self.temperature,
            "dream": _brief(self.dream),
            "engine": _brief(self.engine),
            "gap": self.gap,
            "real": _brief(self.real),
            "paper": {"dream": _figure(row.paper_dream), "real": _figure(row.paper_real)},
            "episodes": self.real.episodes,
            "seed": self.real.seed,
            "seconds": round(self.seconds, 1),
            "real_steps": self.real_steps,
            "budget": None if self.cost is None else asdict(self.cost),
        }


@dataclass(frozen=True)
class Reproduction:
    """All rows, the tests between them, and where the page is.

    seconds: of this call; page, film: of this reproduction (no film where no row was dreamt)
    """

    run_dir: Path
    preset: Preset
    plan: Plan
    results: tuple[RowResult, ...]
    tests: tuple[PairedTest, ...]
    seconds: float
    page: Path
    film: Path | None

    def of(self, name: str) -> RowResult:
        """The result of the row with this name."""
        return next(result for result in self.results if result.row.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the fields that scripts rely on."""
        return {
            "world": self.plan.world,
            "engine": None if self.plan.engine is None else self.plan.engine.world,
            "run_dir": str(self.run_dir),
            "preset": self.preset,
            "seconds": round(self.seconds, 1),
            "rows": [result.as_dict() for result in self.results],
            "tests": [asdict(test) for test in self.tests],
            "page": str(self.page),
            "film": None if self.film is None else str(self.film),
        }


def _brief(score: Score | None) -> dict[str, float] | None:
    return None if score is None else {"mean": score.mean, "std": score.std}


def _figure(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else figure._asdict()
