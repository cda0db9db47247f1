"""C that learns by gradients in the dream: what pays, to the same bits whenever it is stopped, with what it says."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.learning import backprop, ppo
from reverie.learning.config import PPOConfig
from reverie.learning.gradient import Average, learn
from reverie.workers.pool import Workers
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.dream import parts
from tests.learning.dreamt import DREAMS, HORIZON, THRESHOLD, Dreamt, engine

CONFIG = PPOConfig(num_envs=24, num_steps=8, n_epochs=2)
Method = Literal["ppo", "backprop"]
METHODS = ("ppo", "backprop")
MODULES = {"ppo": ppo, "backprop": backprop}
PLAIN = Dreamt((engine(),))


def train(
    folder: Path,
    env: Dreamt = PLAIN,
    method: Method = "ppo",
    updates: int = 6,
    start: np.ndarray | None = None,
    **changes: Any,
) -> np.ndarray:
    return learn(method, replace(CONFIG, **changes), updates, env, folder, 1, Workers(0), start)  # type: ignore[arg-type]


def last(folder: Path) -> Checkpoint:
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint


def small(kind: Any, size: int, reward: Any = "predicted") -> WorldSpec:
    return WorldSpec("small", ActionSpec(kind, size), reward, 60)


@pytest.mark.parametrize(
    ("method", "spec", "inputs"),
    [
        ("ppo", parts.PREDICTED, "z h action"),
        ("ppo", parts.SURVIVAL, "z c h"),
        ("ppo", small("three-way", 1), "z"),
        ("ppo", small("discrete", 4), "z h"),
        ("ppo", small("three-way", 1, "survival"), "z c h survival"),
        ("backprop", parts.PREDICTED, "z h action"),
        ("backprop", parts.SURVIVAL, "z c h"),
        ("backprop", small("continuous", 2), "z"),
    ],
    ids=lambda value: value.actions.kind + "-" + value.reward if isinstance(value, WorldSpec) else value,
)
def test_c_learns_what_pays_in_the_dream(method: Method, spec: WorldSpec, inputs: str, tmp_path: Path) -> None:
    model = parts.memory(
        survival_head=(2, 4) if "survival" in inputs else (),
        action_head=True,
        action_size=spec.actions.size,
        done_bias=-1.0 if spec.reward == "survival" else -6.0,
    )
    with torch.no_grad():
        model.input_weight[:, parts.LATENT : parts.LATENT + spec.actions.size] *= 10  # an M that minds what C does
    chosen = ControllerConfig(inputs=tuple(inputs.split()))  # type: ignore[arg-type]
    dream = THRESHOLD if method == "ppo" else parts.SAMPLED
    made = engine(spec=spec, model=model, inputs=chosen, config=dream)
    params = train(tmp_path, Dreamt((made,)), method, 40, num_envs=64, num_steps=16)
    returns, _ = parts.dream_returns(made, np.stack([np.zeros_like(params), params]), range(200), HORIZON)
    gain = returns[1] - returns[0]
    assert gain.mean() > 4 * gain.std() / 200**0.5, returns.mean(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", DREAMS)
def test_stopped_anywhere_it_ends_with_the_same_bits(
    kind: str, method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a checkpoint every second update, so that one or none is lost."""
    env, changes = Dreamt(DREAMS[kind]()), {"average_last": 3, "anneal_fraction": 0.5, "ez_prob": 0.1}
    monkeypatch.setattr("reverie.learning.gradient.LOG_EVERY", 1)
    monkeypatch.setattr("reverie.learning.dream_rollouts.DreamRollouts.checkpoint_every", 2)
    straight = train(tmp_path / "straight", env, method, 20, **changes)
    inner = MODULES[method].update
    for call in (1, 2, 5):
        calls = iter(range(100))

        def stop(*args: Any, at: int = call, calls: Any = calls) -> Any:
            found = inner(*args)
            if next(calls) == at:
                raise KeyboardInterrupt
            return found

        folder = tmp_path / f"stopped-{call}"
        with monkeypatch.context() as patch:
            patch.setattr(MODULES[method], "update", stop)
            with pytest.raises(KeyboardInterrupt):
                train(folder, env, method, 20, **changes)
        np.testing.assert_array_equal(train(folder, env, method, 20, **changes), straight)
        for name, array in last(tmp_path / "straight").arrays.items():
            np.testing.assert_array_equal(array, last(folder).arrays[name], name)
        rows = [[row | {"seconds": 0} for row in rows_of(tmp_path / name)] for name in ("straight", folder.name)]
        assert rows[0] == rows[1]
        assert len(rows[0]) == 20


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return read_metrics(folder / "metrics.jsonl")


def test_it_begins_at_the_parameters_that_it_is_given(tmp_path: Path) -> None:
    start = parts.candidates(PLAIN.controller_shape(), 1)[0]
    np.testing.assert_allclose(train(tmp_path, updates=1, learning_rate=1e-6, start=start), start, atol=3e-4)


def test_c_ends_as_the_mean_of_its_last_updates(tmp_path: Path) -> None:
    each = [train(tmp_path / f"{count}", updates=count) for count in (3, 4, 5)]
    np.testing.assert_array_equal(train(tmp_path / "mean", updates=5, average_last=3), np.mean(each, 0))
    np.testing.assert_array_equal(
        train(tmp_path / "all", updates=3, average_last=9), train(tmp_path / "three", updates=3, average_last=3)
    )


