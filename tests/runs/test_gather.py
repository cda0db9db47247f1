"""The figures that the report takes from a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reverie.learning.cmaes import BEST_FILE
from reverie.files.metrics import MetricsLog
from reverie.runs import gather as reporting
from reverie.runs.rounds import rounds_of
from reverie.recipe.presets import make_experiment
from reverie.runs.gather import real_steps, spread
from reverie.runs.run_folder import create_run
from reverie.settings import with_changes
from reverie.episodes.store import Store
from reverie.workers.seeds import evaluation_seeds


@pytest.mark.parametrize(("world", "lasting"), [("tiny", 1), ("doom-skill-5-repeat-4", 4)])
def test_real_steps_are_the_games_in_all_rounds(world: str, lasting: int, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", with_changes(make_experiment(world, "tiny"), ["--rounds.count", "2"]))
    for number, steps in enumerate((10, 200)):  # the last round has not begun
        with MetricsLog(run.at(number).controller / "metrics.jsonl", resume_step=0) as log:
            log.append(step=1, world_steps=steps - 1)
            log.append(step=2, world_steps=steps)
    store = Store(run.rollouts)
    assert real_steps(run, store) == 210 * lasting
    assert real_steps(run.at(0), store) == 10 * lasting
    assert [row.real_steps for row in rounds_of(run)] == [10 * lasting, 210 * lasting, 210 * lasting]


def test_rounds_are_filmed_as_far_as_they_have_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its own agent, the real steps by then and its score, on one seed."""
    changes = ["--rounds.count", "3", "--evolution.where", "world"]
    run = create_run(tmp_path / "run", with_changes(make_experiment("tiny", "tiny"), changes))
    rounds, store = [run.at(number) for number in range(4)], Store(run.rollouts)
    monkeypatch.setattr(reporting, "load_agent", lambda run: f"agent {run.round}")
    monkeypatch.setattr(reporting, "read_scores", lambda run: {"agent": f"score {run.round}"})
    monkeypatch.setattr(reporting, "film_round", lambda *shown: shown)
    (seed,) = evaluation_seeds(run.experiment.seed, "rounds", count=1)
    expected = []
    for number in range(3):
        found = reporting._rounds(rounds, store)
        assert found == (expected if number > 1 else [])  # nothing to compare before there are two
        with MetricsLog(rounds[number].controller / "metrics.jsonl", resume_step=0) as log:
            log.append(step=1, world_steps=10)
        (rounds[number].controller / BEST_FILE).write_bytes(b"")
        expected.append((f"agent {number}", number, 10 * (number + 1), f"score {number}", seed))
    assert reporting._rounds(rounds, store) == expected


@pytest.mark.parametrize(
    ("found", "count", "expected"),
    [
        (range(100), 4, [0, 33, 66, 99]),
        ("ab", 6, ["a", "b"]),
        ([7], 3, [7]),
        ([], 3, []),
        (range(7), 6, [0, 1, 2, 4, 5, 6]),
    ],
)
def test_what_is_shown_is_spread_from_the_first_to_the_last(found: Any, count: int, expected: list[Any]) -> None:
    assert spread(found, count) == expected
