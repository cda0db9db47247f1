"""Bringing a row to its end: evolving its C where it has one of its own, and scoring. What is done stays as it is."""

from __future__ import annotations

from dataclasses import replace

from reverie.episodes.policies import random_policy
from reverie.episodes.store import Store
from reverie.evaluation.score import Score, evaluate_agent, evaluate_dream, evaluate_policy
from reverie.files.checkpoint import latest_checkpoint
from reverie.learning.cmaes import evolve
from reverie.learning.gradient import learned
from reverie.reproduction.outcome import Outcome
from reverie.reproduction.plan import BlindPolicy, Evolved, MainAgent, Row
from reverie.reproduction.row_folder import RowFolder
from reverie.reproduction.searches import Budget, budget_of
from reverie.reproduction.work import Work
from reverie.runs.gather import real_steps
from reverie.runs.opening import encoded, trained_in, under_guards


def finish(work: Work, row: Row) -> Outcome:
    """Bring a row to its end, from wherever it is."""
    if isinstance(row.player, Evolved):
        _evolve(work, row, row.player)
    dream = _dream_score(work, row) if work.is_dreamt(row) else None
    engine = _engine_score(work, row) if work.is_driven(row) else None
    real = _real_score(work, row)
    budget = budget_of(work, row)
    return Outcome(
        row=row,
        temperature=None if dream is None else dream.temperature,
        dream=dream,
        real=real,
        seconds=_seconds(work, row),
        real_steps=_real_steps(work, row, budget),
        engine=engine,
        budget=budget,
    )


def _evolve(work: Work, row: Row, player: Evolved) -> None:
    folder, config = work.folder_of(row), work.evolution(player)
    done = latest_checkpoint(folder.controller)
    if work.is_own_search(player) or (done is not None and done.step >= config.generations):
        return
    with folder.timed():
        if player.untrained and latest_checkpoint(folder.memory) is None:
            _save_untrained(work, player, folder)
        arena = under_guards(work.source(player), work.arena(row))
        seed, gradient = work.run.experiment.seed, work.gradient(player)
        start = learned(gradient, arena, folder.gradient, seed) if gradient.updates else None
        evolve(config, arena, folder.controller, seed, work.pool, start)


def _save_untrained(work: Work, player: Evolved, folder: RowFolder) -> None:
    """The random weights that the run's own M began with."""
    from reverie.memory.train import train_memory

    experiment, actions = work.run.experiment, trained_in(work.run).spec.actions
    latents = encoded(work.source(player))
    train_memory(replace(experiment.memory, updates=0), latents, actions, folder.memory, experiment.seed)


def _dream_score(work: Work, row: Row) -> Score:
    def play() -> Score:
        return evaluate_dream(work.arena(row), work.trained(row).params, work.episodes, work.seed, work.pool)

    own = work.own_scores.get("dream") if work.is_main(row) else None
    return work.folder_of(row).score("dream", work.episodes, work.seed, play, own)


def _engine_score(work: Work, row: Row) -> Score:
    def play() -> Score:
        assert work.plan.engine is not None
        agent, world = work.trained(row).agent(), work.plan.engine.world
        return evaluate_agent(agent, work.episodes, work.seed, work.pool, world=world)

    return work.folder_of(row).score("engine", work.episodes, work.seed, play, None)


def _real_score(work: Work, row: Row) -> Score:
    def play() -> Score:
        player, played = row.player, (work.episodes, work.seed, work.pool)
        if isinstance(player, BlindPolicy):
            return evaluate_policy(row.world, player.policy, *played)
        blinded = isinstance(player, MainAgent) and player.blinded
        return evaluate_agent(work.trained(row).agent(), *played, world=row.world, blinded=blinded)

    return work.folder_of(row).score("world", work.episodes, work.seed, play, _own_real_score(work, row))


def _own_real_score(work: Work, row: Row) -> Score | None:
    """What the run itself has scored already."""
    is_own = isinstance(row.player, Evolved) and work.is_own_search(row.player) and row.world == work.plan.world
    if work.is_main(row) or is_own:
        return work.own_scores.get("agent")
    is_random = row.player == BlindPolicy(random_policy(row.world)) and row.world == work.plan.world
    return work.own_scores.get("random") if is_random else None


def _seconds(work: Work, row: Row) -> float:
    """Of the row's own work, and of the part of the run's that is the row's too."""
    own, timings = work.folder_of(row).seconds, work.run.timings
    if work.is_main(row):
        return own + sum(timings.values())
    if isinstance(row.player, Evolved) and work.is_own_search(row.player):
        return own + timings.get("controller", 0.0)
    return own


def _real_steps(work: Work, row: Row, budget: Budget | None) -> int:
    """Steps of the real episodes that the row's V, M and C learned from."""
    player, store = row.player, Store(work.run.rollouts)
    if isinstance(player, BlindPolicy):
        return 0
    if isinstance(player, MainAgent):
        return real_steps(work.run, store)
    known = work.run.experiment.episodes_by(work.source(player).round)
    evolved = 0 if budget is None else budget.world_steps
    return sum(entry.steps for entry in store.entries if entry.index < known) + evolved
