"""`reverie verify` finds every kind of damage and names file, fault and remedy, and nothing in a run that is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reverie.pipeline.presets import make_experiment
from reverie.pipeline.run_folder import create_run
from reverie.pipeline.verify import verify_run
from reverie.rollouts.store import Problem
from tests.runs import copy_run, flip, replace

Damage = Callable[[Path], None]


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Path:
    return copy_run(finished, tmp_path / "a run")  # with a blank in its path, and so in every message


def cut(file: Path) -> None:
    replace(file, file.read_bytes()[: file.stat().st_size // 2])


ALTERED = "was altered: its content does not match its digest"
BACK = "restore it from a copy, or remove it to have it made again"
EPISODE = "delete the file and run `reverie collect` again"


@pytest.mark.parametrize(
    ("name", "damage", "problem", "remedy"),
    [
        ("rollouts/episodes/000003.safetensors", flip, "its SHA-256 is not the manifest's", EPISODE),
        ("rollouts/episodes/000003.safetensors", Path.unlink, "missing", "run `reverie collect` again"),
        (
            "rollouts/manifest.jsonl",
            lambda file: replace(file, b"{}\n" + file.read_bytes()),
            "is damaged: line 1 is no episode's entry (expected the fields index, file, size, sha256, steps, "
            "total_reward, seed, policy, terminated)",
            "delete that line and run `reverie collect` again",
        ),
        ("latents/part-00000.safetensors", lambda file: flip(file, 0.99), ALTERED, BACK),
        ("latents/part-00000.safetensors", Path.unlink, "is missing", "run `reverie vision` to make it again"),
        (
            "vision/step-00000006.safetensors",
            flip,
            "is truncated or altered: step-00000006.json gives another SHA-256",
            "remove step-00000006.json to go on from step-00000004",
        ),
        (
            "vision/step-00000004.safetensors",
            cut,
            "is truncated or altered: step-00000004.json gives another SHA-256",
            "remove step-00000004.json: step-00000006 is newer, so it is not needed",
        ),
        (
            "controller/step-00000003.safetensors",
            Path.unlink,
            "is missing",
            "remove step-00000003.json to go on from step-00000002",
        ),
        (
            "memory/step-00000012.json",
            lambda file: replace(file, file.read_bytes().replace(b'"seed": 0', b'"seed": 1')),
            ALTERED,
            "remove step-00000012.json to go on from step-00000008",
        ),
        (
            "vision/metrics.jsonl",
            lambda file: replace(file, b"\n" + file.read_bytes()),
            "line 1 is not a row of metrics",
            "remove that line",
        ),
        ("controller/best.safetensors", lambda file: flip(file, 0.99), ALTERED, BACK),
        (
            "scores/dream.json",
            lambda file: replace(file, file.read_bytes().replace(b'"std": ', b'"std": 1')),
            "was altered: its figures do not follow from its scores",
            "delete it and evaluate again",
        ),
        (
            "versions.json",
            lambda file: replace(file, b"[]"),
            "holds a JSON list, expected an object",
            "restore it from a copy, or remove it",
        ),
        (
            "timings.json",
            lambda file: replace(file, b'{"memory": "x"}'),
            "has 'x' for memory, expected seconds",
            "remove the file",
        ),
        (
            "config.json",
            lambda file: replace(file, file.read_bytes().replace(b'"updates": 6', b'"updates": 0')),
            "vision.updates is 0, expected a whole number of at least 1",
            "change it in the configuration",
        ),
    ],
)
def test_damage_is_found(name: str, damage: Damage, problem: str, remedy: str, run: Path) -> None:
    damage(run / name)
    assert verify_run(run) == [Problem(str(run / name), problem, remedy)]


def test_a_last_part_of_latents_that_is_missing_is_seen_by_what_m_was_trained_on(run: Path) -> None:
    (run / "latents" / "part-00001.safetensors").unlink()
    assert verify_run(run) == [
        Problem(str(run / "latents"), f"{run / 'latents'} has 64 of 66 episodes", f"run `reverie vision {run}` first")
    ]
    for file in (run / "memory").iterdir():
        file.unlink()
    assert verify_run(run) == []  # without an M it is a stage that was interrupted


def test_every_damage_is_listed(run: Path) -> None:
    flip(run / "rollouts" / "episodes" / "000005.safetensors")
    flip(run / "memory" / "step-00000008.safetensors")
    (run / "scores" / "agent.json").unlink()  # not damage: evaluate makes it
    replace(run / "scores" / "dream.json", b"{")
    assert [Path(problem.file).name for problem in verify_run(run)] == [
        "000005.safetensors",
        "step-00000008.safetensors",
        "dream.json",
    ]


def test_runs_that_are_whole(tmp_path: Path, finished: Path) -> None:
    assert verify_run(finished) == []
    assert verify_run(create_run(tmp_path / "run", make_experiment("tiny", "tiny")).path) == []


def test_what_is_no_run_is_a_problem(tmp_path: Path) -> None:
    assert verify_run(tmp_path) == [
        Problem(
            str(tmp_path / "config.json"),
            f"{tmp_path} is not a run folder (no config.json in it)",
            "'reverie run WORLD' makes one",
        )
    ]
