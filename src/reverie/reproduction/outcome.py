"""What a row, and a whole reproduction, came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reverie.evaluation.published import Figure
from reverie.evaluation.score import Score
from reverie.pipeline.experiment import Preset
from reverie.reproduction.plan import Plan, Row
from reverie.reproduction.significance import PairedTest


@dataclass(frozen=True)
class Outcome:
    """A row brought to its end.

    temperature: tau of the dream that its C was evolved in, and in which `dream` was scored
    dream: None for who plays no dream; real: in the row's world
    seconds: wall time of all that was done for it; real_steps: steps in the real world that it learned from
    """

    row: Row
    temperature: float | None
    dream: Score | None
    real: Score
    seconds: float
    real_steps: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the fields that scripts rely on."""
        row = self.row
        return {
            "name": row.name,
            "label": row.label,
            "world": row.world,
            "tau": self.temperature,
            "dream": None if self.dream is None else _figure(Figure(self.dream.mean, self.dream.std)),
            "real": _figure(Figure(self.real.mean, self.real.std)),
            "paper": {"dream": _figure(row.paper_dream), "real": _figure(row.paper_real)},
            "episodes": self.real.episodes,
            "seed": self.real.seed,
            "seconds": round(self.seconds, 1),
            "real_steps": self.real_steps,
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
            "run_dir": str(self.run_dir),
            "preset": self.preset,
            "seconds": round(self.seconds, 1),
            "rows": [outcome.as_dict() for outcome in self.outcomes],
            "tests": [asdict(test) for test in self.tests],
            "page": str(self.page),
            "film": None if self.film is None else str(self.film),
        }


def _figure(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else figure._asdict()
