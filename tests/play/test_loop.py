"""The one loop over episodes: who plays what where, what ends it, what is played again, and who watches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dream.engine import Dream
from reverie.errors import ReverieError
from reverie.feature_env import FeatureEnv, Observation
from reverie.hardware import single_thread
from reverie.memory.lstm import LSTMState
from reverie.play.loop import Limits, Population, play
from reverie.worlds.spec import ActionSpec
from reverie.worlds.vector import DEATHS_IN_A_ROW, WorldDiedError
from tests import painted
from tests.dream import parts
from tests.play.clocks import CONTROLLER, Clocks, length_of, plain_return

PARAMS = np.random.default_rng(1).normal(size=(23, 3)) * 2
SEEDS = list(range(100, 123))
ACTOR = Population(CONTROLLER, PARAMS, np.arange(23))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


def expected(**limits: int) -> tuple[list[float], list[int]]:
    pairs = [plain_return(params, seed, **limits) for params, seed in zip(PARAMS, SEEDS, strict=True)]
    return [total for total, _ in pairs], [steps for _, steps in pairs]


@pytest.mark.parametrize("rows", [1, 4, 23, 30])
@pytest.mark.parametrize(
    "limits", [{}, {"max_steps": 3}, {"no_reward_timeout": 2}, {"max_steps": 5, "no_reward_timeout": 3}]
)
def test_every_episode_is_played_with_its_own_candidate_and_seed(rows: int, limits: dict[str, int]) -> None:
    env = Clocks(rows)
    played = play(env, ACTOR, SEEDS, Limits(**limits))
    returns, steps = expected(**limits)
    np.testing.assert_allclose(played.returns, returns, atol=1e-5)
    assert played.steps.tolist() == steps
    assert env.simulated == sum(steps)  # no row is stepped in vain
    whole = [length_of(seed) == length for seed, length in zip(SEEDS, steps, strict=True)]
    if "no_reward_timeout" not in limits:
        assert played.terminated.tolist() == whole


def test_who_is_given_up_counts_as_terminated() -> None:
    played = play(Clocks(4), ACTOR, SEEDS, Limits(no_reward_timeout=2))
    assert played.terminated.all()
    assert (played.steps < [length_of(seed) for seed in SEEDS]).any()


def test_a_penalty_costs_but_is_no_reward_missed() -> None:
    limits = Limits(no_reward_timeout=2)
    free, dear = (play(Clocks(4, penalty=penalty), ACTOR, SEEDS, limits) for penalty in (None, 0.25))
    np.testing.assert_array_equal(dear.steps, free.steps)
    np.testing.assert_allclose(dear.returns, free.returns - 0.25 * free.steps, atol=1e-6)


@pytest.mark.parametrize("deaths", [{103: 1}, {100: 2, 101: 1, 122: 2}])
@pytest.mark.parametrize("limits", [{}, {"no_reward_timeout": 3}])
def test_an_episode_that_died_is_played_again(deaths: dict[int, int], limits: dict[str, int]) -> None:
    env = Clocks(4, deaths)
    played = play(env, ACTOR, SEEDS, Limits(**limits))
    returns, steps = expected(**limits)
    np.testing.assert_allclose(played.returns, returns, atol=1e-5)
    assert played.steps.tolist() == steps
    assert not +env.deaths


def test_so_many_deaths_are_enough() -> None:
    with pytest.raises(ReverieError) as error:
        play(Clocks(4, {107: DEATHS_IN_A_ROW}), ACTOR, SEEDS)
    assert str(error.value) == (
        f"world 'clocks' died {DEATHS_IN_A_ROW} times in the episode with seed 107 and those after it; "
        "try the world by itself on that seed"
    )


def test_a_world_that_gives_up_is_named() -> None:
    class Broken(Clocks):
        def step(self, actions: torch.Tensor) -> Any:
            raise WorldDiedError("doom", 107, 12, "ViZDoomUnexpectedExitException", "fresh ones died too")

    with pytest.raises(ReverieError) as error:
        play(Broken(4), ACTOR, SEEDS)
    assert str(error.value) == (
        "world 'doom' with seed 107 died at step 12: ViZDoomUnexpectedExitException; fresh ones died too"
    )


def test_rows_can_have_episodes_of_their_own() -> None:
    env = Clocks(3)
    queues = [deque([4, 0]), deque([1]), deque([3, 2, 5])]
    played = play(env, ACTOR, SEEDS[:6], queues=queues)
    np.testing.assert_allclose(played.returns, expected()[0][:6], atol=1e-5)
    order = [seed for _, seed in env.begun]
    assert env.begun[:3] == [(0, 104), (1, 101), (2, 103)]
    assert order.index(104) < order.index(100)
    assert order.index(103) < order.index(102) < order.index(105)


def test_whoever_decides_may_have_an_episode_again_on_another_seed() -> None:
    """As a store does with episodes that are too short; deaths are for it to judge too."""
    asked: list[tuple[int, int, bool]] = []

    def retry(episode: int, steps: int, died: bool) -> int | None:
        asked.append((episode, steps, died))
        if died:
            return 201
        return 202 if steps < 4 else None

    env = Clocks(1, {100: 1})
    played = play(env, ACTOR, [100, 104], retry=retry)
    assert [seed for _, seed in env.begun] == [100, 201, 104]  # 201 lasts 7 steps, 104 lasts 8
    assert asked == [(0, 2, True), (0, 7, False), (1, 8, False)]
    assert played.steps.tolist() == [7, 8]
    np.testing.assert_allclose(played.returns[0], plain_return(PARAMS[0], 201)[0], atol=1e-5)
    short = Clocks(2)
    assert play(short, ACTOR, [105, 106], retry=retry).steps.tolist() == [8, 8]  # of 2 and 3 steps, and then of 8
    assert [seed for _, seed in short.begun] == [105, 106, 202, 202]


class Watch:
    """Puts down all that it is told, and what it finds in the env's rows."""

    def __init__(self, env: FeatureEnv) -> None:
        self.env, self.rows = env, dict[int, int]()
        self.looks: dict[int, list[np.ndarray]] = {}
        self.actions: dict[int, list[np.ndarray]] = {}
        self.rewards: dict[int, list[float]] = {}
        self.ended: dict[int, bool] = {}

    def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
        z = self.env.observe().z
        for episode, row in zip(episodes, rows, strict=True):
            self.looks[episode], self.actions[episode], self.rewards[episode] = [z[row].numpy().copy()], [], []

    def step(self, episodes: Sequence[int], actions: np.ndarray, rewards: np.ndarray) -> None:
        z = self.env.observe().z.numpy()
        for row, episode in enumerate(episodes):
            self.looks[episode].append(z[row].copy())
            self.actions[episode].append(actions[row].copy())
            self.rewards[episode].append(float(rewards[row]))

    def end(self, episode: int, terminated: bool) -> None:
        assert episode not in self.ended
        self.ended[episode] = terminated


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("place", ["clocks", "dream", "world"])
def test_a_watcher_sees_every_episode_from_its_first_look_to_its_last(place: str, rows: int) -> None:
    deaths = {103: 1, 105: 2}  # what was seen of an episode that died is forgotten
    engine = parts.engine(parts.PREDICTED, model=parts.memory(done_bias=-3.0))
    made: dict[str, Any] = {
        "clocks": lambda n: Clocks(n, deaths),
        "dream": lambda n: Dream(engine, n),
        "world": lambda n: painted.seen(n, deaths),
    }
    controller = {"clocks": CONTROLLER, "dream": parts.controller(engine)}.get(place)
    controller = controller or Controller(painted.senses().config, painted.senses().feature_size, parts.ACTIONS)
    actor, seeds = Population(controller, parts.candidates(controller, 1)), SEEDS[:8]
    env = made[place](rows)
    watch, limits = Watch(env), Limits(6)
    played = play(env, actor, seeds, limits, watch)
    alone = [play(made[place](1), actor, [seed], limits) for seed in seeds]
    np.testing.assert_allclose(played.returns, [float(each.returns[0]) for each in alone], atol=5e-3)
    assert sorted(watch.ended) == list(range(8))
    for episode, length in enumerate(played.steps):
        assert [len(each[episode]) for each in (watch.looks, watch.actions, watch.rewards)] == [
            length + 1,
            length,
            length,
        ]
        assert sum(watch.rewards[episode]) == pytest.approx(played.returns[episode], abs=1e-4)
        assert watch.ended[episode] == played.terminated[episode]
        assert len(np.unique(watch.looks[episode], axis=0)) == length + 1


