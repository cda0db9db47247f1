"""A reproduction as a table, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from reverie.evaluation.published import Figure
from reverie.evaluation.score import Score
from reverie.evaluation.table import as_text
from reverie.report.number_format import duration, mean_std, number
from reverie.reproduction.paired_test import PairedTest
from reverie.reproduction.results import Reproduction, RowResult, TrainingCost

WIDTH = 100
COST_COLUMNS = ("what C took", "numbers", "updates", "generations", "dream steps", "real steps", "wall time")


class Column(NamedTuple):
    """A title and the cell of each result; a column of empty cells is left out."""

    title: str
    cell: Callable[[RowResult], str]


def reproduction_table(reproduction: Reproduction) -> str:
    """The rows beside the paper's, the cost of training, the tests between them, and where the page is."""
    real = reproduction.results[0].real
    title = f"{reproduction.plan.world}: mean ± std over {real.episodes} unseen episodes (seed {real.seed})"
    columns = filled_columns(reproduction)
    rows = [(one.row.label, *(column.cell(one) for column in columns)) for one in reproduction.results]
    blank = ("",) * (len(columns) - 1)
    rows += [(label, *blank, str(figure)) for label, figure in reproduction.plan.references]
    lines = [_text(title, ["", *(column.title for column in columns)], *rows)]
    if costs := cost_table(reproduction):
        lines.append(_text("", *costs))
    lines += [test_line(reproduction, test) for test in reproduction.tests]
    if reproduction.tests:
        lines.append(f"p: {reproduction.tests[0].test}; in brackets the 95 % bootstrap interval")
    lines.append(f"{duration(reproduction.seconds)} in this call; page: {reproduction.page}")
    return "\n".join(lines)


def filled_columns(reproduction: Reproduction) -> list[Column]:
    """The columns beside the labels; the last is the paper's real score, where references stand too."""
    engine = reproduction.plan.engine
    columns = [
        Column("τ", lambda one: "" if one.temperature is None else f"{one.temperature:.2f}"),
        Column("dream", lambda one: _score(one.dream)),
        Column("" if engine is None else engine.label, lambda one: _score(one.engine)),
        Column("gap", lambda one: "" if one.gap is None else f"{one.gap:+,.0f}"),
        Column("real", lambda one: mean_std(one.real)),
        Column("paper: dream", lambda one: _printed(one.row.paper_dream)),
    ]
    filled = [column for column in columns if any(map(column.cell, reproduction.results))]
    return [*filled, Column("paper: real", lambda one: _printed(one.row.paper_real))]


def cost_table(reproduction: Reproduction) -> list[tuple[str, ...]]:
    """What training each C took: the titles, then a row each; empty where no C was trained."""
    rows = [(one.row.label, *_cost_cells(one.cost)) for one in reproduction.results if one.cost is not None]
    columns = [cells for cells in zip(COST_COLUMNS, *rows, strict=True) if any(cells[1:])]
    return list(zip(*columns, strict=True))


def _cost_cells(cost: TrainingCost) -> tuple[str, ...]:
    counts = (cost.parameters, cost.updates, cost.generations, cost.dream_steps, cost.world_steps)
    return (*(f"{count:,}" if count else "" for count in counts), duration(cost.seconds))


def test_line(reproduction: Reproduction, test: PairedTest) -> str:
    """One test in a line: who against whom, by how much, how sure."""
    names = (reproduction.of(name).row.label for name in (test.name, test.against))
    return f"{' against '.join(names)}: {test.difference:+,.0f} [{test.low:+,.0f}, {test.high:+,.0f}], p = {test.p:.2g}"


def _text(title: str, columns: Iterable[str], *rows: tuple[str, ...]) -> str:
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return as_text(table, WIDTH)


def _score(score: Score | None) -> str:
    return "" if score is None else mean_std(score)


def _printed(figure: Figure | None) -> str:
    return "" if figure is None else str(figure)


def result_cells(result: RowResult) -> dict[str, str]:
    """A row of the table, by the names that the page's template has for its cells."""
    row = result.row
    return {
        "label": row.label,
        "note": row.note,
        "tau": "" if result.temperature is None else f"{result.temperature:.2f}",
        "dream": "" if result.dream is None else mean_std(result.dream),
        "engine": "" if result.engine is None else mean_std(result.engine),
        "gap": "" if result.gap is None else signed(result.gap),
        "real": mean_std(result.real),
        "paper_dream": str(row.paper_dream or ""),
        "paper_real": str(row.paper_real or ""),
        "real_steps": f"{result.real_steps:,}",
        "time": duration(result.seconds),
    }


def comparison_cells(reproduction: Reproduction, test: PairedTest) -> dict[str, str]:
    """A paired test, likewise."""
    return {
        "who": " against ".join(reproduction.of(name).row.label for name in (test.name, test.against)),
        "difference": signed(test.difference),
        "interval": f"{signed(test.low)} to {signed(test.high)}",
        "p": f"{test.p:.2g}",
    }


def signed(value: float) -> str:
    """The number with its sign, also where it is positive."""
    return f"{'+' if value > 0 else ''}{number(value)}"
