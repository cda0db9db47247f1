"""C: maps from features to actions, for a whole population of parameter vectors in one batched call."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.errors import ReverieError
from reverie.worlds.spec import ActionSpec


class Controller:
    """The paper's C: tanh(W x + b), or the largest output's action where it has one for each. It owns no parameters.

    A candidate is one flat vector of n = `parameter_count` numbers: for each layer its weight [inputs, outputs],
    row by row, then its bias [outputs] if the config has one.
    """

    def __init__(self, config: ControllerConfig, feature_size: int, actions: ActionSpec) -> None:
        if feature_size < 1:
            raise ReverieError(f"feature_size is {feature_size}; expected at least 1")
        self.config = config
        self.feature_size = feature_size
        self.actions = actions
        self.output_size = config.output_size(actions)
        self.layers = config.layers(feature_size, self.output_size)

    def __repr__(self) -> str:
        return f"Controller({self.feature_size} -> {self.output_size}, n={self.parameter_count})"

    @property
    def parameter_count(self) -> int:
        """n, the length of a candidate."""
        return self.config.parameter_count(self.feature_size, self.output_size)

    def unpack(self, params: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Candidates [P, n] as views: for each layer its weight [P, inputs, outputs] and bias [P, 1, outputs]."""
        self.check(params)
        layers: list[tuple[Tensor, Tensor | None]] = []
        start = 0
        for inputs, outputs in self.layers:
            weight = params[:, start : start + inputs * outputs].unflatten(1, (inputs, outputs))
            start += inputs * outputs
            bias = params[:, None, start : start + outputs] if self.config.bias else None
            start += outputs * self.config.bias
            layers.append((weight, bias))
        return layers

    def act(self, params: Tensor, features: Tensor) -> Tensor:
        """Actions float32 [P, E, A] of candidates [P, n] on their features [P, E, F], in [-1, 1] or one-hot."""
        return self.to_actions(self.outputs(params, features))

    def to_actions(self, x: Tensor) -> Tensor:
        """The actions [..., A] that outputs x [..., O] are."""
        if self.config.categorical:
            chosen = one_hot_argmax(x)
            return chosen[..., 2:] - chosen[..., :1]
        actions: Tensor = self.actions.by_part(x, one_hot_argmax, torch.tanh)
        return actions

    def outputs(self, params: Tensor, features: Tensor) -> Tensor:
        """What becomes the actions: the last layer's sums, float32 [P, E, O]."""
        x = features
        for index, (weight, bias) in enumerate(self.unpack(params)):
            x = torch.bmm(x if index == 0 else x.tanh(), weight)
            x = x if bias is None else x + bias
        return x

    def check(self, params: Tensor) -> None:
        """Raise where `params` is not [P, n]."""
        if params.ndim != 2 or params.shape[1] != self.parameter_count:
            raise ReverieError(
                f"controller parameters have shape {tuple(params.shape)}, expected [P, {self.parameter_count}]; "
                "they belong to a controller of another shape"
            )


def one_hot_argmax(logits: Tensor) -> Tensor:
    """One-hot of the largest logit along the last axis; the first wins a tie."""
    return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
