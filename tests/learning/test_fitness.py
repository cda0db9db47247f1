from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reverie.agent import Agent
from reverie.dream.engine import dream_returns
from reverie.learning import fitness
from reverie.learning.arena import Arena, open_dream
from reverie.learning.fitness import returns_of
from reverie.memory.train import load_memory
from reverie.play import Played, play
from reverie.vision.train import load_vision
from reverie.workers.pool import Workers
from reverie.worlds.registry import make

SEEDS = [5, 6, 7]


@pytest.fixture
def params(arenas: dict[str, Arena]) -> np.ndarray:
    count = arenas["dream"].controller_shape().parameter_count
    return np.random.default_rng(2).normal(size=(5, count))


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with Workers(2) as workers:
        yield workers


@pytest.mark.parametrize("where", ["dream", "world"])
def test_the_number_of_workers_changes_no_bit(
    where: str, arenas: dict[str, Arena], params: np.ndarray, pool: Workers
) -> None:
    here = returns_of(arenas[where], params, SEEDS, Workers(0), (2, 2))
    there = returns_of(arenas[where], params, SEEDS, pool, (2, 2))
    np.testing.assert_array_equal(here.returns, there.returns)
    np.testing.assert_array_equal(here.steps, there.steps)
    assert here.returns.shape == (5, 3)
    assert len(np.unique(here.returns)) > 10


@pytest.mark.parametrize("where", ["dream", "world"])
def test_shards_put_every_return_in_its_place(where: str, arenas: dict[str, Arena], params: np.ndarray) -> None:
    whole = returns_of(arenas[where], params, SEEDS, Workers(0), (5, 3))
    parts = returns_of(arenas[where], params, SEEDS, Workers(0), (2, 1))
    np.testing.assert_allclose(whole.returns, parts.returns, atol=0.05)
    alone = returns_of(arenas[where], params[3:4], SEEDS[1:2], Workers(0), (1, 1))
    np.testing.assert_allclose(alone.returns, whole.returns[3:4, 1:2], atol=0.05)


def test_dreams_are_the_engines(arenas: dict[str, Arena], params: np.ndarray) -> None:
    returns, steps = dream_returns(open_dream(arenas["dream"]), params, SEEDS)
    found = returns_of(arenas["dream"], params, SEEDS, Workers(0), (5, 3))
    np.testing.assert_array_equal(found.returns, returns)
    np.testing.assert_array_equal(found.steps, steps)


def test_the_world_is_played_as_an_agent_would(arenas: dict[str, Arena], params: np.ndarray) -> None:
    """Against Agent.act in a single world, z not sampled."""
    world = arenas["world"]
    arena = replace(world, controller=replace(world.controller, sample_z=False))
    found = returns_of(arena, params, SEEDS, Workers(0), (5, 3))
    assert arena.vision is not None
    assert arena.memory is not None
    vision, memory = load_vision(arena.vision), load_memory(arena.memory)
    for p in (0, 4):
        agent = Agent(vision, memory, arena.controller_shape(), params[p], arena.spec)
        for e, seed in enumerate(SEEDS):
            world = make("tiny", 1)
            frames, state, total, over, steps = world.reset(seed=[seed])[0], agent.initial(1), 0.0, False, 0
            while not over and steps < 12:
                actions, state = agent.act(state, frames)
                frames, rewards, terminated, truncated, _ = world.step(actions)
                total, steps, over = total + float(rewards[0]), steps + 1, bool(terminated[0] | truncated[0])
            assert found.returns[p, e] == pytest.approx(total, abs=0.05)
            assert found.steps[p, e] == steps


def test_only_who_extrapolates_is_told_how_long_an_episode_is(
    arenas: dict[str, Arena], params: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int | None, ...]] = []

    def record(*args: Any) -> Played:
        told.append(args[4:])
        return play(*args)

    monkeypatch.setattr(fitness, "play", record)
    for give_up in ("keep", "extrapolate"):
        arena = replace(arenas["world"], patience=4, give_up=give_up)  # type: ignore[arg-type]
        returns_of(arena, params[:1], SEEDS[:1], Workers(0), (1, 1))
    assert told == [(12, 4, None), (12, 4, 12)]


def test_progress_is_told(arenas: dict[str, Arena], params: np.ndarray) -> None:
    told: list[float] = []
    returns_of(arenas["dream"], params, SEEDS, Workers(0), (2, 2), told.append)
    np.testing.assert_allclose(told, np.arange(1, 7) / 6)
