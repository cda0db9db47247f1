"""Settings come back from JSON and from words as they were, or are refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.learning.phases import Phase
from reverie.recipe.experiment import PRESETS, Experiment
from reverie.recipe.presets import make_experiment
from reverie.settings import differences, from_json, setting_types, to_json, with_changes

TINY = make_experiment("tiny", "tiny")


@pytest.mark.parametrize("world", ["doom", "carracing", "tiny", "CartPole-v1"])
@pytest.mark.parametrize("preset", PRESETS)
def test_an_experiment_comes_back_from_json(world: str, preset: str) -> None:
    experiment = make_experiment(world, preset, seed=3)
    text = json.dumps(to_json(experiment))
    assert from_json(Experiment, json.loads(text)) == experiment
    assert with_changes(experiment, []) == experiment


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--vision.updates", "7"], {"vision": {"updates": 7}}),
        (["--vision.updates=7"], {"vision": {"updates": 7}}),
        (["--vision.learning-rate", "1e-5"], {"vision": {"learning_rate": 1e-5}}),
        (["--vision.learning_rate", "1"], {"vision": {"learning_rate": 1.0}}),
        (["--vision.min_lr", "none"], {"vision": {"min_lr": None}}),
        (["--vision.pixel_weight", "none"], {"vision": {"pixel_weight": "none"}}),  # a name here, not nothing
        (["--cmaes.max_steps", "50"], {"cmaes": {"max_steps": 50}}),
        (["--cmaes.max_steps", "None"], {"cmaes": {"max_steps": None}}),
        (["--controller.bias", "False"], {"controller": {"bias": False}}),
        (["--collect.policies", "held", "sweep"], {"collect": {"policies": ("held", "sweep")}}),
        (["--evaluation_episodes", "3"], {"evaluation_episodes": 3}),
        (["--memory.survival_head", "2", "4"], {"memory": {"survival_head": (2, 4)}}),
        (["--memory.survival_head", "2", "--memory.survival_head", "none"], {}),
        (
            ["--phases", "ppo:dream:4:first", "cmaes:world:3:last:max_steps=9"],
            {"phases": (Phase("ppo", "dream", 4, "first"), Phase("cmaes", "world", 3, "last", (("max_steps", 9),)))},
        ),
        (["--memory.sequence_length", "9", "--memory.sequence_length", "8"], {"memory": {"sequence_length": 8}}),
        (["--vision.latent_size", "4"], {"vision": {"latent_size": 4}}),  # memory.latent_size follows
    ],
)
def test_words_change_the_settings_that_they_name_and_no_other(words: list[str], changed: dict[str, Any]) -> None:
    expected = TINY
    for section, change in changed.items():
        whole = replace(getattr(expected, section), **change) if isinstance(change, dict) else change
        expected = replace(expected, **{section: whole})
    assert with_changes(TINY, words) == expected


def test_a_number_keeps_its_type() -> None:
    assert isinstance(with_changes(TINY, ["--vision.min_lr", "1"]).vision.min_lr, float)
    assert isinstance(with_changes(TINY, ["--dream.temperature", "2"]).dream.temperature, float)
    assert isinstance(with_changes(TINY, ["--cmaes.no-reward-timeout", "2"]).cmaes.no_reward_timeout, int)


@pytest.mark.parametrize("value", [True, "3", 3.5, None, [3], {}])
def test_a_count_must_be_one(value: Any) -> None:
    data = to_json(TINY)
    data["vision"]["updates"] = value
    with pytest.raises(ReverieError) as error:
        from_json(Experiment, data, "a.json: ")
    assert str(error.value) == f"a.json: vision.updates is {value!r}, expected a whole number"


@pytest.mark.parametrize("value", ["held", [3], None])
def test_a_list_must_be_one(value: Any) -> None:
    data = to_json(TINY)
    data["collect"]["policies"] = value
    with pytest.raises(ReverieError) as error:
        from_json(Experiment, data)
    shown, wanted = (3, "a name") if value == [3] else (value, "a list, each a name")
    assert str(error.value) == f"collect.policies is {shown!r}, expected {wanted}"


def test_the_whole_must_be_an_object() -> None:
    with pytest.raises(ReverieError) as error:
        from_json(Experiment, [], "a.json: ")
    assert str(error.value) == "a.json: the whole is [], expected an object of settings"


DERIVED = ("memory.latent_size", "memory.action_size", "memory.restart_input")


def test_setting_types_names_every_leaf_that_is_not_derived() -> None:
    names = setting_types(Experiment)

    def leaves(data: dict[str, Any], path: str = "") -> list[str]:
        below = (leaves(v, f"{path}{k}.") if isinstance(v, dict) else [f"{path}{k}"] for k, v in data.items())
        return [name for names in below for name in names]

    assert list(names) == [name for name in leaves(to_json(TINY)) if name not in DERIVED]


def test_differences_come_in_the_order_of_the_settings() -> None:
    before, after = (
        {"world": "tiny", "a": {"x": 1, "y": 2, "old": 0}},
        {"world": "doom", "a": {"x": 1, "y": 3, "new": 4}},
    )
    assert list(differences(before, after)) == [
        "world: 'tiny' there, 'doom' asked for",
        "a.y: 2 there, 3 asked for",
        "a.new: None there, 4 asked for",
        "a.old: 0 there, None asked for",
    ]
    assert list(differences(before, before)) == []


@pytest.mark.parametrize("value", [[3], [{"method": "ppo"}], ["ppo:dream:3"], {"method": "ppo"}])
def test_phases_of_a_file_must_be_whole(value: Any) -> None:
    data = to_json(TINY)
    data["phases"] = value
    with pytest.raises(ReverieError, match=r"^a\.json: phases "):
        from_json(Experiment, data, "a.json: ")
