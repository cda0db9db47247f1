from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.dream.engine import Dream
from reverie.errors import ReverieError
from reverie.evaluation import shards
from reverie.evaluation.score import (
    Score,
    evaluate_agent,
    evaluate_dream,
    evaluate_policy,
    evaluate_random,
    histogram,
    world_seeds,
)
from reverie.evaluation.shards import Blindfold
from reverie.files.checkpoint import Checkpoint, save_checkpoint
from reverie.files.training import pack
from reverie.play.env_spec import EnvSpec
from reverie.play.loop import Limits, Population, play
from reverie.vision.latents import LatentEntry, Part, part_path, write_part
from reverie.workers.pool import Workers
from reverie.workers.seeds import EVALUATION_SEED_BASE, evaluation_seeds, training_seeds
from reverie.worlds.tiny import TINY, FollowGames
from reverie.worlds.vector import Outcome, WorldVectorEnv
from tests.evaluation.parts import HIDDEN, LATENTS, make_agent, make_latents, make_memory


def test_a_score_has_exactly_the_fields_that_scripts_rely_on() -> None:
    score = Score.of([1.0, 2.0, 6.0], "tiny", 7, "dream", 1.15)
    std = math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 3)
    assert score.as_dict() == {
        "world": "tiny",
        "where": "dream",
        "temperature": 1.15,
        "episodes": 3,
        "seed": 7,
        "mean": 3.0,
        "std": pytest.approx(std, rel=1e-15),
        "min": 1.0,
        "max": 6.0,
        "scores": [1.0, 2.0, 6.0],
    }
    assert repr(score) == "Score(tiny, dream at tau 1.15: 3.0 ± 2.2 over 3 episodes)"


def test_a_score_survives_json() -> None:
    score = Score.of([0.1, -3.7, 1e6 / 3], "doom", 0)
    assert Score.from_dict(json.loads(json.dumps(score.as_dict()))) == score


