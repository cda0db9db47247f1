"""C that learns in the real world after all dreams, as a part of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.runs import stages
from reverie.agents.card import MODEL_CARD
from reverie.runs.export import export_run
from reverie.runs.rounds import rounds_of
from reverie.runs.opening import load_params
from reverie.runs.run import run
from reverie.runs.run_folder import create_run, open_run
from reverie.runs.verify import verify_run
from reverie.episodes.store import Store
from tests.runs.test_gradient_stage import GRADIENT, ONLY
from tests.recipe.test_rounds import small

WORDS = (*GRADIENT, *ONLY, "--rounds.gradient-updates", "1")
FINETUNE = ("--finetune.updates", "2", "--finetune.episodes", "3", "--finetune.batches", "2")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finetune") / "run"
    run(small(*WORDS, *FINETUNE), path, workers=0)
    return path


def test_the_last_round_learns_in_the_world_from_where_the_dream_left_c(tuned: Path) -> None:
    first, last = open_run(tuned).at(0), open_run(tuned)
    assert not first.finetune.exists()
    dreamt, learned = latest_checkpoint(last.gradient), latest_checkpoint(last.finetune)
    assert dreamt is not None
    assert learned is not None
    assert learned.step == 2
    np.testing.assert_array_equal(learned.arrays["model.scale"], dreamt.arrays["model.scale"])
    moved = learned.arrays["model.scaled"] - dreamt.arrays["model.scaled"]
    assert 0 < np.abs(moved).max() < 0.1
    played = learned.arrays["kept.params"]
    assert len(played) == 2  # those that the two updates played with: the dream's, and the next
    sizes = dreamt.arrays["model.scaled"] / played[0]
    np.testing.assert_allclose(sizes[: len(dreamt.arrays["model.scale"])], dreamt.arrays["model.scale"], rtol=1e-4)
    np.testing.assert_allclose(load_params(last), played.mean(0), rtol=1e-6)


def test_its_steps_count_as_real_ones(tuned: Path) -> None:
    steps = int(read_metrics(open_run(tuned).finetune / "metrics.jsonl")[-1]["world_steps"])
    assert 6 < steps <= 2 * 3 * 100
    stored = Store(open_run(tuned).rollouts).total_steps
    rows = rounds_of(open_run(tuned))
    assert [row.real_steps for row in rows] == [rows[0].real_steps, stored + steps]
    assert rows[0].real_steps < stored


def test_a_finished_stage_is_left_alone_and_damage_is_found(tuned: Path) -> None:
    before = load_params(open_run(tuned))
    stages.controller(open_run(tuned), 0)
    np.testing.assert_array_equal(load_params(open_run(tuned)), before)
    assert verify_run(tuned) == []
    file = next(open_run(tuned).finetune.glob("step-*.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    try:
        assert [problem.file for problem in verify_run(tuned)] == [str(file)]
    finally:
        file.write_bytes(content)


def test_more_rounds_are_refused(tuned: Path) -> None:
    more = small(*WORDS, *FINETUNE, "--rounds.count", "2")
    with pytest.raises(ReverieError, match=r"has been fine-tuned in the real world after round 1, its last; choose"):
        create_run(tuned, more)
    assert open_run(tuned).round == 1


def test_its_card_says_so(tuned: Path, tmp_path: Path) -> None:
    export_run(open_run(tuned), tmp_path / "agent")
    card = (tmp_path / "agent" / MODEL_CARD).read_text()
    assert "by policy gradients, then by policy gradients in the real world" in card
    assert ", 1 round of C's own play and the fine-tuning of C" in card
