from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from reverie.episodes.policies import make_policy
from reverie.errors import ReverieError
from reverie.recipe.experiment import Preset
from reverie.reproduction.doom import HARDER, doom_plan
from reverie.reproduction.plan import BlindPolicy, Evolved, MainAgent, Plan, Row
from reverie.worlds.registry import world_spec


def test_the_sweep_over_tau_is_the_papers() -> None:
    rows = [row for row in doom_plan("standard").rows if isinstance(row.player, Evolved) and row.player.first_round]
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
def test_every_preset_has_a_plan(preset: Preset) -> None:
    evolution = doom_plan(preset).evolution
    assert (evolution is not None) == (preset == "standard")  # the others evolve rows as they evolve their own C
    assert evolution is None or evolution.where == "dream"


def test_a_plan_that_does_not_hold_together_is_refused() -> None:
    row = Row("main", "main agent", MainAgent(), "tiny")
    with pytest.raises(ReverieError, match="a plan compares"):
        Plan("tiny", (row,), comparisons=(("main", "sweep"),))
    with pytest.raises(ReverieError, match="a name of its own"):
        Plan("tiny", (row, row))
