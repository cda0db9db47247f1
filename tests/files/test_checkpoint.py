"""Checkpoints: complete after any crash, and any damage has a name."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, load_checkpoint, save_checkpoint
from reverie.files.metrics import read_metrics
from tests.files.crashes import cut_everywhere


def _checkpoint(step: int, content: float | None = None) -> Checkpoint:
    value = step if content is None else content
    return Checkpoint(step, {"w": np.full((3, 2), value, np.float32), "n": np.array(step)}, {"epoch": value})


def _same(a: Checkpoint | None, b: Checkpoint) -> bool:
    assert a is not None
    arrays = a.arrays.keys() == b.arrays.keys() and all(np.array_equal(a.arrays[k], b.arrays[k]) for k in b.arrays)
    return a.step == b.step and a.state == b.state and arrays


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "none yet") is None
    for step in (0, 90, 500):
        path = save_checkpoint(tmp_path / "v", _checkpoint(step))
        assert path == tmp_path / "v" / f"step-{step:08d}.json"
        assert _same(latest_checkpoint(tmp_path / "v"), _checkpoint(step))
    assert _same(load_checkpoint(tmp_path / "v" / "step-00000090.json"), _checkpoint(90))
    assert _names(tmp_path / "v") == [
        "step-00000090.json",
        "step-00000090.safetensors",
        "step-00000500.json",
        "step-00000500.safetensors",
    ]


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(99_999_999))
    save_checkpoint(tmp_path, _checkpoint(100_000_000))
    assert _same(latest_checkpoint(tmp_path), _checkpoint(100_000_000))


def test_an_earlier_step_is_not_pruned_as_it_is_written(tmp_path: Path) -> None:
    for step in (10, 20, 5):
        path = save_checkpoint(tmp_path, _checkpoint(step), keep=1)
    assert _same(load_checkpoint(path), _checkpoint(5))


def test_state_comes_back_as_json_has_it(tmp_path: Path) -> None:
    state = {"best": {10: 1.5, 9: -0.1}, "history": (1, 2), "name": "é"}
    save_checkpoint(tmp_path, Checkpoint(1, {}, state))
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.state == {"best": {"10": 1.5, "9": -0.1}, "history": [1, 2], "name": "é"}


def test_the_record_prints_sizes() -> None:
    assert repr(_checkpoint(5)) == "Checkpoint(step=5, arrays=2, values=7, state=['epoch'])"


@pytest.mark.parametrize("step", [2, 3], ids=["the same step again", "the next step"])
def test_a_power_cut_leaves_a_whole_checkpoint(tmp_path: Path, step: int) -> None:
    """Cut at each call in turn: the newest is whole, and the same save then comes through and leaves nothing over."""
    folder, seen = tmp_path / "v", set()

    def reset() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        save_checkpoint(folder, _checkpoint(1))
        save_checkpoint(folder, _checkpoint(2))

    def check(call: int) -> None:
        found = latest_checkpoint(folder)
        assert found is not None
        assert _same(found, _checkpoint(found.step, found.state["epoch"]))
        seen.add((found.step, found.state["epoch"]))
        save_checkpoint(folder, _checkpoint(step, 7.5))
        assert _same(latest_checkpoint(folder), _checkpoint(step, 7.5))
        left = [name for name in _names(folder) if not name.endswith(".tmp")]  # this process still lives
        assert len(left) == 4

    cuts = cut_everywhere(lambda: save_checkpoint(folder, _checkpoint(step, 7.5)), check, reset)
    assert cuts >= 6
    assert seen == {(2, 2), (1, 1), (2, 7.5)} if step == 2 else seen == {(2, 2), (3, 7.5)}


WRITER = """
import sys
import numpy as np
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog

folder = sys.argv[1]
last = latest_checkpoint(folder)
step = last.step if last else 0
with MetricsLog(folder + "/metrics.jsonl", resume_step=step) as log:
    print("ready", flush=True)
    while True:
        step += 1
        log.append(step=step, loss=1 / step)
        save_checkpoint(folder, Checkpoint(step, {"w": np.full(5000, step)}, {"step": step}))
