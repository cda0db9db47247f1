"""The listing of settings: all of them, each with what its docstring says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

import pytest

from reverie.cli.parse import parse, split_settings
from reverie.cli.planning import experiment_of
from reverie.cli.words import Run
from reverie.recipe.experiment import PRESETS, Experiment
from reverie.recipe.listing import COMMAND_WORDS, command_of, field_notes, sections_listing, settings_listing
from reverie.recipe.presets import make_experiment
from reverie.settings import setting_types, to_json, with_changes


@dataclass
class Example:
    """Not the note of any field."""

    first: int = 1
    """What the first is,
    in two lines."""
    bare: int = 2
    last: int = 3
    """What the last is."""

    def method(self) -> None:
        """Nor this."""


def test_notes_are_the_docstrings_below_the_fields() -> None:
    assert field_notes(Example) == {"first": "What the first is, in two lines.", "last": "What the last is."}


def test_every_setting_of_an_experiment_has_a_note() -> None:
    experiment = make_experiment("doom", "paper")
    for section in (experiment, *(getattr(experiment, name) for name in to_json(experiment))):
        if hasattr(section, "__dataclass_fields__"):
            assert list(field_notes(type(section))) == list(section.__dataclass_fields__)


def test_there_are_few_enough_settings_to_read() -> None:
    assert len(setting_types(Experiment)) - len(COMMAND_WORDS) <= 75


def test_the_short_listing_has_a_line_for_each_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = sections_listing().splitlines()
    assert [line.split()[0] for line in lines] == [
        *("--collect.*", "--vision.*", "--memory.*", "--controller.*", "--dream.*", "--phases", "--ppo.*", "--cmaes.*"),
        *("--rounds.*", "--mirror", "--evaluation_episodes"),
    ]
    assert "  --phases                stage 4: the phases of C's training" in lines
    assert not any("..." in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_what_is_listed_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    experiment = make_experiment("doom", "quick")
    listing = settings_listing(experiment)
    words = [word for line in listing.splitlines() if line.startswith("  --") for word in line.split()]
    assert with_changes(make_experiment("carracing", "paper"), words).vision == experiment.vision
    assert len([word for word in words if word.startswith("--")]) == len(setting_types(Experiment)) - len(COMMAND_WORDS)
    assert max(map(len, listing.splitlines())) <= 60


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("world", ["doom", "carracing", "CartPole-v1"])
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--seed", "7", "--phases", "ppo:world:4:last:num_envs=3,target_kl=0.1", "--vision.min_lr", "none"],
        [
            "--phases",
            "ppo:dream:4",
            "cmaes:dream:3",
            "--collect.policies",
            "held",
            "sweep",
            "--mirror",
            "true",
            "--memory.lr_decay=0.99875",
        ],
        ["--evaluation-episodes", "3", "--rounds.count", "2", "--controller.bias", "false"],
    ],
)
def test_the_command_of_an_experiment_makes_it_again(world: str, preset: str, words: list[str]) -> None:
    experiment = typed(["run", world, "--preset", preset, *words])
    command = shlex.split(command_of(experiment))
    assert command[:4] == ["reverie", "run", world, "--preset"]
    assert typed(command[1:]) == experiment
    if not words:
        assert command == ["reverie", "run", world, "--preset", preset, "--seed", "0"]


def test_the_command_says_where_the_weights_begin() -> None:
    experiment = replace(make_experiment("doom"), start_from="runs/a doom", start_digest="0" * 16)
    assert command_of(experiment) == "reverie run doom --preset quick --seed 0 --from 'runs/a doom'"


def typed(words: list[str]) -> Experiment:
    """The experiment that the words of `reverie run` ask for."""
    own, settings = split_settings(words[1:])
    return experiment_of(parse(Run, own, "reverie run"), settings)
