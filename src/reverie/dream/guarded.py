"""Dreams under guards: which Ms dream, which follow, and whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig, GuardsConfig
from reverie.dream.engine import DreamEngine, dream_returns
from reverie.dream.guard import Guard
from reverie.dream.moments import Moments
from reverie.dream.rows import PackedMemory
from reverie.dream.starts import Starts
from reverie.hardware import compute_dtype
from reverie.memory.model import MDNRNN
from reverie.workers.seeds import generator
from reverie.worlds.spec import WorldSpec


def guarded_engines(
    memories: Sequence[MDNRNN],
    controller: Controller,
    starts: Starts,
    spec: WorldSpec,
    config: DreamConfig,
    guards: GuardsConfig,
    dtype: torch.dtype | None = None,
    seen: MDNRNN | None = None,
) -> tuple[DreamEngine, ...]:
    """The dreams that take turns: of every M, or of the first alone where the others are there to doubt it.

    memories: the first is the agent's own, whose state C sees in every dream
    seen: another M, whose state C sees instead; in moments its states come last
    """
    first, *others = memories
    config = replace(config, max_steps=guards.steps or config.max_steps)
    dtype = dtype or compute_dtype(first.bias.device.type)
    last = () if seen is None else (len(memories),)
    if guards.doubt:
        guard = Guard(guards.dropout, guards.doubt, tuple(PackedMemory(other, dtype) for other in others))
        begin = _of(starts, 0, *last, *range(1, len(memories)))
        return (DreamEngine(first, controller, begin, spec, config, dtype, beside=seen, guard=guard),)
    guard = Guard(guards.dropout)
    engines = [DreamEngine(first, controller, _of(starts, 0, *last), spec, config, dtype, beside=seen, guard=guard)]
    for place, other in enumerate(others, start=1):
        begin = _of(starts, place, *(last or (0,)))
        engines.append(DreamEngine(other, controller, begin, spec, config, dtype, beside=seen or first, guard=guard))
    return tuple(engines)


def _of(starts: Starts, *places: int) -> Starts:
    """Moments with the states of these Ms alone, the dreamer's first."""
    if not isinstance(starts, Moments):
        return starts
    return replace(starts, hidden=tuple(starts.hidden[place] for place in places))


@torch.inference_mode()
def guarded_returns(
    engines: Sequence[DreamEngine], params: np.ndarray, episode_seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """`dream_returns`, each episode in the dream of one of the engines: which one follows from its seed."""
    seeds = np.array(episode_seeds)
    turn = np.array([generator(seed, "dream", "member").integers(len(engines)) for seed in episode_seeds])
    returns = np.zeros((len(params), len(seeds)))
    steps = np.zeros(returns.shape, np.int64)
    for member, engine in enumerate(engines):
        mine = np.flatnonzero(turn == member)
        if len(mine):
            returns[:, mine], steps[:, mine] = dream_returns(engine, params, seeds[mine].tolist())
    return returns, steps
