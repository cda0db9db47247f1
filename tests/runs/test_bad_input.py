"""What is wrong with a run is said in one line, exit code 2, and nothing on disk is harmed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reverie
from reverie.cli import main
from reverie.files.checkpoint import digest_of, latest_checkpoint
from reverie.play import candidates
from reverie.play.candidates import Returns, Task
from reverie.runs.run_folder import open_run
from reverie.runs.verify import verify_run
from reverie.worlds import registry
from tests.small_runs import PHASES, copy_run, flip, replace, settings, small_run, snapshot


@pytest.fixture
def run(tmp_path: Path, finished: Path) -> Path:
    """A finished run that a test may damage."""
    return copy_run(finished, tmp_path / "run")


def complaint(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """What the command says to words or files that are wrong: one line, exit code 2, nothing on stdout."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert said.out == ""
    assert said.err.startswith("reverie: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("reverie: ").rstrip("\n")


OTHER = (
    "run folder {run} was made with other settings ({what}); "
    "repeat the command it was made with, or choose another run folder"
)


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        (["--preset", "quick"], "preset: 'tiny' there, 'quick' asked for"),
        (["--seed", "3"], "seed: 0 there, 3 asked for"),
        (["--vision.updates", "7"], "vision.updates: 6 there, 7 asked for"),
        (
            ["--phases", "ppo:world:2"],
            "memory.restart_input: True there, False asked for; memory.done_head: True there, False asked for; "
            "memory.reward_head: True there, False asked for; phases: ['ppo:dream:3', 'ppo:world:2:all:num_envs=3', "
            "'cmaes:dream:3'] there, ['ppo:world:2'] asked for",
        ),
    ],
)
def test_a_run_made_otherwise_shows_the_difference(
    words: list[str], difference: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(run)
    assert complaint(capsys, *small_run(run), *words) == OTHER.format(run=run, what=difference)
    assert snapshot(run) == before


def test_a_run_of_another_world_says_so_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(run)
    said = complaint(capsys, "run", "carracing", "--run-dir", run)
    first = "world: 'tiny' there, 'carracing' asked for; preset: 'tiny' there, 'quick' asked for; collect.episodes: 66"
    assert said.startswith(OTHER.format(run=run, what=first).partition(");")[0])
    assert re.search(r"; and \d+ more\); repeat the command it was made with", said)
    assert snapshot(run) == before


def config_with(**changes: Any) -> Callable[[Path], None]:
    """Edits config.json as a person would, `vision__updates=3` in the experiment and other names beside it."""

    def edit(run: Path) -> None:
        content = json.loads((run / "config.json").read_text())
        for name, value in changes.items():
            *sections, last = ["experiment", *name.split("__")] if "__" in name or name == "vision" else [name]
            place = content
            for section in sections:
                place = place[section]
            if value is None:
                del place[last]
            else:
                place[last] = value
        del content["digest"]  # and makes one that fits
        replace(run / "config.json", json.dumps(content | {"digest": digest_of(content)}).encode())

    return edit


def content(name: str, data: bytes | Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Replaces a file of the run."""
    return lambda run: replace(run / name, data if isinstance(data, bytes) else data((run / name).read_bytes()))


def flipped(name: str, place: float = 0.5) -> Callable[[Path], None]:
    return lambda run: flip(run / name, place)


def without(*names: str) -> Callable[[Path], None]:
    """Removes files or folders of the run."""

    def remove(run: Path) -> None:
        for name in names:
            shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()

    return remove


def both(*edits: Callable[[Path], None]) -> Callable[[Path], None]:
    def edit(run: Path) -> None:
        for each in edits:
            each(run)

    return edit


def first_lines(count: int) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(data.splitlines(keepends=True)[:count])


CONFIG = "{run}/config.json"
EPISODE = "rollouts/episodes/000007.safetensors"
BAD_RUNS = [
    # config.json
    (
        config_with(format=1, reverie="0.9"),
        "vision",
        f"run folder {{run}} has format 1, made by reverie 0.9; reverie {reverie.__version__} reads format 2: use that "
        "version or start again in another folder",
    ),
    (
        config_with(vision__updats=3),
        "vision",
        f"{CONFIG}: unknown setting 'vision.updats'; did you mean 'vision.updates'?",
    ),
    (
        config_with(vision__aaaaaaaa=3),
        "vision",
        f"{CONFIG}: unknown setting 'vision.aaaaaaaa'; 'reverie run WORLD --help-settings' lists them",
    ),
    (
        config_with(vision__updates=None),
        "vision",
        f"{CONFIG}: vision.updates is missing; was it edited by hand, or made by another version?",
    ),
    (config_with(vision__updates="many"), "vision", f"{CONFIG}: vision.updates is 'many', expected a whole number"),
    (
        config_with(vision__updates=-1),
        "vision",
        f"{CONFIG}: vision.updates is -1, expected a whole number of at least 0; change it in the configuration",
    ),
    (config_with(vision=3), "vision", f"{CONFIG}: vision is 3, expected an object of settings"),
    (
        config_with(experiment=None),
        "vision",
        f"{CONFIG} does not hold a run's settings; restore it or start again in another folder",
    ),
    (
        content("config.json", b'{"format'),
        "vision",
        f"{CONFIG} is not valid JSON (Unterminated string starting at: line 1 column 2 (char 1)); restore it "
        "from a copy, or start again in another folder",
    ),
    (
        without("config.json"),
        "vision",
        "{run} is not a run folder (no config.json in it); 'reverie run WORLD' makes one",
    ),
    (
        content("config.json", lambda data: data.replace(b'"updates": 6', b'"updates": 7')),
        "vision",
        f"{CONFIG} was altered: its content does not match its digest; restore it from a copy",
    ),
    # checkpoints
    (
        content("vision/step-00000006.safetensors", lambda data: data[:1000]),
        "memory",
        "{run}/vision/step-00000006.safetensors is truncated or altered: step-00000006.json gives another SHA-256; "
        "remove step-00000006.json to go on from step-00000005",
    ),
    (
        flipped("memory/step-00000012.safetensors"),
        "memory",
        "{run}/memory/step-00000012.safetensors is truncated or altered: step-00000012.json gives another SHA-256; "
        "remove step-00000012.json to go on from step-00000011",
    ),
    (
        content("controller/3-cmaes-dream/step-00000003.json", lambda data: data.replace(b'"steps": ', b'"steps": 1')),
        "controller",
        "{run}/controller/3-cmaes-dream/step-00000003.json was altered: its content does not match its digest; "
        "remove step-00000003.json to go on from step-00000002",
    ),
    (
        without("vision/step-00000006.safetensors"),
        "vision",
        "{run}/vision/step-00000006.safetensors is missing; remove step-00000006.json to go on from step-00000005",
    ),
    (
        flipped("controller/best.safetensors", 0.99),
        "evaluate",
        "{run}/controller/best.safetensors was altered: its content does not match its digest; restore it from a copy, "
        "or remove it to have it made again",
    ),
    # episodes and latents
    (
        both(flipped(EPISODE, 0.99), without("vision")),
        "vision",
        f"{{run}}/{EPISODE} is damaged: a chunk of frames does not match its checksum; delete the file and run "
        "`reverie collect` again",
    ),
    (
        both(content(EPISODE, lambda data: data[:100]), without("vision")),
        "vision",
        f"{{run}}/{EPISODE} is damaged: it is no safetensors file (Error while deserializing header: invalid header "
        "length); delete the file and run `reverie collect` again",
    ),
    (
        content("rollouts/manifest.jsonl", lambda data: data.replace(b'"steps": 8', b'"steps": "8"', 1)),
        "collect",
        "{run}/rollouts/manifest.jsonl is damaged: line 1 is no episode's entry (steps is '8', expected int); "
        "delete that line and run `reverie collect` again",
    ),
    (
        both(flipped("latents/part-00001.safetensors", 0.99), without("memory")),
        "memory",
        "{run}/latents/part-00001.safetensors was altered: its content does not match its digest; restore it "
        "from a copy, or remove it to have it made again",
    ),
    (
        without("latents/part-00000.safetensors"),
        "memory",
        "{run}/latents/part-00000.safetensors is missing; run `reverie vision` to make it again",
    ),
    # the rest
    (
        content("memory/metrics.jsonl", lambda data: data.replace(b'"step": 3,', b'"stp": 3,')),
        "memory",
        "{run}/memory/metrics.jsonl line 3 is not a row of metrics; remove that line",
    ),
    (
        content("scores/agent.json", lambda data: data.replace(b'"mean": ', b'"mean": 1')),
        "report",
        "{run}/scores/agent.json was altered: its figures do not follow from its scores; delete it and evaluate again",
    ),
    (
        content("timings.json", b'{"vision": "x"}'),
        "memory",
        "{run}/timings.json has 'x' for vision, expected seconds; remove the file",
    ),
    (
        content("versions.json", b"[]"),
        "report",
        "{run}/versions.json holds a JSON list, expected an object; restore it from a copy, or remove it",
    ),
    # a stage too early
    (without("rollouts", "vision"), "vision", "{run}/rollouts has 0 of 66 episodes; run `reverie collect {run}` first"),
    (
        content("rollouts/manifest.jsonl", first_lines(20)),
        "vision",
        "{run}/rollouts has 20 of 66 episodes; run `reverie collect {run}` first",
    ),
    (without("vision"), "memory", "{run}/vision has 0 of 6 updates; run `reverie vision {run}` first"),
    (without("latents"), "memory", "{run}/latents holds no latents; run `reverie vision {run}` first"),
    (
        without("latents/part-00001.safetensors"),
        "memory",
        "{run}/latents has 64 of 66 episodes; run `reverie vision {run}` first",
    ),
    (without("memory"), "controller", "{run}/memory has 0 of 12 updates; run `reverie memory {run}` first"),
    (
        without("memory/step-00000012.json"),
        "controller",
        "{run}/memory has 11 of 12 updates; run `reverie memory {run}` first",
    ),
    (
        without("controller"),
        "evaluate",
        "{run} has no trained controller yet; run `reverie controller {run}` first",
    ),
]


@pytest.mark.parametrize(("damage", "command", "message"), BAD_RUNS, ids=range(len(BAD_RUNS)))
def test_a_run_that_is_damaged_or_unfinished(
    damage: Callable[[Path], None], command: str, message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    before, rows = snapshot(run), metrics(run)
    workers = [] if command == "report" else ["--workers", "0"]
    assert complaint(capsys, command, run, *workers) == message.format(run=run)
    before.pop("timings.json", None)  # what failed has taken time too
    kept = {name: stat for name, stat in before.items() if name not in rows}
    assert snapshot(run).items() >= kept.items()
    assert metrics(run).items() >= rows.items()  # a log is written anew where its stage goes on


def metrics(run: Path) -> dict[str, bytes]:
    """The contents of every log."""
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("metrics.jsonl")}


def test_a_run_in_use_by_another_process(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = f"run folder {run} is in use by another process; wait for it, or choose another run folder"
    before = snapshot(run)
    with open_run(run).locked():
        assert complaint(capsys, *small_run(run)) == message
        assert complaint(capsys, "memory", run) == message
    assert snapshot(run) == before


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_place_that_holds_something_else(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "thesis"
    if what == "folder":
        place.mkdir()
    (place / "chapter.tex" if what == "folder" else place).write_text("years of work")
    before = snapshot(tmp_path)
    assert complaint(capsys, *small_run(place)) == f"{place} exists and is not a run folder; choose another run folder"
    assert snapshot(tmp_path) == before


def test_a_loss_of_v_that_is_nan(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    assert complaint(capsys, *small_run(new, vision__learning_rate=1e30)) == (
        "V's loss is nan at update 2, expected a finite number; "
        "lower vision.learning_rate (1e+30) and train V again in another run folder"
    )
    assert verify_run(new) == []


def test_a_loss_of_m_that_is_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    assert complaint(capsys, *small_run(new, memory__learning_rate=1e30)) == (
        "M's loss is nan at update 1, expected a finite number; "
        "lower memory.learning_rate (1e+30) and train M again in another run folder"
    )
    assert verify_run(new) == []
    assert latest_checkpoint(new / "vision").step == 6


def test_a_fitness_that_is_nan(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "controller")
    whole = candidates.try_candidates
    calls: list[Task] = []

    def spoiled(task: Task) -> Returns:
        calls.append(task)
        returns, steps = whole(task)
        return Returns(np.full_like(returns, np.nan) if len(calls) == 5 else returns, steps)

    monkeypatch.setattr(candidates, "try_candidates", spoiled)
    said = complaint(capsys, "controller", run, "--workers", "0")
    assert said == (
        "fitness of candidate 16 in generation 1 is nan, expected a finite number; "
        "the world or M returned a reward that is not one"
    )
    assert verify_run(run) == []
    assert latest_checkpoint(run / "controller" / PHASES[2]).step == 1


@pytest.mark.parametrize(
    ("world", "message"),
    [
        ("doom", "world 'doom' needs ViZDoom, which is not installed: pip install 'reverie[doom]'"),
        ("carracing", "world 'carracing' needs Box2D, which is not installed: pip install 'reverie[carracing]'"),
    ],
)
def test_an_extra_that_is_missing(
    world: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    run = tmp_path / "run"
    assert complaint(capsys, "run", world, "--preset", "tiny", "--run-dir", run, "--workers", "0") == message
    assert verify_run(run) == []


def test_a_damaged_run_goes_on_as_its_message_says(
    run: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedy of a damaged checkpoint, followed to the letter, ends in the weights that there were."""
    flip(run / "memory" / "step-00000012.safetensors")
    assert complaint(capsys, "memory", run).endswith("remove step-00000012.json to go on from step-00000011")
    (run / "memory" / "step-00000012.json").unlink()
    with pytest.raises(SystemExit) as stop:
        main(["memory", str(run)])
    assert stop.value.code == 0
    ours, theirs = (latest_checkpoint(folder / "memory") for folder in (run, finished))
    assert ours.step == theirs.step == 12
    assert {name: array.tobytes() for name, array in ours.arrays.items()} == {
        name: array.tobytes() for name, array in theirs.arrays.items()
    }


def test_settings_of_the_small_run_are_all_settings() -> None:
    """A misspelt word would stand in no error of these tests."""
    names = [word for word in settings() if word.startswith("--")]
    assert len(names) == len(set(names))
