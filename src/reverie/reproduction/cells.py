"""What the page says of each row and each test, as text."""

from __future__ import annotations

from reverie.report.wording import duration, mean_std, number
from reverie.reproduction.outcome import Outcome, Reproduction
from reverie.reproduction.significance import PairedTest


def outcome_cells(outcome: Outcome) -> dict[str, str]:
    """A row of the table, by the names that the page's template has for its cells."""
    row = outcome.row
    return {
        "label": row.label,
        "note": row.note,
        "tau": "" if outcome.temperature is None else f"{outcome.temperature:.2f}",
        "dream": "" if outcome.dream is None else mean_std(outcome.dream),
        "engine": "" if outcome.engine is None else mean_std(outcome.engine),
        "gap": "" if outcome.gap is None else signed(outcome.gap),
        "real": mean_std(outcome.real),
        "paper_dream": str(row.paper_dream or ""),
        "paper_real": str(row.paper_real or ""),
        "real_steps": f"{outcome.real_steps:,}",
        "time": duration(outcome.seconds),
    }


def comparison_cells(found: Reproduction, test: PairedTest) -> dict[str, str]:
    """A paired test, likewise."""
    return {
        "who": " against ".join(found.of(name).row.label for name in (test.name, test.against)),
        "difference": signed(test.difference),
        "interval": f"{signed(test.low)} to {signed(test.high)}",
        "p": f"{test.p:.2g}",
    }


def signed(value: float) -> str:
    """The number with its sign, also where it is positive."""
    return f"{'+' if value > 0 else ''}{number(value)}"
