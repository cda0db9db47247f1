"""How much a run spends: the budgets that presets name, and those between and beyond them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import pairwise

from reverie.errors import ReverieError
from reverie.recipe.rounds import MOST_ROUNDS

LEAST_STEPS = 100  # of the smallest budget
FLOORS = {"vision": 20, "memory": 20, "controller": 2, "rounds": 1, "round_memory": 10, "round_controller": 1}


@dataclass(frozen=True)
class Budget:
    """Real steps of exploration, updates of V, M and C, rounds, and the steps and updates of each of them."""

    steps: int
    vision: int
    memory: int
    controller: int
    rounds: int
    round_steps: int
    round_memory: int
    round_controller: int

    @property
    def real_steps(self) -> int:
        """Of exploration and of all rounds together."""
        return self.steps + self.rounds * self.round_steps


BUDGETS = {
    "tiny": Budget(300, 40, 30, 4, 1, 100, 10, 2),
    "quick": Budget(20_000, 2500, 800, 200, 3, 8000, 800, 160),
    "standard": Budget(100_000, 8000, 4000, 400, 6, 30_000, 2000, 300),
}


def budget_of(real_steps: int) -> Budget:
    """The budget of so many real steps.

    Between two presets every figure is a power law through both. Below the smallest all are in proportion to it,
    with floors. Beyond the largest there are more rounds of its size: exploration has shown what it can.
    Raises: ReverieError for fewer than 100 steps, or for more than a run has rounds for.
    """
    known = sorted(BUDGETS.values(), key=lambda budget: budget.real_steps)
    least, most = known[0], known[-1]
    if real_steps < LEAST_STEPS:
        raise ReverieError(f"--real-steps is {real_steps}; expected at least {LEAST_STEPS}")
    if real_steps >= most.real_steps:
        figures = _figures(most) | {"rounds": (real_steps - most.steps) / most.round_steps}
        if figures["rounds"] > MOST_ROUNDS:
            longest = most.steps + MOST_ROUNDS * most.round_steps
            raise ReverieError(f"--real-steps is {real_steps}; expected at most {longest:,}")
        share = most.steps / real_steps
    elif real_steps <= least.real_steps:
        ratio = real_steps / least.real_steps
        figures = {name: ratio * figure for name, figure in _figures(least).items()}
        share = least.steps / least.real_steps
    else:
        below, above = next(pair for pair in pairwise(known) if real_steps <= pair[1].real_steps)
        way = math.log(real_steps / below.real_steps) / math.log(above.real_steps / below.real_steps)
        ends = _figures(above)
        figures = {name: figure * (ends[name] / figure) ** way for name, figure in _figures(below).items()}
        share = (below.steps / below.real_steps) * (
            (above.steps / above.real_steps) / (below.steps / below.real_steps)
        ) ** way
    counts = {name: max(floor, round(figures[name])) for name, floor in FLOORS.items()}
    steps = round(share * real_steps)
    return Budget(steps=steps, round_steps=max(1, (real_steps - steps) // counts["rounds"]), **counts)


def _figures(budget: Budget) -> dict[str, float]:
    return {field.name: getattr(budget, field.name) for field in fields(budget)}
