"""Scores as a small table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reverie.evaluation.score import Score

if TYPE_CHECKING:
    from rich.table import Table


def score_table(world: str, scores: Mapping[str, Score]) -> str:
    """One row a score: mean ± standard deviation, the range, the number of episodes."""
    from rich.table import Table

    cut = next((f", cut after {score.max_steps:,} steps" for score in scores.values() if score.max_steps), "")
    table = Table(title=f"{world}: returns over unseen episodes{cut}", title_justify="left")
    for column in ("", "mean ± std", "min", "max", "episodes"):
        table.add_column(column, justify="left" if not column else "right")
    for name, score in scores.items():
        spread = f"{score.mean:.1f} ± {score.std:.1f}"
        table.add_row(name, spread, f"{score.min:.1f}", f"{score.max:.1f}", str(score.episodes))
    return as_text(table)


def as_text(table: Table, width: int = 88) -> str:
    """The table as plain lines, the same on a terminal and in a file."""
    from rich.console import Console

    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
