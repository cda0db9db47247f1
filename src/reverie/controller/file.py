"""C in one file: a candidate and the shape that it belongs to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.errors import DamagedFileError
from reverie.files.atomic import parse_json
from reverie.files.checkpoint import load_arrays, save_arrays
from reverie.worlds.spec import ActionKind, ActionSpec


def save_controller(path: str | Path, controller: Controller, params: np.ndarray) -> None:
    """Write the candidate [n] and its shape."""
    shape = {
        "config": asdict(controller.config),
        "feature_size": controller.feature_size,
        "actions": controller.actions.as_dict(),
    }
    save_arrays(path, {"params": np.asarray(params, np.float64)}, {"shape": json.dumps(shape)})


def load_controller(path: str | Path) -> tuple[Controller, np.ndarray]:
    """The controller and its candidate, float64 [n], as `save_controller` wrote them."""
    arrays, metadata = load_arrays(path)
    try:
        shape = parse_json(metadata["shape"])
        controller, params = _controller(shape), arrays["params"]
        expected = (controller.parameter_count,)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} does not hold a controller ({error!r:.200}); evolve it again") from None
    if params.shape != expected or params.dtype != np.float64:
        raise DamagedFileError(
            f"{path} holds parameters of {params.dtype} {params.shape}, expected float64 {expected}; evolve it again"
        )
    return controller, params


def _controller(shape: Any) -> Controller:
    config, actions, features = shape["config"], shape["actions"], shape["feature_size"]
    sizes, hidden = (actions["size"], features), config["hidden_size"]
    choices = (config["bias"], config["sample_z"], config["categorical"])
    if any(type(size) is not int or size < 1 for size in sizes) or type(hidden) is not int:
        raise ValueError(f"its sizes are {sizes} and {hidden!r}")
    if not all(type(choice) is bool for choice in choices):
        raise ValueError(f"its bias, sample_z and categorical are {choices}")
    if actions["kind"] not in get_args(ActionKind):
        raise ValueError(f"its actions are {actions['kind']!r}")
    groups = tuple(actions.get("groups", ()))
    if any(type(size) is not int or size < 1 for size in groups):
        raise ValueError(f"its actions have the groups {groups}")
    spec = ActionSpec(**(actions | {"groups": groups}))
    return Controller(ControllerConfig(**config), features, spec)
