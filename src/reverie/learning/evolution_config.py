"""How C is evolved; torch-free, so that `--help` stays fast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from reverie.errors import ReverieError


@dataclass(frozen=True)
class EvolutionConfig:
    """CMA-ES over C's parameters. The defaults are the paper's, but for `generations` (it ran 1,800)."""

    where: Literal["dream", "world"] = "dream"
    """where candidates are tried: in M's dream, or in the real world seen through V and M"""
    population: int = 64
    """candidates in a generation"""
    rollouts: int = 16
    """episodes of each candidate, on the same seeds for all of a generation; fitness is their mean return"""
    first_rollouts: int | None = None
    """episodes of each candidate in the first generations, when the good differ much from the bad; None: `rollouts`"""
    double_every: int = 50
    """generations after which `first_rollouts` are doubled, and again, until they are `rollouts`"""
    generations: int = 200
    """generations in all; 0 keeps C as it begins"""
    sigma: float = 0.1
    """the first step size; the search begins at parameters of 0, or at those that C has learned by gradients"""
    max_steps: int | None = None
    """steps after which a training episode in the world is cut off; None: at the world's own cap"""
    patience: int | None = None
    """steps without a positive reward after which a training episode in the world is given up; None: never"""
    give_up: Literal["keep", "extrapolate"] = "keep"
    """what an episode that patience gave up is worth: its return so far, or also what it would lose by going on so"""
    slots: int = 16
    """episodes that a worker plays side by side in the world"""
    shard: int = 16
    """candidates in a worker's task; fixed, so that the number of workers changes no bit of the result"""
    rescore_every: int = 25
    """generations between two re-scorings of the search's mean, its best candidates and the best agent so far"""
    rescore_best: int = 3
    """how many of the generation's best candidates are re-scored"""
    rescore_rollouts: int = 128
    """episodes of each re-scored agent, on fresh seeds (the paper: 1,024)"""
    checkpoint_every: int = 1
    """generations between two checkpoints"""

    def __post_init__(self) -> None:
        if self.where not in ("dream", "world"):
            raise ReverieError(f"evolution.where is {self.where!r}, expected dream or world")
        if self.give_up not in ("keep", "extrapolate"):
            raise ReverieError(f"evolution.give_up is {self.give_up!r}, expected keep or extrapolate")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ReverieError(f"evolution.sigma is {self.sigma}, expected a finite number above 0")
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ReverieError(f"evolution.{name} is {value}, expected at least {lowest}")
        if self.first_rollouts is not None and self.first_rollouts > self.rollouts:
            found = f"evolution.first_rollouts is {self.first_rollouts}"
            raise ReverieError(f"{found}, expected at most evolution.rollouts, {self.rollouts}")

    def rollouts_in(self, generation: int) -> int:
        """Episodes of each candidate in `generation`, counted from 0; no function of how many there are to be."""
        if self.first_rollouts is None:
            return self.rollouts
        return min(self.rollouts, self.first_rollouts * 2 ** (generation // self.double_every))


LOWEST = {
    "population": 4,
    "rollouts": 1,
    "first_rollouts": 1,
    "double_every": 1,
    "generations": 0,
    "max_steps": 1,
    "patience": 1,
    "slots": 1,
    "shard": 1,
    "rescore_every": 1,
    "rescore_best": 0,
    "rescore_rollouts": 1,
    "checkpoint_every": 1,
}
