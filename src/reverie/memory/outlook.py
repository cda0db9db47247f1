"""What M expects of taking an action and holding it, as something that C can see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.errors import ReverieError
from reverie.memory.lstm import FORGET_BIAS, LSTMState

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.worlds.spec import ActionSpec


@dataclass(frozen=True, repr=False)
class Outlook:
    """M asked of each of A actions what holding it leads to: in the step that it is taken in, and in K stretches after.

    seeing [4 H, Nz + H] and action [A, 4 H]: from [z, h] to M's gates, and what taking each action adds to them, biases
        among it; those of g are doubled, for tanh(x) is taken as 2 sigmoid(2x) - 1, much faster than torch's
    done [H] and done_bias []: to the logit of an end in the step; stretches [A, K, H] and stretch_bias [A, K]: in the
        stretches of `MemoryConfig.outlook`, each if it is reached
    """

    seeing: Tensor
    action: Tensor
    done: Tensor
    done_bias: Tensor
    stretches: Tensor
    stretch_bias: Tensor

    def survival(self, z: Tensor, state: LSTMState) -> Tensor:
        """The chance to be alive after the step and after each stretch, float32 [n, A, 1 + K].

        z [n, Nz]; state: M's h and c [n, H] from before z is absorbed
        """
        h = state.h.to(self.seeing.dtype)
        gates, c = F.linear(torch.cat([z.to(h.dtype), h], -1), self.seeing).float(), state.c.float()
        return torch.stack([self._of(held, gates, c) for held in range(len(self.action))], -2)

    def __call__(self, z: Tensor, state: LSTMState) -> Tensor:
        """By how much each action's chances are above the mean over actions, and that mean: [n, (A + 1) (1 + K)]."""
        survival = self.survival(z, state)
        mean = survival.mean(-2, keepdim=True)
        return torch.cat([survival - mean, mean], -2).flatten(-2)

    def _of(self, held: int, gates: Tensor, c: Tensor) -> Tensor:
        """`survival` of one action, [n, 1 + K]."""
        i, f, g, o = torch.sigmoid(gates + self.action[held]).chunk(4, -1)
        c = f * c + i * (2 * g - 1)
        h = o * (2 * torch.sigmoid(2 * c) - 1)
        ends = torch.cat([self.done[None], self.stretches[held]]), torch.cat([self.done_bias, self.stretch_bias[held]])
        return F.logsigmoid(-F.linear(h, *ends)).cumsum(-1).exp()


@torch.no_grad()
def outlook_of(memory: MDNRNN, actions: ActionSpec, dtype: torch.dtype = torch.float32) -> Outlook:
    """M's outlook, whose largest matrix is multiplied in `dtype`; raises ReverieError where it has none."""
    config = memory.config
    if not (config.outlook and config.done_head):
        raise ReverieError("C sees M's outlook, and M has none; train M with memory.outlook and memory.done_head")
    sides = torch.tensor([[-1.0], [0.0], [1.0]])
    each = actions.for_memory(torch.eye(actions.size) if actions.kind == "discrete" else sides)
    from_z, from_action = memory.input_weight[:, : config.latent_size + config.action_size].split(
        (config.latent_size, config.action_size), 1
    )
    double, constant = torch.ones_like(memory.bias), torch.zeros_like(memory.bias)
    double.chunk(4)[2].fill_(2)
    constant.chunk(4)[1].fill_(FORGET_BIAS)
    weights, biases = (memory.head_rows(of.float()) for of in (memory.head_weight, memory.head_bias))
    return Outlook(
        (torch.cat([from_z, memory.hidden_weight], 1) * double[:, None]).to(dtype),
        (each.to(from_action) @ from_action.T + memory.bias + constant) * double,
        weights["done"][0],
        biases["done"] - math.log(config.done_weight),
        weights["outlook"].unflatten(0, (len(each), -1)),
        biases["outlook"].unflatten(0, (len(each), -1)),
    )
