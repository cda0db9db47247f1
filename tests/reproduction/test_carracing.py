from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from reverie.controller.model import Controller
from reverie.episodes.policies import make_policy, random_policy
from reverie.recipe.experiment import Preset
from reverie.recipe.presets import make_experiment
from reverie.reproduction import carracing
from reverie.reproduction.carracing import carracing_plan
from reverie.reproduction.doom import doom_plan
from reverie.reproduction.exploit import coldest
from reverie.reproduction.plan import BlindPolicy, Evolved, MainAgent
from reverie.worlds.registry import world_spec

SPEC = world_spec("carracing")


@pytest.mark.parametrize("preset", get_args(Preset))
def test_no_row_is_filmed_as_a_cheat(preset: Preset) -> None:
    """Its rows learn in one dream or in the world, and the main agent falling asleep is filmed; Doom's have a sweep."""
    assert coldest(carracing_plan(preset)) is None
    cold = coldest(doom_plan(preset))
    assert cold is not None
    assert cold.name == "tau-0.10"


def test_the_rows_are_the_papers_with_the_untrained_m_beside() -> None:
    rows = {row.name: row for row in carracing_plan("standard").rows}
    papers = {name: str(row.paper_real or "") for name, row in rows.items()}
    assert papers == {
        "main": "906 ± 21",
        "z-linear": "632 ± 251",
        "z-hidden": "788 ± 141",
        "z-and-h": "906 ± 21",
        "untrained-m": "",
        "random": "",
    }
    players = {name: row.player for name, row in rows.items()}
    assert players["main"] == MainAgent()
    assert players["random"] == BlindPolicy(random_policy("carracing"))
    make_policy("random-network", SPEC.actions, np.random.default_rng(0))


def test_each_c_is_as_large_as_the_papers() -> None:
    sizes = {}
    for row in carracing_plan("paper").rows:
        if isinstance(row.player, Evolved):
            assert row.player.where == "world"  # the paper's recipe
            assert row.player.controller is not None
            features = row.player.controller.feature_size(32, 256)
            sizes[row.name] = Controller(row.player.controller, features, SPEC.actions).parameter_count
    assert sizes == {"z-linear": 99, "z-hidden": 1443, "z-and-h": 867, "untrained-m": 867}


def test_the_references_are_the_papers() -> None:
    assert [(label, str(figure)) for label, figure in carracing_plan("quick").references] == [
        ("DQN", "343 ± 18"),
        ("A3C, continuous actions", "591 ± 45"),
        ("A3C, discrete actions", "652 ± 10"),
        ("best of the Gym leaderboard", "838 ± 11"),
    ]


@pytest.mark.parametrize("preset", get_args(Preset))
def test_every_preset_has_a_plan(preset: Preset) -> None:
    plan = carracing_plan(preset)
    own = preset == "standard"  # the others evolve rows as they evolve their own C
    assert (plan.evolution is not None, plan.gradient is not None) == (own, own)
    dreamt = {row.player.where == "dream" for row in plan.rows if isinstance(row.player, Evolved)}
    assert dreamt == {make_experiment("carracing", preset).evolution.where == "dream"}  # where the main agent learns


def test_without_envpool_there_is_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carracing, "find_spec", lambda name: None)
    assert carracing_plan("standard").engine is None
    monkeypatch.setattr(carracing, "find_spec", lambda name: object())
    assert carracing_plan("standard").engine == ("carracing-envpool", "EnvPool")
