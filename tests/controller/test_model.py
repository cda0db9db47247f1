from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.errors import ReverieError
from reverie.worlds.spec import ActionKind, ActionSpec

DRIVING = ActionSpec("driving", 3)
PAPER = [
    (ControllerConfig(inputs=("z", "h")), 32 + 256, DRIVING, 867),
    (ControllerConfig(inputs=("z", "c", "h"), bias=False), 64 + 512 + 512, ActionSpec("three-way", 1), 1_088),
    (ControllerConfig(inputs=("z",)), 32, DRIVING, 99),
    (ControllerConfig(inputs=("z",), hidden_size=40), 32, DRIVING, 1_443),
]


@pytest.mark.parametrize(("config", "size", "actions", "count"), PAPER)
def test_parameter_counts_are_the_papers(config: ControllerConfig, size: int, actions: ActionSpec, count: int) -> None:
    assert Controller(config, size, actions).parameter_count == count


def plain_outputs(config: ControllerConfig, params: np.ndarray, x: np.ndarray, outputs: int) -> np.ndarray:
    """One candidate on one feature vector, in float64, one number at a time; the outputs before tanh or argmax."""
    numbers = iter(params.tolist())
    sizes = [config.hidden_size, outputs] if config.hidden_size else [outputs]
    for layer, width in enumerate(sizes):
        x = np.tanh(x) if layer else x
        weight = [[next(numbers) for _ in range(width)] for _ in range(len(x))]
        bias = [next(numbers) if config.bias else 0.0 for _ in range(width)]
        x = np.array([sum(x[i] * weight[i][j] for i in range(len(x))) + bias[j] for j in range(width)])
    assert next(numbers, None) is None
    return x


@pytest.mark.parametrize("hidden_size", [0, 5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("actions", [ActionSpec("continuous", 2), ActionSpec("discrete", 4)], ids=lambda a: a.kind)
def test_act_matches_a_plain_float64_loop(hidden_size: int, bias: bool, actions: ActionSpec) -> None:
    config = ControllerConfig(hidden_size=hidden_size, bias=bias)
    controller = Controller(config, 6, actions)
    rng = np.random.default_rng(3)
    params, features = rng.normal(size=(3, controller.parameter_count)), rng.normal(size=(3, 4, 6))
    acted = controller.act(torch.tensor(params).float(), torch.tensor(features).float())
    for p in range(3):
        for e in range(4):
            plain = plain_outputs(config, params[p], features[p, e], actions.size)
            expected = np.eye(4)[plain.argmax()] if actions.kind == "discrete" else np.tanh(plain)
            np.testing.assert_allclose(acted[p, e].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("hidden_size", [0, 5])
def test_a_categorical_c_has_an_output_for_each_way(hidden_size: int) -> None:
    config = ControllerConfig(hidden_size=hidden_size, categorical=True)
    controller = Controller(config, 6, ActionSpec("three-way", 1))
    assert (controller.output_size, controller.parameter_count) == (3, 53 if hidden_size else 21)
    rng = np.random.default_rng(3)
    params, features = rng.normal(size=(2, controller.parameter_count)), rng.normal(size=(2, 40, 6))
    acted = controller.act(torch.tensor(params).float(), torch.tensor(features).float())
    expected = [[plain_outputs(config, params[p], x, 3).argmax() - 1 for x in features[p]] for p in range(2)]
    assert acted[..., 0].tolist() == expected
    assert acted.shape == (2, 40, 1)
    assert len(acted.unique()) == 3


@pytest.mark.parametrize("kind", ["driving", "continuous", "discrete"])
def test_other_actions_cannot_be_categorical(kind: ActionKind) -> None:
    with pytest.raises(ReverieError, match=f"and actions are {kind}; expected three-way ones"):
        Controller(ControllerConfig(categorical=True), 6, ActionSpec(kind, 3))


def test_a_tie_takes_the_first_action() -> None:
    controller = Controller(ControllerConfig(bias=False), 2, ActionSpec("discrete", 3))
    assert controller.act(torch.zeros(1, 6), torch.ones(1, 1, 2)).tolist() == [[[1.0, 0.0, 0.0]]]


BROKEN = [
    (
        (2, 866),
        "controller parameters have shape (2, 866), expected [P, 867]; they belong to a controller of another shape",
    ),
    (
        (867,),
        "controller parameters have shape (867,), expected [P, 867]; they belong to a controller of another shape",
    ),
]


@pytest.mark.parametrize(("shape", "message"), BROKEN)
def test_refuses_parameters_of_another_controller(shape: tuple[int, ...], message: str) -> None:
    controller = Controller(ControllerConfig(), 288, DRIVING)
    with pytest.raises(ReverieError) as error:
        controller.act(torch.zeros(shape), torch.zeros(2, 1, 288))
    assert str(error.value) == message


def test_refuses_no_features() -> None:
    with pytest.raises(ReverieError) as error:
        Controller(ControllerConfig(), 0, DRIVING)
    assert str(error.value) == "feature_size is 0; expected at least 1"


def test_prints_its_sizes() -> None:
    assert repr(Controller(ControllerConfig(), 288, DRIVING)) == "Controller(288 -> 3, n=867)"
