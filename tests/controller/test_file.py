from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from reverie.controller.config import ControllerConfig
from reverie.controller.file import load_controller, save_controller
from reverie.controller.model import Controller
from reverie.errors import DamagedFileError
from reverie.files.checkpoint import save_arrays
from reverie.worlds.spec import ActionSpec


@pytest.mark.parametrize(
    "config", [ControllerConfig(), ControllerConfig(("z", "c", "h"), 7, bias=False, sample_z=False)]
)
@pytest.mark.parametrize("actions", [ActionSpec("driving", 3), ActionSpec("discrete", 4)], ids=lambda a: a.kind)
def test_round_trip(config: ControllerConfig, actions: ActionSpec, tmp_path: Path) -> None:
    controller = Controller(config, 11, actions)
    params = np.random.default_rng(0).normal(size=controller.parameter_count)
    save_controller(tmp_path / "best.safetensors", controller, params)
    loaded, read = load_controller(tmp_path / "best.safetensors")
    np.testing.assert_array_equal(read, params)
    assert (loaded.config, loaded.feature_size, loaded.actions) == (config, 11, actions)


@pytest.mark.parametrize(
    ("section", "changes", "fault"),
    [
        ("config", {"sample_z": 1}, "its bias, sample_z and categorical are (True, 1, False)"),
        ("config", {"hidden_size": 2.0}, "its sizes are (3, 11) and 2.0"),
        ("actions", {"size": 0}, "its sizes are (0, 11) and 0"),
        ("actions", {"kind": "flying"}, "its actions are 'flying'"),
        ("config", {"inputs": ["h"]}, "controller.inputs are ['h'], expected z and any of h, c, action, survival"),
        ("config", {"layers": 3}, "ControllerConfig.__init__() got an unexpected keyword argument 'layers'"),
    ],
)
def test_refuses_a_shape_that_no_c_has(section: str, changes: dict, fault: str, tmp_path: Path) -> None:
    shape = {"config": asdict(ControllerConfig()), "feature_size": 11, "actions": asdict(ActionSpec("driving", 3))}
    save_arrays(tmp_path / "best.safetensors", {"params": np.zeros(36)}, {"shape": json.dumps(shape)})
    assert load_controller(tmp_path / "best.safetensors")[0].config == ControllerConfig()
    shape[section] |= changes  # type: ignore[operator]
    save_arrays(tmp_path / "best.safetensors", {"params": np.zeros(36)}, {"shape": json.dumps(shape)})
    with pytest.raises(DamagedFileError, match=re.escape(fault)):
        load_controller(tmp_path / "best.safetensors")


def test_refuses_what_is_no_controller(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_arrays(path, {"params": np.zeros(3)})
    with pytest.raises(DamagedFileError) as error:
        load_controller(path)
    assert str(error.value) == f"{path} does not hold a controller (KeyError('shape')); evolve it again"
    save_controller(path, Controller(ControllerConfig(), 11, ActionSpec("driving", 3)), np.zeros(35))
    with pytest.raises(DamagedFileError) as error:
        load_controller(path)
    assert str(error.value) == f"{path} holds parameters of float64 (35,), expected float64 (36,); evolve it again"


def test_refuses_an_altered_file(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_controller(path, Controller(ControllerConfig(), 11, ActionSpec("driving", 3)), np.ones(36))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"best\.safetensors was altered"):
        load_controller(path)
