"""What an experiment refuses, before hours are spent on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.recipe.experiment import Experiment, dream_head, require_fit
from reverie.recipe.presets import make_experiment
from reverie.settings import with_changes
from reverie.worlds.registry import world_spec

TINY = make_experiment("tiny", "tiny")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"evaluation_episodes": 0}, "evaluation_episodes is 0; expected at least 1"),
        (
            {"memory": replace(TINY.memory, latent_size=9)},
            "memory.latent_size is 9 but vision.latent_size is 8; M reads V's latents, so set both alike",
        ),
    ],
)
def test_values_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        replace(TINY, **change)
    assert str(error.value) == message


def without_head(experiment: Experiment, head: str) -> Experiment:
    return replace(experiment, memory=replace(experiment.memory, **{head: False}))


@pytest.mark.parametrize(
    ("world", "head"), [("doom", "done_head"), ("tiny", "reward_head"), ("carracing", "reward_head")]
)
def test_a_dream_needs_a_head_of_m(world: str, head: str) -> None:
    spec = world_spec(world)
    assert dream_head(spec) == head
    require_fit(make_experiment(world, "tiny", evolve_in="dream"), spec)
    with pytest.raises(ReverieError) as error:
        require_fit(without_head(make_experiment(world, "tiny", evolve_in="dream"), head), spec)
    assert str(error.value) == (
        f"memory.{head} is False, and no dream of {world} goes without; set it, or use --evolve-in world"
    )
    require_fit(without_head(make_experiment(world, "tiny", evolve_in="world"), head), spec)


def test_m_must_take_the_worlds_actions() -> None:
    with pytest.raises(ReverieError) as error:
        require_fit(make_experiment("doom", "tiny"), world_spec("carracing"))
    assert str(error.value) == "memory.action_size is 1, but the actions of carracing have 3"


def test_a_c_that_sees_what_m_expects_of_it_may_learn_by_gradients() -> None:
    words = ["--controller.features", "zha", "--gradient.updates", "3", "--memory.action-head"]
    spec = world_spec("tiny")
    require_fit(with_changes(TINY, [*words, "true"]), spec)
    with pytest.raises(ReverieError, match=r"^controller.features are 'zha', and memory.action_head is False"):
        require_fit(with_changes(TINY, [*words, "false"]), spec)


def test_an_outlook_needs_actions_that_can_be_held_and_an_m_that_has_it() -> None:
    doom, car = world_spec("doom"), world_spec("carracing")
    tiny_doom, seen = make_experiment("doom", "tiny"), ["--controller.features", "zho"]
    require_fit(with_changes(tiny_doom, [*seen, "--memory.outlook", "2", "4"]), doom)
    assert with_changes(TINY, ["--memory.outlook", "2", "4", "--memory.outlook", "none"]).memory.outlook == ()
    with pytest.raises(ReverieError, match=r"^controller.features are 'zho', and memory.outlook is \(\)"):
        require_fit(with_changes(tiny_doom, seen), doom)
    with pytest.raises(ReverieError, match=r"^controller.features are 'zho', and memory.done_head is False"):
        require_fit(with_changes(tiny_doom, [*seen, "--memory.outlook", "2", "--memory.done_head", "false"]), doom)
    with pytest.raises(ReverieError, match=r"^memory.outlook is \(2,\), and the actions of carracing are driving"):
        require_fit(with_changes(make_experiment("carracing", "tiny"), ["--memory.outlook", "2"]), car)


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ("--controller.hidden_size 9", True),
        ("--controller.hidden_size 10", False),
        ("--controller.hidden_size 10 --evolution.generations 0", True),
        ("--controller.hidden_size 10 --evolution.generations 0 --rounds.count 1", False),
        ("--controller.hidden_size 10 --evolution.generations 0 --rounds.count 1 --rounds.generations 0", True),
        ("--controller.hidden_size 10 --controller.kind linear", True),
    ],
)
def test_a_c_is_evolved_only_where_its_covariance_fits(words: str, fits: bool) -> None:
    """[z, c, h] of Doom are 1,088 numbers: 9 hidden units make 9,801 parameters of them, 10 make 10,890."""
    experiment = with_changes(make_experiment("doom", "tiny"), ["--controller.kind", "hidden", *words.split()])
    if fits:
        require_fit(experiment, world_spec("doom"))
        return
    with pytest.raises(ReverieError) as error:
        require_fit(experiment, world_spec("doom"))
    assert str(error.value) == (
        "C has 10,890 parameters, and CMA-ES keeps matrices of so many by so many (0.9 GiB each), expected at most "
        "10,000; lower controller.hidden_size, or let it learn by gradients alone (evolution.generations 0, "
        "rounds.generations 0, curiosity.weight 0)"
    )
