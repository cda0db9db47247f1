"""A reproduction as a table for the terminal."""

from __future__ import annotations

from reverie.evaluation.published import Figure
from reverie.evaluation.score import Score
from reverie.evaluation.wording import duration, mean_std
from reverie.pipeline.table import as_text
from reverie.reproduction.outcome import Outcome, Reproduction
from reverie.reproduction.significance import PairedTest

WIDTH = 100
COLUMNS = ("", "τ", "dream", "real", "paper: dream", "paper: real")


def reproduction_table(found: Reproduction) -> str:
    """The rows beside the paper's, the tests between them, and where the page is."""
    from rich.table import Table

    real = found.outcomes[0].real
    title = f"{found.plan.world}: mean ± std over {real.episodes} unseen episodes (seed {real.seed})"
    table = Table(title=title, title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for outcome in found.outcomes:
        table.add_row(outcome.row.label, *_cells(outcome))
    for label, figure in found.plan.references:
        table.add_row(label, "", "", "", "", str(figure))
    lines = [as_text(table, WIDTH), *(test_line(found, test) for test in found.tests)]
    if found.tests:
        lines.append(f"p: {found.tests[0].test}; in brackets the 95 % bootstrap interval")
    lines.append(f"{duration(found.seconds)} in this call; page: {found.page}")
    return "\n".join(lines)


def test_line(found: Reproduction, test: PairedTest) -> str:
    """One test in a line: who against whom, by how much, how sure."""
    names = (found.of(name).row.label for name in (test.name, test.against))
    return f"{' against '.join(names)}: {test.difference:+,.0f} [{test.low:+,.0f}, {test.high:+,.0f}], p = {test.p:.2g}"


def _cells(outcome: Outcome) -> list[str]:
    tau = "" if outcome.temperature is None else f"{outcome.temperature:.2f}"
    ours = [_score(outcome.dream), _score(outcome.real)]
    return [tau, *ours, _printed(outcome.row.paper_dream), _printed(outcome.row.paper_real)]


def _score(score: Score | None) -> str:
    return "" if score is None else mean_std(score)


def _printed(figure: Figure | None) -> str:
    return "" if figure is None else str(figure)
