"""What an experiment refuses before hours are spent on it, and what each round of it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.recipe.experiment import Experiment, dream_head, require_fit
from reverie.recipe.presets import make_experiment
from reverie.recipe.rounds import RoundsConfig
from reverie.settings import with_changes
from reverie.worlds.registry import world_spec

TINY = make_experiment("tiny", "tiny")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"evaluation_episodes": 0}, "evaluation_episodes is 0, expected at least 1"),
    ],
)
def test_values_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        replace(TINY, **change)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", -1, "rounds.count is -1, expected at least 0"),
        ("count", 1001, "rounds.count is 1001, expected at most 1000"),
        ("episodes", 0, "rounds.episodes is 0, expected at least 1"),
        ("memory_updates", -1, "rounds.memory_updates is -1, expected at least 0"),
        ("max_steps", 0, "rounds.max_steps is 0, expected at least 1"),
        ("evaluation_episodes", 0, "rounds.evaluation_episodes is 0, expected at least 1"),
        ("epsilon", 1.5, "rounds.epsilon is 1.5, expected a chance, 0 to 1"),
        ("curiosity", -1.0, "rounds.curiosity is -1.0, expected a finite number, at least 0"),
    ],
)
def test_rounds_that_cannot_be(name: str, value: float, message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        RoundsConfig(**{name: value})
    assert str(caught.value) == message


def test_a_phase_whose_settings_cannot_be_is_refused_by_its_word() -> None:
    with pytest.raises(ReverieError) as error:
        with_changes(TINY, ["--phases", "ppo:dream:3:all:gamma=2"])
    assert str(error.value) == "phase 'ppo:dream:3:all:gamma=2': ppo.gamma is 2, expected 0 to 1"


def test_m_reads_latents_of_vs_size() -> None:
    wider = replace(TINY, vision=replace(TINY.vision, latent_size=9))
    assert wider.memory == replace(TINY.memory, latent_size=9)


def asked(world: str, *words: str) -> Experiment:
    """The tiny preset, with these settings."""
    return with_changes(make_experiment(world, "tiny"), words)


def refusal(world: str, *words: str) -> str:
    """What is said to settings that do not fit the world; nothing where they do."""
    try:
        require_fit(asked(world, *words), world_spec(world))
    except ReverieError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("world", "head"), [("doom", "done_head"), ("tiny", "reward_head"), ("carracing", "reward_head")]
)
def test_a_dream_needs_a_head_of_m(world: str, head: str) -> None:
    spec = world_spec(world)
    assert dream_head(spec) == head
    heads = ["--memory.done_head", "true", "--memory.reward_head", "true"]
    asleep, awake = ["--phases", "ppo:world:1", "cmaes:dream:1"], ["--phases", "ppo:world:1"]
    assert refusal(world, *asleep, *heads) == ""
    assert refusal(world, *asleep, *heads, f"--memory.{head}", "false") == (
        f"memory.{head} is False, and no dream of {world} goes without; set it, or let all phases take place in the "
        "world"
    )
    assert refusal(world, *awake, *heads, f"--memory.{head}", "false") == ""


@pytest.mark.parametrize(
    ("world", "words", "message"),
    [
        (
            "tiny",
            "--dream.termination calibrated --memory.done_head false",
            "memory.done_head is False, and dream.termination is calibrated: dreams are to end as M predicts; set it, "
            "or dream.termination to threshold, and they end at their horizon alone",
        ),
        (
            "carracing",
            "--dream.dropout 0.1",
            "dream.horizon, starts, dropout, ensemble_size and disagreement_penalty are of dreams that C learns in, "
            "and all phases take place in the world; leave them out, or add a phase in the dream",
        ),
        ("tiny", "--controller.inputs z h action --memory.action_head true --phases ppo:dream:3", ""),
        (
            "tiny",
            "--controller.inputs z h action",
            "controller.inputs are ['z', 'h', 'action'], and memory.action_head is False: M does not predict what C "
            "does next; set it, or leave action out",
        ),
        ("doom", "--controller.inputs z h survival --memory.survival_head 2 4", ""),
        (
            "doom",
            "--controller.inputs z h survival",
            "controller.inputs are ['z', 'h', 'survival'], and memory.survival_head is (): M does not predict how "
            "likely C survives each action; set it, or leave survival out",
        ),
        (
            "carracing",
            "--memory.survival_head 2",
            "memory.survival_head is (2,), and the actions of carracing are driving, expected discrete or three-way "
            "ones; leave it empty",
        ),
        (
            "doom",
            "--phases ppo:dream:2 backprop:dream:3:last --dream.termination calibrated",
            "phases hold backprop, and the actions of doom are three-way, which have no gradient; expected continuous "
            "or driving ones; use ppo",
        ),
        ("doom", "--phases ppo:dream:2", ""),
        ("tiny", "--phases backprop:dream:3", ""),
        (
            "doom",  # z, c, h and a bias for one output
            "--controller.hidden_size 0 --memory.hidden_size 9000",
            "C has 18,064 parameters, and CMA-ES keeps matrices of so many by so many (2.4 GiB each), expected at most "
            "10,000; lower memory.hidden_size, or leave out phases by cmaes",
        ),
        (
            "CartPole-v1",
            "--mirror true",
            "discrete actions have no left and right; leave mirror off for this world",
        ),
        # [z, c, h] of Doom are 1,088 numbers: 9 hidden units make 9,801 parameters of them, 10 make 10,890
        ("doom", "--controller.hidden_size 9", ""),
        (
            "doom",
            "--controller.hidden_size 10",
            "C has 10,890 parameters, and CMA-ES keeps matrices of so many by so many (0.9 GiB each), expected at most "
            "10,000; set controller.hidden_size to 9, or leave out phases by cmaes",
        ),
        ("doom", "--controller.hidden_size 10 --phases ppo:dream:1", ""),
    ],
)
def test_what_does_not_fit_is_said_with_its_remedy(world: str, words: str, message: str) -> None:
    assert refusal(world, *words.split()) == message


def test_m_must_take_the_worlds_actions() -> None:
    with pytest.raises(ReverieError) as error:
        require_fit(make_experiment("doom", "tiny"), world_spec("carracing"))
    assert str(error.value) == "memory.action_size is 1, but the actions of carracing have 3"


def test_a_round_trains_for_what_the_rounds_say_and_ends_at_the_same_learning_rate() -> None:
    words = "--collect.episodes 6 --memory.updates 6 --memory.lr_decay 0.9 --rounds.memory_updates 3"
    whole = asked("tiny", *words.split(), "--rounds.count", "2", "--rounds.episodes", "4")
    later = whole.in_round(2)
    assert whole.in_round(0) is whole
    assert (later.memory.updates, later.collect.episodes, later.vision) == (3, 4, whole.vision)
    assert later.memory.learning_rate_at(3) == pytest.approx(whole.memory.learning_rate_at(6))
    told = with_changes(whole, ["--rounds.max-steps", "20", "--rounds.vision_updates", "2"]).in_round(1)
    assert (told.collect.max_steps, told.vision.updates) == (20, 2)
    assert later.collect.max_steps == whole.collect.max_steps
    fresh = with_changes(whole, ["--memory.updates", "0"])  # the first pass trains no M: `lr_decay` is the rounds' own
    assert fresh.in_round(1).memory.lr_decay == pytest.approx(0.9)
