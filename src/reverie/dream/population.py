"""The controllers of a population, each acting on its own dreams."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.controller.model import Controller
from reverie.controller.senses import Expectation, features
from reverie.dream.follower import Follower
from reverie.dream.kernel import Kernel
from reverie.dream.rows import DreamRows


class Population:
    """Candidates [P, n] ready to act on rows of dreams, each row with the candidate that dreams it."""

    def __init__(
        self, controller: Controller, params: Tensor, kernel: Kernel | None, expectation: Expectation | None = None
    ) -> None:
        self._controller, self._expectation = controller, expectation
        self._params = params
        layers = controller.unpack(params)
        self._weight, self._bias = layers[0][0].transpose(1, 2).contiguous(), layers[0][1]  # [P, A, F], [P, 1, A]
        self._kernel = kernel if len(layers) == 1 and expectation is None and params.device.type == "cpu" else None

    def act(self, rows: DreamRows | Follower, candidate: Tensor) -> Tensor:
        """Actions float32 [n, A] of candidates `candidate` [n] on their rows."""
        if self._kernel is None:
            seen = features(self._controller.config, rows.z, rows.state, self._expectation)
            return self._controller.act(self._params[candidate], seen[:, None])[:, 0]
        x = self._linear(rows, candidate, self._kernel)
        x = x if self._bias is None else x + self._bias[candidate, 0]
        return self._controller.to_actions(x)

    def _linear(self, rows: DreamRows | Follower, candidate: Tensor, kernel: Kernel) -> Tensor:
        kind, (h, c) = self._controller.config.features, rows.state
        outputs = torch.empty(rows.count, self._controller.output_size)
        h = h[:, :0] if kind == "z" else h
        kernel.linear(rows.count, self._weight, candidate, rows.z, c if kind == "zch" else None, h, outputs)
        return outputs
