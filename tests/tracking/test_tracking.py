"""A tracker gets every row once, and whatever it does the run goes on."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.files.metrics import MetricsLog
from reverie.tracking import follow
from reverie.tracking.follow import Following
from reverie.tracking.tracker import find_tracker

ROWS: list[tuple[str, int, dict[str, float]]] = []


class Listing:
    """Keeps what it is told."""

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        ROWS.clear()
        ROWS.append((str(run), 0, dict(settings)))

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        ROWS.append((stage, step, dict(values)))

    def close(self) -> None:
        ROWS.append(("closed", 0, {}))


class Failing(Listing):
    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        raise SystemExit("no network")


class Hanging(Listing):
    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        threading.Event().wait()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SECONDS", 0.05)
    monkeypatch.setattr(follow, "LAST_SECONDS", 2.0)


def _write(folder: Path, *steps: int, resume: int = -1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with MetricsLog(folder / "metrics.jsonl", resume) as log:
        for step in steps:
            log.append(step=step, loss=step / 2)


def _wait_for_rows(count: int) -> None:
    end = time.monotonic() + 60
    while len(ROWS) < count:
        assert time.monotonic() < end, ROWS
        time.sleep(0.02)


def test_every_row_once_across_stages_rounds_and_a_resume(tmp_path: Path) -> None:
    _write(tmp_path / "vision", 1, 2)
    with Following(tmp_path, {"world": "tiny"}, Listing):
        _wait_for_rows(3)
        _write(tmp_path / "vision", 2, 3, resume=1)  # a stage that goes on from update 1
        _wait_for_rows(4)
        _write(tmp_path / "round-1" / "memory", 5)
    found = list(ROWS)
    assert found == [
        (str(tmp_path), 0, {"world": "tiny"}),
        ("vision", 1, {"loss": 0.5}),
        ("vision", 2, {"loss": 1.0}),
        ("vision", 3, {"loss": 1.5}),
        ("round-1/memory", 5, {"loss": 2.5}),
        ("closed", 0, {}),
    ]


def test_stages_of_every_kind_are_followed(tmp_path: Path) -> None:
    stages = ["gradient", "memory", "memory/member-1", "round-1/gradient", "round-1/memory/member-2"]
    for stage in stages:
        _write(tmp_path / stage, 1)
    with Following(tmp_path, {}, Listing):
        pass
    assert sorted(stage for stage, _, _ in ROWS[1:-1]) == stages


def test_a_failing_tracker_is_told_of_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REVERIE_QUIET", raising=False)
    _write(tmp_path / "vision", 1)
    with Following(tmp_path, {}, Failing):
        pass
    assert "tracking stops, the run goes on: SystemExit: no network" in capsys.readouterr().err


def test_a_hanging_tracker_is_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REVERIE_QUIET", raising=False)
    monkeypatch.setattr(follow, "LAST_SECONDS", 0.2)
    _write(tmp_path / "vision", 1)
    with Following(tmp_path, {}, Hanging):
        pass
    assert "the tracker has not finished within 0.2 s and is left behind" in capsys.readouterr().err


def test_trackers_by_name() -> None:
    assert find_tracker("tests.tracking.test_tracking:Listing").__name__ == "Listing"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "--track is 'wandb'; expected tensorboard, or MODULE:CLASS for a tracker of your own"),
        (":x", "--track is ':x'; expected tensorboard, or MODULE:CLASS for a tracker of your own"),
        (
            "nowhere:X",
            "tracker 'nowhere:X' cannot be imported (No module named 'nowhere'); see docs/how-to/trackers.md",
        ),
        (
            "json:X",
            "tracker 'json:X' cannot be imported (module 'json' has no attribute 'X'); see docs/how-to/trackers.md",
        ),
    ],
)
def test_words_that_name_no_tracker(name: str, message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        find_tracker(name)
    assert str(caught.value) == message


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install 'reverie[track]'")
    from tensorboard.compat.proto.event_pb2 import Event

    _write(tmp_path / "memory", 1, 2)
    for _ in range(2):  # a second session writes the same again, and once
        with Following(tmp_path, {"world": "tiny"}, find_tracker("tensorboard")):
            pass
    [file] = (tmp_path / "tensorboard").iterdir()
    found, data = [], file.read_bytes()
    while data:  # a record: length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        found += [(event.step, value.tag) for value in event.summary.value]
    assert found == [(0, "settings/text_summary"), (1, "memory/loss"), (2, "memory/loss")]
