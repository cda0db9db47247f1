"""The dream engine: the dreams of a whole population at once, finished ones dropped as they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reverie.agent import features
from reverie.dream.config import DreamConfig
from reverie.dream.noise import NoiseChunks
from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.memory.mixture import sample
from reverie.memory.model import LSTMState

if TYPE_CHECKING:
    from reverie.controller.model import Controller
    from reverie.memory.model import MDNRNN
    from reverie.worlds.spec import WorldSpec


class DreamEngine:
    """M, C and where dreams begin, ready to dream many episodes of many candidates."""

    def __init__(
        self,
        memory: MDNRNN,
        controller: Controller,
        starts: Starts,
        spec: WorldSpec,
        config: DreamConfig,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_heads(memory, spec)
        self.memory = memory.eval()
        self.controller = controller
        self.starts = starts
        self.spec = spec
        self.config = config
        self.max_steps = config.max_steps or spec.max_steps


def check_heads(memory: MDNRNN, spec: WorldSpec) -> None:
    """Raise where M does not predict what a dream of this world needs."""
    if spec.reward == "survival" and not memory.config.done_head:
        raise ReverieError(
            f"M has no done head, and in {spec.name!r} the reward is to survive; train M with done_head to dream it"
        )
    if spec.reward == "predicted" and not memory.config.reward_head:
        raise ReverieError(f"M has no reward head, and {spec.name!r} has rewards; train M with reward_head to dream it")


@torch.inference_mode()
def dream_returns(
    engine: DreamEngine, params: np.ndarray, episode_seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Dream each of E episodes with each of P candidates [P, n].

    All candidates share an episode's noise, so a row of the result depends on nothing but its candidate and seeds.
    Returns the sums of rewards, float64 [P, E], and the lengths in steps, int64 [P, E].
    """
    memory, spec, tau = engine.memory, engine.spec, engine.config.temperature
    candidates, episodes = len(params), len(episode_seeds)
    noise = NoiseChunks(episode_seeds, engine.starts)
    candidate, episode = torch.arange(candidates).repeat_interleave(episodes), torch.arange(episodes).repeat(candidates)
    weights = torch.as_tensor(np.asarray(params, np.float32))
    z = torch.from_numpy(noise.first_latents())[episode]
    state = memory.initial_state(len(z))
    returns, steps = torch.zeros(candidates, episodes, dtype=torch.float64), torch.zeros(candidates, episodes).long()
    rows = weights[candidate]
    for step in range(engine.max_steps):
        seen = features(engine.controller.config, z, state)
        action = engine.controller.act(rows, seen[:, None])[:, 0]
        restart = torch.full((len(z),), float(step == 0))
        state, prediction = memory.step(state, z, spec.actions.for_memory(action), restart)
        live = np.bincount(episode, minlength=episodes) > 0
        component, spread, ending = (torch.from_numpy(draws)[episode] for draws in noise.next(live))
        z = sample(prediction.logits, prediction.mean, prediction.log_std, tau, component, spread)
        returns[candidate, episode] += 1.0 if spec.reward == "survival" else prediction.reward.double()
        steps[candidate, episode] += 1
        if prediction.done_logit is None:
            continue
        going = ~ended(prediction.done_logit, ending, engine.config)
        if not bool(going.all()):
            z, state = z[going], LSTMState(state.h[going], state.c[going])
            rows, candidate, episode = rows[going], candidate[going], episode[going]
            if len(z) == 0:
                break
    return returns.numpy(), steps.numpy()


def ended(done_logit: Tensor, ending: Tensor, config: DreamConfig) -> Tensor:
    """Which dreams end here, bool [n]: where sigmoid(logit) is over one half, or over a uniform draw."""
    return done_logit > 0 if config.done == "cutoff" else done_logit.sigmoid() > ending
