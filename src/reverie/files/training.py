"""A model and its optimizer as named arrays, and back; what a training that goes on must have been begun with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from reverie.errors import DamagedFileError, ReverieError

_REMEDY = "it was made with other settings or by another version: use those, or another run folder"

ADAM = {"step", "exp_avg", "exp_avg_sq"}  # whatever its options add


def pack(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, np.ndarray]:
    """Copies of all weights as `model.<name>` and of the optimizer's moments as `optimizer.<name>.<key>`."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if optimizer is not None:
        for name, parameter in _trained(model, optimizer).items():
            moments = optimizer.state.get(parameter, {})
            tensors |= {f"optimizer.{name}.{key}": moment for key, moment in moments.items()}
    return {name: np.array(tensor.detach().cpu().numpy(), order="C") for name, tensor in tensors.items()}


def unpack(
    arrays: Mapping[str, np.ndarray],
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    source: str | Path = "the checkpoint",
) -> None:
    """Load what `pack` returned into `model` and `optimizer`, in place.

    Without an optimizer its moments are passed over. An array that is missing, unknown or of another shape or type
    raises `DamagedFileError` naming it and `source`, before anything is changed.
    """
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    _check(_below("model.", arrays), weights, source)
    state = _optimizer_state(arrays, model, optimizer, source) if optimizer is not None else {}
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(torch.tensor(arrays[name]))
    if optimizer is not None:
        optimizer.load_state_dict(state)


def log_interval(updates: int) -> int:
    """Updates between two rows of metrics: 20, fewer where a training of `updates` would log less than 200 times."""
    return min(max(updates // 200, 1), 20)


def checkpoint_interval(updates: int, longest: int) -> int:
    """Updates between two checkpoints: `longest`, or a twentieth of the training where that is less."""
    return min(max(updates // 20, 1), longest)


def require_same(folder: str | Path, what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on with `what`, "a training of V" say, where its settings are others than `wanted`."""
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ReverieError(
                f"{folder} holds {what} with {name} {found.get(name)!r:.50}, asked for {value!r}; "
                "use the same settings or another run folder"
            )


def _optimizer_state(
    arrays: Mapping[str, np.ndarray], model: nn.Module, optimizer: torch.optim.Optimizer, source: str | Path
) -> dict[str, object]:
    """The optimizer's own form: moments by the place of their parameter, in all groups one after the other."""
    found = _below("optimizer.", arrays)
    trained = _trained(model, optimizer)
    updated = {name.removeprefix("optimizer.").rpartition(".")[0] for name in found}  # those that had a gradient
    keys = {name.rpartition(".")[2] for name in found}  # the same for each of them
    if keys and not keys >= ADAM:
        raise DamagedFileError(f"{source} holds moments {sorted(keys)[:5]}, expected {sorted(ADAM)}; {_REMEDY}")
    expected = {
        f"optimizer.{name}.{key}": torch.empty(()) if key == "step" else trained[name]
        for name in updated & trained.keys()
        for key in keys
    }
    _check(found, expected, source)
    places = {parameter: place for place, parameter in enumerate(_parameters(optimizer))}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, like in expected.items():
        parameter, _, key = name.removeprefix("optimizer.").rpartition(".")
        moment = torch.empty_like(like, device="cpu").copy_(torch.tensor(found[name]))  # channels_last where Adam's was
        state.setdefault(places[trained[parameter]], {})[key] = moment
    return optimizer.state_dict() | {"state": state}


def _check(found: Mapping[str, np.ndarray], expected: Mapping[str, torch.Tensor], source: str | Path) -> None:
    for name in sorted(found.keys() ^ expected.keys()):
        fault = "an unknown" if name in found else "no"
        raise DamagedFileError(f"{source} holds {fault} {name}; {_REMEDY}")
    for name, tensor in expected.items():
        wanted = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
        given = f"{found[name].dtype} {found[name].shape}"
        if given != wanted:
            raise DamagedFileError(f"{source} holds {name} as {given}, expected {wanted}; {_REMEDY}")


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if name.startswith(prefix)}


def _trained(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    trained = set(_parameters(optimizer))
    return {name: parameter for name, parameter in model.named_parameters() if parameter in trained}


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