@pytest.mark.parametrize("inputs", [("z",), ("z", "h"), ("z", "c", "h")])
@pytest.mark.parametrize("actions", [ActionSpec("driving", 3), ActionSpec("discrete", 4)], ids=lambda a: a.kind)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_population_acts_as_each_of_its_controllers_does(
    inputs: tuple[Any, ...], actions: ActionSpec, dtype: torch.dtype
) -> None:
    """The compiled product and the batched one, against every candidate on its own rows."""
    config = ControllerConfig(inputs=inputs)
    controller = Controller(config, config.feature_size(6, 24), actions)
    params, rng = parts.candidates(controller), torch.Generator().manual_seed(0)
    z, h, c = (torch.randn(9, size, generator=rng) for size in (6, 24, 24))
    seen, candidate = Observation(z, LSTMState(h.to(dtype), c)), np.array([3, 0, 1, 2, 3, 3, 0, 2, 1, 1])
    episodes = torch.tensor([9, 3, 1, 0, 5, 6, 2, 7, 8])
    weights = torch.as_tensor(params).float()
    features = torch.cat([{"z": z, "c": c, "h": h.to(dtype).float()}[name] for name in inputs], 1)
    expected = torch.cat(
        [
            controller.act(weights[[candidate[episode]]], feature[None, None])[0]
            for episode, feature in zip(episodes.tolist(), features, strict=True)
        ]
    )
    for compiled in (True, False):
        acted = Population(controller, params, candidate, compiled).act(seen, episodes)
        torch.testing.assert_close(acted, expected, atol=1e-5, rtol=1e-5)
    assert len(expected.unique(dim=0)) > 1
