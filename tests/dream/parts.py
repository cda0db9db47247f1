"""Small parts to dream with: an M whose dreams neither end at once nor last for ever."""

from __future__ import annotations

import numpy as np
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine
from reverie.dream.starts import Starts
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import ActionSpec, WorldSpec

LATENT, HIDDEN = 6, 24
ACTIONS = ActionSpec("driving", 3)
SURVIVAL = WorldSpec("small", ACTIONS, "survival", 60)
REPEATED = WorldSpec("small", ACTIONS, "survival", 60, repeat=4)
PREDICTED = WorldSpec("small", ACTIONS, "predicted", 60)


def memory(seed: int = 0, done_bias: float = -6.0, **changes: object) -> MDNRNN:
    """An untrained M with wide outputs, whose sampled dreams end at steps from 1 to the cap of 60."""
    settings = {
        "latent_size": LATENT,
        "action_size": 3,
        "hidden_size": HIDDEN,
        "mixtures": 3,
        "restart_input": True,
        "done_head": True,
        "reward_head": True,
        **changes,
    }
    model = MDNRNN(MemoryConfig(**settings), seed)  # type: ignore[arg-type]
    with torch.no_grad():
        model.head_weight.mul_(3)
        model.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
        model.head_bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(seed + 1))
        if model.config.done_head:
            model.head_bias[model.config.mixture_size] = done_bias
            model.head_weight[model.config.mixture_size].mul_(4)
        model.reward_scale.fill_(2.5)
    return model


def starts(count: int = 20, latent_size: int = LATENT) -> Starts:
    rng = np.random.default_rng(5)
    mu = rng.standard_normal((count, latent_size), np.float32)
    return Starts(mu, rng.standard_normal((count, latent_size), np.float32) - 2)


def controller(
    config: ControllerConfig | None = None, actions: ActionSpec = ACTIONS, model: MDNRNN | None = None
) -> Controller:
    config = config or ControllerConfig()
    sizes = LATENT, HIDDEN, actions.size, 0 if model is None else model.config.outlook_features
    return Controller(config, config.feature_size(*sizes), actions)


def candidates(controller: Controller, count: int = 4) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, controller.parameter_count)) * 0.3


def engine(
    spec: WorldSpec = SURVIVAL,
    config: DreamConfig | None = None,
    dtype: torch.dtype = torch.float32,
    compiled: bool = True,
    model: MDNRNN | None = None,
    chosen: ControllerConfig | None = None,
    beside: MDNRNN | None = None,
) -> DreamEngine:
    config = config or DreamConfig(temperature=1.1, done="sample")
    model = model or memory(action_size=spec.actions.size)
    shape = controller(chosen, spec.actions, model)
    return DreamEngine(model, shape, starts(), spec, config, dtype, compiled, beside)
