"""The suite's table in Markdown: a row for each world, Reverie beside random play, its dream, and peers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from reverie.studies.suite_lines import Budget, PeerRun, SuiteRun

PLAIN = ("world", "random play", "Reverie", "its dream", "real steps", "minutes")
ALLOWED: dict[Budget, str] = {"steps": "same real steps", "time": "same time"}


@dataclass(frozen=True)
class Problem:
    """A run that could not be made, and why."""

    world: str
    seed: int
    problem: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Row:
    """A world: its runs in the order of their seeds, at least one, and what peers got on their budgets."""

    world: str
    runs: tuple[SuiteRun, ...]
    peers: tuple[PeerRun, ...]

    @property
    def scores(self) -> list[float]:
        """Of each seed's agent in the real world."""
        return [run.score.mean for run in self.runs]

    @property
    def dreams(self) -> list[float]:
        """Of each seed's agent in its dream, where it has one."""
        return [run.dream.mean for run in self.runs if run.dream is not None]

    def of_peer(self, peer: str, budget: Budget) -> list[float]:
        """A peer's score for each seed."""
        found = [one for one in self.peers if (one.peer, one.budget) == (peer, budget)]
        return [one.score.mean for one in sorted(found, key=lambda one: one.seed)]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: the row's figures."""
        return {
            "world": self.world,
            "seeds": [run.seed for run in self.runs],
            "random": {"mean": self.runs[0].random, "std": self.runs[0].random_std},
            "scores": self.scores,
            "mean": float(np.mean(self.scores)),
            "dream": float(np.mean(self.dreams)) if self.dreams else None,
            "real_steps": [run.real_steps for run in self.runs],
            "seconds": [run.seconds for run in self.runs],
            "peers": [
                {"peer": peer, "budget": budget, "scores": self.of_peer(peer, budget)}
                for peer, budget in columns([self])
            ],
            "verdicts": [run.verdict for run in self.runs],
        }


def columns(rows: Sequence[Row]) -> Iterator[tuple[str, Budget]]:
    """The peers that any of the rows has, those on the same steps first."""
    found = {(one.peer, one.budget) for row in rows for one in row.peers}
    for budget in get_args(Budget):
        for peer in sorted(peer for peer, one in found if one == budget):
            yield peer, budget


def markdown(rows: Sequence[Row], problems: Sequence[Problem]) -> str:
    """A row for each world, then one for each run that could not be made."""
    peers = list(columns(rows))
    head = [*PLAIN, *(f"{peer}, {ALLOWED[budget]}" for peer, budget in peers)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        first = row.runs[0]
        lines.append(
            [
                row.world,
                f"{number(first.random)} ± {number(first.random_std)}",
                each_and_mean(row.scores, "**"),
                each_and_mean(row.dreams),
                f"{np.mean([run.real_steps for run in row.runs]):,.0f}",
                f"{np.mean([run.seconds for run in row.runs]) / 60:,.0f}",
                *(each_and_mean(row.of_peer(*peer)) for peer in peers),
            ]
        )
    for problem in problems:
        said = problem.problem.replace("|", "\\|").replace("\n", " ")
        lines.append([problem.world, f"seed {problem.seed} was not made: {said}", *[""] * (len(head) - 2)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def each_and_mean(values: Sequence[float], mark: str = "") -> str:
    """The mean over the seeds, and each seed's figure where there are several."""
    if not values:
        return ""
    mean = f"{mark}{number(float(np.mean(values)))}{mark}"
    return mean if len(values) == 1 else f"{mean} ({', '.join(map(number, values))})"


def number(value: float) -> str:
    """Two decimals below 10, none from 1,000 on, else one: worlds reward by the hundredth or by the thousand."""
    size = abs(value)
    return f"{value:,.{2 if size < 10 else 1 if size < 1000 else 0}f}"
