"""A plan is kept, refused where it is no plan, and made longer by more of the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reverie.errors import DamagedFileError, ReverieError
from reverie.recipe.presets import make_experiment
from reverie.runs.plans import Plan, read_plan, write_plan
from reverie.runs.run_folder import RunFolder

PLAN = Plan("minutes", 30.0, "quick", 20_000, 3, 240.0, {})


def test_a_plan_comes_back(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    write_plan(tmp_path / "run", PLAN)
    assert read_plan(tmp_path / "run") == PLAN


@pytest.mark.parametrize("content", ["{}", '{"unit": "minutes"}', "[]", "{"])
def test_what_is_no_plan_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(DamagedFileError):
        read_plan(tmp_path)


def test_more_minutes_are_more_rounds() -> None:
    assert PLAN.extended("minutes", 30.0, None) == PLAN
    assert PLAN.extended("minutes", 39.0, None) == replace(PLAN, amount=39.0, rounds=5)


def test_more_steps_are_more_rounds(tmp_path: Path) -> None:
    experiment = make_experiment("climb", "quick")
    plan = replace(PLAN, unit="real-steps", amount=44_000)
    longer = plan.extended("real-steps", 68_000, RunFolder(tmp_path, experiment, experiment.rounds.count))
    assert longer.rounds == 6


@pytest.mark.parametrize(
    ("unit", "amount", "message"),
    [
        ("real-steps", 50_000, "the run was planned by --minutes 30; give --minutes"),
        (
            "minutes",
            20,
            "the run was planned for --minutes 30, and --minutes is 20; give at least as much, or choose another run "
            "folder",
        ),
        ("minutes", 31, "--minutes 31 adds 1 to the run's 30, and a round takes 4; give at least 34"),
    ],
)
def test_what_makes_no_run_longer(unit: str, amount: float, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        PLAN.extended(unit, amount, None)  # type: ignore[arg-type]
    assert str(error.value) == message
