"""What C sees: frames become features through V and M, and M follows C's actions.

At a step, C sees z_t and the state that M had before z_t was absorbed; then M absorbs z_t and the action taken.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.errors import ReverieError
from reverie.memory.heads import NextAction, Survival, next_action_of, survival_of
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.vision.encode import encode_frames
from reverie.vision.model import ConvVAE, fast_copy
from reverie.worlds.spec import ActionSpec

Expectation = NextAction | Survival


def expectation_of(
    config: ControllerConfig, memory: MDNRNN, actions: ActionSpec, dtype: torch.dtype = torch.float32
) -> Expectation | None:
    """What C sees of M besides its state; None where that is all. Raises ReverieError where M does not have it.

    dtype: that large matrices are multiplied in
    """
    if "action" in config.inputs:
        return next_action_of(memory, actions)
    return survival_of(memory, actions, dtype) if "survival" in config.inputs else None


def features(config: ControllerConfig, z: Tensor, memory: LSTMState, expectation: Expectation | None = None) -> Tensor:
    """C's inputs along the last axis, [..., F]; expectation: what M's heads predict, where C sees it."""
    if not config.needs_memory:
        return z
    parts = [z, memory.c, memory.h] if "c" in config.inputs else [z, memory.h]
    if "action" in config.inputs or "survival" in config.inputs:
        assert expectation is not None, "C sees what M's heads predict, and that was not given"
        parts.append(expectation(z, memory))
    return torch.cat(parts, -1)


class AgentState(NamedTuple):
    """What n agents carry from step to step.

    memory: M's h and c [n, H] before the next frame; zeros where an episode starts; H = 0 without an M
    restart: float32 [n], 1 where an episode starts
    """

    memory: LSTMState
    restart: Tensor

    def restarted(self, where: np.ndarray) -> AgentState:
        """The state with new episodes started where bool [n] is true."""
        starts = torch.as_tensor(where, device=self.restart.device)
        return AgentState(self.memory.masked((~starts).float()), self.restart.masked_fill(starts, 1.0))

    def rows(self, index: Tensor) -> AgentState:
        """The state of some of the agents."""
        return AgentState(LSTMState(self.memory.h[index], self.memory.c[index]), self.restart[index])

    def replaced(self, index: Tensor, new: AgentState) -> AgentState:
        """The state with `new` in the places of some of the agents."""
        h, c = self.memory.h.index_copy(0, index, new.memory.h), self.memory.c.index_copy(0, index, new.memory.c)
        return AgentState(LSTMState(h, c), self.restart.index_copy(0, index, new.restart))


class Senses:
    """V and M as C has them, ready for small batches."""

    def __init__(
        self,
        vision: ConvVAE,
        memory: MDNRNN | None,
        config: ControllerConfig,
        actions: ActionSpec,
    ) -> None:
        if memory is None and config.needs_memory:
            raise ReverieError(
                f"controller.inputs are {list(config.inputs)}, and there is no M; train M, or see z alone"
            )
        self.device = next(vision.parameters()).device
        # the layout spares small batches a part of what a convolution does to its weights before it can multiply them
        self.vision = fast_copy(vision).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.memory = None if memory is None else memory.eval()
        self.expectation = None if memory is None else expectation_of(config, memory, actions)
        self.config, self.actions = config, actions
        self.latent_size = vision.latent_size
        self.memory_size = 0 if memory is None else memory.config.hidden_size
        self.survival_size = 0 if memory is None else memory.config.survival_features

    @property
    def feature_size(self) -> int:
        """F, the length of what C sees."""
        return self.config.feature_size(self.latent_size, self.memory_size, self.actions.size, self.survival_size)

    def initial(self, n: int) -> AgentState:
        """The state of n agents whose episodes start."""
        zeros = torch.zeros(n, self.memory_size, device=self.device)
        return AgentState(LSTMState(zeros, zeros), torch.ones(n, device=self.device))

    @torch.inference_mode()
    def see(self, frames: np.ndarray, noise: np.ndarray | None) -> Tensor:
        """z float32 [n, Nz] of uint8 frames [n, 64, 64, 3], with standard normal `noise` [n, Nz] where z is sampled."""
        mu, logvar = encode_frames(self.vision, frames)
        if not self.config.sample_z:
            return mu
        assert noise is not None, "sampling z needs noise"
        return mu + torch.exp(0.5 * logvar) * torch.as_tensor(noise, device=self.device)

    @torch.inference_mode()
    def follow(self, state: AgentState, z: Tensor, actions: Tensor) -> AgentState:
        """The state after z [n, Nz] was seen and C's `actions` [n, A] were taken."""
        restart = torch.zeros_like(state.restart)
        if self.memory is None:
            return AgentState(state.memory, restart)
        felt = self.actions.for_memory(actions)
        return AgentState(self.memory.absorb(state.memory, z, felt, state.restart), restart)

    def features(self, state: AgentState, z: Tensor) -> Tensor:
        """What C sees, float32 [n, F]."""
        return features(self.config, z, state.memory, self.expectation)
