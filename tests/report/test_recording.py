from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine, dream_returns
from reverie.dream.starts import Starts
from reverie.evaluation.score import evaluate_agent, world_seeds
from reverie.report.recording import play_episodes, record_dream, record_world
from reverie.vision.encode import decode_frames, encode_frames
from reverie.workers.pool import Workers
from tests.evaluation.parts import LATENTS, TINY, make_agent, make_vision


def test_the_middle_episode_is_filmed_with_what_v_makes_of_it() -> None:
    agent, seeds = make_agent(), world_seeds(0, 5)
    recording = record_world(agent, seeds)
    totals = sorted(episode.total_reward for episode in play_episodes(agent, seeds))
    assert recording.total == totals[2]
    assert totals[1] < totals[2] < totals[3]
    steps = len(recording.actions)
    assert recording.frames.shape == (steps + 1, 64, 64, 3)
    assert recording.seen is not None
    mu, _ = encode_frames(agent.senses.vision, recording.frames)
    np.testing.assert_array_equal(recording.seen, decode_frames(agent.senses.vision, mu))
    assert (recording.where, recording.temperature) == ("world", None)
    assert repr(recording) == f"Recording(world, steps={steps}, return={recording.total:.1f})"


def test_what_is_filmed_is_what_is_scored() -> None:
    agent = make_agent()
    with Workers(0) as workers:
        score = evaluate_agent(agent, 1, 0, workers)
    (episode,) = play_episodes(agent, world_seeds(0, 1))
    assert episode.rewards.sum(dtype=np.float64) == pytest.approx(score.mean, rel=1e-6)
    assert len(episode) > 1


def test_episodes_end_where_they_end() -> None:
    episodes = play_episodes(make_agent(), world_seeds(0, 6))
    assert len({len(episode) for episode in episodes}) > 1
    for episode in episodes:
        assert episode.terminated == (len(episode) < TINY.max_steps)
        assert (np.abs(np.diff(episode.frames.astype(int), axis=0)).sum((1, 2, 3)) > 0).any()


def test_a_dream_is_filmed_as_the_engine_counts_it() -> None:
    agent, vision = make_agent(), make_vision()
    rng = np.random.default_rng(0)
    starts = Starts(rng.normal(size=(4, LATENTS)).astype(np.float32), np.zeros((4, LATENTS), np.float32))
    engine = DreamEngine(
        agent.senses.memory, agent.controller, starts, TINY, DreamConfig(temperature=1.2, max_steps=30), torch.float32
    )
    params, seeds = agent.params.numpy()[0], [3, 4, 5]
    totals = [float(dream_returns(engine, params[None], [seed])[0][0, 0]) for seed in seeds]
    recording = record_dream(engine, params, vision, seeds)
    assert recording.total == pytest.approx(sorted(totals)[1], rel=1e-5)
    assert recording.frames.shape == (len(recording.actions) + 1, 64, 64, 3)
    assert recording.seen is None
    assert (recording.where, recording.temperature) == ("dream", 1.2)
