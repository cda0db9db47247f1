"""C that learns by gradients before it is evolved, as a stage of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.runs import stages
from reverie.runs.opening import load_params
from reverie.recipe.presets import make_experiment
from reverie.runs.run import run
from reverie.runs.run_folder import create_run, open_run
from reverie.settings import with_changes
from reverie.runs.verify import verify_run
from tests.recipe.test_rounds import small

GRADIENT = ("--gradient.updates", "2", "--gradient.dreams", "8", "--gradient.window", "4", "--gradient.batches", "2")
ONLY = ("--evolution.generations", "0", "--rounds.generations", "0", "--rounds.count", "1")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gradient") / "run"
    run(small(*GRADIENT, *ONLY, "--rounds.gradient-updates", "1"), path, workers=0)
    return path


def test_each_round_learns_on_from_the_last_ones_c(learned: Path) -> None:
    first, last = open_run(learned).at(0), open_run(learned)
    found = [latest_checkpoint(at.gradient) for at in (first, last)]
    assert [checkpoint and checkpoint.step for checkpoint in found] == [2, 1]
    moved, further = np.abs(load_params(first)).max(), np.abs(load_params(last) - load_params(first)).max()
    assert moved > 0
    assert 0 < further <= 2 * moved


def test_without_generations_c_is_what_gradients_found(learned: Path) -> None:
    checkpoint = latest_checkpoint(open_run(learned).controller)
    assert checkpoint is not None
    assert checkpoint.step == 0
    np.testing.assert_allclose(load_params(open_run(learned)), checkpoint.arrays["best"], rtol=1e-6)


def test_the_search_goes_on_from_what_gradients_found(learned: Path, tmp_path: Path) -> None:
    """And what they found stays, where nothing beats it."""
    experiment = small(*GRADIENT, "--rounds.count", "0", "--evolution.generations", "1", "--evolution.sigma", "1e-9")
    result = run(experiment, tmp_path / "run", workers=0)
    np.testing.assert_allclose(load_params(open_run(result.run_dir)), load_params(open_run(learned).at(0)), atol=1e-6)


def test_a_finished_stage_is_left_alone(learned: Path) -> None:
    before = load_params(open_run(learned))
    stages.controller(open_run(learned), 0)
    np.testing.assert_array_equal(load_params(open_run(learned)), before)


def test_damage_is_found(learned: Path) -> None:
    assert verify_run(learned) == []
    file = next(open_run(learned).gradient.glob("step-*.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    try:
        assert [problem.file for problem in verify_run(learned)] == [str(file)]
    finally:
        file.write_bytes(content)


def test_an_m_that_cannot_dream_is_refused(tmp_path: Path) -> None:
    experiment = with_changes(make_experiment("carracing", "tiny", evolve_in="world"), ["--gradient.updates", "3"])
    with pytest.raises(ReverieError, match=r"memory.reward_head is False, and C is to learn by gradients in the dream"):
        create_run(tmp_path / "run", experiment)


def test_dreams_that_end_as_m_expects_need_its_word_on_endings(tmp_path: Path) -> None:
    changes = ["--gradient.updates", "3", "--memory.reward-head", "true", "--dream.done", "calibrated"]
    experiment = with_changes(make_experiment("carracing", "tiny", evolve_in="world"), changes)
    with pytest.raises(ReverieError, match=r"^memory.done_head is False, and dreams are to end as M expects"):
        create_run(tmp_path / "run", experiment)
    create_run(tmp_path / "run", with_changes(experiment, ["--memory.done-head", "true"]))


@pytest.mark.parametrize(
    ("world", "changes", "message"),
    [
        (
            "doom",
            ["--dream.done", "calibrated"],
            "gradient.method is 'backprop', and the actions of doom are three-way",
        ),
        ("CartPole-v1", [], "gradient.method is 'backprop', and the actions of CartPole-v1 are discrete"),
    ],
)
def test_actions_without_gradients_are_refused(world: str, changes: list[str], message: str, tmp_path: Path) -> None:
    words = ["--gradient.method", "backprop", "--rounds.count", "1", "--rounds.gradient-updates", "3", *changes]
    experiment = with_changes(make_experiment(world, "tiny"), words)
    with pytest.raises(ReverieError, match=rf"^{message}, which have no gradient; .* set it to ppo$"):
        create_run(tmp_path / "run", experiment)
    assert not (tmp_path / "run").exists()
    create_run(tmp_path / "run", with_changes(experiment, ["--rounds.gradient-updates", "0"]))  # none are asked for


def test_backprop_is_a_stage_as_ppo_is(learned: Path, tmp_path: Path) -> None:
    words = ("--gradient.method", "backprop", "--rounds.count", "0", "--evolution.generations", "0")
    result = run(small(*GRADIENT, *words), tmp_path / "run", workers=0)
    found = load_params(open_run(result.run_dir))
    assert found.any()
    assert (found != load_params(open_run(learned).at(0))).any()
