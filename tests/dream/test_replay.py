"""Dreams that begin inside recorded episodes, with the state that M has there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.dream.engine import Dream
from reverie.dream.replay import replay_starts
from reverie.errors import ReverieError
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.vision.latents import LatentEntry, LatentEpisode, Latents, Part, part_path, write_part
from tests.dream import parts


def recorded_in(folder: Path, lengths: range) -> Latents:
    """Episodes of so many steps whose latents are certain."""
    rng = np.random.default_rng(3)
    episodes = [
        LatentEpisode(
            mu=rng.normal(size=(steps + 1, parts.LATENT)).astype(np.float16),
            logvar=np.full((steps + 1, parts.LATENT), -40, np.float16),
            actions=rng.uniform(-1, 1, (steps, 3)).astype(np.float32),
            rewards=np.zeros(steps, np.float32),
            terminated=True,
        )
        for steps in lengths
    ]
    entries = tuple(LatentEntry(i, len(episode), 0.0, True, f"{i}") for i, episode in enumerate(episodes))
    write_part(part_path(folder, 0), Part("v", entries), episodes)
    return Latents(folder)


@pytest.fixture
def recorded(tmp_path: Path) -> Latents:
    return recorded_in(tmp_path, range(1, 13))


def followed(model: MDNRNN, episode: LatentEpisode, step: int) -> LSTMState:
    state = model.initial_state(1)
    with torch.no_grad():
        for t in range(step):
            z = torch.from_numpy(episode.mu[t : t + 1].astype(np.float32))
            a = parts.ACTIONS.for_memory(torch.from_numpy(episode.actions[t : t + 1]))
            state = model.absorb(state, z, a, torch.tensor([float(t == 0)]))
    return state


def test_they_hold_the_state_of_every_memory_that_followed_the_episode(recorded: Latents) -> None:
    models = (parts.memory(), parts.memory(seed=11))
    starts = replay_starts(models, recorded, parts.ACTIONS)
    assert repr(starts) == "ReplayStarts(66, latent_size=6, memories=2)"  # an episode of one step has no inside
    for place in range(66):
        found = [
            (episode, t)
            for episode in map(recorded.episode, range(1, 12))
            for t in range(1, len(episode))
            if (episode.mu[t].astype(np.float32) == starts.mu[place]).all()
        ]
        ((episode, t),) = found
        for model, hidden in zip(models, starts.hidden, strict=True):
            state = followed(model, episode, t)
            np.testing.assert_allclose(hidden.h[place], state.h[0], atol=1e-5)
            np.testing.assert_allclose(hidden.c[place], state.c[0], atol=1e-5)


def test_fewer_are_spread_evenly_over_the_steps(recorded: Latents) -> None:
    starts = replay_starts((parts.memory(),), recorded, parts.ACTIONS, limit=24)
    assert len(starts) == 24
    longest = recorded.episode(11).mu[1:-1].astype(np.float32)
    assert sum((frame == starts.mu).all(1).sum() for frame in longest) == 4  # 11 of the 66 steps inside episodes


def test_dreams_begin_with_the_state_of_their_start(recorded: Latents) -> None:
    model = parts.memory()
    starts = replay_starts((model,), recorded, parts.ACTIONS)
    dream = Dream(parts.engine(model=model, begin=starts), 30)
    dream.begin(torch.arange(30), range(30))
    z, (h, c), _ = dream.observe()
    place = torch.cdist(c, starts.hidden[0].c).argmin(1)
    assert len(place.unique()) > 10
    assert torch.equal(c, starts.hidden[0].c[place])
    assert torch.equal(h, starts.hidden[0].h[place])
    torch.testing.assert_close(z, torch.from_numpy(starts.mu)[place])
    assert not dream.rows.restart.any()


def test_dreams_cannot_begin_inside_episodes_of_one_step(tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        replay_starts((parts.memory(),), recorded_in(tmp_path, range(1, 2)), parts.ACTIONS)
    assert str(error.value) == (
        f"{Latents(tmp_path)!r} holds no episode of two steps, so no dream can begin inside one; "
        "set dream.starts to initial, or collect longer episodes"
    )
