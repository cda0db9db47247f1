"""A recorded dream is the dream that the engine counts."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.dreaming.config import DreamConfig
from reverie.dreaming.engine import dream_returns
from reverie.dreaming.record import dream_episode
from reverie.worlds.spec import WorldSpec
from tests.dreaming import parts


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


def test_it_prints_its_size() -> None:
    engine = parts.engine()
    episode = dream_episode(engine, parts.candidates(engine.controller, 1)[0], 0)
    steps = len(episode.actions)
    assert repr(episode) == f"DreamEpisode(steps={steps}, return={steps}.0, terminated={steps < 60})"
