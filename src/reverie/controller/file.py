"""C in one file: a candidate and the shape that it belongs to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.errors import DamagedFileError
from reverie.files.checkpoint import load_arrays, save_arrays
from reverie.worlds.spec import ActionSpec


def save_controller(path: str | Path, controller: Controller, params: np.ndarray) -> None:
    """Write the candidate [n] and its shape."""
    shape = {
        "config": asdict(controller.config),
        "feature_size": controller.feature_size,
        "actions": asdict(controller.actions),
    }
    save_arrays(path, {"params": np.asarray(params, np.float64)}, {"shape": json.dumps(shape)})


def load_controller(path: str | Path) -> tuple[Controller, np.ndarray]:
    """The controller and its candidate, float64 [n], as `save_controller` wrote them."""
    arrays, metadata = load_arrays(path)
    try:
        shape = json.loads(metadata["shape"])
        config, actions = ControllerConfig(**shape["config"]), ActionSpec(**shape["actions"])
        controller, params = Controller(config, shape["feature_size"], actions), arrays["params"]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{path} does not hold a controller ({error!r}); evolve it again") from None
    if params.shape != (controller.parameter_count,):
        raise DamagedFileError(
            f"{path} holds parameters of shape {params.shape}, expected ({controller.parameter_count},); "
            "evolve it again"
        )
    return controller, params
