"""The result of a case: its figures, its row, and the rows as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

BUSY_CORES = 0.1  # of other programs' work, averaged over a case, from which its figures are not to be trusted


@dataclass(frozen=True)
class Target:
    """What a case is to reach, None where nothing is asked: its figure, the ratio to the baseline, the share."""

    ours: float | None = None
    ratio: float | None = None
    share: float | None = None

    def text(self, falling: bool) -> str:
        """`≥ 80,000, share ≥ 60%`; `falling`: the figure and its share are to be small."""
        sign = "≤" if falling else "≥"
        parts = [f"{sign} {number(self.ours)}"] if self.ours is not None else []
        parts += [f"ratio ≥ {self.ratio:g}"] if self.ratio is not None else []
        parts += [f"share {sign} {self.share:.0%}"] if self.share is not None else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Measured:
    """The figures of a case, medians over repeats, in its unit.

    ours, baseline, limit: None where it could not be measured here
    peak_memory_mb: of the process tree while ours was measured
    threads: who computed with how many threads
    share: None takes ours / limit (limit / ours where less is better)
    even: how many baselines would keep as many cores busy as ours does
    notes: what a reader must know to read the row
    """

    ours: float
    baseline: float | None
    limit: float | None
    peak_memory_mb: float
    threads: str
    share: float | None = None
    even: int = 1
    notes: str = ""


@dataclass(frozen=True)
class Row:
    """One case in the table. `busy` warns that other programs took `others` cores meanwhile.

    ratio: ours against the baseline (how many times as fast); ratio_even: at equal cores
    met: whether the target was reached; None where the machine was busy, or nothing was asked, or nothing measured
    """

    case: str
    unit: str
    ours: float | None
    baseline: float | None
    ratio: float | None
    ratio_even: float | None
    limit: float | None
    share: float | None
    peak_memory_mb: float | None
    threads: str
    target: str
    met: bool | None
    busy: bool
    others: float
    notes: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def row(name: str, unit: str, falling: bool, target: Target, measured: Measured, others: float) -> Row:
    """The row of a measured case; `falling`: less is better."""
    ours, baseline, limit = measured.ours, measured.baseline, measured.limit
    ratio = None if baseline is None else baseline / ours if falling else ours / baseline
    share = measured.share
    if share is None and limit is not None:
        share = limit / ours if falling else ours / limit
    busy = others > BUSY_CORES
    return Row(
        case=name,
        unit=unit,
        ours=ours,
        baseline=baseline,
        ratio=ratio,
        ratio_even=None if ratio is None else ratio / measured.even,
        limit=limit,
        share=share,
        peak_memory_mb=measured.peak_memory_mb,
        threads=measured.threads,
        target=target.text(falling),
        met=_met(target, falling, ours, ratio, share, busy),
        busy=busy,
        others=others,
        notes=measured.notes,
    )


def absent(name: str, unit: str, falling: bool, target: Target, why: str) -> Row:
    """The row of a case that cannot be measured here."""
    return Row(
        name, unit, None, None, None, None, None, None, None, "", target.text(falling), None, False, 0.0, notes=why
    )


def number(value: float | None) -> str:
    """Thousands in groups from 100 on, three digits below; a dash for what is not there."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _met(
    target: Target, falling: bool, ours: float, ratio: float | None, share: float | None, busy: bool
) -> bool | None:
    asked = [(target.ours, ours, falling), (target.ratio, ratio, False), (target.share, share, falling)]
    verdicts = [
        None if measured is None else measured <= wanted if less else measured >= wanted
        for wanted, measured, less in asked
        if wanted is not None
    ]
    if busy or not verdicts or None in verdicts:
        return None
    return all(verdicts)


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
