"""The dream engine: the dreams of a whole population at once, ended ones dropped as they end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig
from reverie.dream.kernel import load_kernel
from reverie.dream.noise import DreamNoise
from reverie.dream.population import Population
from reverie.dream.rows import DreamRows, PackedMemory
from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.hardware import compute_dtype
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import WorldSpec


class DreamEngine:
    """M, C's shape and where dreams begin, packed to dream many episodes of many candidates where M's weights are."""

    def __init__(
        self,
        memory: MDNRNN,
        controller: Controller,
        starts: Starts,
        spec: WorldSpec,
        config: DreamConfig,
        dtype: torch.dtype | None = None,
        compiled: bool = True,
    ) -> None:
        """dtype: of M's weights, None for the fastest here. compiled: use the C kernel if it can be built."""
        check_dream(memory, starts, spec)
        device = memory.bias.device.type
        self.memory = PackedMemory(memory, dtype or compute_dtype(device))
        self.controller = controller
        self.starts = starts
        self.spec = spec
        self.config = config
        self.kernel = load_kernel(self.memory.dtype) if compiled and device == "cpu" else None
        self.max_steps = config.max_steps or spec.max_steps

    def __repr__(self) -> str:
        how = "compiled" if self.kernel else "eager"
        return f"DreamEngine({self.spec.name}, {self.memory.dtype}, {how}, temperature={self.config.temperature})"


def check_dream(memory: MDNRNN, starts: Starts, spec: WorldSpec) -> None:
    """Raise where M does not predict what a dream of this world needs, or the parts do not fit together."""
    config = memory.config
    if spec.reward == "survival" and not config.done_head:
        raise ReverieError(
            f"M has no done head, and the reward of {spec.name!r} is to survive; train M with done_head to dream it"
        )
    if spec.reward == "predicted" and not config.reward_head:
        raise ReverieError(f"M has no reward head, and {spec.name!r} has rewards; train M with reward_head to dream it")
    if starts.latent_size != config.latent_size:
        raise ReverieError(
            f"dream starts have {starts.latent_size} latent dimensions and M has {config.latent_size}; "
            "take both from the same run"
        )
    if spec.actions.size != config.action_size:
        raise ReverieError(
            f"{spec.name!r} has {spec.actions.size} action dimensions and M has {config.action_size}; "
            "take M from a run of this world"
        )


@torch.inference_mode()
def dream_returns(
    engine: DreamEngine, params: np.ndarray, episode_seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Dream each of E episodes with each of P candidates [P, n].

    All candidates share an episode's noise, which depends on its seed alone.
    Returns the sums of rewards, float64 [P, E], and the lengths in steps, int64 [P, E].
    """
    shape = (len(params), len(episode_seeds))
    returns, steps = np.zeros(shape), np.zeros(shape, np.int64)
    device, survival = engine.memory.device, engine.spec.reward == "survival"
    population = Population(
        engine.controller, torch.as_tensor(np.asarray(params, np.float32), device=device), engine.kernel
    )
    candidate, episode = (torch.from_numpy(index.ravel()).to(device) for index in np.indices(shape))
    total = torch.zeros(len(episode), dtype=torch.float64, device=device)
    noise = DreamNoise(shape[1], engine.starts)
    first = np.stack([noise.begin(index, seed) for index, seed in enumerate(episode_seeds)])
    rows = DreamRows(engine.memory, len(episode), engine.config.temperature, engine.kernel)
    rows.begin(slice(0, rows.count), torch.from_numpy(first).to(device)[episode])

    def record(ended: Tensor, step: int) -> None:
        where = candidate[: rows.count][ended].cpu().numpy(), episode[: rows.count][ended].cpu().numpy()
        steps[where] = step
        returns[where] = step if survival else total[: rows.count][ended].cpu().numpy()

    for step in range(1, engine.max_steps + 1):
        n = rows.count
        action = engine.spec.actions.for_memory(population.act(rows, candidate[:n]))
        component, spread, ending = (torch.from_numpy(draws).to(device) for draws in noise.next())
        outcome = rows.advance(action, component, spread, episode[:n])
        if outcome.reward is not None and not survival:
            total[:n] += outcome.reward
        if outcome.done_logit is None:
            continue
        ended = dream_ended(outcome.done_logit, ending, episode[:n], engine.config)
        if ended.any():
            record(ended, step)
            rows.drop(ended, candidate, episode, total)
            if rows.count == 0:
                return returns, steps
    record(torch.ones(rows.count, dtype=torch.bool, device=device), engine.max_steps)
    return returns, steps


def dream_ended(done_logit: Tensor, ending: Tensor, episode: Tensor, config: DreamConfig) -> Tensor:
    """Which of n dreams end with this step, bool [n]: sigmoid(logit) is over one half, or over a uniform draw [E]."""
    return done_logit > 0 if config.done == "cutoff" else done_logit.sigmoid() > ending[episode]
