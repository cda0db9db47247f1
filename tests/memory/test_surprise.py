from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.memory.surprise import surprise, usual_surprise
from reverie.vision.latents import LatentEpisode
from reverie.worlds.spec import ActionSpec

ACTIONS = ActionSpec("driving", 3)


def make_episode(steps: int, seed: int = 0) -> LatentEpisode:
    rng = np.random.default_rng(seed)
    return LatentEpisode(
        mu=rng.normal(size=(steps + 1, 4)).astype(np.float16),
        logvar=np.zeros((steps + 1, 4), np.float16),
        actions=rng.uniform(-1, 1, (steps, 3)).astype(np.float32),
        rewards=np.zeros(steps, np.float32),
        terminated=True,
    )


@pytest.fixture
def memory() -> MDNRNN:
    return MDNRNN(MemoryConfig(latent_size=4, action_size=3, hidden_size=8, restart_input=True), seed=2)


@torch.no_grad()
def test_surprise_is_the_loss_of_each_real_step(memory: MDNRNN) -> None:
    episode, expected, state = make_episode(9), [], memory.initial_state(1)
    felt = ACTIONS.for_memory(episode.actions)
    for t in range(9):
        z, a = torch.from_numpy(episode.mu[t : t + 1].astype(np.float32)), torch.from_numpy(felt[t : t + 1])
        state, said = memory.step(state, z, a, torch.tensor([float(t == 0)]))
        logits, mean, log_std = (part.double().numpy()[0] for part in (said.logits, said.mean, said.log_std))
        density = stats.norm(mean, np.exp(log_std)).logpdf(episode.mu[t + 1].astype(np.float64)[:, None])
        expected.append(-special.logsumexp(special.log_softmax(logits, -1) + density, axis=-1).mean())
    np.testing.assert_allclose(surprise(memory, ACTIONS, episode), expected, rtol=1e-4)


def test_what_is_usual_is_told_by_every_step(memory: MDNRNN) -> None:
    episodes = [make_episode(5), make_episode(20, 1)]
    nats = np.concatenate([surprise(memory, ACTIONS, episode) for episode in episodes])
    mean, spread = usual_surprise(memory, ACTIONS, episodes)
    assert mean == pytest.approx(nats.mean(), rel=1e-5)
    assert spread == pytest.approx(nats.std(), rel=1e-5)
