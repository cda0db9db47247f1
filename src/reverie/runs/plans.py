"""What a run was planned to be by `--minutes` or `--real-steps`, kept in its folder: the same plan is followed whatever
the machine does later, and more of the same makes it longer."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import read_object, write_json
from reverie.recipe.budget import LEAST_STEPS
from reverie.recipe.rounds import MOST_ROUNDS
from reverie.runs.run_folder import PLAN, RunFolder

Unit = Literal["minutes", "real-steps"]
REMEDY = "restore it from a copy, or start again in another run folder"


@dataclass(frozen=True)
class Plan:
    """The words that asked for a run, and what was made of them.

    unit, amount: as asked for; the largest so far
    preset, real_steps: that the experiment is made of; rounds: that it has in the end
    round_seconds: that a further round takes, as estimated; rates: that were measured for it, as JSON
    """

    unit: Unit
    amount: float
    preset: str
    real_steps: int
    rounds: int
    round_seconds: float
    rates: dict[str, Any]

    def __post_init__(self) -> None:
        if self.unit not in ("minutes", "real-steps"):
            raise ReverieError(f"unit is {self.unit!r}, expected minutes or real-steps")
        if not (math.isfinite(self.amount) and self.amount > 0 and math.isfinite(self.round_seconds)):
            raise ReverieError(f"amount is {self.amount} and round_seconds {self.round_seconds}, expected numbers")
        if self.real_steps < LEAST_STEPS or not 0 <= self.rounds <= MOST_ROUNDS:
            raise ReverieError(f"real_steps is {self.real_steps} and rounds {self.rounds}, expected more or fewer")

    def extended(self, unit: Unit, amount: float, run: RunFolder | None) -> Plan:
        """The plan for more of the same: as many further rounds as the difference has room for.

        run: as far as it is; its own rounds tell what a round takes
        Raises: ReverieError for less than the plan has, for another unit, and for too little for a round.
        """
        if unit != self.unit:
            raise ReverieError(f"the run was planned by --{self.unit} {self.amount:g}; give --{self.unit}")
        if amount == self.amount:
            return self
        if amount < self.amount:
            raise ReverieError(
                f"the run was planned for --{unit} {self.amount:g}, and --{unit} is {amount:g}; give at least as "
                "much, or choose another run folder"
            )
        one = self._of_a_round(run)
        more = int((amount - self.amount) / one)
        if more == 0:
            raise ReverieError(
                f"--{unit} {amount:g} adds {amount - self.amount:g} to the run's {self.amount:g}, and a round takes "
                f"{one:.3g}; give at least {self.amount + one:.4g}"
            )
        return replace(self, amount=amount, rounds=min(MOST_ROUNDS, self.rounds + more))

    def _of_a_round(self, run: RunFolder | None) -> float:
        """What a further round takes, in the plan's unit."""
        if self.unit == "real-steps":
            assert run is not None
            return float(run.experiment.rounds.steps)
        taken = {} if run is None else _round_seconds(run)
        return (sum(taken.values()) / len(taken) if taken else self.round_seconds) / 60


def _round_seconds(run: RunFolder) -> dict[str, float]:
    """Of each finished round after the first pass."""
    found: dict[str, float] = {}
    for stage, seconds in run.timings.items():
        name, _, number = stage.partition(", round ")
        if number and int(number) < run.round and name != "report":
            found[number] = found.get(number, 0.0) + seconds
    return found


def read_plan(folder: Path) -> Plan | None:
    """The plan of a run folder; None where it has none. Raises DamagedFileError."""
    file = folder / PLAN
    if not file.exists():
        return None
    content = read_object(file, REMEDY)
    try:
        return Plan(**{name: _typed(content[name], kind) for name, kind in TYPES.items()})
    except (KeyError, TypeError, ReverieError) as error:
        raise DamagedFileError(f"{file} holds no plan ({error!s:.100}); {REMEDY}") from None


def write_plan(folder: Path, plan: Plan) -> None:
    """Keep the plan in a run folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PLAN, asdict(plan))


TYPES: dict[str, Any] = {
    "unit": str,
    "amount": (int, float),
    "preset": str,
    "real_steps": int,
    "rounds": int,
    "round_seconds": (int, float),
    "rates": dict,
}


def _typed(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.50} is of another type")
    return value
