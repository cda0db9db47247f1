"""The run folder: made once, opened again, held by one process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import reverie
from reverie.errors import DamagedFileError, ReverieError
from reverie.recipe.presets import make_experiment
from reverie.runs.run_folder import create_run, open_run
from tests.files.crashes import cut_everywhere

TINY = make_experiment("tiny", "tiny")


def test_a_run_folder_explains_itself(tmp_path: Path) -> None:
    run = create_run(tmp_path / "deep" / "run", TINY)
    assert sorted(file.name for file in run.path.iterdir()) == ["config.json", "lock", "versions.json"]
    config = json.loads((run.path / "config.json").read_text())
    assert (config["format"], config["reverie"]) == (2, reverie.__version__)
    assert config["experiment"]["vision"]["updates"] == TINY.vision.updates
    assert run.versions["torch"] == torch.__version__
    assert run.versions["numpy"] == np.__version__
    assert run.versions.keys() >= {"python", "reverie", "gymnasium", "machine", "system", "cores"}
    assert open_run(run.path).experiment == create_run(run.path, TINY).experiment == TINY


def test_a_run_folder_cut_anywhere_while_it_is_made_can_be_made(tmp_path: Path) -> None:
    """Killed at any call to the file system, the same command makes the folder."""
    place = tmp_path / "run"

    def check(call: int) -> None:
        assert create_run(place, TINY).experiment == TINY
        assert open_run(place).versions

    def reset() -> None:
        for file in place.glob("*"):
            file.unlink()
        if place.exists():
            place.rmdir()

    cuts = cut_everywhere(lambda: create_run(place, TINY), check, reset)
    assert cuts > 10


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", TINY)
    run.scores.mkdir()
    for folder in (run.path, run.scores):
        (folder / f"x.json.{2**22 + 1}-00000000-0.tmp").write_text("half")
    with run.locked():
        assert not list(run.path.rglob("*.tmp"))


def test_one_process_holds_a_run_and_gives_it_back(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", TINY)
    message = f"run folder {run.path} is in use by another process; wait for it, or choose another run folder"
    with run.locked():
        with pytest.raises(ReverieError) as error, run.locked():
            pass
        assert str(error.value) == message
    with pytest.raises(KeyError), run.locked():
        raise KeyError  # gives it back too
    with run.locked():
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        create_run(Path("/proc/run"), TINY)
    assert (
        str(error.value)
        == "cannot make the run folder /proc/run (No such file or directory); choose another run folder"
    )
    (tmp_path / "file").touch()
    with pytest.raises(ReverieError) as error:
        create_run(tmp_path / "file" / "run", TINY)
    assert (
        str(error.value)
        == f"cannot make the run folder {tmp_path}/file/run (Not a directory); choose another run folder"
    )


def test_an_experiment_that_does_not_fit_its_world_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ReverieError):
        create_run(tmp_path / "run", replace(TINY, memory=replace(TINY.memory, action_size=2)))
    assert list(tmp_path.iterdir()) == []


def test_time_adds_up_over_sessions_and_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(tmp_path / "run", TINY)
    clock = iter([0.0, 2.0, 10.0, 13.5, 20.0, 21.0])
    monkeypatch.setattr("reverie.runs.run_folder.time.monotonic", lambda: next(clock))
    with run.timed("vision"):
        pass
    with pytest.raises(KeyboardInterrupt), run.timed("vision"):
        raise KeyboardInterrupt
    with run.timed("memory"):
        pass
    assert run.timings == {"vision": 5.5, "memory": 1.0}


@pytest.mark.parametrize("content", ['{"vision": "x"}', '{"vision": true}', "[]", "{"])
def test_damaged_timings_show_before_a_stage_has_spent_its_time(content: str, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", TINY)
    (run.path / "timings.json").write_text(content)
    with pytest.raises(DamagedFileError), run.timed("vision"):
        pytest.fail("the stage began")
    assert (run.path / "timings.json").read_text() == content
