"""The rows as a Markdown table: what the terminal shows, and what docs/performance.md keeps."""

from __future__ import annotations

from collections.abc import Sequence

from reverie.bench.result import Row, number

COLUMNS = (
    "case", "ours", "baseline", "ratio", "at equal cores", "limit", "share", "peak MB", "threads", "target", "reached",
)  # fmt: skip
REACHED = {True: "yes", False: "no", None: "-"}


def as_table(rows: Sequence[Row], machine: str) -> str:
    """The machine, one line a case, and below them what must be known to read them."""
    lines = [machine, "", f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * 7 + "---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    notes = [f"- {row.case}: {row.notes}" for row in rows if row.notes]
    return "\n".join([*lines, "", *notes] if notes else lines)


def _cells(row: Row) -> list[str]:
    return [
        row.case,
        f"{number(row.ours)} {row.unit}" if row.ours is not None else "-",
        number(row.baseline),
        _times(row.ratio),
        _times(row.ratio_even),
        number(row.limit),
        "-" if row.share is None else f"{row.share:.1%}" if row.share < 0.1 else f"{row.share:.0%}",
        number(row.peak_memory_mb),
        row.threads or "-",
        row.target,
        f"busy ({row.others:.1f} cores)" if row.busy else REACHED[row.met],
    ]


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x"
