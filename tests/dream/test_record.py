"""A recorded dream is the dream that the engine counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.controller.senses import AgentState, features
from reverie.dream.config import DreamConfig
from reverie.dream.engine import dream_returns
from reverie.dream.noise import EpisodeNoise
from reverie.dream.record import dream_episode, dream_on
from reverie.memory.lstm import LSTMState
from reverie.worlds.spec import WorldSpec
from tests.dream import parts


@pytest.mark.parametrize("spec", [parts.SURVIVAL, parts.PREDICTED], ids=lambda spec: spec.reward)
def test_a_recorded_dream_is_the_one_that_is_counted(spec: WorldSpec) -> None:
    engine = parts.engine(spec, DreamConfig(done="sample", max_steps=30))
    params = parts.candidates(engine.controller, 1)
    returns, steps = dream_returns(engine, params, range(6))
    assert steps.min() < 30 == steps.max()
    for seed in range(6):
        episode = dream_episode(engine, params[0], seed)
        length = int(steps[0, seed])
        assert episode.latents.shape == (length + 1, parts.LATENT)
        assert episode.actions.shape == (length, 3)
        assert (abs(episode.actions) <= 1).all()
        assert episode.rewards.sum() == pytest.approx(returns[0, seed], rel=1e-3, abs=1e-3)
        assert episode.terminated == (length < 30)
        assert len(np.unique(episode.latents, axis=0)) == length + 1


def state(h: float, restart: float) -> AgentState:
    cells = torch.linspace(-h, h, parts.HIDDEN)[None]
    return AgentState(LSTMState(cells, 2 * cells), torch.tensor([restart]))


@pytest.mark.parametrize("compiled", [True, False])
def test_who_has_just_begun_dreams_on_as_if_asleep_from_the_start(compiled: bool) -> None:
    engine = parts.engine(parts.PREDICTED, compiled=compiled)
    (params,) = parts.candidates(engine.controller, 1)
    whole = dream_episode(engine, params, 3)
    z = torch.from_numpy(engine.starts.draw(EpisodeNoise(3).start))[None]
    found = dream_on(engine, params, 3, z, state(0, restart=1), engine.max_steps)
    np.testing.assert_array_equal(found.latents, whole.latents)
    np.testing.assert_array_equal(found.rewards, whole.rewards)


def test_a_dream_goes_on_from_what_was_seen_and_remembered() -> None:
    engine = parts.engine(parts.PREDICTED)
    (params,) = parts.candidates(engine.controller, 1)
    z = torch.ones(1, parts.LATENT)
    awake = state(0.7, restart=0)
    found = dream_on(engine, params, 3, z, awake, max_steps=5)
    seen = features(engine.controller.config, z, awake.memory)
    weights = torch.from_numpy(params.astype(np.float32))[None]
    np.testing.assert_allclose(found.actions[0], engine.controller.act(weights, seen[None])[0, 0], atol=1e-6)
    np.testing.assert_array_equal(found.latents[0], z[0])
    assert len(found.actions) == 5
    for other in (state(0, restart=0), state(0.7, restart=1)):
        assert (dream_on(engine, params, 3, z, other, max_steps=5).latents[1] != found.latents[1]).any()


def test_it_prints_its_size() -> None:
    engine = parts.engine()
    episode = dream_episode(engine, parts.candidates(engine.controller, 1)[0], 0)
    steps = len(episode.actions)
    assert repr(episode) == f"DreamEpisode(steps={steps}, return={steps}.0, terminated={steps < 60})"
