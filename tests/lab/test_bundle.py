"""The folder of the lab: what is in it, where it may be written, what the command makes of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.errors import ReverieError
from reverie.lab.bundle import check_folder, write_lab
from reverie.lab.command import check_same_world
from reverie.lab.loading import episode_label, load_lab_run
from tests.lab.sources import LATENT, bare_car, like_doom
from tests.small_runs import reverie

pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "lab"
    write_lab(folder, [like_doom(), like_doom(5)])
    return folder


def test_says_what_there_is(lab: Path) -> None:
    about, other = json.loads((lab / "lab.json").read_text())["runs"]
    assert (about["folder"], other["folder"]) == ("a", "b")
    assert about["heads"] == {"done": True, "reward": False}
    assert [agent["key"] for agent in about["agents"]] == ["agent", "cheat"]
    begun = [lab / "runtime" / "ort.wasm.gz", *(lab / "a").glob("*.onnx"), lab / "a" / "data.bin"]
    assert about["bytes"] == sum(file.stat().st_size for file in begun)
    assert {file.stem for file in (lab / "a").glob("*.onnx")} == {"encoder", "decoder", "memory", "agent", "cheat"}
    assert (lab / "runtime" / "LICENSE").read_text().startswith("MIT License")


def test_arrays_lie_where_it_says(lab: Path) -> None:
    about = json.loads((lab / "lab.json").read_text())["runs"][0]
    numbers = np.fromfile(lab / "a" / "data.bin", "<f4")
    source = like_doom()
    for place, expected in (
        (about["starts"]["mu"], source.starts.mu),
        (about["map"]["latents"], source.mu),
        (about["episodes"][1]["actions"], source.episodes[1].actions),
    ):
        count = int(np.prod(place["shape"]))
        found = numbers[place["at"] : place["at"] + count].reshape(place["shape"])
        np.testing.assert_array_equal(found, expected)
    assert about["check"]["latents"]["shape"] == [201, LATENT]


def test_recorded_frames_lose_nothing(lab: Path) -> None:
    about = json.loads((lab / "lab.json").read_text())["runs"][0]
    for described, episode in zip(about["episodes"], like_doom().episodes, strict=True):
        sheet = np.asarray(Image.open(io.BytesIO((lab / described["sheet"]).read_bytes())))
        for t in (0, 31, 32, len(episode)):
            row, column = divmod(t, described["columns"])
            np.testing.assert_array_equal(
                sheet[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64], episode.frames[t]
            )


def test_the_page_asks_for_nothing_from_elsewhere(lab: Path) -> None:
    index = (lab / "index.html").read_text()
    assert "default-src 'none'" in index
    assert "http" not in index.replace("http-equiv", "")


def test_a_folder_of_someone_else_s_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ReverieError, match="exists and is not a lab; choose another folder for --export"):
        write_lab(tmp_path, [bare_car()])
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_a_lab_that_was_half_written_is_written_again(lab: Path, tmp_path: Path) -> None:
    for name in ("index.html", "a/memory.onnx", "a-cheat/data.bin", "main.js.1-2-3.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    check_folder(tmp_path)
    check_folder(lab)
    with pytest.raises(ReverieError, match="is not a lab"):
        check_folder(tmp_path / "index.html")


def test_two_runs_must_be_of_one_world() -> None:
    with pytest.raises(ReverieError, match="made-up-2 is a run of 'carracing' and made-up-1 one of 'doom'; give two"):
        check_same_world([like_doom(), bare_car()])


def test_the_command_exports_a_run(finished: Path, tmp_path: Path) -> None:
    process = reverie("lab", str(finished), "--export", str(tmp_path / "lab"))
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == str(tmp_path / "lab")
    about = json.loads((tmp_path / "lab" / "lab.json").read_text())["runs"][0]
    assert (about["world"], about["heads"]["reward"]) == ("tiny", True)
    labels = [episode["label"] for episode in about["episodes"]]
    assert len(labels) == 4
    assert labels[-1] == "the agent, awake"
    assert labels[0].startswith("exploring, episode ")


@pytest.mark.parametrize(
    ("policy", "label"),
    [
        ("long-held", "exploring, episode 7 (long-held)"),
        ("agent", "the agent, episode 7"),
        ("agent, disturbed", "the agent, disturbed, episode 7"),
        ("curious", "a curious C, episode 7"),
        ("recorded", "recorded elsewhere, episode 7"),
    ],
)
def test_recorded_episodes_say_who_played(policy: str, label: str) -> None:
    assert episode_label(7, policy) == label


def test_a_run_s_own_scores_and_temperature_come_along(finished: Path) -> None:
    (agent,) = load_lab_run(finished).agents
    assert agent.temperature is not None
    assert "in the real world" in agent.scores
    assert "in its dream" in agent.scores


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    process = reverie("lab", str(tmp_path / "nothing"))
    assert process.returncode == 2
    assert "nothing is not a run folder" in process.stderr
    assert process.stderr.count("\n") == 1 + process.stderr.count("lab: opening")
