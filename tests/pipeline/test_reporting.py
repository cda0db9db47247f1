"""The figures that the report takes from a run."""

from __future__ import annotations

from pathlib import Path

from reverie.files.metrics import MetricsLog
from reverie.pipeline.presets import make_experiment
from reverie.pipeline.reporting import real_steps
from reverie.pipeline.run_folder import create_run
from reverie.pipeline.settings import with_changes
from reverie.rollouts.store import Store


def test_real_steps_are_those_of_all_rounds(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", with_changes(make_experiment("tiny", "tiny"), ["--rounds.count", "2"]))
    for number, steps in enumerate((10, 200)):  # the last round has not begun
        with MetricsLog(run.at(number).controller / "metrics.jsonl", resume_step=0) as log:
            log.append(step=1, world_steps=steps - 1)
            log.append(step=2, world_steps=steps)
    store = Store(run.rollouts)
    assert real_steps(run, store) == 210
    assert real_steps(run.at(0), store) == 10
