from __future__ import annotations

from reverie.bench.result import Measured, Target, absent, row
from reverie.bench.table import COLUMNS, as_table

FAST = Measured(90_000.0, 2_000.0, 120_000.0, 512.3, "2 processes x 1 thread", even=2, notes="as evolve has them")


def test_one_line_a_case() -> None:
    quiet = row("dream-doom", "steps/s", False, Target(ours=80_000, share=0.6), FAST, 0.01)
    busy = row("dream-car", "steps/s", False, Target(), FAST, 0.84)
    missing = absent("world-doom", "steps/s", False, Target(ours=2500), "pip install 'reverie[doom]'")
    lines = as_table([quiet, busy, missing], "2 cores").splitlines()
    assert lines[0] == "2 cores"
    assert all(line.count("|") == len(COLUMNS) + 1 for line in lines[2:7])
    assert lines[4] == (
        "| dream-doom | 90,000 steps/s | 2,000 | 45x | 22x | 120,000 | 75% | 512 | 2 processes x 1 thread "
        "| ≥ 80,000, share ≥ 60% | yes |"
    )
    assert lines[5].endswith("|  | busy (0.8 cores) |")
    assert lines[6] == "| world-doom | - | - | - | - | - | - | - | - | ≥ 2,500 | - |"
    assert lines[8:] == [
        "- dream-doom: as evolve has them",
        "- dream-car: as evolve has them",
        "- world-doom: pip install 'reverie[doom]'",
    ]
