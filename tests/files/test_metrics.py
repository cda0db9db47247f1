"""The log is cut back to the checkpoint, and a torn line harms nobody."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.metrics import MetricsLog, read_in_turn, read_metrics
from tests.files.crashes import cut_everywhere

DIVERGED = "training diverged: try gentler settings, such as a lower learning rate"


def _write(path: Path, first: int, last: int) -> None:
    with MetricsLog(path, resume_step=first - 1) as log:
        for step in range(first, last + 1):
            log.append(step=step, loss=1 / (step + 1))


def test_rows_come_back_as_plain_numbers(tmp_path: Path) -> None:
    path = tmp_path / "vision" / "metrics.jsonl"
    assert read_metrics(path) == []
    with MetricsLog(path, resume_step=0) as log:
        log.append(step=1, loss=np.float32(0.25), kl=torch.tensor(2.0), episodes=3)
        log.append(step=1, held_out=4.0)
    rows = [{"step": 1, "loss": 0.25, "kl": 2.0, "episodes": 3}, {"step": 1, "held_out": 4.0}]
    assert read_metrics(path) == rows
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows


def test_a_row_is_there_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "m", resume_step=0) as log:
        log.append(step=1, loss=0.5)
        assert read_metrics(tmp_path / "m") == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize("torn", [b"", b"{", b'{"step": 8, "loss": 0.125}', b"\x00\x00\xff"])
def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path: Path, torn: bytes) -> None:
    _write(tmp_path / "whole", 1, 9)
    _write(tmp_path / "resumed", 1, 7)
    with (tmp_path / "resumed").open("ab") as file:
        file.write(torn)
    assert [row["step"] for row in read_metrics(tmp_path / "resumed")] == [1, 2, 3, 4, 5, 6, 7]
    _write(tmp_path / "resumed", 5, 9)
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_minus_one_starts_anew(tmp_path: Path) -> None:
    _write(tmp_path / "m", 0, 3)
    _write(tmp_path / "m", 0, 1)
    assert [row["step"] for row in read_metrics(tmp_path / "m")] == [0, 1]


def test_a_power_cut_while_the_log_is_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "m"
    seen = set()

    def check(call: int) -> None:
        seen.add(tuple(row["step"] for row in read_metrics(path)))

    cuts = cut_everywhere(lambda: _write(path, 3, 4), check, lambda: (path.unlink(missing_ok=True), _write(path, 1, 6)))
    assert cuts >= 5
    assert seen == {(1, 2, 3, 4, 5, 6), (1, 2), (1, 2, 3)}


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'"step"', b"{}", b'{"step": "1"}', b"", b"\xff", b"[" * 100_000, b'{"step": 1, "a": NaN}']
)
def test_damage_within_the_log_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    for read in (read_metrics, lambda path: MetricsLog(path, 2)):
        with pytest.raises(DamagedFileError) as caught:
            read(path)
        assert str(caught.value) == f"{path} line 2 is not a row of metrics; remove that line"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(float("nan")), np.float32("-inf")])
def test_nan_is_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "m"
    with MetricsLog(path, resume_step=0) as log:
        with pytest.raises(ReverieError) as caught:
            log.append(step=7, kl=1.0, loss=value)
        assert str(caught.value) == f"loss became {float(value)} at step 7 in {path}; {DIVERGED}"
        assert read_metrics(path) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    message = f"cannot write m in {tmp_path}: No space left on device; "
    message += "make room there or allow writing, then give the same command again"
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[:5])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with MetricsLog(path, resume_step=0) as log:
        log.append(step=1, loss=1.0)
        for write in (full, half):
            monkeypatch.setattr(os, "write", write)
            with pytest.raises(ReverieError) as caught:
                log.append(step=2, loss=0.5)
            assert str(caught.value) == message
    assert read_metrics(path) == [{"step": 1, "loss": 1.0}]


def test_logs_in_turn_count_on(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in ("a", "missing", "b")]
    for path in (paths[0], paths[2]):
        with MetricsLog(path, resume_step=0) as log:
            log.append(step=2, dream_steps=20, mean=1.5)
            log.append(step=5, dream_steps=50, mean=2.5)
    found = read_in_turn(paths)
    assert [(row["step"], row["dream_steps"], row["mean"], row["turn"]) for row in found] == [
        (2, 20, 1.5, 0),
        (5, 50, 2.5, 0),
        (7, 70, 1.5, 2),
        (10, 100, 2.5, 2),
    ]
    assert read_in_turn([]) == read_in_turn([paths[1]]) == []
