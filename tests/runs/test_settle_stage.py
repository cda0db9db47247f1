"""C that learns on in the last round's dream on other terms, as a part of a run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.controller.file import load_controller, save_controller
from reverie.controller.model import Controller
from reverie.errors import ReverieError
from reverie.learning.cmaes import BEST_FILE
from reverie.files.checkpoint import latest_checkpoint
from reverie.learning.config import GradientConfig, SettleConfig
from reverie.runs import stages
from reverie.runs.driving import Driving
from reverie.runs.opening import load_params
from reverie.runs.run import run
from reverie.runs.run_folder import create_run, open_run
from reverie.runs.verify import verify_run
from reverie.worlds.registry import world_spec
from tests.runs.test_gradient_stage import GRADIENT, ONLY
from tests.recipe.test_rounds import small

WORDS = (*GRADIENT, *ONLY, "--rounds.gradient-updates", "1")
SETTLE = ("--settle.updates", "3", "--settle.average", "2", "--settle.reward-limit", "0.5", "--settle.entropy", "0.0")


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settle") / "run"
    run(small(*WORDS, *SETTLE), path, workers=0)
    return path


def test_the_last_round_settles_from_where_its_gradients_left_c(settled: Path) -> None:
    first, last = open_run(settled).at(0), open_run(settled)
    assert not first.settle.exists()
    found = latest_checkpoint(last.settle)
    assert found is not None
    assert found.step == 3
    assert (found.state["reward_limit"], found.state["average"], found.state["entropy"]) == (0.5, 2, 0.0)
    passed = found.arrays["passed"]
    assert len(passed) == 2
    np.testing.assert_array_equal(load_params(last), passed.mean(0))
    learned = latest_checkpoint(last.gradient)
    assert learned is not None
    sizes = np.append(learned.arrays["model.scale"], 1.0)
    moved = passed[-1] - learned.arrays["model.scaled"] / sizes
    assert 0 < np.abs(moved).max() < 0.3


def test_what_is_damaged_is_found(settled: Path) -> None:
    assert verify_run(settled) == []
    file = next(open_run(settled).settle.glob("step-*.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    try:
        assert [problem.file for problem in verify_run(settled)] == [str(file)]
    finally:
        file.write_bytes(content)


def test_begun_again_it_ends_with_the_same_bits(settled: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    shutil.copytree(settled, again)
    last = open_run(again)
    shutil.rmtree(last.settle)
    shutil.rmtree(last.controller)
    stages.controller(last, 0)
    np.testing.assert_array_equal(load_params(last), load_params(open_run(settled)))


def test_more_rounds_are_refused(settled: Path) -> None:
    with pytest.raises(ReverieError, match=r"has been settled in the dream after round 1, its last; choose another"):
        create_run(settled, small(*WORDS, *SETTLE, "--rounds.count", "2"))
    assert open_run(settled).round == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"updates": -1}, "settle.updates is -1, expected at least 0"),
        ({"average": 0}, "settle.average is 0, expected at least 1"),
        ({"reward_limit": -2.0}, "settle.reward_limit is -2.0, expected a finite number above 0, or none"),
        ({"learning_rate": 0.0}, "settle.learning_rate is 0.0, expected a finite number above 0, or none"),
        ({"hold_chance": 1.5}, "settle.hold_chance is 1.5, expected 0 to 1"),
        ({"entropy": -1.0}, "settle.entropy is -1.0, expected a finite number, at least 0"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ReverieError, match=message):
        SettleConfig(**change)  # type: ignore[arg-type]


def test_what_it_does_not_name_is_as_c_learned() -> None:
    learned = GradientConfig(updates=9, hold_chance=0.02, learning_rate=1e-3, reward_limit=2.0, average=1)
    settling = SettleConfig(updates=4, average=5, hold_chance=0.0).of(learned)
    assert settling == replace(learned, updates=4, reward_limit=None, average=5, hold_chance=0.0)


def test_what_a_round_collects_is_driven_with_z_drawn(settled: Path, tmp_path: Path) -> None:
    """As M learns of it, whatever C sees when it is scored."""
    last = open_run(settled)
    shape, params = load_controller(last.controller / BEST_FILE)
    quiet = Controller(replace(shape.config, sample_z=False), shape.feature_size, shape.actions)
    save_controller(tmp_path / BEST_FILE, quiet, params)
    spec = world_spec(last.experiment.world)
    drivers = Driving(last.vision, last.memory, tmp_path / BEST_FILE, 0.0)(spec, 2)
    assert drivers.agent.senses.config == replace(quiet.config, sample_z=True)
