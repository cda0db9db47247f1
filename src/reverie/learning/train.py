"""C's training: the phases in turn, each from where the one before it left C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from reverie.learning.cmaes import evolve
from reverie.learning.gradient import learn
from reverie.learning.phases import Phase, Planned
from reverie.play.env_spec import EnvSpec
from reverie.play.loop import Limits
from reverie.workers.pool import Workers
from reverie.workers.seeds import training_seeds


def train_controller(
    plan: Sequence[Planned],
    open_env: Callable[[Phase, Limits], EnvSpec],
    controller: Path,
    seed: int,
    workers: Workers,
    start: np.ndarray | None = None,
) -> np.ndarray | None:
    """Bring C through its phases; each goes on from its last checkpoint. Returns its parameters, float64 [n];
    None where there is neither a phase nor a start.

    open_env: where a phase takes place; start: the parameters to begin at, None for zeros
    """
    params, earlier = start, None
    for item in plan:
        phase, config, folder = item.phase, item.config, item.folder(controller)
        limits = Limits(getattr(config, "max_steps", None), config.no_reward_timeout)
        env = open_env(phase, limits)
        (phase_seed,) = training_seeds(seed, "phase", item.number, count=1)
        if phase.method == "cmaes":
            params = evolve(config, phase.updates, env, folder, phase_seed, workers, params)
        else:
            params = learn(phase.method, config, phase.updates, env, folder, phase_seed, workers, params, earlier)
            earlier = folder
    return params
