"""Many Cs tried by many workers: every return in its place, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from reverie.agent import Agent
from reverie.dream.config import DreamConfig
from reverie.memory.train import load_memory
from reverie.play.candidates import Task, returns_of, try_candidates
from reverie.play.env_spec import EnvSpec
from reverie.vision.train import load_vision
from reverie.workers.pool import Workers
from reverie.worlds.registry import make
from tests.dream import parts

SEEDS = [5, 6, 7]


@pytest.fixture
def params(envs: dict[str, EnvSpec]) -> np.ndarray:
    count = envs["dream"].controller_shape().parameter_count
    return np.random.default_rng(2).normal(size=(5, count))


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with Workers(2) as workers:
        yield workers


@pytest.mark.parametrize("place", ["dream", "guarded", "world"])
def test_the_number_of_workers_changes_no_bit(
    place: str, envs: dict[str, EnvSpec], params: np.ndarray, pool: Workers
) -> None:
    config = DreamConfig(1.2, "sample", 12, "replay", 0.2, ensemble_size=2)
    members = tuple(folder.with_name("memory-2") for folder in (envs["dream"].memory,) if folder)
    env = envs.get(place) or replace(envs["dream"], dream=config, members=members)
    here = returns_of(env, params, SEEDS, Workers(0), (2, 2))
    there = returns_of(env, params, SEEDS, pool, (2, 2))
    np.testing.assert_array_equal(here.returns, there.returns)
    np.testing.assert_array_equal(here.steps, there.steps)
    assert here.returns.shape == (5, 3)
    assert len(np.unique(here.returns)) > 10


@pytest.mark.parametrize("place", ["dream", "world"])
def test_chunks_put_every_return_in_its_place(place: str, envs: dict[str, EnvSpec], params: np.ndarray) -> None:
    whole = returns_of(envs[place], params, SEEDS, Workers(0), (5, 3))
    by_parts = returns_of(envs[place], params, SEEDS, Workers(0), (2, 1))
    np.testing.assert_allclose(whole.returns, by_parts.returns, atol=0.05)
    alone = try_candidates(Task(envs[place], params[3:4], (SEEDS[1],)))
    np.testing.assert_allclose(alone.returns, whole.returns[3:4, 1:2], atol=0.05)


def test_dreams_are_the_engines(envs: dict[str, EnvSpec], params: np.ndarray) -> None:
    (engine,) = envs["dream"].engines()
    expected = parts.dream_returns(engine, params, SEEDS, max_steps=12)
    found = returns_of(envs["dream"], params, SEEDS, Workers(0), (5, 3))
    np.testing.assert_array_equal(found.returns, expected.returns)
    np.testing.assert_array_equal(found.steps, expected.steps)


def test_the_world_is_played_as_an_agent_would(envs: dict[str, EnvSpec], params: np.ndarray) -> None:
    """Against Agent.act in a single world, z not sampled."""
    env = replace(envs["world"], controller=replace(envs["world"].controller, sample_z=False))
    found = returns_of(env, params, SEEDS, Workers(0), (5, 3))
    assert env.vision is not None
    assert env.memory is not None
    vision, memory = load_vision(env.vision), load_memory(env.memory)
    for p in (0, 4):
        agent = Agent(vision, memory, env.controller_shape(), params[p], env.spec)
        for e, seed in enumerate(SEEDS):
            world = make("tiny", 1)
            frames, state, total, over, steps = world.reset(seed=[seed])[0], agent.initial(1), 0.0, False, 0
            while not over and steps < 12:
                actions, state = agent.act(state, frames)
                frames, rewards, terminated, truncated, _ = world.step(actions)
                total, steps, over = total + float(rewards[0]), steps + 1, bool(terminated[0] | truncated[0])
            assert found.returns[p, e] == pytest.approx(total, abs=0.05)
            assert found.steps[p, e] == steps


def test_progress_is_told(envs: dict[str, EnvSpec], params: np.ndarray) -> None:
    told: list[float] = []
    returns_of(envs["dream"], params, SEEDS, Workers(0), (2, 2), told.append)
    np.testing.assert_allclose(told, np.arange(1, 7) / 6)
