"""One LSTM layer over a window of steps, with its backward pass written by hand.

Against torch.nn.LSTM: one bias vector for each gate, a constant +1 on the forget gate, and a state that is zeroed
inside a window where an episode starts. Gates lie in the order i, f, g, o. Matrices are multiplied in the dtype of
the weights (bfloat16 where it is fast); the cell state and the nonlinearities stay in the state's dtype.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FORGET_BIAS = 1.0


class LSTMState(NamedTuple):
    """The recurrent state: h and c, both [B, H]."""

    h: Tensor
    c: Tensor

    def kept(self, keep: Tensor) -> LSTMState:
        """The state where keep [B] is 1, zeros where it is 0."""
        keep = keep.unsqueeze(-1).to(self.c.dtype)
        return LSTMState(self.h * keep, self.c * keep)


def cell(gates: Tensor, c: Tensor) -> LSTMState:
    """One step from the gates before their nonlinearities [B, 4H], without the forget bias, and c [B, H]."""
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f + FORGET_BIAS) * c + torch.sigmoid(i) * torch.tanh(g)
    return LSTMState(torch.sigmoid(o) * torch.tanh(c), c)
