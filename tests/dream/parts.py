"""Small parts to dream with: an M whose dreams neither end at once nor last for ever; and one dream by the book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig
from reverie.dream.engine import Dream, DreamEngine
from reverie.dream.noise import EpisodeNoise
from reverie.dream.starts import Starts
from reverie.memory.config import MemoryConfig
from reverie.memory.heads import survival_of
from reverie.memory.lstm import LSTMState
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN
from reverie.play.loop import Limits, Population, play
from reverie.workers.seeds import generator
from reverie.worlds.spec import ActionSpec, WorldSpec

LATENT, HIDDEN = 6, 24
ACTIONS = ActionSpec("driving", 3)
SURVIVAL = WorldSpec("small", ACTIONS, "survival", 60)
REPEATED = WorldSpec("small", ACTIONS, "survival", 60, repeat=4)
PREDICTED = WorldSpec("small", ACTIONS, "predicted", 60)
SAMPLED = DreamConfig(temperature=1.1, termination="sample")


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
        if model.carry is not None:
            model.carry.uniform_(-0.5, 1, generator=torch.Generator().manual_seed(seed))
    return model


def starts(count: int = 20, latent_size: int = LATENT) -> Starts:
    rng = np.random.default_rng(5)
    mu = rng.standard_normal((count, latent_size), np.float32)
    return Starts(mu, rng.standard_normal((count, latent_size), np.float32) - 2)


def engine(
    spec: WorldSpec = SURVIVAL,
    config: DreamConfig = SAMPLED,
    dtype: torch.dtype = torch.float32,
    compiled: bool = True,
    model: MDNRNN | None = None,
    inputs: ControllerConfig | None = None,
    begin: Starts | None = None,
    **more: Any,
) -> DreamEngine:
    """more: seen, dropout, penalty and others of `DreamEngine`."""
    model = model or memory(action_size=spec.actions.size)
    return DreamEngine(
        model, begin or starts(), spec, config, inputs or ControllerConfig(), dtype, compiled=compiled, **more
    )


def controller(engine: DreamEngine) -> Controller:
    """The C that lives in the engine's dreams."""
    return Controller(engine.inputs, engine.feature_size, engine.spec.actions)


def candidates(shape: DreamEngine | Controller, count: int = 4) -> np.ndarray:
    shape = controller(shape) if isinstance(shape, DreamEngine) else shape
    return np.random.default_rng(7).standard_normal((count, shape.parameter_count)) * 0.3


class Brought(NamedTuple):
    """Of P candidates in E dreams: returns and lengths [P, E]."""

    returns: np.ndarray
    steps: np.ndarray


def dream_returns(
    engine: DreamEngine,
    params: np.ndarray,
    seeds: Sequence[int],
    max_steps: int | None = None,
    compiled: bool = True,
    share_noise: bool = True,
) -> Brought:
    """Every candidate on every seed, side by side."""
    shape = len(params), len(seeds)
    candidate = np.repeat(np.arange(shape[0]), shape[1])
    actor = Population(controller(engine), params, candidate, compiled)
    dream = Dream(engine, len(candidate), share_noise=share_noise)
    played = play(dream, actor, list(seeds) * shape[0], Limits(max_steps or engine.spec.max_steps))
    return Brought(played.returns.reshape(shape), played.steps.reshape(shape))


@torch.no_grad()
def plain_dream(
    engine: DreamEngine,
    models: Sequence[MDNRNN],
    params: np.ndarray,
    seed: int,
    seen: int = 0,
    begins: Sequence[LSTMState] = (),
    doubters: Sequence[int] | None = None,
) -> tuple[float, int, float]:
    """One dream by the book, a batch of one: C acts, every M steps, the first one's mixture is sampled.

    seen: whose state C sees; begins: the state of each M where dreams begin inside episodes
    doubters: the Ms that have a say in the disagreement, None: all
    Returns the sum of the rewards, the length, and the sum of the disagreements.
    """
    spec, config, noise = engine.spec, engine.config, EpisodeNoise(seed)
    z = torch.from_numpy(engine.starts.draw(noise.start)[1])[None]
    states = list(begins) or [model.initial_state(1) for model in models]
    kept = torch.ones(HIDDEN)
    if engine.dropout:
        drawn = generator(seed, "dream", "dropout").random(HIDDEN, np.float32)
        kept = torch.from_numpy((drawn >= engine.dropout) / np.float32(1 - engine.dropout))
    weights, total, doubt = torch.as_tensor(params, dtype=torch.float32)[None], 0.0, 0.0
    for step in range(spec.max_steps):
        features = plain_features(engine.inputs, z, states[seen], models[seen], spec.actions)
        action = spec.actions.for_memory(controller(engine).act(weights, features[None])[0])
        restart = torch.tensor([float(step == 0 and not begins)])
        states = [model.absorb(state, z, action, restart) for model, state in zip(models, states, strict=True)]
        heads = models[0].predict(states[0].h * kept, z)
        expected = [heads, *(model.predict(state.h, z) for model, state in zip(models[1:], states[1:], strict=True))]
        expected = expected if doubters is None else [expected[place] for place in doubters]
        means = torch.stack([(each.logits.softmax(-1) * each.mean).sum(-1) for each in expected])
        doubt += float(means.std(0, correction=0).mean())
        component, spread, ending = noise.draw(1, engine.starts.latent_size)
        z = sample(
            heads.logits, heads.mean, heads.log_std, config.temperature, *map(torch.from_numpy, (component, spread))
        )
        total += spec.repeat if spec.reward == "survival" else float(heads.reward)
        if heads.done_logit is not None:
            odds = float(heads.done_logit.exp()) / (10 if config.termination == "calibrated" else 1)
            if odds / (1 + odds) > (0.5 if config.termination == "threshold" else float(ending[0])):
                return total, step + 1, doubt
    return total, spec.max_steps, doubt


def plain_features(config: ControllerConfig, z: Tensor, state: LSTMState, model: MDNRNN, actions: ActionSpec) -> Tensor:
    """What C sees, put together by name."""
    parts = {"z": z, "c": state.c, "h": state.h}
    if "action" in config.inputs:
        outputs = model.predict(state.h).action
        assert outputs is not None
        parts["action"] = outputs.tanh()
    if "survival" in config.inputs:
        parts["survival"] = survival_of(model, actions)(z, state)
    return torch.cat([parts[name] for name in config.inputs], -1)
