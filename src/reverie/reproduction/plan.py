"""The plan of a table: its rows, each with who plays and where, and the rows that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from reverie.controller.config import ControllerConfig
from reverie.errors import ReverieError
from reverie.evaluation.published import Figure
from reverie.feature_env import Place
from reverie.learning.phases import Phase


@dataclass(frozen=True)
class MainAgent:
    """The agent that the main run ends with; blinded: it is shown the first frame of each episode for ever."""

    blinded: bool = False


@dataclass(frozen=True)
class FreshC:
    """A C trained from scratch on the run's V and M.

    temperature: tau of the dream that it is trained in; None is the run's own
    first_round: the V and M of the first round, which learned from exploration alone; else those of the last
    untrained: C sees the state of an M with random weights. In a dream, that M reads what the trained M dreams; in
        the world it replaces the trained M
    place: in the dream of that M, or in the real world seen through V and M
    controller: the shape of C; None is the run's own
    """

    temperature: float | None = None
    first_round: bool = False
    untrained: bool = False
    place: Place = "dream"
    controller: ControllerConfig | None = None


@dataclass(frozen=True)
class BlindPolicy:
    """A policy that learned nothing, by its name in episodes/policies.py."""

    policy: str


Player = MainAgent | FreshC | BlindPolicy


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


class Engine(NamedTuple):
    """Where real episodes are played for learning, if not where scores are taken: a world, and its name in a table."""

    world: str
    label: str


class Story(NamedTuple):
    """What a reader of the page is told above the charts."""

    title: str
    text: str


HOW_THEY_LEARNED = Story("How they learned", "")


@dataclass(frozen=True)
class Plan:
    """A table of the paper.

    world: of the main run
    comparisons: (name of a row, name of the row that it is tested against), on the same seeds
    phases: how the rows' own C are trained, each phase in the row's place; None: as the run's first pass
    references: published scores without a row of ours
    engine: whoever learned is scored there too; None where that is `world` itself
    story: above the charts
    """

    world: str
    rows: tuple[Row, ...]
    comparisons: tuple[tuple[str, str], ...] = ()
    phases: tuple[Phase, ...] | None = None
    references: tuple[tuple[str, Figure], ...] = ()
    engine: Engine | None = None
    story: Story = HOW_THEY_LEARNED

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        missing = [name for pair in self.comparisons for name in pair if name not in names]
        if missing or len(set(names)) < len(names):
            raise ReverieError(f"a plan compares {missing or names}; expected rows of it, each with a name of its own")
