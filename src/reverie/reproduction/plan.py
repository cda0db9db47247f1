"""What a reproduction consists of: the rows of a table, each with who plays and where, and what is compared."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.errors import ReverieError
from reverie.evaluation.published import Figure
from reverie.evolution.config import EvolutionConfig


@dataclass(frozen=True)
class MainAgent:
    """The agent that the main run ends with; blinded: it is shown the first frame of each episode for ever."""

    blinded: bool = False


@dataclass(frozen=True)
class Evolved:
    """A C evolved from scratch in the dream of the run's V and M.

    temperature: tau of that dream; None is the run's own
    first_round: the V and M of the first round, which learned from exploration alone; else those of the last
    untrained: C sees the state of an M with random weights, which follows the dreams that the trained M makes
    """

    temperature: float | None = None
    first_round: bool = False
    untrained: bool = False


@dataclass(frozen=True)
class BlindPolicy:
    """A policy that learned nothing, by its name in rollouts/policies.py."""

    policy: str


Player = MainAgent | Evolved | BlindPolicy


@dataclass(frozen=True)
class Row:
    """One row of the table.

    name: of its folder, and in JSON; label, note: for a reader
    world: where it is scored in reality
    paper_dream, paper_real: what the paper has for it
    """

    name: str
    label: str
    player: Player
    world: str
    note: str = ""
    paper_dream: Figure | None = None
    paper_real: Figure | None = None


@dataclass(frozen=True)
class Plan:
    """A table of the paper.

    world: of the main run
    comparisons: (name of a row, name of the row that it is tested against), on the same seeds
    evolution: how the rows' own C are evolved; None as the run's
    references: published scores without a row of ours
    """

    world: str
    rows: tuple[Row, ...]
    comparisons: tuple[tuple[str, str], ...] = ()
    evolution: EvolutionConfig | None = None
    references: tuple[tuple[str, Figure], ...] = ()

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        missing = [name for pair in self.comparisons for name in pair if name not in names]
        if missing or len(set(names)) < len(names):
            raise ReverieError(f"a plan compares {missing or names}; expected rows of it, each with a name of its own")
