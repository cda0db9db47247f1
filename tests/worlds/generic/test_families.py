"""Families of environments that people know by name open by it, each at small size."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from reverie.worlds.registry import make, world_spec
from reverie.worlds.spec import ActionSpec

KNOWN = [
    ("ale_py", "ALE/Pong-v5", ActionSpec("discrete", 6)),
    ("minigrid", "MiniGrid-Empty-5x5-v0", ActionSpec("discrete", 7)),
    ("mujoco", "Reacher-v5", ActionSpec("continuous", 2)),
    ("dm_control", "dm_control/cartpole-balance-v0", ActionSpec("continuous", 1)),
    ("crafter", "CrafterReward-v1", ActionSpec("discrete", 17)),
    ("vizdoom", "VizdoomBasic-v1", ActionSpec("discrete", 4)),
    ("vizdoom", "VizdoomBasic-MultiBinary-v1", ActionSpec("mixed", 6, (2, 2, 2))),
]


@pytest.mark.parametrize(("package", "name", "actions"), KNOWN)
@pytest.mark.filterwarnings("ignore")
def test_a_family_opens_by_name(package: str, name: str, actions: ActionSpec) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    assert world_spec(name).actions == actions
    world = make(name, 1)
    frames = [world.reset(seed=3)[0][0]]
    for step in range(4):
        vector = np.zeros((1, actions.size), np.float32)
        vector[0, step % actions.size] = 1
        frames.append(world.step(vector)[0][0])
    world.close()
    assert frames[0].std() > 5
