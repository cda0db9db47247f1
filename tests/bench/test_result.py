from __future__ import annotations

import pytest

from reverie.bench.result import COLUMNS, Measured, Row, Target, absent, as_table, number, row


def measured(ours: float = 100.0, **figures: object) -> Measured:
    known: dict[str, object] = {"baseline": 20.0, "limit": 200.0, "peak_memory_mb": 64.0, "threads": "1 process"}
    return Measured(ours=ours, **(known | figures))  # type: ignore[arg-type]


def rising(target: Target, others: float = 0.0, **figures: object) -> Row:
    return row("a-case", "steps/s", False, target, measured(**figures), others)


def falling(target: Target, **figures: object) -> Row:
    return row("a-case", "s", True, target, measured(**figures), 0.0)


def test_more_is_better() -> None:
    found = rising(Target(), even=2)
    assert (found.ratio, found.ratio_even, found.share) == (5.0, 2.5, 0.5)


def test_less_is_better() -> None:
    found = falling(Target(), ours=0.1, baseline=0.4, limit=0.02)
    assert found.ratio == pytest.approx(4)
    assert found.share == pytest.approx(0.2)


def test_a_share_of_its_own() -> None:
    assert falling(Target(), share=0.03).share == 0.03


def test_without_baseline_and_limit() -> None:
    found = rising(Target(ours=50), baseline=None, limit=None)
    assert (found.ratio, found.ratio_even, found.share, found.met) == (None, None, None, True)


@pytest.mark.parametrize(
    ("target", "figures", "met"),
    [
        (Target(ours=100), {}, True),
        (Target(ours=101), {}, False),
        (Target(ratio=5, share=0.5), {}, True),
        (Target(ratio=5.1), {}, False),
        (Target(ours=100, share=0.6), {}, False),
        (Target(ratio=2), {"baseline": None}, None),
        (Target(), {}, None),
    ],
)
def test_reached(target: Target, figures: dict[str, object], met: bool | None) -> None:
    assert rising(target, **figures).met is met


@pytest.mark.parametrize(("ours", "met"), [(0.14, True), (0.16, False)])
def test_reached_where_less_is_better(ours: float, met: bool) -> None:
    assert falling(Target(ours=0.15), ours=ours).met is met


@pytest.mark.parametrize(("others", "busy"), [(0.05, False), (0.5, True)])
def test_a_busy_machine_decides_nothing(others: float, busy: bool) -> None:
    for wanted in (50, 5000):
        found = rising(Target(ours=wanted), others)
        assert found.busy is busy
        assert found.met is (None if busy else wanted == 50)


def test_what_cannot_be_measured() -> None:
    found = absent("a-case", "s", True, Target(ours=1), "no such world")
    assert (found.ours, found.met, found.busy, found.notes) == (None, None, False, "no such world")


@pytest.mark.parametrize(
    ("target", "less", "text"),
    [
        (Target(ours=80_000, share=0.6), False, "≥ 80,000, share ≥ 60%"),
        (Target(ours=1400, ratio=15), False, "≥ 1,400, ratio ≥ 15"),
        (Target(share=0.05), True, "share ≤ 5%"),
        (Target(ours=0.15), True, "≤ 0.15"),
        (Target(), False, ""),
    ],
)
def test_target_in_words(target: Target, less: bool, text: str) -> None:
    assert target.text(less) == text


@pytest.mark.parametrize(("value", "text"), [(81234.5, "81,234"), (99.96, "100"), (0.04567, "0.0457"), (None, "-")])
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


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
