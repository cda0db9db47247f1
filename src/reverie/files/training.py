"""A model and its optimizer as named arrays, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from reverie.errors import DamagedFileError


def pack(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, np.ndarray]:
    """Copies of all weights as `model.<name>` and the optimizer's moments as `optimizer.<name>.<key>`."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if optimizer is not None:
        for name, parameter in _trained(model, optimizer):
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value
    return {name: np.array(tensor.detach().cpu().numpy(), order="C") for name, tensor in tensors.items()}


def unpack(
    arrays: Mapping[str, np.ndarray],
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    source: str | Path = "the checkpoint",
) -> None:
    """Load what `pack` returned into `model` and `optimizer`, in place.

    Without an optimizer its moments are passed over. A missing, additional or misshapen array raises
    `DamagedFileError` naming it and `source`, before anything is changed.
    """
    weights = model.state_dict()
    _check(arrays, weights, source)
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(torch.tensor(arrays[f"model.{name}"]))
    if optimizer is not None:
        _load_moments(arrays, model, optimizer, source)


def _check(arrays: Mapping[str, np.ndarray], weights: Mapping[str, torch.Tensor], source: str | Path) -> None:
    found = {name.removeprefix("model.") for name in arrays if name.startswith("model.")}
    for name in sorted(found ^ set(weights)):
        fault = "holds an unknown" if name in found else "holds no"
        raise DamagedFileError(f"{source} {fault} model.{name}; {_REMEDY}")
    for name, tensor in weights.items():
        array = arrays[f"model.{name}"]
        if array.shape != tuple(tensor.shape):
            raise DamagedFileError(
                f"{source} holds model.{name} with shape {array.shape}, expected {tuple(tensor.shape)}; {_REMEDY}"
            )


_REMEDY = "it was made with other settings or by another version: use those, or another run folder"


def _load_moments(
    arrays: Mapping[str, np.ndarray], model: nn.Module, optimizer: torch.optim.Optimizer, source: str | Path
) -> None:
    state = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    names = {parameter: name for name, parameter in _trained(model, optimizer)}
    state["state"] = {}
    for index, parameter in enumerate(parameters):
        prefix = f"optimizer.{names[parameter]}."
        moments = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
        if moments:
            state["state"][index] = {key: _like(parameter, array) for key, array in moments.items()}
    optimizer.load_state_dict(state)


def _like(parameter: torch.Tensor, array: np.ndarray) -> torch.Tensor:
    tensor = torch.tensor(array)
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)  # keeps channels_last, as Adam made it


def _trained(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, torch.Tensor]]:
    trained = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter in trained)
