"""What M has absorbed of C: its prediction of C's next action, as something that another C can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.memory.lstm import LSTMState
    from reverie.memory.model import MDNRNN
    from reverie.worlds.spec import ActionSpec


@dataclass(frozen=True, repr=False)
class Habit:
    """M's head for the next action, weight [A, H] and bias [A]: from M's h to the action that it expects of C."""

    weight: Tensor
    bias: Tensor
    one_hot: bool

    def __call__(self, z: Tensor, state: LSTMState) -> Tensor:
        """What M expects C to do now, float32 [..., A] as M sees actions (chances, where they are one-hot).

        The state [..., H] is M's from before the current z is absorbed, so it expects without having seen it.
        """
        outputs = F.linear(state.h.to(self.weight.dtype), self.weight, self.bias)
        return outputs.softmax(-1) if self.one_hot else outputs.tanh()


def habit_of(memory: MDNRNN, actions: ActionSpec) -> Habit:
    """M's habit; raises ReverieError where M does not predict the next action."""
    if not memory.config.action_head:
        raise ReverieError("C sees the action that M expects, and M has no action head; train M with action_head")
    size = memory.config.action_size  # the head's outputs come last
    weight, bias = memory.head_weight.detach()[-size:].float(), memory.head_bias.detach()[-size:].float()
    return Habit(weight, bias, actions.kind == "discrete")
