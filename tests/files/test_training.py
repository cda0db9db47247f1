"""Weights and moments survive the round trip bit for bit, and training goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.arrays import load_arrays, save_arrays
from reverie.files.training import pack, require_same, unpack

REMEDY = "it was made with other settings or by another version: use those, or another run folder"


def _model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 16, 2))
    return model.to(memory_format=torch.channels_last)


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for update in range(first, last):
        x = torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(update))
        loss = model(x.to(memory_format=torch.channels_last)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _adam(model: nn.Module, **options: bool) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.01, **options)


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"foreach": True}, {"amsgrad": True}], ids=str)
def test_training_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, bool]) -> None:
    whole, half, resumed = _model(), _model(), _model(seed=1)
    _train(whole, whole_adam := _adam(whole, **options), 0, 8)
    _train(half, half_adam := _adam(half, **options), 0, 4)
    save_arrays(tmp_path / "a", pack(half, half_adam))
    unpack(load_arrays(tmp_path / "a")[0], resumed, resumed_adam := _adam(resumed, **options))
    _train(resumed, resumed_adam, 4, 8)
    expected, found = pack(whole, whole_adam), pack(resumed, resumed_adam)
    assert expected.keys() == found.keys()
    for name in expected:
        assert expected[name].tobytes() == found[name].tobytes(), name
    assert not np.array_equal(expected["model.0.weight"], pack(half)["model.0.weight"])


def test_the_names() -> None:
    model = _model()
    optimizer = torch.optim.Adam([model[3].weight])  # only some parameters are trained
    assert set(pack(model)) == {f"model.{name}" for name in model.state_dict()}
    assert set(pack(model, optimizer)) == set(pack(model))  # Adam has no moments before its first update
    _train(model, optimizer, 0, 1)
    assert set(pack(model, optimizer)) - set(pack(model)) == {
        "optimizer.3.weight.step",
        "optimizer.3.weight.exp_avg",
        "optimizer.3.weight.exp_avg_sq",
    }


def test_what_was_packed_does_not_change_with_the_model() -> None:
    model = _model()
    arrays = pack(model)
    before = arrays["model.0.weight"].copy()
    _train(model, _adam(model), 0, 1)
    assert np.array_equal(arrays["model.0.weight"], before)


def test_a_model_alone_passes_over_the_moments() -> None:
    model, other = _model(), _model(seed=1)
    _train(model, optimizer := _adam(model), 0, 1)
    unpack(pack(model, optimizer), other)
    assert all(np.array_equal(a, b) for a, b in zip(pack(model).values(), pack(other).values(), strict=True))


def test_an_optimizer_is_put_back_to_its_start() -> None:
    model = _model()
    fresh = pack(model, optimizer := _adam(model))
    _train(model, optimizer, 0, 2)
    unpack(fresh, model, optimizer)
    _train(model, optimizer, 0, 2)
    expected = _model()
    _train(expected, _adam(expected), 0, 2)
    assert all(np.array_equal(a, b) for a, b in zip(pack(expected).values(), pack(model).values(), strict=True))


def _drop(name: str) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda arrays: arrays.pop(name)


def _put(name: str, array: np.ndarray) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda arrays: arrays.update({name: array})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop("model.3.bias"), "vision/step-00000001.json holds no model.3.bias"),
        (_put("model.9.bias", np.zeros(2)), "vision/step-00000001.json holds an unknown model.9.bias"),
        (
            _put("model.3.bias", np.zeros(3, np.float32)),
            "vision/step-00000001.json holds model.3.bias as float32 (3,), expected float32 (2,)",
        ),
        (
            _put("model.3.bias", np.zeros(2)),
            "vision/step-00000001.json holds model.3.bias as float64 (2,), expected float32 (2,)",
        ),
        (
            _put("optimizer.9.bias.exp_avg", np.zeros(2, np.float32)),
            "vision/step-00000001.json holds an unknown optimizer.9.bias.exp_avg",
        ),
        (
            _put("optimizer.3.bias.exp_avg", np.zeros(3, np.float32)),
            "vision/step-00000001.json holds optimizer.3.bias.exp_avg as float32 (3,), expected float32 (2,)",
        ),
        (_drop("optimizer.3.bias.exp_avg"), "vision/step-00000001.json holds no optimizer.3.bias.exp_avg"),
    ],
)
def test_what_does_not_fit_changes_nothing(damage: Callable[[dict[str, np.ndarray]], object], message: str) -> None:
    other = _model(seed=1)
    _train(other, other_adam := _adam(other), 0, 1)
    arrays = pack(other, other_adam)
    damage(arrays)
    model = _model()
    _train(model, optimizer := _adam(model), 0, 1)
    before = pack(model, optimizer)
    with pytest.raises(DamagedFileError) as caught:
        unpack(arrays, model, optimizer, "vision/step-00000001.json")
    assert str(caught.value) == f"{message}; {REMEDY}"
    assert all(np.array_equal(before[name], array) for name, array in pack(model, optimizer).items())


def test_other_settings_are_refused_by_name() -> None:
    found = {"seed": 3, "sizes": list(range(99))}
    require_same("run/memory", "a training of M", found, {"seed": 3})
    for wanted, said in (({"seed": 4}, "seed 3, asked for 4"), ({"seed": 3, "rate": 1.5}, "rate None, asked for 1.5")):
        with pytest.raises(ReverieError) as error:
            require_same("run/memory", "a training of M", found, wanted)
        expected = f"run/memory holds a training of M with {said}; use the same settings or another run folder"
        assert str(error.value) == expected
    with pytest.raises(ReverieError) as error:
        require_same("run/memory", "a training of M", found, {"sizes": []})
    assert len(str(error.value)) < 200