@pytest.mark.parametrize("method", METHODS)
def test_rewards_are_clipped_from_above(method: Method, tmp_path: Path) -> None:
    limits = {"none": None, "never met": 1e6, "met": 1e-3}
    found = {
        name: train(tmp_path / name, method=method, updates=2, reward_clip=limit) for name, limit in limits.items()
    }
    np.testing.assert_array_equal(found["never met"], found["none"])
    assert not np.array_equal(found["met"], found["none"])


@pytest.mark.parametrize("change", [{"final_std": 0.05}, {"anneal_fraction": 0.9}, {"ez_prob": 0.3}], ids=str)
def test_how_c_explores_matters(change: dict[str, float], tmp_path: Path) -> None:
    changed = train(tmp_path / "changed", **change)
    assert (train(tmp_path / "plain") != changed).any()
    if "final_std" in change:
        limit = 0.35 * (0.05 / 0.35) ** (5 / 6)  # as the last of six updates has it, and moves it a little
        assert np.exp(last(tmp_path / "changed").arrays["model.log_std"]).max() == pytest.approx(limit, rel=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_metrics_say_what_dreams_bring(method: Method, tmp_path: Path) -> None:
    train(tmp_path, method=method, updates=12)
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 13))  # each has a checkpoint: it is that short
    assert rows[-1]["dream_steps"] == 12 * 24 * 8
    usual = {"step", "dream_steps", "seconds", "entropy", "explained_variance", "episode_return_mean"}
    assert set(rows[-1]) == usual
    assert all(np.isfinite(value) for value in rows[-1].values())


def test_metrics_say_how_long_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has the seconds since the one before it; of a run that goes on, since it went on."""
    now, inner, done = [1000.0], ppo.update, [0]

    def two_seconds(*args: Any) -> Any:
        if done[0] == 35:
            done[0] += 1
            raise KeyboardInterrupt
        now[0], done[0] = now[0] + 2, done[0] + 1
        return inner(*args)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(ppo, "update", two_seconds)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, updates=40, num_envs=3, n_epochs=1)
    now[0] += 1000  # stopped meanwhile
    train(tmp_path, updates=40, num_envs=3, n_epochs=1)
    rows = rows_of(tmp_path)
    saved = sorted({*range(4, 41, 4), *range(5, 41, 5)})
    assert [row["step"] for row in rows] == saved
    assert [row["seconds"] for row in rows] == [2 * (step - before) for before, step in pairwise([0, *saved])]


def test_another_setting_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    whole = train(tmp_path)
    for changes, what in [
        ({"gamma": 0.5}, "gamma 0.99, asked for 0.5"),
        ({"updates": 8}, "updates 6, asked for 8"),
        ({"method": "backprop"}, "method 'ppo', asked for 'backprop'"),
    ]:
        with pytest.raises(ReverieError) as error:
            train(tmp_path, **changes)  # type: ignore[arg-type]
        expected = f"{tmp_path} holds a training of C with {what}; use the same settings or another run folder"
        assert str(error.value) == expected
    np.testing.assert_array_equal(train(tmp_path), whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_no_number_is_refused(method: Method, tmp_path: Path) -> None:
    start = np.full(PLAIN.controller_shape().parameter_count, np.nan)
    with pytest.raises(ReverieError) as error:
        train(tmp_path, method=method, start=start)
    assert str(error.value) == (
        "C's loss is nan at update 1, expected a finite number; lower ppo.learning_rate (0.003) "
        "and train C again in another run folder"
    )


def averaged(size: int, means: list[float], keeps_best: bool = True) -> Average:
    average = Average(size, 2, keeps_best)
    for number, mean in enumerate(means):
        average.add(np.array([number, -number], float), mean)
    return average


def test_the_mean_is_of_the_last_or_of_the_best_in_a_row() -> None:
    means = [9.0, 1, 4, 5, 3, 7, 0]
    best = averaged(2, means)
    assert best.best_return == 5  # 9 and 1, then 3 and 7, which bring no more; 4 and 5 less
    np.testing.assert_array_equal(best.result, [0.5, -0.5])
    best.add(np.array([7.0, -7.0]), 11)
    np.testing.assert_array_equal(best.result, [6.5, -6.5])
    np.testing.assert_array_equal(averaged(2, means, keeps_best=False).result, [5.5, -5.5])
    np.testing.assert_array_equal(averaged(9, [1.0, 2], keeps_best=False).result, [0.5, -0.5])


@pytest.mark.parametrize("keeps_best", [True, False])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_carried_on_from_its_arrays_the_mean_is_the_same(stop: int, keeps_best: bool) -> None:
    means = [1.0, 3, 2, 5, 4, 4]
    some, whole = averaged(3, means[:stop], keeps_best), averaged(3, means, keeps_best)
    later = Average(3, 2, keeps_best)
    later.from_arrays(some.to_arrays(), "here")
    for number in range(stop, len(means)):
        later.add(np.array([number, -number], float), means[number])
    for name, array in whole.to_arrays().items():
        np.testing.assert_array_equal(later.to_arrays()[name], array)


@pytest.mark.parametrize("name", ["params", "returns", "best", "best_return"])
def test_damage_to_the_mean_is_named(name: str) -> None:
    arrays = averaged(3, [1, 2, 3, 4]).to_arrays()
    average = averaged(3, [8, 9, 10])
    with pytest.raises(DamagedFileError, match=r"^here holds .* average\.\w+, expected"):
        average.from_arrays({key: array for key, array in arrays.items() if key != f"average.{name}"}, "here")
    with pytest.raises(DamagedFileError, match=r"^here holds .* average\.\w+, expected"):
        average.from_arrays(arrays | {f"average.{name}": np.zeros((4, 4))}, "here")
    assert average.best_return == 9
