from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.vision import train
from reverie.vision.batches import FrameBatches
from reverie.vision.config import VisionConfig
from reverie.vision.model import ConvVAE
from reverie.vision.train import load_vision, mean_frame, train_vision

from .squares import SquareBatches, fill

CONFIG = VisionConfig(
    latent_size=4,
    learning_rate=1e-3,
    min_lr=1e-4,
    batch_size=6,
    updates=5,
)


def fingerprint(model: ConvVAE) -> str:
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def test_a_centred_one_keeps_the_mean_frame_that_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "MEAN_FRAME_BATCHES", 2)
    config = replace(CONFIG, centred=True)
    model = train_vision(config, SquareBatches(6), tmp_path / "first", seed=3)
    assert model.mean_frame is not None
    np.testing.assert_array_equal(model.mean_frame, mean_frame(SquareBatches(6)))
    assert fingerprint(load_vision(tmp_path / "first")) == fingerprint(model)
    monkeypatch.setattr(train, "MEAN_FRAME_BATCHES", 1)  # later rounds see other frames, and go on from the same one
    later = train_vision(config, SquareBatches(6), tmp_path / "later", seed=4, start=model)
    np.testing.assert_array_equal(later.mean_frame, model.mean_frame)


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(folder / "metrics.jsonl")]


@pytest.mark.parametrize("changes", [{}, {"pixel_weight": "change"}, {"centred": True}])
def test_a_killed_training_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(train, "MEAN_FRAME_BATCHES", 2)
    config = replace(CONFIG, **changes)
    straight = train_vision(config, SquareBatches(6), tmp_path / "straight", seed=3, checkpoint_every=2)
    for breaks_at in (3, 4):  # killed after update 3, then again before the next checkpoint
        with pytest.raises(InterruptedError):
            train_vision(config, SquareBatches(6, breaks_at), tmp_path / "broken", seed=3, checkpoint_every=2)
    broken = train_vision(config, SquareBatches(6), tmp_path / "broken", seed=3, checkpoint_every=2)
    assert fingerprint(broken) == fingerprint(straight)
    assert losses(tmp_path / "broken") == losses(tmp_path / "straight")
    moments = [latest_checkpoint(tmp_path / name) for name in ("broken", "straight")]
    assert moments[0] is not None
    assert moments[1] is not None
    assert moments[0].arrays.keys() == moments[1].arrays.keys()
    for name, array in moments[0].arrays.items():
        np.testing.assert_array_equal(array, moments[1].arrays[name], err_msg=name)


def test_another_seed_gives_another_v(tmp_path: Path) -> None:
    config = replace(CONFIG, updates=1)
    first, second = (train_vision(config, SquareBatches(6), tmp_path / str(seed), seed) for seed in (0, 1))
    assert fingerprint(first) != fingerprint(second)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    config = replace(CONFIG, latent_size=8, batch_size=16, updates=80)
    train_vision(config, SquareBatches(16), tmp_path, seed=0)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 81))
    assert rows[-1]["reconstruction"] < 0.75 * blank_error()
    assert rows[-1].keys() == {"step", "loss", "reconstruction", "kl", "learning_rate", "frames_per_second"}
    assert rows[-1]["learning_rate"] == pytest.approx(1e-4)
    assert rows[-1]["frames_per_second"] > 0


def blank_error() -> float:
    """The squared error of the best frame that knows nothing of the input: the mean frame."""
    frames = np.concatenate([SquareBatches(16).batch(update) for update in range(10)]) / 255
    return float(((frames - frames.mean(0)) ** 2).sum((1, 2, 3)).mean())


def test_it_trains_on_a_store_of_episodes(tmp_path: Path) -> None:
    batches = FrameBatches(fill(Store(tmp_path / "rollouts"), [20, 12]), batch_size=6, seed=0)
    model = train_vision(replace(CONFIG, updates=2), batches, tmp_path / "vision", seed=0)
    batches.close()
    assert fingerprint(load_vision(tmp_path / "vision")) == fingerprint(model)


def test_a_finished_training_is_only_loaded(tmp_path: Path) -> None:
    model = train_vision(CONFIG, SquareBatches(6), tmp_path, seed=0)
    again = train_vision(CONFIG, SquareBatches(6, breaks_at=0), tmp_path, seed=0)
    assert fingerprint(again) == fingerprint(model)


def test_no_updates_leave_v_as_it_begins(tmp_path: Path) -> None:
    begun = train_vision(CONFIG, SquareBatches(6), tmp_path / "first", seed=0)
    train_vision(replace(CONFIG, updates=0), SquareBatches(6, breaks_at=0), tmp_path / "second", seed=1, start=begun)
    assert fingerprint(load_vision(tmp_path / "second")) == fingerprint(begun)


def test_a_loss_that_is_not_finite_stops_and_harms_nothing(tmp_path: Path) -> None:
    config = replace(CONFIG, learning_rate=1e30, min_lr=None)
    with pytest.raises(ReverieError) as error:
        train_vision(config, SquareBatches(6), tmp_path, seed=0)
    assert re.fullmatch(
        r"V's loss is (nan|inf) at update 2, expected a finite number; lower vision.learning_rate \(1e\+30\) "
        r"and train V again in another run folder",
        str(error.value),
    )
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl_tolerance": 0.1}, "kl_tolerance 0.5, asked for 0.1"),
        ({"latent_size": 5}, "latent_size 4, asked for 5"),
        ({"updates": 9}, "updates 1, asked for 9"),
    ],
)
def test_another_training_in_the_folder_is_not_gone_on_with(
    tmp_path: Path, change: dict[str, float], message: str
) -> None:
    config = replace(CONFIG, updates=1)
    train_vision(config, SquareBatches(6), tmp_path, seed=0)
    with pytest.raises(ReverieError) as error:
        train_vision(replace(config, **change), SquareBatches(6), tmp_path, seed=0)  # type: ignore[arg-type]
    expected = f"{tmp_path} holds a training of V with {message}; use the same settings or another run folder"
    assert str(error.value) == expected


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        load_vision(tmp_path)
    assert str(error.value) == f"{tmp_path} holds no checkpoint of V; run `reverie vision` first"


def test_mean_frame_is_the_mean_of_the_first_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "MEAN_FRAME_BATCHES", 3)
    frames = np.concatenate([SquareBatches(6).batch(update) for update in range(3)])
    expected = frames.astype(np.float64).mean(0).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(mean_frame(SquareBatches(6)).numpy(), expected, atol=1e-6)
