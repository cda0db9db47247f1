"""Rates are measured by the run's own stages, and nothing of it stays."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from reverie.cost.estimate import estimate
from reverie.cost.rates import measure
from reverie.learning.phases import BEST_FILE
from reverie.recipe.presets import make_experiment
from reverie.runs.run import run
from reverie.runs.run_folder import open_run
from reverie.settings import with_changes
from tests.env_specs import quiet_and_single_threaded
from tests.small_runs import settings

__all__ = ["quiet_and_single_threaded"]


@pytest.mark.usefixtures("quiet_and_single_threaded")
def test_every_part_is_measured_and_nothing_stays() -> None:
    experiment = with_changes(make_experiment("tiny", "tiny"), settings())
    rates = measure(experiment, 0, "cpu", seconds=0.05)
    assert list(Path(tempfile.gettempdir()).glob(f"reverie-cost-{os.getpid()}-*")) == []
    assert [phase is None for phase in rates.phases] == [False, True, False]  # the second is in the world
    for training in (rates.vision, rates.memory, rates.phases[0]):
        assert training is not None
        assert training.update > 0
        assert training.bytes > 1000
    assert min(rates.play.step, rates.act.step, rates.encode, rates.frame_bytes, rates.peak_mb) > 0
    assert 1 <= rates.length <= rates.cap == 100
    assert estimate(experiment, rates).seconds > 0


@pytest.mark.usefixtures("quiet_and_single_threaded")
def test_a_run_that_was_measured_before_has_the_same_bits(finished: Path, tmp_path: Path) -> None:
    experiment = open_run(finished).experiment
    measure(experiment, 0, "cpu", seconds=0.01)
    run(experiment, tmp_path / "run", 0, "cpu")
    for file in (f"controller/{BEST_FILE}", "scores/agent.json"):
        assert (tmp_path / "run" / file).read_bytes() == (finished / file).read_bytes()
