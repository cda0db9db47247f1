"""Settings come back from JSON and from words as they were, or are refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.recipe.experiment import PRESETS, Experiment
from reverie.recipe.presets import make_experiment
from reverie.recipe.rounds import RoundsConfig
from reverie.settings import differences, from_json, setting_types, to_json, with_changes, with_defaults
from reverie.vision.config import VisionConfig

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
        (["--vision.final_learning_rate", "none"], {"vision": {"final_learning_rate": None}}),
        (["--vision.pixel_weight", "none"], {"vision": {"pixel_weight": "none"}}),  # a name here, not nothing
        (["--evolution.max_steps", "50"], {"evolution": {"max_steps": 50}}),
        (["--evolution.max_steps", "None"], {"evolution": {"max_steps": None}}),
        (["--controller.bias", "False"], {"controller": {"bias": False}}),
        (["--collect.policies", "held", "sweep"], {"collect": {"policies": ("held", "sweep")}}),
        (["--evaluation_episodes", "3"], {"evaluation_episodes": 3}),
        (["--memory.window", "9", "--memory.window", "8"], {"memory": {"window": 8}}),
        (
            ["--vision.latent_size", "4", "--memory.latent_size", "4"],
            {"vision": {"latent_size": 4}, "memory": {"latent_size": 4}},
        ),
    ],
)
def test_words_change_the_settings_that_they_name_and_no_other(words: list[str], changed: dict[str, Any]) -> None:
    expected = TINY
    for section, change in changed.items():
        whole = replace(getattr(expected, section), **change) if isinstance(change, dict) else change
        expected = (
            replace(expected, **{section: whole}) if section not in ("vision", "memory") else _both(expected, changed)
        )
    assert with_changes(TINY, words) == expected


def _both(experiment: Experiment, changed: dict[str, Any]) -> Experiment:
    """V and M at once, for their latent sizes must agree."""
    return replace(
        experiment,
        vision=replace(experiment.vision, **changed.get("vision", {})),
        memory=replace(experiment.memory, **changed.get("memory", {})),
    )


def test_a_number_keeps_its_type() -> None:
    assert isinstance(with_changes(TINY, ["--vision.final_learning_rate", "1"]).vision.final_learning_rate, float)
    assert isinstance(with_changes(TINY, ["--dream.temperature", "2"]).dream.temperature, float)
    assert isinstance(with_changes(TINY, ["--evolution.patience", "2"]).evolution.patience, int)


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


def test_setting_types_names_every_leaf() -> None:
    names = setting_types(Experiment)

    def leaves(data: dict[str, Any], path: str = "") -> list[str]:
        below = (leaves(v, f"{path}{k}.") if isinstance(v, dict) else [f"{path}{k}"] for k, v in data.items())
        return [name for names in below for name in names]

    assert list(names) == leaves(to_json(TINY))


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


def test_what_came_later_takes_its_default_and_what_is_there_stays() -> None:
    experiment = with_changes(make_experiment("doom", "quick"), ["--vision.change_weight", "7", "--rounds.count", "2"])
    data = to_json(experiment)
    del data["vision"]["change_weight"], data["rounds"]["noise"], data["mirror"], data["evolution"]
    filled = with_defaults(Experiment, data)
    assert "evolution" not in filled  # it has no default: the file is not whole
    filled["evolution"] = to_json(experiment)["evolution"]
    restored = from_json(Experiment, filled)
    assert restored.vision == replace(experiment.vision, change_weight=VisionConfig().change_weight)
    assert replace(restored, vision=experiment.vision) == experiment
    del data["rounds"]
    assert with_defaults(Experiment, data)["rounds"] == to_json(RoundsConfig())
    assert with_defaults(Experiment, [1]) == [1]
    shallow = with_defaults(Experiment, data, deep=False)
    assert "rounds" in shallow
    assert "change_weight" not in shallow["vision"]
