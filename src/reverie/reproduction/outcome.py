"""What a row, and a whole reproduction, came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reverie.evaluation.published import Figure
from reverie.evaluation.score import Score
from reverie.recipe.experiment import Preset
from reverie.reproduction.plan import Plan, Row
from reverie.reproduction.searches import Budget
from reverie.reproduction.significance import PairedTest


@dataclass(frozen=True)
class Outcome:
    """A row brought to its end.

    temperature: tau of the dream in which `dream` was scored: the one that its C was evolved in, if it was in a dream
    dream: None for who plays no dream; real: in the row's world
    seconds: wall time of all that was done for it; real_steps: steps in the real world that it learned from
    engine: in the plan's engine; None for who learned nothing
    budget: what evolving its C took; None where none was evolved for it
    """

    row: Row
    temperature: float | None
    dream: Score | None
    real: Score
    seconds: float
    real_steps: int
    engine: Score | None = None
    budget: Budget | None = None

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
            "budget": None if self.budget is None else asdict(self.budget),
        }


@dataclass(frozen=True)
class Reproduction:
    """All rows, the tests between them, and where the page is.

    seconds: of this call; page, film: of this reproduction (no film where no row was dreamt)
    """

    run_dir: Path
    preset: Preset
    plan: Plan
    outcomes: tuple[Outcome, ...]
    tests: tuple[PairedTest, ...]
    seconds: float
    page: Path
    film: Path | None

    def of(self, name: str) -> Outcome:
        """The outcome of the row with this name."""
        return next(outcome for outcome in self.outcomes if outcome.row.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the fields that scripts rely on."""
        return {
            "world": self.plan.world,
            "engine": None if self.plan.engine is None else self.plan.engine.world,
            "run_dir": str(self.run_dir),
            "preset": self.preset,
            "seconds": round(self.seconds, 1),
            "rows": [outcome.as_dict() for outcome in self.outcomes],
            "tests": [asdict(test) for test in self.tests],
            "page": str(self.page),
            "film": None if self.film is None else str(self.film),
        }


def _brief(score: Score | None) -> dict[str, float] | None:
    return None if score is None else {"mean": score.mean, "std": score.std}


def _figure(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else figure._asdict()
