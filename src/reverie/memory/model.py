"""M: the MDN-RNN, an LSTM whose outputs are mixtures of Gaussians over the next latent."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.memory.config import MemoryConfig
from reverie.memory.lstm import LSTMState, cell, lstm_sequence

FIRST_CARRY = 0.5  # of z in the next z, as a residual M begins
CLOCK_STEPS = 1500  # at Doom's cap of 2,100 steps c is 1.4 and h = tanh(c) 0.89, well below its limit of 1
OPEN = 20.0  # its sigmoid is 1 in float32


class Prediction(NamedTuple):
    """What M predicts for the step (z, a): the next latent's mixtures and, from the heads it has, the rest.

    logits, mean, log_std: [..., Nz, K], see `mixture`
    done_logit: [...]; sigmoid of it is the probability that the episode ends here, positives weighted in training
    reward: [...], in the world's own units
    action: [..., A], the next action before its tanh (or softmax, for one-hot actions)
    """

    logits: Tensor
    mean: Tensor
    log_std: Tensor
    done_logit: Tensor | None
    reward: Tensor | None
    action: Tensor | None


class MDNRNN(nn.Module):
    """The MDN-RNN (paper, section 2.2 and appendix A.2); its state is explicit, `step` and `forward` keep nothing.

    reward_scale: what the reward head's output of 1 stands for, or the largest reward of its bins
    """

    reward_scale: Tensor

    def __init__(self, config: MemoryConfig, seed: int = 0) -> None:
        """Glorot-uniform weights drawn from `seed`, biases 0: the first NLL of a unit normal z is about 1.42."""
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.input_weight = nn.Parameter(torch.empty(4 * hidden, config.input_size))
        self.hidden_weight = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        self.head_weight = nn.Parameter(torch.empty(config.output_size, hidden))
        self.head_bias = nn.Parameter(torch.zeros(config.output_size))
        self.carry = nn.Parameter(torch.full((config.latent_size,), FIRST_CARRY)) if config.residual else None
        self.register_buffer("reward_scale", torch.ones(()))
        generator = torch.Generator().manual_seed(seed)
        for weight in (self.input_weight, self.hidden_weight, self.head_weight):
            nn.init.xavier_uniform_(weight, generator=generator)
        if config.clock:
            self.set_clock()

    @torch.no_grad()
    def copy_weights(self, source: MDNRNN) -> None:
        """Copy the weights of an M of the same sizes, all but a survival head with other horizons.

        Raises RuntimeError where other sizes differ.
        """
        weights = source.state_dict()
        if source.config.survival_head != self.config.survival_head:
            for name in ("head_weight", "head_bias"):
                there, here = (model.parts(getattr(model, name), 0) for model in (source, self))
                rows = [own if part == "survival" else there.get(part, own) for part, own in here.items()]
                weights[name] = torch.cat(rows)
        self.load_state_dict(weights)

    @torch.no_grad()
    def set_clock(self) -> None:
        """Make the first cell count steps: its gates are open, it has no input, and its c grows by 1 / 1,500 a step."""
        for weight in (self.input_weight, self.hidden_weight):
            weight[self._clock_rows] = 0
        rate = math.atanh(1 / CLOCK_STEPS)
        self.bias[self._clock_rows] = self.bias.new_tensor([OPEN, OPEN, rate, OPEN])

    def freeze_clock(self) -> None:
        """Zero the gradients of the first cell's gates; the weights that read its h are trained."""
        for weight in (self.input_weight, self.hidden_weight, self.bias):
            assert weight.grad is not None
            weight.grad[self._clock_rows] = 0

    @property
    def _clock_rows(self) -> list[int]:
        return [gate * self.config.hidden_size for gate in range(4)]

    def initial_state(self, batch: int) -> LSTMState:
        """Zeros for `batch` rows."""
        zeros = self.bias.new_zeros(batch, self.config.hidden_size)
        return LSTMState(zeros, zeros)

    def step(self, state: LSTMState, z: Tensor, a: Tensor, restart: Tensor) -> tuple[LSTMState, Prediction]:
        """Absorb z [B, Nz], a [B, A] (as M sees it) and restart [B]; the state is zeroed first where restart is 1."""
        state = self.absorb(state, z, a, restart)
        return state, self.predict(state.h, z)

    def absorb(self, state: LSTMState, z: Tensor, a: Tensor, restart: Tensor) -> LSTMState:
        """The state of `step`, without its prediction: all that following a real world needs."""
        state = state.masked(1 - restart.to(z.dtype))
        gates = F.linear(self.inputs(z, a, restart), self.input_weight, self.bias)
        return cell(gates + F.linear(state.h, self.hidden_weight), state.c)

    def forward(self, state: LSTMState, z: Tensor, a: Tensor, restart: Tensor) -> tuple[LSTMState, Prediction]:
        """`step` over a sequence: z [B, L, Nz], a [B, L, A], restart [B, L]; the Prediction is over [B, L]."""
        state, hidden = self.unroll(state, z.transpose(0, 1), a.transpose(0, 1), restart.transpose(0, 1))
        return state, self.predict(hidden.transpose(0, 1), z)

    def unroll(
        self, state: LSTMState, z: Tensor, a: Tensor, restart: Tensor, dtype: torch.dtype | None = None
    ) -> tuple[LSTMState, Tensor]:
        """The LSTM alone over a sequence, time first: z [L, B, Nz], a [L, B, A], restart [L, B] to h [L, B, H].

        Matrices are multiplied, and h is returned, in `dtype` (default: the weights').
        """
        weights = self.input_weight, self.hidden_weight, self.bias
        return lstm_sequence(self.inputs(z, a, restart), 1 - restart.to(z.dtype), state, *weights, dtype)

    def inputs(self, z: Tensor, a: Tensor, restart: Tensor) -> Tensor:
        """What enters the LSTM: [z, a] or [z, a, restart], [..., input_size]."""
        parts = [z, a.to(z.dtype)]
        if self.config.restart_input:
            parts.append(restart.to(z.dtype).unsqueeze(-1))
        return torch.cat(parts, -1)

    def predict(self, h: Tensor, z: Tensor | None = None) -> Prediction:
        """The outputs for h [..., H] (after the step), and the z [..., Nz] that it absorbed; see `split`."""
        return self.split(F.linear(h, self.head_weight, self.head_bias), z)

    def split(self, outputs: Tensor, z: Tensor | None = None) -> Prediction:
        """Name what outputs [..., output_size] mean, M having absorbed z [..., Nz].

        Without z the mixtures of a residual M are of what is added to z times its `carry`.
        """
        parts = self.parts(outputs)
        # K lies before Nz in memory, so that sums over K run along whole rows
        mixtures = parts["mixtures"].unflatten(-1, (3, self.config.mixtures, self.config.latent_size))
        logits, mean, log_std = mixtures.transpose(-1, -2).unbind(-3)
        if self.carry is not None and z is not None:
            mean = mean + (self.carry * z).unsqueeze(-1)
        return Prediction(
            logits,
            mean,
            log_std,
            parts["done"].squeeze(-1) if "done" in parts else None,
            self.reward(parts["reward"]) if "reward" in parts else None,
            parts.get("action"),
        )

    def reward(self, outputs: Tensor) -> Tensor:
        """The reward to be expected [...], in the world's own units, from the head's outputs [..., bins or 1]."""
        if not self.config.reward_bins:
            return (outputs * self.reward_scale).squeeze(-1)
        return torch.softmax(outputs, -1) @ self.reward_values()

    def reward_values(self) -> Tensor:
        """The rewards that the bins stand for, rising [bins]: from -`reward_scale` to `reward_scale` by symlog."""
        highest = symlog(self.reward_scale)
        half = torch.arange(self.config.reward_bins, device=highest.device) - self.config.reward_bins // 2
        return symexp(highest * half / (self.config.reward_bins // 2))

    def parts(self, outputs: Tensor, axis: int = -1) -> dict[str, Tensor]:
        """Cut outputs [..., output_size] by `MemoryConfig.output_sizes`; mixtures are [..., 3 K Nz].

        axis: that is cut; 0 for the weights and biases of the outputs
        """
        sizes = self.config.output_sizes
        if len(sizes) == 1:  # a cut into one part would copy its gradient
            return {"mixtures": outputs}
        return dict(zip(sizes, outputs.split(tuple(sizes.values()), axis), strict=True))


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), which compresses what is large."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return torch.sign(x) * torch.expm1(x.abs())


def two_hot(x: Tensor, values: Tensor) -> Tensor:
    """Weights [n, K] on the two of the rising `values` [K] that x [n] lies between, whose mean is x.

    What lies beyond the values counts as the outermost one.
    """
    x = x.clamp(values[0], values[-1])
    above = torch.searchsorted(values, x).clamp(1, len(values) - 1)
    low, high = values[above - 1], values[above]
    share = ((x - low) / (high - low)).unsqueeze(-1)
    weights = x.new_zeros(len(x), len(values))
    return weights.scatter(1, above[:, None], share).scatter(1, above[:, None] - 1, 1 - share)
