"""The experiment of a budget in real steps, in place of a preset's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from reverie.episodes.config import usual_steps
from reverie.errors import ReverieError
from reverie.learning.phases import Phase
from reverie.recipe.budget import BUDGETS, FLOORS, budget_of
from reverie.recipe.experiment import Experiment, Preset
from reverie.recipe.presets import make_experiment, takes_budget

LEAST_EPISODES = 20  # of exploration: of fewer none is held out
SHORTEST = 50  # steps after which an episode is cut off, where the budget is so small that it has to be
ROUND_SHARE = 0.25  # of the first pass, that a round is of where the preset has no rounds


def budgeted(
    world: str,
    real_steps: int,
    preset: str | None = None,
    *,
    seed: int = 0,
    phases: Sequence[Phase] | None = None,
) -> Experiment:
    """The experiment that collects `real_steps` in all.

    preset: whose other settings it has; None: that whose own budget is nearest
    A hand-made preset is scaled: its real steps, updates and phases alike.
    Raises: ReverieError for a budget too small or too large, and for the preset paper, whose counts are its own.
    """
    if preset is None:
        preset = nearest_preset(world, real_steps)
    plain = make_experiment(world, preset, seed=seed, phases=phases)
    if plain.preset not in BUDGETS:
        raise ReverieError(f"--preset {preset} has the paper's own counts; give --preset or a budget, not both")
    budget = budget_of(real_steps)
    if not takes_budget(world, plain.preset):
        return scaled(plain, real_steps)
    return _short(make_experiment(world, preset, seed=seed, phases=phases, budget=budget))


def nearest_preset(world: str, real_steps: int) -> Preset:
    """The preset whose real steps are nearest, in proportion."""
    found: dict[Preset, int] = {name: collected_steps(make_experiment(world, name)) for name in ("quick", "standard")}
    found["tiny"] = collected_steps(make_experiment(world, "tiny"))
    return min(found, key=lambda name: abs(math.log(found[name] / max(1, real_steps))))


def collected_steps(experiment: Experiment) -> int:
    """About how many real steps are collected, rounds included."""
    collect, rounds = experiment.collect, experiment.rounds
    length = usual_steps(experiment.world, collect)
    return (collect.steps or collect.episodes * length) + rounds.count * (rounds.steps or rounds.episodes * length)


def scaled(experiment: Experiment, real_steps: int) -> Experiment:
    """The experiment with another number of real steps, and all updates in proportion."""
    collect, memory, rounds = experiment.collect, experiment.memory, experiment.rounds
    ratio = real_steps / collected_steps(experiment)
    length = usual_steps(experiment.world, collect)
    first = collect.steps or collect.episodes * length
    later = (rounds.steps or rounds.episodes * length) if rounds.count else ROUND_SHARE * first
    updates = max(FLOORS["memory"], round(ratio * memory.updates))
    more = rounds.memory_updates if rounds.count else ROUND_SHARE * memory.updates
    return _short(
        replace(
            experiment,
            collect=replace(collect, steps=max(1, round(ratio * first))),
            vision=replace(experiment.vision, updates=max(FLOORS["vision"], round(ratio * experiment.vision.updates))),
            memory=replace(memory, updates=updates, lr_decay=memory.lr_decay ** (memory.updates / updates)),
            phases=tuple(replace(phase, updates=max(1, round(ratio * phase.updates))) for phase in experiment.phases),
            rounds=replace(
                rounds,
                steps=max(1, round(ratio * later)),
                memory_updates=max(FLOORS["round_memory"], round(ratio * more)),
            ),
        )
    )


def _short(experiment: Experiment) -> Experiment:
    """The experiment with so few episodes, and so short ones, that its steps alone say how much is collected."""
    collect, rounds = experiment.collect, experiment.rounds
    longest = min(collect.max_steps, max(SHORTEST, collect.steps // LEAST_EPISODES))
    return replace(
        experiment,
        collect=replace(
            collect,
            max_steps=longest,
            min_steps=min(collect.min_steps, longest),
            episodes=_fewest(collect.episodes, collect.steps, longest),
        ),
        rounds=replace(rounds, episodes=_fewest(rounds.episodes, rounds.steps, rounds.max_steps or longest)),
    )


def _fewest(episodes: int, steps: int, longest: int) -> int:
    return max(1, min(episodes, steps // longest))