"""


def test_kill_9_in_a_loop_of_saves(tmp_path: Path) -> None:
    chance, step = random.Random(0), 0
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.05, 0.2))
            os.kill(writer.pid, signal.SIGKILL)
        found = latest_checkpoint(tmp_path)
        assert found is not None
        assert found.step > step
        step = found.step
        assert (found.arrays["w"] == step).all()
        rows = read_metrics(tmp_path / "metrics.jsonl")
        assert [row["step"] for row in rows[:step]] == list(range(1, step + 1))
        assert len(rows) - step in (0, 1)
    save_checkpoint(tmp_path, _checkpoint(step + 1))
    assert len(_names(tmp_path)) == 5  # two checkpoints and the log: nothing that the dead left over


def _flip(suffix: str, place: int = -9) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        target = path.with_suffix(suffix)
        data = bytearray(target.read_bytes())
        data[place] ^= 4
        target.write_bytes(data)

    return flip


def _cut(suffix: str) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        os.truncate(path.with_suffix(suffix), 20)

    return cut


def _lose_arrays(path: Path) -> None:
    path.with_suffix(".safetensors").unlink()


def _link_arrays(path: Path) -> None:
    tensors = path.with_suffix(".safetensors")
    tensors.rename(path.with_suffix(".elsewhere"))
    tensors.symlink_to(path.with_suffix(".elsewhere"))


def _list(path: Path) -> None:
    path.write_text("[]")


def _other_name(path: Path) -> None:
    shutil.copy(path.with_name("step-00000001.json"), path)


def _other_state(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": {"epoch": 3}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip(".safetensors"), "{tensors} is truncated or altered: step-00000002.json gives another SHA-256"),
        (_cut(".safetensors"), "{tensors} is truncated or altered: step-00000002.json gives another SHA-256"),
        (_lose_arrays, "{tensors} is missing"),
        (_link_arrays, "{tensors} is a link, expected a regular file"),
        (_flip(".json", 40), "{path} was altered: its content does not match its digest"),
        (_cut(".json"), "{path} is not valid JSON (Unterminated string starting at: line 3 column 3 (char 17))"),
        (_list, "{path} holds a JSON list, expected an object"),
        (_other_name, "{path} holds step 1, not the one of its name"),
        (_other_state, "{path} was altered: its content does not match its digest"),
    ],
)
def test_damage_is_named_with_its_remedy(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    for step in (1, 2):
        path = save_checkpoint(tmp_path, _checkpoint(step))
    damage(path)
    with pytest.raises(DamagedFileError) as caught:
        latest_checkpoint(tmp_path)
    expected = message.format(path=path, tensors=path.with_suffix(".safetensors"))
    assert str(caught.value) == f"{expected}; remove step-00000002.json to go on from step-00000001"
    path.unlink()
    assert _same(latest_checkpoint(tmp_path), _checkpoint(1))


def test_the_remedy_when_there_is_no_earlier_one(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _checkpoint(2))
    _flip(".safetensors")(path)
    with pytest.raises(DamagedFileError, match=r"; remove step-00000002\.json to start this stage again$"):
        latest_checkpoint(tmp_path)


def test_every_flipped_bit_of_the_record_is_noticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _checkpoint(1))
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        with path.open("r+b") as file:
            file.write(data)
        with pytest.raises(DamagedFileError, match=r"step-00000001\.(json|safetensors)"):
            latest_checkpoint(tmp_path)


@pytest.mark.parametrize("state", [{"loss": float("nan")}, {"path": Path()}])
def test_what_is_not_json_writes_nothing(tmp_path: Path, state: dict[str, object]) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))
    with pytest.raises((TypeError, ValueError), match="JSON"):
        save_checkpoint(tmp_path, Checkpoint(1, {}, state))
    assert _same(latest_checkpoint(tmp_path), _checkpoint(1))


def test_nan_weights_leave_the_last_good_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))
    with pytest.raises(ReverieError, match=r"^w became NaN or infinite and was not written to .*step-00000002"):
        save_checkpoint(tmp_path, _checkpoint(2, float("nan")))
    assert _same(latest_checkpoint(tmp_path), _checkpoint(1))


@pytest.mark.parametrize("call", ["unlink", "fsync", "replace"])
def test_a_folder_that_cannot_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))

    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(
            ReverieError, match=r"^cannot write step-00000001.* in .*: Read-only file system; make room"
        ):
            save_checkpoint(tmp_path, _checkpoint(1, 2.0))
    found = latest_checkpoint(tmp_path)
    assert found is None or _same(found, _checkpoint(1))
