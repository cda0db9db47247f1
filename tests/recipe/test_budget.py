"""Budgets between the presets' own, and the experiments that they make."""

from __future__ import annotations

import itertools
from dataclasses import astuple

import pytest

from reverie.errors import ReverieError
from reverie.recipe.budget import BUDGETS, budget_of
from reverie.recipe.budgeted import budgeted, collected_steps
from reverie.recipe.experiment import Experiment, require_fit
from reverie.recipe.presets import make_experiment
from reverie.worlds.registry import world_spec


@pytest.mark.parametrize("preset", BUDGETS)
def test_the_budget_of_a_presets_steps_is_the_presets(preset: str) -> None:
    assert budget_of(BUDGETS[preset].real_steps) == BUDGETS[preset]


def test_budgets_grow_in_every_figure_up_to_the_largest_preset_and_then_in_rounds() -> None:
    steps = [100, 400, 1000, 5000, 20_000, 44_000, 100_000, 280_000, 1_000_000]
    budgets = [budget_of(each) for each in steps]
    for smaller, larger in itertools.pairwise(budgets):
        assert all(a <= b for a, b in zip(astuple(smaller), astuple(larger), strict=True))
    assert budgets[-1].rounds == 30
    assert budgets[-1].steps == BUDGETS["standard"].steps


@pytest.mark.parametrize("real_steps", [100, 999, 12_345, 77_777, 300_001])
def test_a_budget_spends_what_it_says(real_steps: int) -> None:
    found = budget_of(real_steps)
    assert 0 <= real_steps - found.real_steps < found.rounds


@pytest.mark.parametrize(
    ("real_steps", "message"),
    [
        (99, "--real-steps is 99; expected at least 100"),
        (10**9, "--real-steps is 1000000000; expected at most 30,100,000"),
    ],
)
def test_budgets_out_of_bounds(real_steps: int, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        budget_of(real_steps)
    assert str(error.value) == message


@pytest.mark.parametrize("world", ["doom", "carracing", "tiny", "climb"])
@pytest.mark.parametrize("real_steps", [400, 20_000, 400_000])
def test_any_world_takes_a_budget(world: str, real_steps: int) -> None:
    experiment = budgeted(world, real_steps, seed=3)
    require_fit(experiment, world_spec(world))
    assert experiment.seed == 3
    assert collected_steps(experiment) == pytest.approx(real_steps, rel=0.01)
    assert longest_steps(experiment) <= max(experiment.collect.steps, experiment.collect.max_steps)


def longest_steps(experiment: Experiment) -> int:
    """Of the episodes that are played whatever their length."""
    return experiment.collect.episodes * experiment.collect.max_steps


def test_a_hand_made_preset_is_scaled_in_all_its_parts() -> None:
    plain, half = make_experiment("tiny", "quick"), budgeted("tiny", 20_000, "quick")
    assert collected_steps(plain) == 40_000
    assert (half.collect.steps, half.vision.updates, half.memory.updates) == (20_000, 300, 500)
    assert [phase.word() for phase in half.phases] == ["cmaes:dream:20"]
    assert half.memory.lr_decay**500 == pytest.approx(plain.memory.lr_decay**1000)


def test_the_papers_counts_are_not_scaled() -> None:
    with pytest.raises(ReverieError) as error:
        budgeted("doom", 5000, "paper")
    assert str(error.value) == "--preset paper has the paper's own counts; give --preset or a budget, not both"
