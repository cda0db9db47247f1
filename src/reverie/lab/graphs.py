"""V, M and C as ONNX graphs of batch 1: pure functions, whose state and noise are inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.controller.senses import expectation_of, features
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.vision.model import ConvVAE

if TYPE_CHECKING:
    from reverie.controller.model import Controller
    from reverie.worlds.spec import ActionSpec


class Encoder(nn.Module):
    """frame [1, 3, 64, 64] in [0, 1] -> mu, logvar [1, Nz]."""

    inputs, outputs = ("frame",), ("mu", "logvar")

    def __init__(self, vision: ConvVAE) -> None:
        super().__init__()
        self.vision = vision

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.vision
        y = frame if vision.mean_frame is None else frame - vision.mean_frame
        for conv in (vision.conv1, vision.conv2, vision.conv3, vision.conv4):
            y = F.relu(conv(y))
        y = y.flatten(1)
        return vision.mu(y), vision.logvar(y)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes."""
        return (torch.zeros(1, 3, 64, 64),)


class Decoder(nn.Module):
    """z [1, Nz] -> pixels [64, 64, 4], RGB and alpha from 0 to 255, as a canvas takes them once they are rounded."""

    inputs, outputs = ("z",), ("pixels",)

    def __init__(self, vision: ConvVAE) -> None:
        super().__init__()
        self.vision = vision

    def forward(self, z: Tensor) -> Tensor:
        vision = self.vision
        y = vision.dense(z)
        last = vision.deconv4
        y = F.relu(vision.deconv1(y[:, :, None, None]))
        y = F.relu(vision.deconv3(F.relu(vision.deconv2(y))))
        mean = vision.mean_frame
        y = torch.sigmoid(last(y)) if mean is None else (last(y) + mean).clamp(0, 1)
        pixels = y[0].permute(1, 2, 0) * 255
        return F.pad(pixels, (0, 1), value=255.0)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes."""
        return (torch.zeros(1, self.vision.latent_size),)


class Dreamer(nn.Module):
    """One step of M's dream.

    z [1, Nz], action [1, A] as C emits it, restart [1], h and c [1, H], temperature [], uniform and normal [1, Nz]
    -> the next z, h, c; `expected` [1, Nz], the mean of the next z; where M has the head, `done` [1], the probability
    that the dream ends here, and `reward` [1].
    """

    inputs = ("z", "action", "restart", "h", "c", "temperature", "uniform", "normal")

    def __init__(self, memory: MDNRNN, actions: ActionSpec) -> None:
        super().__init__()
        self.memory, self.actions = memory, actions
        heads = {"done": memory.config.done_head, "reward": memory.config.reward_head}
        self.outputs = ("next_z", "next_h", "next_c", "expected", *(name for name, has in heads.items() if has))

    def forward(
        self,
        z: Tensor,
        action: Tensor,
        restart: Tensor,
        h: Tensor,
        c: Tensor,
        temperature: Tensor,
        uniform: Tensor,
        normal: Tensor,
    ) -> tuple[Tensor, ...]:
        a = self.actions.for_memory(action)
        state, prediction = self.memory.step(LSTMState(h, c), z, a, restart)
        logits, mean, log_std = prediction[:3]
        expected = (torch.softmax(logits, -1) * mean).sum(-1)
        next_z = sample(logits, mean, log_std, temperature, uniform, normal)
        done = None if prediction.done_logit is None else torch.sigmoid(prediction.done_logit)
        outputs = (next_z, state.h, state.c, expected, done, prediction.reward)
        return tuple(output for output in outputs if output is not None)

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes."""
        config = self.memory.config
        z, h = torch.zeros(1, config.latent_size), torch.zeros(1, config.hidden_size)
        action = torch.zeros(1, config.action_size)
        return z, action, torch.zeros(1), h, h.clone(), torch.tensor(1.0), z.clone(), z.clone()


def sample(
    logits: Tensor, mean: Tensor, log_std: Tensor, temperature: Tensor, uniform: Tensor, normal: Tensor
) -> Tensor:
    """`memory.mixture.sample` with tau as a tensor, and a sum over a one-hot where that gathers."""
    cumulative = torch.softmax(logits / temperature, -1).cumsum(-1)[..., :-1]
    passed = (uniform.unsqueeze(-1) >= cumulative).to(mean.dtype)  # 1 for each component below the chosen one
    chosen = F.pad(passed, (1, 0), value=1.0) - F.pad(passed, (0, 1), value=0.0)
    mean, log_std = (mean * chosen).sum(-1), (log_std * chosen).sum(-1)
    return mean + torch.exp(log_std) * torch.sqrt(temperature) * normal


class Actor(nn.Module):
    """C: z [1, Nz], h and c [1, H] from before z was absorbed -> action [1, A], as C emits it.

    What C sees of M besides its state (`expectation_of`) is computed within the graph.
    """

    outputs = ("action",)
    params: Tensor

    def __init__(self, controller: Controller, params: np.ndarray, memory: MDNRNN) -> None:
        super().__init__()
        self.controller, self.sizes = controller, memory.config.feature_sizes
        self.expectation = expectation_of(controller.config, memory, controller.actions)
        self.register_buffer("params", torch.as_tensor(np.asarray(params, np.float32))[None])
        config = controller.config
        sees_c = bool({"c", "survival"} & set(config.inputs))
        self.inputs = ("z",) if not config.needs_memory else ("z", "h", "c") if sees_c else ("z", "h")

    def forward(self, z: Tensor, h: Tensor | None = None, c: Tensor | None = None) -> Tensor:
        none = z.new_zeros(1, 0)
        state = LSTMState(none if h is None else h, none if c is None else c)
        inputs = features(self.controller.config, z, state, self.expectation)
        return self.controller.act(self.params, inputs[None])[0]

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the right shapes."""
        latent, hidden = self.sizes[:2]
        return (torch.zeros(1, latent), *(torch.zeros(1, hidden) for _ in self.inputs[1:]))


Graph = Encoder | Decoder | Dreamer | Actor
