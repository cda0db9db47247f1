"""What `import reverie` offers, on a run that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import reverie
from reverie.dream.env import dream_vector_env
from reverie.dream.starts import Starts
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.hardware import single_thread
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN


@pytest.fixture(autouse=True)
def single_threaded() -> Iterator[None]:
    with single_thread():
        yield


def stored(finished: Path, name: str) -> Score:
    return Score.from_dict(read_json(finished / "scores" / f"{name}.json"))


def test_an_agent_is_loaded_and_acts(finished: Path) -> None:
    agent = reverie.load(str(finished))
    world = reverie.make("tiny", num_envs=3, seed=1)
    frames, _ = world.reset()
    state = agent.initial(3)
    noise = np.random.default_rng(0).standard_normal((3, 8), np.float32)
    actions, state = agent.act(state, frames, noise)
    assert actions.shape == (3, 1)
    assert len(np.unique(actions)) == 3
    frames, rewards, *_ = world.step(actions)
    assert (frames.shape, rewards.shape) == ((3, 64, 64, 3), (3,))


def test_the_score_is_the_one_that_the_command_line_gives(finished: Path) -> None:
    agent = reverie.load(finished)
    score = reverie.evaluate(agent, reverie.make("tiny", num_envs=10), episodes=12)
    np.testing.assert_allclose(score.scores, stored(finished, "agent").scores, rtol=1e-6)
    assert (score.where, score.temperature, score.seed, score.episodes) == ("world", None, 0, 12)
    other = reverie.evaluate(agent, reverie.make("tiny", num_envs=10), episodes=12, seed=1)
    assert other.scores != score.scores


def test_a_dream_is_a_world_of_features(finished: Path) -> None:
    dream = reverie.dream(finished, num_envs=5, temperature=1.3, seed=2)
    assert isinstance(dream, gym.vector.VectorEnv)
    features, _ = dream.reset(seed=2)
    assert features.shape == (5, 8 + 8)  # z and h
    assert dream.env.temperature == 1.3
    assert dream.render()[0].shape == (64, 64, 3)
    features, rewards, *_ = dream.step(np.zeros((5, 1), np.float32))
    assert np.isfinite(features).all()
    assert np.isfinite(rewards).all()
    again = reverie.dream(str(finished), num_envs=5, temperature=1.3)
    again.reset(seed=2)
    np.testing.assert_array_equal(again.step(np.zeros((5, 1), np.float32))[0], features)


def test_an_agent_is_scored_in_its_dream(finished: Path) -> None:
    agent = reverie.load(finished)
    score = reverie.evaluate(agent, reverie.dream(finished, num_envs=12), episodes=12)
    assert (score.where, score.temperature, score.world, score.episodes) == ("dream", 1.0, "tiny", 12)
    np.testing.assert_allclose(score.scores, stored(finished, "dream").scores, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda run: reverie.load("runs/none"),
            "runs/none is not a run folder (no config.json in it); 'reverie run WORLD' makes one",
        ),
        (
            lambda run: reverie.dream("runs/none"),
            "runs/none is not a run folder (no config.json in it); 'reverie run WORLD' makes one",
        ),
        (lambda run: reverie.make("tinny"), "unknown world 'tinny'; did you mean 'tiny'? 'reverie worlds' lists them"),
        (
            lambda run: reverie.evaluate(reverie.load(run), reverie.make("tiny"), episodes=0),
            "episodes is 0, expected at least 1",
        ),
        (
            lambda run: reverie.evaluate(reverie.load(run), gym.make_vec("CartPole-v1", 1)),
            "world is a CartPoleVectorEnv; expected what reverie.make or reverie.dream returns",
        ),
        (
            lambda run: reverie.evaluate(reverie.load(run), reverie.make("CartPole-v1")),
            "the agent acts in 'tiny', whose actions are not those of this world",
        ),
        (
            lambda run: reverie.dream(run, temperature=-1.0),
            "dream.temperature is -1.0, expected a finite number above 0",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call: object, message: str, finished: Path) -> None:
    assert callable(call)
    with pytest.raises(reverie.ReverieError, match=f"^{re.escape(message)}$"):
        call(finished)


def test_a_dream_of_another_run_does_not_pass_for_its_own(finished: Path) -> None:
    agent = reverie.load(finished)
    other = dream_vector_env(
        MDNRNN(MemoryConfig(latent_size=6, action_size=1, hidden_size=7, reward_head=True)),
        Starts(np.zeros((1, 6), np.float32), np.zeros((1, 6), np.float32)),
        agent.spec,
    )
    with pytest.raises(reverie.ReverieError) as error:
        reverie.evaluate(agent, other)
    assert str(error.value) == "the dream gives z and h of (6, 7) and the agent reads (8, 8); take both from one run"


def test_the_dreams_room_does_not_take_the_place_of_the_function() -> None:
    import reverie.dream.engine
    import reverie.runs.opening

    assert callable(reverie.dream)
    assert reverie.dream.__module__ == "reverie.interface"
