"""`reverie verify` finds every kind of damage and names file, fault and remedy, and nothing in a run that is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reverie.episodes.store import Problem
from reverie.files.atomic import read_json
from reverie.files.checkpoint import digest_of
from reverie.recipe.presets import make_experiment
from reverie.runs.run_folder import create_run
from reverie.runs.verify import verify_run
from tests.small_runs import copy_run, flip, replace

Damage = Callable[[Path], None]


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Path:
    return copy_run(finished, tmp_path / "a run")  # with a blank in its path, and so in every message


def cut(file: Path) -> None:
    replace(file, file.read_bytes()[: file.stat().st_size // 2])


ALTERED = "was altered: its content does not match its digest"
BACK = "restore it from a copy, or remove it to have it made again"
EPISODE = "delete the file and run `reverie collect` again"
LATENTS = "remove it and run `reverie vision` to make it again"
FILE, COPY = "remove the file", "restore it from a copy, or remove it"


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
            "remove step-00000006.json to go on from step-00000005",
        ),
        (
            "vision/step-00000005.safetensors",
            cut,
            "is truncated or altered: step-00000005.json gives another SHA-256",
            "remove step-00000005.json: step-00000006 is newer, so it is not needed",
        ),
        (
            "controller/3-cmaes-dream/step-00000003.safetensors",
            Path.unlink,
            "is missing",
            "remove step-00000003.json to go on from step-00000002",
        ),
        (
            "memory/step-00000012.json",
            lambda file: replace(file, file.read_bytes().replace(b'"seed": 0', b'"seed": 1')),
            ALTERED,
            "remove step-00000012.json to go on from step-00000011",
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
            lambda file: replace(file, file.read_bytes().replace(b'"updates": 6', b'"updates": 7')),
            ALTERED,
            "restore it from a copy",
        ),
    ],
)
def test_damage_is_found(name: str, damage: Damage, problem: str, remedy: str, run: Path) -> None:
    damage(run / name)
    assert verify_run(run) == [Problem(str(run / name), problem, remedy)]


def relinked(file: Path) -> None:
    """The same content, but elsewhere: whoever changes that changes the run."""
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("name", "damage", "problem", "remedy"),
    [
        (
            "vision/step-00000006.json",
            relinked,
            "is a link, expected a regular file",
            "remove step-00000006.json to go on from step-00000005",
        ),
        ("rollouts/episodes/000005.safetensors", relinked, "is a link, expected a regular file", EPISODE),
        ("latents/part-00000.safetensors", relinked, "is a link, expected a regular file", LATENTS),
        (
            "scores/agent.json",
            lambda file: replace(file, file.read_bytes().replace(b'"where": "world"', b'"where": "moon"')),
            "is not a score (ValueError(\"of 'tiny' in the 'moon'\"))",
            "delete it and evaluate again",
        ),
        ("memory/fresh.json", lambda file: file.write_text('{"z": "low"}'), "has 'low' for 'z', expected a loss", FILE),
        (
            "versions.json",
            lambda file: replace(file, b'{"a": 1e999}'),
            "is not valid JSON (1e999 is too large a number)",
            COPY,
        ),
    ],
)
def test_more_damage_is_found(name: str, damage: Damage, problem: str, remedy: str, run: Path) -> None:
    damage(run / name)
    assert verify_run(run)[0] == Problem(str(run / name), problem, remedy)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b'"seed": ', b'"seed": 1', "'seed': "),
        (b'"policy": "', b'"policy": "x', "'policy': 'x"),
        (b'"total_reward": ', b'"total_reward": 9', "is not what the manifest says of it"),
        (b'"terminated": false', b'"terminated": true', "is not what the manifest says of it"),
        (b'"sha256": "', b'"sha256": "0', "is no episode's entry"),
        (b"episodes/", b"../episodes/", "is no episode's entry"),
    ],
)
def test_a_manifest_that_contradicts_its_episodes(old: bytes, new: bytes, fault: str, run: Path) -> None:
    """The manifest has no checksum of itself: what it says of an episode must be what the episode says."""
    manifest = run / "rollouts" / "manifest.jsonl"
    assert old in manifest.read_bytes()
    replace(manifest, manifest.read_bytes().replace(old, new, 1))
    (problem,) = verify_run(run)
    assert fault in problem.problem
    assert "run `reverie collect` again" in problem.remedy


def test_every_round_is_checked(run: Path) -> None:
    content = read_json(run / "config.json")
    del content["digest"]
    content["experiment"]["rounds"] |= {"count": 1, "episodes": 1}
    content["experiment"]["collect"]["episodes"] = 65  # and one of the round
    replace(run / "config.json", json.dumps(content | {"digest": digest_of(content)}).encode())
    for folder in ("memory", "controller", "scores"):
        copy_run(run / folder, run / "round-1" / folder)
    (run / "selection.json").write_text('{"chosen": 1}')
    assert verify_run(run) == []
    files = [
        "memory/step-00000012.safetensors",
        "round-1/memory/step-00000011.json",
        "round-1/controller/2-ppo-world/metrics.jsonl",
        "selection.json",
    ]
    for name in files:
        replace(run / name, b"\n")
    assert sorted(problem.file for problem in verify_run(run)) == sorted(str(run / name) for name in files)


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
    flip(run / "memory" / "step-00000011.safetensors")
    (run / "scores" / "agent.json").unlink()  # not damage: evaluate makes it
    replace(run / "scores" / "dream.json", b"{")
    assert [Path(problem.file).name for problem in verify_run(run)] == [
        "000005.safetensors",
        "step-00000011.safetensors",
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
