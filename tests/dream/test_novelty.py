"""Novelty: what is unlike the recorded latents is worth something to a C that learns in the dream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.dream.engine import Dream, DreamEngine
from reverie.dream.novelty import MOST, Novelty, fit_novelty
from reverie.feature_env import Step
from reverie.vision.latents import LatentEpisode
from tests.memory.orbits import Orbits

from . import parts


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    return fit_novelty(Orbits([40] * 6), 2.0, seed=0)


def test_what_was_recorded_is_nothing_new_and_what_lies_far_from_it_is(novelty: Novelty) -> None:
    orbits = Orbits([40] * 6)
    recorded = torch.from_numpy(orbits.episode(2).mu.astype(np.float32))
    rewards = np.concatenate([orbits.episode(index).rewards for index in range(6)])
    size = float(np.sqrt(np.square(rewards.astype(np.float64)).mean()))
    far = novelty(recorded.mean(0) + 6 * recorded.std(0) * torch.tensor([[1.0], [-1.0]]))
    assert novelty(recorded).mean() < 0.1 * far.mean()
    assert far.tolist() == pytest.approx([2 * size * MOST] * 2)  # the most that a step is worth


def test_it_is_a_function_of_the_seed(novelty: Novelty) -> None:
    z = torch.randn(5, len(novelty.mean), generator=torch.Generator().manual_seed(1))
    again, other = (fit_novelty(Orbits([40] * 6), 2.0, seed=seed) for seed in (0, 1))
    assert torch.equal(again.errors(z), novelty.errors(z))
    assert not torch.allclose(other.errors(z), novelty.errors(z))


class Still:
    """Two episodes without any reward."""

    entries = Orbits([5, 5]).entries

    def episode(self, index: int) -> LatentEpisode:
        found = Orbits([5, 5]).episode(index)
        return LatentEpisode(found.mu, found.logvar, found.actions, np.zeros_like(found.rewards), found.terminated)


def test_without_any_reward_its_unit_is_1() -> None:
    assert fit_novelty(Still(), 3.0, seed=0).unit == 3.0  # type: ignore[arg-type]


def test_a_dream_pays_for_what_is_new_beside_its_rewards() -> None:
    found = fit_novelty(Orbits([40] * 6, parts.LATENT), 2.0, seed=0)  # type: ignore[arg-type]

    def step(novelty: Novelty | None) -> tuple[Tensor, Step]:
        spec, inputs = parts.PREDICTED, ControllerConfig()
        engine = DreamEngine(parts.memory(), parts.starts(), spec, parts.SAMPLED, inputs, novelty=novelty)
        dream = Dream(engine, 3)
        dream.begin(torch.arange(3), [1, 2, 3])
        outcome = dream.step(torch.zeros(3, spec.actions.size))
        return dream.rows.z, outcome

    (z, paid), (_, plain) = step(found), step(None)
    assert plain.penalty is None
    assert paid.penalty is not None
    torch.testing.assert_close(paid.penalty, -found(z))
    assert paid.penalty.min() < 0
    torch.testing.assert_close(paid.reward, plain.reward)
