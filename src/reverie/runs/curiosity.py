"""Collecting with curiosity: a C that learns, in the dream, to go where latents are new plays half of a round."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reverie.controller.file import save_controller
from reverie.learning.gradient import learn
from reverie.learning.phases import BEST_FILE
from reverie.play.players import AgentFiles
from reverie.recipe.rounds import CURIOUS_UPDATES
from reverie.runs.opening import env_of
from reverie.runs.run_folder import RunFolder
from reverie.workers.pool import Workers
from reverie.workers.seeds import training_seeds


def curious_players(run: RunFolder, before: RunFolder, workers: Workers) -> AgentFiles:
    """The curious C of a round, learned from nothing in the dream that the round `before` ended with.

    Its training is in the round's folder `curious`, and goes on from its last checkpoint.
    """
    experiment, folder = run.experiment, run.curious
    env = replace(env_of(before, "dream", learns=True), learns=True, curiosity=experiment.rounds.curiosity)
    shape = env.controller_shape()
    (seed,) = training_seeds(run.seed, "curiosity", count=1)
    params = learn("ppo", experiment.ppo, CURIOUS_UPDATES, env, folder, seed, workers)
    save_controller(folder / BEST_FILE, shape, params)
    memory: Path | None = before.memory if experiment.controller.needs_memory else None
    return AgentFiles(before.vision, memory, folder / BEST_FILE, experiment.rounds.epsilon, "curious")
