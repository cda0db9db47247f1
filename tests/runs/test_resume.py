"""Killed by SIGKILL at any moment of any stage, the same command goes on and ends in the same bits."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from reverie.episodes.store import Store
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, load_arrays
from reverie.files.metrics import read_metrics
from reverie.runs.verify import verify_run
from tests.runs.nursery import nursery
from tests.small_runs import ENVIRONMENT, PHASES, ROOT, copy_run, reverie, small_run

pytestmark = pytest.mark.timeout(900)  # on a machine that is very busy

DYING = "tests.runs.dying"
RATES = {"frames_per_second", "updates_per_second", "seconds"}


def done(folder: Path) -> int:
    """Steps of the last checkpoint in a folder."""
    checkpoint = latest_checkpoint(folder)
    return checkpoint.step if checkpoint else 0


def phase(run: Path, place: int) -> Path:
    """The folder of a phase of C's training."""
    return run / "controller" / PHASES[place]


def last_row(folder: Path) -> int:
    return int(read_metrics(folder / "metrics.jsonl")[-1]["step"])


def count(run: Path, pattern: str) -> int:
    return len(list(run.glob(pattern)))


# What is called when the process is killed, at which call, and what the run then holds. One after the other in one run.
MOMENTS: list[tuple[str, int, Callable[[Path], Any], Any]] = [
    # an episode's file is there, its line in the manifest is not
    (
        "reverie.episodes.store:Manifest.append",
        20,
        lambda run: (len(Store(run / "rollouts").entries), count(run, "rollouts/episodes/*")),
        (19, 20),
    ),
    # between the two files of a checkpoint
    (
        "reverie.files.checkpoint:write_json",
        2,
        lambda run: (done(run / "vision"), count(run, "vision/step-00000002.safetensors")),
        (1, 1),
    ),
    ("reverie.vision.encode:write_part", 2, lambda run: count(run, "latents/part-*.safetensors"), 1),
    # in the middle of an epoch of M, whose state goes from window to window
    (
        "reverie.memory.train:draw_batch",
        8,
        lambda run: (done(run / "memory"), last_row(run / "memory")),
        (6, 6),
    ),
    # C's first phase: an update and its row of metrics are ahead of the last checkpoint
    (
        "reverie.learning.gradient:save_checkpoint",
        2,
        lambda run: (done(phase(run, 0)), last_row(phase(run, 0))),
        (1, 2),
    ),
    # within the second update in the world
    (
        "reverie.learning.world_rollouts:play_episodes",
        2,
        lambda run: (done(phase(run, 0)), done(phase(run, 1))),
        (3, 1),
    ),
    # between two phases
    ("reverie.learning.train:evolve", 1, lambda run: (done(phase(run, 1)), phase(run, 2).exists()), (2, False)),
    # within the second generation of CMA-ES: one of its two tasks is done, after that of the start and two of the first
    ("reverie.play.candidates:try_candidates", 5, lambda run: (done(phase(run, 2)), last_row(phase(run, 2))), (1, 1)),
    # all phases are done, and their result is not written
    (
        "reverie.controller.file:save_controller",
        1,
        lambda run: (done(phase(run, 2)), count(run, "controller/best.safetensors")),
        (3, 0),
    ),
    (
        "reverie.runs.scoring:write_json",
        2,
        lambda run: [file.name for file in run.glob("scores/*")],
        ["random.json"],
    ),
    (
        "reverie.report.write:write_bytes",
        1,
        lambda run: (count(run, "scores/*"), count(run, "report.html")),
        (3, 0),
    ),
]


