"""Finishing a row: training its C where it has one of its own, and scoring it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reverie.controller.file import save_controller
from reverie.episodes.policies import random_policy
from reverie.episodes.store import Store
from reverie.evaluation.score import Score, evaluate_agent, evaluate_dream, evaluate_policy
from reverie.files.checkpoint import latest_checkpoint
from reverie.learning.phases import BEST_FILE, Phase
from reverie.learning.train import train_controller
from reverie.reproduction.context import Context, RowFolder
from reverie.reproduction.plan import BlindPolicy, FreshC, MainAgent, Row
from reverie.reproduction.results import RowResult, TrainingCost, training_cost
from reverie.runs.gather import real_steps
from reverie.runs.opening import encoded, trained_in

if TYPE_CHECKING:
    from reverie.play.env_spec import EnvSpec
    from reverie.play.loop import Limits


def finish_row(context: Context, row: Row) -> RowResult:
    """Train the row's C where it has one of its own, and score it; what is done already is only read."""
    if isinstance(row.player, FreshC):
        _train_fresh(context, row, row.player)
    dream = _dream_score(context, row) if context.has_dream_score(row) else None
    engine = _engine_score(context, row) if context.has_engine_score(row) else None
    real = _real_score(context, row)
    cost = training_cost(context, row)
    return RowResult(
        row=row,
        temperature=None if dream is None else dream.temperature,
        dream=dream,
        real=real,
        seconds=_seconds(context, row),
        real_steps=_real_steps(context, row, cost),
        engine=engine,
        cost=cost,
    )


def _train_fresh(context: Context, row: Row, player: FreshC) -> None:
    folder = context.folder_of(row)
    best = folder.controller / BEST_FILE
    if context.is_main_controller(player) or best.exists():
        return
    with folder.timed():
        if player.untrained and latest_checkpoint(folder.memory) is None:
            _save_untrained(context, player, folder)

        def open_env(phase: Phase, limits: Limits) -> EnvSpec:
            return context.learning_env(row, player, limits)

        seed = context.run.experiment.seed
        params = train_controller(context.phases(player), open_env, folder.controller, seed, context.pool)
        shape = context.env(row).controller_shape()
        save_controller(best, shape, np.zeros(shape.parameter_count) if params is None else params)


def _save_untrained(context: Context, player: FreshC, folder: RowFolder) -> None:
    """The random weights that the run's own M began with."""
    from reverie.memory.train import train_memory

    experiment, actions = context.run.experiment, trained_in(context.run).spec.actions
    latents = encoded(context.source(player))
    train_memory(replace(experiment.memory, updates=0), latents, actions, folder.memory, experiment.seed)


def _dream_score(context: Context, row: Row) -> Score:
    def play() -> Score:
        return evaluate_dream(
            context.env(row), context.trained(row).params, context.episodes, context.seed, context.pool
        )

    own = context.own_scores.get("dream") if context.is_main(row) else None
    return context.folder_of(row).score("dream", context.episodes, context.seed, play, own)


def _engine_score(context: Context, row: Row) -> Score:
    def play() -> Score:
        assert context.plan.engine is not None
        agent, world = context.trained(row).agent(), context.plan.engine.world
        return evaluate_agent(agent, context.episodes, context.seed, context.pool, world=world)

    return context.folder_of(row).score("engine", context.episodes, context.seed, play, None)


def _real_score(context: Context, row: Row) -> Score:
    def play() -> Score:
        player, terms = row.player, (context.episodes, context.seed, context.pool)
        if isinstance(player, BlindPolicy):
            return evaluate_policy(row.world, player.policy, *terms)
        blinded = isinstance(player, MainAgent) and player.blinded
        return evaluate_agent(context.trained(row).agent(), *terms, world=row.world, blinded=blinded)

    return context.folder_of(row).score("world", context.episodes, context.seed, play, _own_real_score(context, row))


def _own_real_score(context: Context, row: Row) -> Score | None:
    """What the run itself has scored already."""
    is_own = (
        isinstance(row.player, FreshC) and context.is_main_controller(row.player) and row.world == context.plan.world
    )
    if context.is_main(row) or is_own:
        return context.own_scores.get("agent")
    is_random = row.player == BlindPolicy(random_policy(row.world)) and row.world == context.plan.world
    return context.own_scores.get("random") if is_random else None


def _seconds(context: Context, row: Row) -> float:
    """Wall time of the row itself, and of the part of the run that it shares."""
    own, timings = context.folder_of(row).seconds, context.run.timings
    if context.is_main(row):
        return own + sum(timings.values())
    if isinstance(row.player, FreshC) and context.is_main_controller(row.player):
        return own + timings.get("controller", 0.0)
    return own


def _real_steps(context: Context, row: Row, cost: TrainingCost | None) -> int:
    """Steps of the real episodes that the row's V, M and C learned from."""
    player, store = row.player, Store(context.run.rollouts)
    if isinstance(player, BlindPolicy):
        return 0
    if isinstance(player, MainAgent):
        return real_steps(context.run, store)
    known = context.run.episodes_by(context.source(player).round)
    trained = 0 if cost is None else cost.world_steps
    return sum(entry.steps for entry in store.entries if entry.index < known) + trained
