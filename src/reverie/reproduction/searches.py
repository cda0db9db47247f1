"""What learning an agent's C took, and how it went: read from the metrics of its gradients and of its evolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.files.metrics import read_in_turn, read_metrics
from reverie.reproduction.plan import Evolved, Row
from reverie.reproduction.work import Work

METRICS = "metrics.jsonl"

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Budget:
    """What learning an agent's C took, in all rounds together.

    parameters: of C
    updates: by gradients, in the dream and in the world; generations: of CMA-ES
    dream_steps, world_steps: of all candidates, re-scoring included
    seconds: wall time
    """

    parameters: int
    updates: int
    generations: int
    dream_steps: int
    world_steps: int
    seconds: float


def budget_of(work: Work, row: Row) -> Budget | None:
    """Of the row's own search, or of all of the main run's; None for a row that no C was evolved for."""
    folders = search_folders(work, row)
    if not folders:
        return None
    beside = [folder.with_name(name) for folder in folders for name in ("gradient", "settle", "finetune")]
    learned, searched = ([_rows(folder) for folder in found] for found in (beside, folders))
    last = [rows[-1] for rows in (*learned, *searched) if rows]
    return Budget(
        parameters=len(work.trained(row).params),
        updates=sum(int(rows[-1]["step"]) for rows in learned if rows),
        generations=sum(int(rows[-1]["step"]) for rows in searched if rows),
        dream_steps=sum(int(one.get("dream_steps", 0)) for one in last),
        world_steps=sum(int(one.get("world_steps", 0)) for one in last),
        seconds=_main_seconds(work) if work.is_main(row) else sum(map(_seconds, (*learned, *searched))),
    )


def search_folders(work: Work, row: Row) -> list[Path]:
    """Where the row's C was evolved: one folder, or of the main agent one for each round."""
    if isinstance(row.player, Evolved):
        return [work.search_of(row, row.player)]
    return own_searches(work) if work.is_main(row) else []


def own_searches(work: Work) -> list[Path]:
    """Where the main run's C was evolved, round by round."""
    return [work.run.at(number).controller for number in range(work.run.round + 1)]


def generations(folders: Sequence[Path]) -> Rows:
    """The metrics of searches by CMA-ES, one after the other: the steps of each go on from the one before."""
    return read_in_turn(folder / METRICS for folder in folders)


def updates(folders: Sequence[Path]) -> Rows:
    """Those of what C learned by gradients before each of these searches, likewise."""
    return read_in_turn(folder.with_name("gradient") / METRICS for folder in folders)


def _seconds(rows: Rows) -> float:
    """Wall time of one training; of rows by gradients that do not say it yet, their updates by their pace."""
    total, before = 0.0, 0
    for row in rows:
        pace = float(row.get("updates_per_second", 0))
        total += float(row.get("seconds", (row["step"] - before) / pace if pace else 0))
        before = row["step"]
    return total


def _main_seconds(work: Work) -> float:
    """Of the stage that learns C, in all rounds."""
    return sum(seconds for stage, seconds in work.run.timings.items() if stage.split(",")[0] == "controller")


def _rows(folder: Path) -> list[dict[str, Any]]:
    return read_metrics(folder / METRICS)