TRAINED = [("vision", 6), ("memory", 12), *zip([f"controller/{phase}" for phase in PHASES], (3, 2, 3), strict=True)]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run, killed at every moment of the list and then brought to its end."""
    folder = tmp_path_factory.mktemp("resumed")
    run = folder / "run"
    with nursery(folder / "scratch") as launch:
        for target, call, look, expected in MOMENTS:
            code, printed = launch(*small_run(run), kill=(target, call))
            assert code == -9, (target, printed)
            assert look(run) == expected, target
            assert verify_run(run) == [], target
        code, printed = launch(*small_run(run))
    assert code == 0, printed
    return run


def assert_same_checkpoint(ours: Checkpoint | None, theirs: Checkpoint | None) -> None:
    assert ours is not None
    assert theirs is not None
    assert (ours.step, ours.state) == (theirs.step, theirs.state)
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, array in ours.arrays.items():
        assert array.dtype == theirs.arrays[name].dtype
        assert array.tobytes() == theirs.arrays[name].tobytes(), name


def assert_same_files(ours: Path, theirs: Path, pattern: str) -> None:
    names = sorted(file.name for file in theirs.glob(pattern))
    assert names
    assert sorted(file.name for file in ours.glob(pattern)) == names
    for name in names:
        if name.endswith(".json"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
        else:
            assert_same_arrays(ours / name, theirs / name)


def assert_same_arrays(ours: Path, theirs: Path) -> None:
    """safetensors writes the metadata in any order, so it is not the files that are alike."""
    (arrays, metadata), (expected, expected_metadata) = load_arrays(ours), load_arrays(theirs)
    assert metadata == expected_metadata
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in expected.items()
    }


def assert_same_metrics(ours: Path, theirs: Path) -> None:
    """All rows are alike, but for how fast they went."""

    def results(run: Path) -> list[dict[str, Any]]:
        rows = read_metrics(run / "metrics.jsonl")
        return [{name: value for name, value in row.items() if name not in RATES} for row in rows]

    assert results(ours) == results(theirs)


def test_the_episodes_are_the_same(resumed: Path, finished: Path) -> None:
    assert len(Store(finished / "rollouts").entries) == 66
    assert Store(resumed / "rollouts").entries == Store(finished / "rollouts").entries  # SHA-256 of each file included
    assert Store(resumed / "rollouts").verify() == []


@pytest.mark.parametrize(("stage", "steps"), TRAINED)
def test_what_was_trained_is_the_same_to_the_bit(stage: str, steps: int, resumed: Path, finished: Path) -> None:
    assert done(finished / stage) == steps
    assert_same_checkpoint(latest_checkpoint(resumed / stage), latest_checkpoint(finished / stage))
    assert_same_metrics(resumed / stage, finished / stage)


def test_latents_best_agent_and_scores_are_the_same(resumed: Path, finished: Path) -> None:
    assert_same_files(resumed / "latents", finished / "latents", "part-*.safetensors")
    assert_same_files(resumed / "controller", finished / "controller", "best.safetensors")
    assert_same_files(resumed / "scores", finished / "scores", "*.json")
    assert [file.stem for file in sorted((finished / "scores").iterdir())] == ["agent", "dream", "random"]
    score = Score.from_dict(read_json(finished / "scores" / "agent.json"))
    assert len(np.unique(score.scores)) > 6  # not all alike, so that being the same says something


def test_nothing_is_left_over(resumed: Path) -> None:
    assert verify_run(resumed) == []
    assert not list(resumed.rglob("*.tmp"))
    checkpoints = [count(resumed, f"{stage}/step-*") for stage, _ in TRAINED]
    assert checkpoints == [4, 4, 4, 4, 4]  # the last two, of two files each


def test_a_run_killed_with_its_workers_at_work_goes_on_without_them(tmp_path: Path, finished: Path) -> None:
    run = copy_run(finished, tmp_path / "run")
    shutil.rmtree(run / "controller")
    words = [DYING, "reverie.learning.cmaes:CMAES.tell", "2", "controller", str(run), "--workers", "2"]
    process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    helpers: set[psutil.Process] = set()
    while process.poll() is None:
        try:
            helpers |= set(psutil.Process(process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
    assert process.wait() == -9
    assert len(helpers) >= 4  # two workers and their keepers
    _, alive = psutil.wait_procs(helpers, timeout=20)
    assert not alive
    assert (done(phase(run, 1)), done(phase(run, 2))) == (2, 1)
    assert reverie("controller", str(run), "--workers", "0").returncode == 0
    for place in range(3):
        assert_same_checkpoint(latest_checkpoint(phase(run, place)), latest_checkpoint(phase(finished, place)))
    assert_same_files(run / "controller", finished / "controller", "best.safetensors")
