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
    generations: int = 200
    """generations in all; 0 keeps C as it begins"""
    sigma: float = 0.1
    """the first step size; the search begins at parameters of 0, or at those that C has learned by gradients"""
    max_steps: int | None = None
    """steps after which a training episode in the world is cut off; None: at the world's own cap"""
    patience: int | None = None
    """steps without a positive reward after which a training episode in the world is given up; None: never"""
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
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ReverieError(f"evolution.sigma is {self.sigma}, expected a finite number above 0")
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ReverieError(f"evolution.{name} is {value}, expected at least {lowest}")


LOWEST = {
    "population": 4,
    "rollouts": 1,
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
