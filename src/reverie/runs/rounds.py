"""What each round of a run brought: the rounds of `reverie run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import DamagedFileError
from reverie.evaluation.score import Score
from reverie.evaluation.table import as_text
from reverie.files.atomic import read_object
from reverie.files.metrics import read_metrics
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import read_scores
from reverie.worlds.registry import repeat_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reverie.episodes.manifest import Entry

FRESH_FILE = "fresh.json"  # beside M: its loss on a round's new episodes before it learned from them


@dataclass(frozen=True)
class Round:
    """One pass through the stages.

    real_steps: in the real world to learn from, up to and with this round
    coverage: cells of the latents' grid that the store's episodes lie in, this round's included (see
        `vision.coverage`); None where they are not encoded yet
    fresh: the terms of M's loss on this round's episodes before M learned from them; empty for the first pass
    agent, dream: the scores of its C, None where there is none yet
    """

    number: int
    real_steps: int
    coverage: int | None
    fresh: Mapping[str, float]
    agent: Score | None
    dream: Score | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; scores as mean and std."""
        return {
            "round": self.number,
            "real_steps": self.real_steps,
            "coverage": self.coverage,
            "fresh": dict(self.fresh),
            "real": _brief(self.agent),
            "dream": _brief(self.dream),
        }


def rounds_of(run: RunFolder) -> list[Round]:
    """Every round so far, as far as its files are there."""
    from reverie.episodes.store import Store

    entries = Store(run.rollouts).entries
    rounds = [run.at(number) for number in range(run.experiment.rounds.count + 1)]
    covered = _coverage(run)
    found = []
    for at in rounds:
        scores = read_scores(at)
        fresh = at.memory / FRESH_FILE
        found.append(
            Round(
                number=at.round,
                real_steps=real_steps_by(at, entries),
                coverage=covered.get(at.round),
                fresh=fresh_losses(fresh) if fresh.exists() else {},
                agent=scores.get("agent"),
                dream=scores.get("dream"),
            )
        )
    return found


def real_steps_by(run: RunFolder, entries: Sequence[Entry]) -> int:
    """Steps in the real world that were learned from up to and with this round, of a store's entries and of C's own.

    Where an action lasts several steps of the game, all of them count.
    """
    last = run.episodes_by(run.round, len(entries))
    steps = sum(entry.steps for entry in entries if entry.index < last) + steps_of_learning(run)
    return steps * repeat_of(run.experiment.world)


def fresh_losses(file: Path) -> dict[str, float]:
    """The terms of M's loss in a `fresh.json`."""
    found = read_object(file, "remove the file")
    for name, loss in found.items():
        if not isinstance(loss, int | float) or isinstance(loss, bool):
            raise DamagedFileError(f"{file} has {loss!r:.50} for {name[:50]!r}, expected a loss; remove the file")
    return found


def rounds_table(world: str, rounds: Sequence[Round]) -> str:
    """The rounds side by side, for a terminal."""
    from rich.table import Table

    table = Table(title=f"{world}: what each round brought", title_justify="left")
    for column in ("round", "real steps", "cells seen", "M on fresh episodes", "dream", "real"):
        table.add_column(column, justify="right")
    for row in rounds:
        fresh = ", ".join(f"{name} {value:.3g}" for name, value in row.fresh.items())
        cells = "-" if row.coverage is None else f"{row.coverage:,}"
        real_steps = f"{row.real_steps:,}"
        table.add_row(str(row.number), real_steps, cells, fresh or "-", _words(row.dream), _words(row.agent))
    return as_text(table, width=118)


def _coverage(run: RunFolder) -> dict[int, int]:
    """The cells that each round's store lies in, as the last V sees them, for the rounds that are encoded."""
    from reverie.vision.coverage import coverage
    from reverie.vision.latents import Latents

    if not any(run.latents.glob("part-*.safetensors")):
        return {}
    latents = Latents(run.latents)
    encoded = sum(entry.index >= 0 for entry in latents.entries)
    counts = [run.episodes_by(number, encoded + 1) for number in range(run.experiment.rounds.count + 1)]
    counts = [count for count in counts if count <= encoded]
    return dict(enumerate(coverage(latents, counts))) if counts else {}


def steps_of_learning(run: RunFolder) -> int:
    """Steps that this and all earlier rounds took in the world to fine-tune and evolve C there."""
    rounds = [run.at(number) for number in range(run.round + 1)]
    folders = [folder for one in rounds for folder in one.phase_folders]
    rows = [row for folder in folders for row in read_metrics(folder / "metrics.jsonl")[-1:]]
    return sum(int(row.get("world_steps", 0)) for row in rows)


def _brief(score: Score | None) -> dict[str, float] | None:
    return None if score is None else {"mean": score.mean, "std": score.std}


def _words(score: Score | None) -> str:
    return "-" if score is None else f"{score.mean:.1f} ± {score.std:.1f}"
