from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from reverie.controller.model import Controller
from reverie.episodes.policies import make_policy, random_policy
from reverie.errors import ReverieError
from reverie.recipe.experiment import Preset
from reverie.recipe.presets import make_experiment
from reverie.reproduction import paper_tables
from reverie.reproduction.films import coldest
from reverie.reproduction.paper_tables import HARDER, carracing_plan, doom_plan
from reverie.reproduction.plan import BlindPolicy, FreshC, MainAgent, Plan, Row
from reverie.worlds.registry import world_spec


def test_the_sweep_over_tau_is_the_papers() -> None:
    rows = [row for row in doom_plan("standard").rows if isinstance(row.player, FreshC) and row.player.first_round]
    assert [(row.name, row.player.temperature) for row in rows] == [  # type: ignore[union-attr]
        ("tau-0.10", 0.1),
        ("tau-0.50", 0.5),
        ("tau-1.00", 1.0),
        ("tau-1.15", 1.15),
        ("tau-1.30", 1.3),
    ]
    assert [str(row.paper_dream) for row in rows] == [
        "2086 ± 140",
        "2060 ± 277",
        "1145 ± 690",
        "918 ± 546",
        "732 ± 269",
    ]
    assert [str(row.paper_real) for row in rows] == ["193 ± 58", "196 ± 50", "868 ± 511", "1092 ± 556", "753 ± 139"]


def test_every_row_can_be_played() -> None:
    plan = doom_plan("quick")
    for row in plan.rows:
        spec = world_spec(row.world)
        assert (spec.actions, spec.reward) == (world_spec("doom").actions, "survival")
        if isinstance(row.player, BlindPolicy):
            make_policy(row.player.policy, spec.actions, np.random.default_rng(0))


def test_both_skills_have_the_agent_random_play_and_a_sweep() -> None:
    for world in ("doom", HARDER):
        players = [row.player for row in doom_plan("standard").rows if row.world == world]
        assert {MainAgent(), BlindPolicy("held"), BlindPolicy("sweep-120")} <= set(players)


@pytest.mark.parametrize("preset", get_args(Preset))
def test_every_preset_has_a_plan_of_doom(preset: Preset) -> None:
    phases = doom_plan(preset).phases
    assert (phases is not None) == (preset == "standard")  # the others train rows as they train their own C
    assert {phase.place for phase in phases or ()} <= {"dream"}


def test_a_plan_that_does_not_hold_together_is_refused() -> None:
    row = Row("main", "main agent", MainAgent(), "tiny")
    with pytest.raises(ReverieError, match="a plan compares"):
        Plan("tiny", (row,), comparisons=(("main", "sweep"),))
    with pytest.raises(ReverieError, match="a name of its own"):
        Plan("tiny", (row, row))


CAR_SPEC = world_spec("carracing")


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
    make_policy("random-network", CAR_SPEC.actions, np.random.default_rng(0))


def test_each_c_is_as_large_as_the_papers() -> None:
    sizes = {}
    for row in carracing_plan("paper").rows:
        if isinstance(row.player, FreshC):
            assert row.player.place == "world"  # the paper's recipe
            assert row.player.controller is not None
            features = row.player.controller.feature_size(32, 256)
            sizes[row.name] = Controller(row.player.controller, features, CAR_SPEC.actions).parameter_count
    assert sizes == {"z-linear": 99, "z-hidden": 1443, "z-and-h": 867, "untrained-m": 867}


def test_the_references_are_the_papers() -> None:
    assert [(label, str(figure)) for label, figure in carracing_plan("quick").references] == [
        ("DQN", "343 ± 18"),
        ("A3C, continuous actions", "591 ± 45"),
        ("A3C, discrete actions", "652 ± 10"),
        ("best of the Gym leaderboard", "838 ± 11"),
    ]


@pytest.mark.parametrize("preset", get_args(Preset))
def test_every_preset_has_a_plan_of_the_car(preset: Preset) -> None:
    plan = carracing_plan(preset)
    assert (plan.phases is not None) == (preset == "standard")  # the others train rows as they train their own C
    dreamt = {row.player.place == "dream" for row in plan.rows if isinstance(row.player, FreshC)}
    assert dreamt == {make_experiment("carracing", preset).trains_in_dream}  # where the main agent learns


def test_without_envpool_there_is_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_tables, "find_spec", lambda name: None)
    assert carracing_plan("standard").engine is None
    monkeypatch.setattr(paper_tables, "find_spec", lambda name: object())
    assert carracing_plan("standard").engine == ("carracing-envpool", "EnvPool")
