"""What the paper and its published logs say, to stand beside a run (Ha & Schmidhuber 2018, arXiv 1803.10122)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Curve = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Published:
    """The published figures of one world.

    title: the world's name for a reader
    agent, random: "mean ± std" over 100 episodes, as printed
    note: what keeps those figures from being compared one to one
    losses: M's metric -> (update, loss) points of a healthy training
    fitness: (generation, mean fitness of the population)
    fitness_where: where that fitness was measured
    frames_per_second: the world's own pace
    """

    title: str
    agent: str = ""
    random: str = ""
    note: str = ""
    losses: Mapping[str, Curve] = field(default_factory=dict)
    fitness: Curve = ()
    fitness_where: str = ""
    frames_per_second: int = 30


WORLDS: dict[str, Published] = {
    "doom": Published(
        title="Doom: Take Cover",
        agent="1092 ± 556",
        random="210 ± 108",
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
        agent="906 ± 21",
        note="CarRacing-v0, whose rules differ from v3",
        fitness=((25, 641), (50, 754), (100, 792), (200, 827), (500, 868), (1_000, 882), (1_800, 890)),
        fitness_where="world",
        frames_per_second=50,
    ),
    "tiny": Published(title="Tiny, the test world", frames_per_second=15),
}


def published(world: str) -> Published:
    """The published figures of `world`; for a world that the paper did not visit, only its name."""
    return WORLDS.get(world, Published(title=world))
