from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.senses import AgentState, Senses, features
from reverie.errors import ReverieError
from reverie.hardware import single_thread
from reverie.memory.config import MemoryConfig
from reverie.memory.heads import survival_of
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.vision.encode import encode_frames
from reverie.vision.model import ConvVAE, fast_copy
from reverie.worlds.spec import ActionSpec

Z, H = 4, 6
ACTIONS = ActionSpec("three-way", 1)
VISION = ConvVAE(Z)
MEMORY = MDNRNN(MemoryConfig(latent_size=Z, action_size=1, hidden_size=H, restart_input=True), seed=1)


def sees(names: str) -> ControllerConfig:
    return ControllerConfig(inputs=tuple(names.split()))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.mark.parametrize("names", ["z", "z h", "z c h"])
def test_features_stand_in_the_papers_order(names: str) -> None:
    parts = {"z": torch.full((5, Z), 1.0), "h": torch.full((5, H), 2.0), "c": torch.full((5, H), 3.0)}
    seen = features(sees(names), parts["z"], LSTMState(h=parts["h"], c=parts["c"]))
    assert torch.equal(seen, torch.cat([parts[name] for name in names.split()], -1))


@pytest.mark.parametrize(("kind", "expected"), [("continuous", torch.tanh), ("discrete", lambda x: x.softmax(-1))])
def test_c_may_see_the_action_that_m_expects(kind: str, expected: Callable[[torch.Tensor], torch.Tensor]) -> None:
    config = MemoryConfig(latent_size=Z, action_size=2, hidden_size=H, done_head=True, action_head=True)
    memory, state = MDNRNN(config, seed=1), LSTMState(h=torch.rand(5, H), c=torch.rand(5, H))
    actions = ActionSpec(kind, 2)  # type: ignore[arg-type]
    senses = Senses(VISION, memory, sees("z c h action"), actions)
    z = torch.rand(5, Z)
    seen = senses.features(AgentState(state, torch.zeros(5)), z)
    said = memory.predict(state.h).action
    assert said is not None
    assert seen.shape == (5, senses.feature_size) == (5, Z + 2 * H + 2)
    torch.testing.assert_close(seen, torch.cat([z, state.c, state.h, expected(said).detach()], -1))


@pytest.mark.parametrize("names", ["z h survival", "z c h survival"])
def test_c_may_see_ms_survival_head(names: str) -> None:
    config = MemoryConfig(latent_size=Z, action_size=1, hidden_size=H, done_head=True, survival_head=(1, 4))
    memory, state = MDNRNN(config, seed=1), LSTMState(h=torch.rand(5, H), c=torch.rand(5, H))
    actions, z = ActionSpec("three-way", 1), torch.rand(5, Z)
    senses = Senses(VISION, memory, sees(names), actions)
    seen = senses.features(AgentState(state, torch.zeros(5)), z)
    assert seen.shape == (5, senses.feature_size)
    kept = [state.c, state.h] if " c " in names else [state.h]
    torch.testing.assert_close(seen, torch.cat([z, *kept, survival_of(memory, actions)(z, state)], -1))


def test_an_m_without_an_action_head_expects_nothing_of_c() -> None:
    with pytest.raises(ReverieError, match=r"^C sees the action that M expects, and M has no action head; train M"):
        Senses(VISION, MEMORY, sees("z h action"), ACTIONS)


def some_state() -> AgentState:
    return AgentState(LSTMState(torch.rand(3, H), torch.rand(3, H)), torch.zeros(3))


def test_an_episode_starts_from_nothing() -> None:
    before = some_state()
    after = before.restarted(np.array([False, True, False]))
    assert after.restart.tolist() == [0, 1, 0]
    for old, new in zip(before.memory, after.memory, strict=True):
        assert (new[1] == 0).all()
        assert torch.equal(new[[0, 2]], old[[0, 2]])
    assert before.restart.tolist() == [0, 0, 0]


def test_rows_go_out_and_come_back() -> None:
    before, index = some_state(), torch.tensor([2, 0])
    part = before.rows(index)
    assert torch.equal(part.memory.c, before.memory.c[index])
    other = AgentState(LSTMState(part.memory.h + 1, part.memory.c + 2), part.restart + 1)
    after = before.replaced(index, other)
    assert torch.equal(after.memory.h[1], before.memory.h[1])
    assert torch.equal(after.memory.h[index], before.memory.h[index] + 1)
    assert torch.equal(after.memory.c[index], before.memory.c[index] + 2)
    assert after.restart.tolist() == [1, 0, 1]


def test_z_is_drawn_from_what_v_sees() -> None:
    frames = np.random.default_rng(5).integers(0, 256, (3, 64, 64, 3), np.uint8)
    noise = np.random.default_rng(6).standard_normal((3, Z), np.float32)
    mu, logvar = (out.numpy() for out in encode_frames(fast_copy(VISION), frames))
    drawn = Senses(VISION, None, sees("z"), ACTIONS).see(frames, noise)
    np.testing.assert_allclose(drawn, mu + np.exp(logvar / 2) * noise, atol=1e-6)
    plain = Senses(VISION, None, ControllerConfig(("z",), sample_z=False), ACTIONS).see(frames, None)
    np.testing.assert_array_equal(plain, mu)


@pytest.mark.parametrize(("output", "encoded"), [(-0.9, -1.0), (0.1, 0.0), (0.5, 1.0)])
def test_m_follows_what_the_world_felt(output: float, encoded: float) -> None:
    senses = Senses(VISION, MEMORY, sees("z h"), ACTIONS)
    z = torch.rand(3, Z)
    after = senses.follow(some_state().restarted(np.ones(3, bool)), z, torch.full((3, 1), output))
    with torch.no_grad():
        expected, _ = MEMORY.step(MEMORY.initial_state(3), z, torch.full((3, 1), encoded), torch.ones(3))
    assert torch.equal(after.memory.h, expected.h)
    assert after.restart.tolist() == [0, 0, 0]


def test_sizes() -> None:
    senses = Senses(VISION, MEMORY, sees("z c h"), ACTIONS)
    assert senses.feature_size == Z + 2 * H
    assert senses.features(senses.initial(5), torch.zeros(5, Z)).shape == (5, Z + 2 * H)


def test_refuses_m_that_is_missing() -> None:
    with pytest.raises(ReverieError) as error:
        Senses(VISION, None, sees("z h"), ACTIONS)
    assert str(error.value) == "controller.inputs are ['z', 'h'], and there is no M; train M, or see z alone"
