"""What each round of a run brought: the rows of `reverie iterate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie.evaluation.score import Score
from reverie.files.atomic import read_object
from reverie.files.metrics import read_metrics
from reverie.pipeline.run_folder import RunFolder
from reverie.pipeline.scoring import read_scores
from reverie.pipeline.table import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

FRESH_FILE = "fresh.json"  # beside M: its loss on a round's new episodes before it learned from them


@dataclass(frozen=True)
class Round:
    """One pass through the stages.

    real_steps: in the real world to learn from, up to and with this round
    fresh: the terms of M's loss on this round's episodes before M learned from them; empty for the first pass
    agent, dream: the scores of its C, None where there is none yet
    """

    number: int
    real_steps: int
    fresh: Mapping[str, float]
    agent: Score | None
    dream: Score | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; scores as mean and std."""
        return {
            "round": self.number,
            "real_steps": self.real_steps,
            "fresh": dict(self.fresh),
            "real": _brief(self.agent),
            "dream": _brief(self.dream),
        }


def rounds_of(run: RunFolder) -> list[Round]:
    """Every round so far, as far as its files are there."""
    from reverie.rollouts.store import Store

    entries = Store(run.rollouts).entries
    rounds = [run.at(number) for number in range(run.experiment.rounds.count + 1)]
    found = []
    for at in rounds:
        last = at.experiment.episodes_by(at.round)
        scores = read_scores(at)
        fresh = at.memory / FRESH_FILE
        found.append(
            Round(
                number=at.round,
                real_steps=sum(entry.steps for entry in entries if entry.index < last) + _evolved_in_the_world(at),
                fresh=read_object(fresh) if fresh.exists() else {},
                agent=scores.get("agent"),
                dream=scores.get("dream"),
            )
        )
    return found


def rounds_table(run: RunFolder) -> str:
    """The rounds side by side, for a terminal."""
    from rich.table import Table

    table = Table(title=f"{run.experiment.world}: what each round brought", title_justify="left")
    for column in ("round", "real steps", "M on fresh episodes", "dream", "real"):
        table.add_column(column, justify="right")
    for row in rounds_of(run):
        fresh = ", ".join(f"{name} {value:.3g}" for name, value in row.fresh.items())
        table.add_row(str(row.number), f"{row.real_steps:,}", fresh or "-", _words(row.dream), _words(row.agent))
    return as_text(table, width=110)


def _evolved_in_the_world(run: RunFolder) -> int:
    """Steps that this and all earlier rounds took in the world to evolve C there."""
    rows = [
        row for number in range(run.round + 1) for row in read_metrics(run.at(number).controller / "metrics.jsonl")[-1:]
    ]
    return sum(int(row.get("world_steps", 0)) for row in rows)


def _brief(score: Score | None) -> dict[str, float] | None:
    return None if score is None else {"mean": score.mean, "std": score.std}


def _words(score: Score | None) -> str:
    return "-" if score is None else f"{score.mean:.1f} ± {score.std:.1f}"
