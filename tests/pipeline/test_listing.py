"""The listing of settings: all of them, each with what its docstring says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from reverie.pipeline.experiment import Experiment
from reverie.pipeline.listing import field_notes, settings_listing
from reverie.pipeline.presets import make_experiment
from reverie.pipeline.settings import setting_types, to_json, with_changes


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
    assert field_notes(Example) == {"first": "What the first is,\n    in two lines.", "last": "What the last is."}


def test_every_setting_of_an_experiment_has_a_note() -> None:
    experiment = make_experiment("doom", "paper")
    for section in (experiment, *(getattr(experiment, name) for name in to_json(experiment))):
        if hasattr(section, "__dataclass_fields__"):
            assert list(field_notes(type(section))) == list(section.__dataclass_fields__)


def test_what_is_listed_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    experiment = make_experiment("doom", "quick")
    listing = settings_listing(experiment)
    words = [word for line in listing.splitlines() if line.startswith("  --") for word in line.split()]
    assert with_changes(make_experiment("carracing", "paper"), words).vision == experiment.vision
    assert len([word for word in words if word.startswith("--")]) == len(setting_types(Experiment)) - 3
    assert max(map(len, listing.splitlines())) <= 60
