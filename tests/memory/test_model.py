"""M: the paper's parameter counts, and `step` against `forward`."""

from __future__ import annotations

import pytest
import torch

from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN

CAR = MemoryConfig()
DOOM = MemoryConfig(latent_size=64, action_size=1, hidden_size=512, restart_input=True, done_head=True)
SMALL = MemoryConfig(
    latent_size=4, action_size=2, hidden_size=8, restart_input=True, done_head=True, reward_head=True, action_head=True
)


@pytest.mark.parametrize(("config", "count"), [(CAR, 422_368), (DOOM, 1_678_785)])
def test_paper_parameter_count(config: MemoryConfig, count: int) -> None:
    model = MDNRNN(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_heads_add_only_their_own_rows() -> None:
    with_reward = MDNRNN(MemoryConfig(reward_head=True))
    assert sum(parameter.numel() for parameter in with_reward.parameters()) == 422_368 + 257


def test_step_equals_forward() -> None:
    model = MDNRNN(SMALL, seed=3)
    generator = torch.Generator().manual_seed(0)
    z, a = torch.randn(3, 6, 4, generator=generator), torch.randn(3, 6, 2, generator=generator)
    restart = torch.rand(3, 6, generator=generator) < 0.3
    end, window = model(model.initial_state(3), z, a, restart)
    state = model.initial_state(3)
    for t in range(6):
        state, prediction = model.step(state, z[:, t], a[:, t], restart[:, t])
        for one, whole in zip(prediction, window, strict=True):
            torch.testing.assert_close(one, whole[:, t])
    torch.testing.assert_close(state, end)
