"""`reverie run --minutes` and `--real-steps`: the words, the plan in the folder, the run that it makes longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reverie.cli import planning
from reverie.cli.words import Run
from reverie.cost import rates
from reverie.errors import ReverieError
from reverie.runs.plans import read_plan
from reverie.runs.run_folder import create_run
from tests.cost.test_estimate import RATES

WORDS = Run("climb")


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Rates that need no measuring; gives what was to be measured."""
    asked: list[Any] = []

    def measure(experiment: Any, *rest: Any) -> rates.Rates:
        asked.append(experiment)
        return RATES

    monkeypatch.setattr(rates, "measure", measure)
    monkeypatch.setenv("REVERIE_QUIET", "1")
    return asked


def planned(words: Run, folder: Path) -> planning.PlannedRun:
    found = planning.plan_run(replace(words, run_dir=folder), [], 0)
    create_run(folder, found.experiment)
    return found


@pytest.mark.parametrize(
    ("first", "more"), [({"minutes": 10.0}, {"minutes": 20.0}), ({"real_steps": 9000}, {"real_steps": 20_000})]
)
def test_a_run_keeps_its_plan_and_more_makes_it_longer(
    first: dict[str, Any], more: dict[str, Any], tmp_path: Path, measured: list[Any]
) -> None:
    begun = planned(replace(WORDS, **first), tmp_path / "run")
    assert len(measured) == 1
    again = planned(replace(WORDS, **first), tmp_path / "run")
    assert again.experiment == begun.experiment
    longer = planned(replace(WORDS, **more), tmp_path / "run").experiment
    assert len(measured) == 1  # what has been planned is followed, whatever the machine does now
    assert longer.rounds.count > begun.experiment.rounds.count
    assert replace(longer, rounds=begun.experiment.rounds) == begun.experiment
    assert again.left is not None
    assert again.left(0, "collect").endswith(" left")


def test_more_minutes_bring_more_steps(tmp_path: Path) -> None:
    plans = []
    for minutes in (5.0, 50.0):
        planned(replace(WORDS, minutes=minutes), tmp_path / f"{minutes}")
        plans.append(read_plan(tmp_path / f"{minutes}"))
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].real_steps < plans[1].real_steps


def test_a_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (WORDS, replace(WORDS, minutes=10.0), replace(WORDS, real_steps=5000)):
        found = planning.would_take(words, [], 0)
        assert found.seconds > 0
    assert found.real_steps == pytest.approx(5000, rel=0.01)
    assert list(tmp_path.iterdir()) == []


def test_a_tiny_preset_begins_at_once(tmp_path: Path, measured: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_QUIET", "0")
    planned(replace(WORDS, preset="tiny"), tmp_path / "tiny")
    assert measured == []
    planned(replace(WORDS, preset="quick"), tmp_path / "quick")
    assert len(measured) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            Run("climb", minutes=3.0, real_steps=900),
            "--minutes and --real-steps are both given; one of them says how large the run is",
        ),
        (Run("climb", minutes=-1.0), "--minutes is -1; expected above 0, below 100,000"),
        (Run("climb", minutes=float("nan")), "--minutes is nan; expected above 0, below 100,000"),
        (Run("climb", real_steps=5), "--real-steps is 5; expected at least 100"),
        (
            Run("climb", real_steps=500, data="minari:a"),
            "--data says how many real steps there are; leave out --minutes and --real-steps",
        ),
        (
            Run("carracing", real_steps=50_000),
            "phase 'cmaes:world:15' plays whole episodes in the world, so its real steps cannot be planned; "
            "give --minutes, or --phases in the dream alone",
        ),
        (
            Run("climb", preset="paper", minutes=9.0),
            "--preset paper has the paper's own counts; give --preset or a budget, not both",
        ),
    ],
)
def test_budgets_that_cannot_be_get_a_line(words: Run, message: str, tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        planning.plan_run(replace(words, run_dir=tmp_path / "run"), [], 0)
    assert str(error.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_a_preset_takes_no_budget(tmp_path: Path) -> None:
    planned(replace(WORDS, preset="tiny"), tmp_path / "run")
    with pytest.raises(ReverieError, match=r"was made without a budget; leave out --minutes, or choose another"):
        planned(replace(WORDS, minutes=10.0), tmp_path / "run")


def test_folders_of_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ReverieError, match="exists and is not a run folder"):
        planned(replace(WORDS, minutes=10.0), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
