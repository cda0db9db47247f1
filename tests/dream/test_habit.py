"""Dreams of a C that sees the action that M expects of it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine, dream_returns
from reverie.dream.env import DreamVectorEnv
from reverie.dream.noise import EpisodeNoise
from reverie.errors import ReverieError
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN
from tests.dream import parts

CONFIG = DreamConfig(temperature=1.1, done="sample")


def habitual(features: Literal["zha", "zcha"], model: MDNRNN) -> DreamEngine:
    shape = ControllerConfig(features=features)
    controller = Controller(shape, shape.feature_size(parts.LATENT, parts.HIDDEN, 3), parts.ACTIONS)
    return DreamEngine(model, controller, parts.starts(), parts.PREDICTED, CONFIG, torch.float32)


@torch.no_grad()
def by_the_book(engine: DreamEngine, model: MDNRNN, params: np.ndarray, seed: int) -> tuple[float, int]:
    noise, total = EpisodeNoise(seed), 0.0
    z, state = torch.from_numpy(engine.starts.draw(noise.start))[None], model.initial_state(1)
    for step in range(engine.max_steps):
        expected = model.predict(state.h).action
        assert expected is not None
        kept = [state.c, state.h] if engine.controller.config.features == "zcha" else [state.h]
        seen = torch.cat([z, *kept, expected.tanh()], -1)
        action = engine.controller.act(torch.as_tensor(params).float()[None], seen[None])[0]
        state, said = model.step(state, z, parts.ACTIONS.for_memory(action), torch.tensor([float(step == 0)]))
        draws = noise.draw(1, parts.LATENT)
        uniform, spread = torch.from_numpy(draws.component), torch.from_numpy(draws.spread)
        z = sample(said.logits, said.mean, said.log_std, 1.1, uniform, spread)
        total += float(said.reward)
        if torch.sigmoid(said.done_logit) > float(draws.ending[0]):
            return total, step + 1
    return total, engine.max_steps


@pytest.mark.parametrize("features", ["zha", "zcha"])
def test_dreams_of_a_c_that_sees_what_m_expects(features: Literal["zha", "zcha"]) -> None:
    model = parts.memory(action_head=True)
    engine = habitual(features, model)
    params = parts.candidates(engine.controller)
    returns, steps = dream_returns(engine, params, range(4))
    book = [[by_the_book(engine, model, one, seed) for seed in range(4)] for one in params]
    np.testing.assert_array_equal(steps, [[length for _, length in row] for row in book])
    np.testing.assert_allclose(returns, [[total for total, _ in row] for row in book], rtol=1e-3, atol=1e-3)
    env = DreamVectorEnv(model, engine.starts, engine.spec, CONFIG, features=features, dtype=torch.float32)
    seen, _ = env.reset(seed=2)
    total = 0.0
    for _ in range(steps[0, 2]):
        weights = torch.as_tensor(params[0]).float()[None]
        seen, reward, *_ = env.step(engine.controller.act(weights, torch.from_numpy(seen)[None])[0].numpy())
        total += float(reward[0])
    assert total == pytest.approx(returns[0, 2], rel=1e-3, abs=1e-3)


def test_an_m_without_the_head_is_refused() -> None:
    with pytest.raises(ReverieError, match="M has no action head; train M with action_head"):
        habitual("zha", parts.memory())
