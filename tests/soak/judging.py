"""Whether what a command holds stayed the same: the last quarter of its samples beside the first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tests.soak.sampling import Sample

WARM_UP = 0.05  # of the samples, which are not judged
LEAST = 4  # samples in a quarter
FIGURES = ("resident", "largest", "private", "descriptors", "processes", "threads", "files", "folder")


@dataclass(frozen=True)
class Tolerance:
    """By how much the last quarter's mean may be above the first's: the larger of a share and an amount."""

    share: float
    amount: float

    def allowed(self, first: float) -> float:
        """What the last quarter's mean may be."""
        return first + max(self.share * first, self.amount)


MEMORY = Tolerance(0.01, 8.0)  # MiB
PRIVATE = Tolerance(0.03, 8.0)  # a library's pages are among it where no process beside the run maps it
COUNT = Tolerance(0.0, 1.0)  # a thread or descriptor comes and goes
JUDGED = {
    "resident": MEMORY,
    "largest": MEMORY,
    "private": PRIVATE,
    "descriptors": COUNT,
    "processes": COUNT,
    "threads": COUNT,
    "files": COUNT,
}


def quarters(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    """The samples of the search for C in four equal parts, without the warm-up."""
    evolving = [sample for sample in samples if sample.generation > 0]
    kept = evolving[round(len(evolving) * WARM_UP) :]
    ends = [len(kept) * number // 4 for number in range(5)]
    return [kept[start:end] for start, end in itertools.pairwise(ends)]


def growth(samples: Sequence[Sample]) -> list[str]:
    """What grew by more than its tolerance, in words; also where there are too few samples to tell."""
    parts = quarters(samples)
    if min(map(len, parts)) < LEAST:
        return [f"{len(parts[0])} samples in the first quarter of the search, expected at least {LEAST}"]
    found = []
    for name, tolerance in JUDGED.items():
        first, last = mean(parts[0], name), mean(parts[3], name)
        if last > tolerance.allowed(first):
            found.append(f"{name} grew from {first:.1f} to {last:.1f}, allowed is {tolerance.allowed(first):.1f}")
    return found


def table(samples: Sequence[Sample]) -> str:
    """Markdown: mean and maximum of each figure in each quarter."""
    parts = quarters(samples)
    lines = ["| | 1st quarter | 2nd | 3rd | 4th |", "|---|---|---|---|---|"]
    reached = [f"{part[0].generation:,}-{part[-1].generation:,}" if part else "" for part in parts]
    lines.append("| generations | " + " | ".join(reached) + " |")
    for name in FIGURES:
        cells = [f"{mean(part, name):.1f} ({highest(part, name):g})" if part else "" for part in parts]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean(samples: Sequence[Sample], name: str) -> float:
    """Of one figure."""
    return sum(getattr(sample, name) for sample in samples) / len(samples)


def highest(samples: Sequence[Sample], name: str) -> float:
    """Of one figure."""
    return max(getattr(sample, name) for sample in samples)
