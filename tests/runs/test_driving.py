"""The agent that drives what a round collects, and what disturbs it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reverie.runs.driving import Drivers
from reverie.worlds.spec import ActionSpec, WorldSpec


@pytest.mark.parametrize(("repeat", "longest"), [(1, 30), (4, 7), (35, 1)])
def test_random_actions_are_held_for_up_to_30_steps_of_the_game(repeat: int, longest: int) -> None:
    spec = WorldSpec("small", ActionSpec("three-way", 1), "survival", 60, repeat=repeat)
    agent: Any = SimpleNamespace(spec=spec, initial=lambda count: None)
    drivers, held, lengths = Drivers(agent, 1.0, 1), 0, set()
    drivers._rng = [np.random.default_rng(0)]
    for _ in range(5000):
        drivers._disturb(0, np.zeros((1, 1), np.float32))
        held += 1
        if drivers._left[0] == 0:
            lengths.add(held)
            held = 0
    assert lengths == set(range(1, longest + 1))
