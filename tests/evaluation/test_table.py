"""Scores as a table that fits a terminal."""

from __future__ import annotations

from reverie.evaluation.score import Score
from reverie.evaluation.table import score_table


def test_a_table_of_scores() -> None:
    rows = {"agent": Score.of([900.0, 1100.0], "doom", 0), "random policy": Score.of([200.0], "doom", 0)}
    assert score_table("doom", rows).splitlines() == [
        "doom: returns over unseen episodes",
        "┏━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━┳━━━━━━━━━━┓",
        "┃               ┃     mean ± std ┃   min ┃    max ┃ episodes ┃",
        "┡━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━╇━━━━━━━━━━┩",
        "│ agent         │ 1000.0 ± 100.0 │ 900.0 │ 1100.0 │        2 │",
        "│ random policy │    200.0 ± 0.0 │ 200.0 │  200.0 │        1 │",
        "└───────────────┴────────────────┴───────┴────────┴──────────┘",
    ]
