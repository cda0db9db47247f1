"""A reproduction as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from reverie.evaluation.published import Figure
from reverie.evaluation.score import Score
from reverie.evaluation.table import as_text
from reverie.report.wording import duration, mean_std
from reverie.reproduction.outcome import Outcome, Reproduction
from reverie.reproduction.searches import Budget
from reverie.reproduction.significance import PairedTest

WIDTH = 100
BUDGET = ("what C took", "numbers", "updates", "generations", "dream steps", "real steps", "wall time")


class Column(NamedTuple):
    """A title, and what it has of an outcome; a column that has nothing of any is left out."""

    title: str
    cell: Callable[[Outcome], str]


def reproduction_table(found: Reproduction) -> str:
    """The rows beside the paper's, what each was evolved with, the tests between them, and where the page is."""
    real = found.outcomes[0].real
    title = f"{found.plan.world}: mean ± std over {real.episodes} unseen episodes (seed {real.seed})"
    columns = filled_columns(found)
    rows = [(one.row.label, *(column.cell(one) for column in columns)) for one in found.outcomes]
    blank = ("",) * (len(columns) - 1)
    rows += [(label, *blank, str(figure)) for label, figure in found.plan.references]
    lines = [_text(title, ["", *(column.title for column in columns)], *rows)]
    if budgets := budget_table(found):
        lines.append(_text("", *budgets))
    lines += [test_line(found, test) for test in found.tests]
    if found.tests:
        lines.append(f"p: {found.tests[0].test}; in brackets the 95 % bootstrap interval")
    lines.append(f"{duration(found.seconds)} in this call; page: {found.page}")
    return "\n".join(lines)


def filled_columns(found: Reproduction) -> list[Column]:
    """The columns beside the labels; the last is the paper's real score, where references stand too."""
    engine = found.plan.engine
    columns = [
        Column("τ", lambda one: "" if one.temperature is None else f"{one.temperature:.2f}"),
        Column("dream", lambda one: _score(one.dream)),
        Column("" if engine is None else engine.label, lambda one: _score(one.engine)),
        Column("gap", lambda one: "" if one.gap is None else f"{one.gap:+,.0f}"),
        Column("real", lambda one: mean_std(one.real)),
        Column("paper: dream", lambda one: _printed(one.row.paper_dream)),
    ]
    filled = [column for column in columns if any(map(column.cell, found.outcomes))]
    return [*filled, Column("paper: real", lambda one: _printed(one.row.paper_real))]


def budget_table(found: Reproduction) -> list[tuple[str, ...]]:
    """What learning each C took: the titles, then a row each; nothing where none was learned."""
    rows = [(one.row.label, *_budget(one.budget)) for one in found.outcomes if one.budget is not None]
    columns = [cells for cells in zip(BUDGET, *rows, strict=True) if any(cells[1:])]
    return list(zip(*columns, strict=True))


def _budget(budget: Budget) -> tuple[str, ...]:
    counts = (budget.parameters, budget.updates, budget.generations, budget.dream_steps, budget.world_steps)
    return (*(f"{count:,}" if count else "" for count in counts), duration(budget.seconds))


def test_line(found: Reproduction, test: PairedTest) -> str:
    """One test in a line: who against whom, by how much, how sure."""
    names = (found.of(name).row.label for name in (test.name, test.against))
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