def without(key: str) -> dict[str, Any]:
    data = Score.of([1.0, 2.0], "tiny", 0).as_dict()
    del data[key]
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (without("scores"), "a.json is not a score (KeyError('scores')); delete it and evaluate again"),
        (
            Score.of([1.0, 2.0], "tiny", 0).as_dict() | {"mean": 9.0},
            "a.json was altered: its figures do not follow from its scores; delete it and evaluate again",
        ),
        (without("std"), "a.json was altered: its figures do not follow from its scores; delete it and evaluate again"),
        (
            [],
            "a.json is not a score (TypeError('list indices must be integers or slices, not str')); "
            "delete it and evaluate again",
        ),
    ],
)
def test_a_damaged_score_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        Score.from_dict(data, "a.json")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "a score needs at least one episode, found 0"),
        ([1.0, math.nan], "episode 1 in tiny returned nan, expected a finite number"),
        ([math.inf], "episode 0 in tiny returned inf, expected a finite number"),
    ],
)
def test_returns_that_make_no_score(scores: list[float], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        Score.of(scores, "tiny", 0)
    assert str(error.value) == message


def test_histogram_shares_round_edges_and_loses_no_episode() -> None:
    first, second = Score.of([3, 499, 2100], "doom", 0), Score.of([100.0, 250.0], "doom", 0)
    edges, (a, b) = histogram([first, second])
    assert edges[0] == 0
    assert edges[1] == 100
    assert edges[-1] > 2100
    assert a.sum() == 3
    assert b.sum() == 2
    assert b[1] == b[2] == 1  # 100 lies in [100, 200), 250 in [200, 300)


def test_histogram_of_equal_scores() -> None:
    edges, (counts,) = histogram([Score.of([7.0] * 5, "tiny", 0)])
    assert counts.tolist() == [5]
    assert edges.tolist() == [7, 8]


def test_evaluation_never_plays_a_seed_of_training() -> None:
    seeds = world_seeds(0, 1000)
    assert min(seeds) >= EVALUATION_SEED_BASE > max(training_seeds(0, "world", count=1000))
    assert len(set(seeds)) == 1000
    assert world_seeds(0, 10) == seeds[:10]
    assert world_seeds(1, 10) != seeds[:10]


def test_no_episodes_is_a_users_error() -> None:
    with Workers(0) as workers, pytest.raises(ReverieError) as error:
        evaluate_random("tiny", 0, 0, workers)
    assert str(error.value) == "episodes is 0, expected at least 1"


def test_scores_do_not_depend_on_the_number_of_workers() -> None:
    agent = make_agent()
    with Workers(0) as here, Workers(2) as spread:
        alone, together = evaluate_agent(agent, 23, 5, here), evaluate_agent(agent, 23, 5, spread)
        random_alone, random_together = evaluate_random("tiny", 23, 5, here), evaluate_random("tiny", 23, 5, spread)
    assert alone == together
    assert random_alone == random_together
    assert len(set(alone.scores)) > 10  # real episodes, not one figure repeated
    assert alone.scores != random_alone.scores
    assert (alone.world, alone.where, alone.temperature, alone.episodes, alone.seed) == ("tiny", "world", None, 23, 5)


def test_a_longer_score_begins_with_the_shorter_one() -> None:
    with Workers(0) as workers:
        assert evaluate_random("tiny", 25, 0, workers).scores[:20] == evaluate_random("tiny", 20, 0, workers).scores


def test_the_random_baseline_is_the_worlds_random_policy() -> None:
    with Workers(0) as workers:
        assert evaluate_random("tiny", 10, 0, workers) == evaluate_policy("tiny", "uniform", 10, 0, workers)
        assert evaluate_random("tiny", 10, 0, workers) != evaluate_policy("tiny", "sweep", 10, 0, workers)


def test_a_blinded_agent_sees_each_episodes_first_frame_for_ever() -> None:
    world = Blindfold(WorldVectorEnv(TINY, FollowGames(3)))
    first, _ = world.reset(seed=[1, 2, 3])
    assert (first[0] != first[1]).any()
    for _ in range(5):
        shown, rewards, *_ = world.step(np.ones((3, 1), np.float32))
        np.testing.assert_array_equal(shown, first)
        assert (rewards > 0).any()
    assert (world.env.render()[0] != first[0]).any()  # type: ignore[index]
    again, _ = world.reset(seed=[7, 8, 9], options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(again[[0, 2]], first[[0, 2]])
    assert (again[1] != first[1]).any()
    np.testing.assert_array_equal(world.step(np.ones((3, 1), np.float32))[0], again)


def test_a_blinded_agent_plays_on_the_same_seeds_by_what_it_remembers() -> None:
    agent = make_agent()
    with Workers(0) as workers:
        seeing, blinded = (evaluate_agent(agent, 6, 0, workers, blinded=blinded) for blinded in (False, True))
    assert (blinded.world, blinded.seed, blinded.episodes) == (seeing.world, seeing.seed, seeing.episodes)
    assert blinded.scores != seeing.scores


def test_an_agent_may_be_scored_in_a_world_like_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def record(name: str, slots: int, **_: object) -> WorldVectorEnv:
        opened.append(name)
        return WorldVectorEnv(TINY, FollowGames(slots))

    monkeypatch.setattr(shards, "make", record)
    with Workers(0) as workers:
        assert evaluate_agent(make_agent(), 2, 0, workers, world="tiny-at-night").world == "tiny-at-night"
    assert opened == ["tiny-at-night"]


def test_a_policys_returns_are_those_of_the_world_played_by_hand() -> None:
    from reverie.episodes.policies import make_policy
    from reverie.workers.seeds import generator
    from reverie.worlds.registry import make

    with Workers(0) as workers:
        scores = evaluate_policy("tiny", "held", 4, 3, workers).scores
    for seed, score in zip(world_seeds(3, 4), scores, strict=True):
        world, policy = make("tiny"), make_policy("held", TINY.actions, generator(3, "evaluation policy", seed))
        frames, _ = world.reset(seed=[seed])
        total, over = 0.0, False
        while not over:
            frames, reward, terminated, truncated, _ = world.step(policy.act(frames[0])[None])
            total, over = total + float(reward[0]), bool(terminated[0] or truncated[0])
        assert score == pytest.approx(total, abs=1e-12)


class Mortal(FollowGames):
    """Loses each of the sub-environments `fated` at the third step of its first episode."""

    def __init__(self, num_envs: int, fated: set[int]) -> None:
        super().__init__(num_envs)
        self.fated, self.deaths, self.steps = fated, 0, 0

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        self.steps += 1
        lost = {slot: RuntimeError("gone") for slot in self.fated & set(slots.tolist()) if self.steps == 3}
        self.deaths += len(lost)
        return super().step(slots, actions)._replace(lost=lost)  # type: ignore[arg-type]


def test_an_episode_whose_environment_dies_is_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Workers(0) as workers:
        whole = evaluate_random("tiny", 8, 0, workers)
    mortals: list[Mortal] = []

    def make_mortal(name: str, slots: int, **settings: Any) -> WorldVectorEnv:
        mortals.append(Mortal(slots, {1, 4}))
        return WorldVectorEnv(TINY, mortals[-1])

    monkeypatch.setattr(shards, "make", make_mortal)
    with Workers(0) as workers:
        assert evaluate_random("tiny", 8, 0, workers) == whole
        assert evaluate_agent(make_agent(), 8, 0, workers).episodes == 8
    assert [mortal.deaths for mortal in mortals] == [2, 2]


def test_a_world_that_always_dies_is_a_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doomed(FollowGames):
        def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
            return super().step(slots, actions)._replace(lost={0: RuntimeError("gone")})

    monkeypatch.setattr(shards, "make", lambda name, slots, **_: WorldVectorEnv(TINY, Doomed(slots)))
    (seed,) = world_seeds(0, 1)
    with Workers(0) as workers, pytest.raises(ReverieError) as error:
        evaluate_random("tiny", 1, 0, workers)
    assert str(error.value) == (
        f"world 'tiny' with seed {seed + 7} died at step 1: RuntimeError: gone; so did the 7 seeds before: "
        "check that it runs by itself"
    )


@pytest.mark.parametrize(
    ("world", "engine"), [("carracing", "gymnasium"), ("carracing-envpool", "auto"), ("tiny", "gymnasium")]
)
def test_scores_are_of_the_official_engine_unless_the_name_says_otherwise(
    world: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, int, str]] = []

    def record(name: str, slots: int, *, engine: str) -> WorldVectorEnv:
        opened.append((name, slots, engine))
        return WorldVectorEnv(TINY, FollowGames(slots))

    monkeypatch.setattr(shards, "make", record)
    with Workers(0) as workers:
        evaluate_policy(world, "uniform", 12, 0, workers)
    assert opened == [(world, 10, engine), (world, 2, engine)]


@pytest.fixture
def dream_env(tmp_path: Path) -> EnvSpec:
    memory = make_memory()
    save_checkpoint(tmp_path / "memory", Checkpoint(1, pack(memory), asdict(memory.config)))
    entries = tuple(LatentEntry(index, 5, 0.0, True, "") for index in range(3))
    (tmp_path / "latents").mkdir()
    write_part(part_path(tmp_path / "latents", 0), Part("v", entries), [make_latents(5, seed) for seed in range(3)])
    return EnvSpec(
        "dream",
        TINY,
        ControllerConfig(inputs=("z", "h")),
        LATENTS,
        HIDDEN,
        DreamConfig(temperature=1.3),
        memory=tmp_path / "memory",
        latents=tmp_path / "latents",
    )


def test_a_dreams_score_is_what_the_agent_gets_there(dream_env: EnvSpec) -> None:
    shape = dream_env.controller_shape()
    params = np.random.default_rng(0).normal(size=shape.parameter_count)
    with Workers(0) as workers:
        score = evaluate_dream(dream_env, params, 13, 2, workers)
    seeds = evaluation_seeds(2, "dream", count=13)
    (engine,) = dream_env.engines()
    found: list[float] = []
    for part in (seeds[:10], seeds[10:]):
        found += play(
            Dream(engine, len(part)), Population(shape, params[None]), part, Limits(TINY.max_steps)
        ).returns.tolist()
    assert score.scores == tuple(found)
    assert (score.where, score.temperature, score.world) == ("dream", 1.3, "tiny")
    assert score.std > 0
