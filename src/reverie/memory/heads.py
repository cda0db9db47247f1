"""M's heads that C can see: the next action that M predicts, and how likely C survives if it holds an action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.errors import ReverieError
from reverie.memory.config import DONE_WEIGHT
from reverie.memory.lstm import FORGET_BIAS, LSTMState

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.worlds.spec import ActionSpec


@dataclass(frozen=True, repr=False)
class NextAction:
    """M's next-action head, weight [A, H] and bias [A]: from M's h to the action that C takes next."""

    weight: Tensor
    bias: Tensor
    actions: ActionSpec

    def __call__(self, z: Tensor, state: LSTMState) -> Tensor:
        """The predicted action, float32 [..., A] as M sees actions; probabilities where they are one-hot.

        The state [..., H] is M's from before z is absorbed, so the prediction does not depend on z.
        """
        outputs = F.linear(state.h.to(self.weight.dtype), self.weight, self.bias)
        predicted: Tensor = self.actions.by_part(outputs, partial(torch.softmax, dim=-1), torch.tanh)
        return predicted


def next_action_of(memory: MDNRNN, actions: ActionSpec) -> NextAction:
    """M's next-action head; raises ReverieError where M has none."""
    if not memory.config.action_head:
        raise ReverieError("C sees the action that M expects, and M has no action head; train M with action_head")
    size = memory.config.action_size  # the head's outputs come last
    weight, bias = memory.head_weight.detach()[-size:].float(), memory.head_bias.detach()[-size:].float()
    return NextAction(weight, bias, actions)


@dataclass(frozen=True, repr=False)
class Survival:
    """M's survival head, evaluated for each of A actions: take it in this step, then hold any of B = A actions.

    A held action is evaluated over K intervals, which end at the horizons of `MemoryConfig.survival_head`.

    input_weight [4 H, Nz + H]: from [z, h] to M's gates
    action_gates [A, 4 H]: what taking each action adds to the gates, biases included
    hazard_weight [1 + B K, H], hazard_bias [1 + B K]: to the logit that the episode ends in the step, and, for each
        held action and interval, the logit that it ends in the interval if it reaches it
    The rows of g are doubled, because tanh(x) is computed as 2 sigmoid(2x) - 1, much faster than torch's.
    """

    input_weight: Tensor
    action_gates: Tensor
    hazard_weight: Tensor
    hazard_bias: Tensor

    def survival(self, z: Tensor, state: LSTMState) -> tuple[Tensor, Tensor]:
        """The probability to be alive after the step, float32 [n, A], and at each horizon, [n, A, B, K].

        z [n, Nz]; state: M's h and c [n, H] from before z is absorbed
        """
        h, actions = state.h.to(self.input_weight.dtype), len(self.action_gates)
        gates, c = F.linear(torch.cat([z.to(h.dtype), h], -1), self.input_weight).float(), state.c.float()
        log_alive = torch.stack([F.logsigmoid(-self._hazards(action, gates, c)) for action in range(actions)], -2)
        step = log_alive[..., 0]
        horizons = step[..., None, None] + log_alive[..., 1:].unflatten(-1, (actions, -1)).cumsum(-1)
        return step.exp(), horizons.exp()

    def __call__(self, z: Tensor, state: LSTMState) -> Tensor:
        """What C sees, [n, A + A B K + A (K + 1) + 1 + K].

        In this order: the step's probabilities; those at the horizons; for each action taken the best over the held
        actions, at each horizon and in the mean over horizons; the means over actions of the first two. The first three
        are differences from their means over the actions.
        """
        step, held = self.survival(z, state)
        best = torch.cat([held.amax(-2), held.mean(-1).amax(-1, keepdim=True)], -1)
        means = step.mean(-1, keepdim=True), held.mean((-3, -2), keepdim=True)
        parts = (step - means[0], held - means[1], best - best.mean(-2, keepdim=True), *means)
        return torch.cat([part.flatten(1) for part in parts], -1)

    def _hazards(self, action: int, gates: Tensor, c: Tensor) -> Tensor:
        """All hazard logits where one action is taken, [n, 1 + B K]."""
        i, f, g, o = torch.sigmoid(gates + self.action_gates[action]).chunk(4, -1)
        c = f * c + i * (2 * g - 1)
        return F.linear(o * (2 * torch.sigmoid(2 * c) - 1), self.hazard_weight, self.hazard_bias)


@torch.no_grad()
def survival_of(memory: MDNRNN, actions: ActionSpec, dtype: torch.dtype = torch.float32) -> Survival:
    """M's survival head, whose largest matrix is multiplied in `dtype`; raises ReverieError where M has none."""
    config = memory.config
    if not (config.survival_head and config.done_head):
        raise ReverieError(
            "C sees M's survival head, and M has none; train M with memory.survival_head and memory.done_head"
        )
    three_way = torch.tensor([[-1.0], [0.0], [1.0]])
    each_action = actions.for_memory(torch.eye(actions.size) if actions.kind == "discrete" else three_way)
    from_z, from_action = memory.input_weight[:, : config.latent_size + config.action_size].split(
        (config.latent_size, config.action_size), 1
    )
    scale, constant = torch.ones_like(memory.bias), torch.zeros_like(memory.bias)
    scale.chunk(4)[2].fill_(2)
    constant.chunk(4)[1].fill_(FORGET_BIAS)
    weights, biases = (memory.parts(head.float(), 0) for head in (memory.head_weight, memory.head_bias))
    return Survival(
        (torch.cat([from_z, memory.hidden_weight], 1) * scale[:, None]).to(dtype),
        (each_action.to(from_action) @ from_action.T + memory.bias + constant) * scale,
        torch.cat([weights["done"], weights["survival"]]),
        torch.cat([biases["done"] - math.log(DONE_WEIGHT), biases["survival"]]),
    )
