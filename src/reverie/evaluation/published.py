"""What the paper and its published logs say, to stand beside a run (Ha & Schmidhuber 2018, arXiv 1803.10122)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from reverie.worlds.registry import base_world, repeat_of

Curve = tuple[tuple[int, float], ...]


class Figure(NamedTuple):
    """A score as it is printed: the mean and standard deviation over 100 episodes."""

    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:g} ± {self.std:g}"


@dataclass(frozen=True)
class Published:
    """The published figures of one world.

    title: the world's name for a reader
    agent, random, leaderboard: of the paper's agent, of random play, and of the best agent on the leaderboard then
    temperatures: tau -> the scores in the dream and in the world of an agent that was trained at it
    note: what keeps those figures from being compared one to one
    losses: M's metric -> (update, loss) points of a healthy training
    fitness: (generation, mean fitness of the population)
    fitness_where: where that fitness was measured
    frames_per_second: the world's own pace
    """

    title: str
    agent: Figure | None = None
    random: Figure | None = None
    leaderboard: Figure | None = None
    temperatures: Mapping[float, tuple[Figure, Figure]] = field(default_factory=dict)
    note: str = ""
    losses: Mapping[str, Curve] = field(default_factory=dict)
    fitness: Curve = ()
    fitness_where: str = ""
    frames_per_second: int = 30


WORLDS: dict[str, Published] = {
    "doom": Published(
        title="Doom: Take Cover",
        agent=Figure(1092, 556),
        random=Figure(210, 108),
        leaderboard=Figure(820, 58),
        temperatures={
            0.10: (Figure(2086, 140), Figure(193, 58)),
            0.50: (Figure(2060, 277), Figure(196, 50)),
            1.00: (Figure(1145, 690), Figure(868, 511)),
            1.15: (Figure(918, 546), Figure(1092, 556)),
            1.30: (Figure(732, 269), Figure(753, 139)),
        },
        note="ViZDoom of 2018",
        losses={
            "z_nll": ((20, 1.314), (1_000, 1.047), (10_000, 1.001), (24_000, 0.983)),
            "done": ((20, 0.112), (1_000, 0.041), (10_000, 0.0047), (24_000, 0.0009)),
        },
        fitness=((25, 515), (50, 656), (100, 737), (500, 788), (1_000, 822), (1_800, 897)),
        fitness_where="dream",
        frames_per_second=35,
    ),
    "carracing": Published(
        title="Car Racing",
        agent=Figure(906, 21),
        leaderboard=Figure(838, 11),
        note="CarRacing-v0, whose rules differ from v3",
        fitness=((25, 641), (50, 754), (100, 792), (200, 827), (500, 868), (1_000, 882), (1_800, 890)),
        fitness_where="world",
        frames_per_second=50,
    ),
    "tiny": Published(title="Tiny, the test world", frames_per_second=15),
}


def published(world: str) -> Published:
    """The published figures of `world`; for one that the paper did not visit, its name and pace alone."""
    if world in WORLDS:
        return WORLDS[world]
    base = WORLDS.get(base_world(world))
    if base is None:
        return Published(title=world)
    pace = max(1, round(base.frames_per_second / repeat_of(world)))
    return Published(title=f"{base.title} ({world})", frames_per_second=pace)
