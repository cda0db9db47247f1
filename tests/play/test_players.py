from __future__ import annotations

import pickle
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.agent import Agent
from reverie.controller.config import ControllerConfig
from reverie.controller.file import save_controller
from reverie.controller.model import Controller
from reverie.episodes.policies import make_policy
from reverie.play.players import AgentFiles, AgentPlayers, Exploration
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests import painted
from tests.dream import parts

SPEC = WorldSpec("w", ActionSpec("continuous", 2), "predicted", 100)
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


def test_each_slot_plays_its_own_policy() -> None:
    """A slot acts as its policy alone would, whatever happens beside it."""
    players = Exploration(("brownian",))(SPEC, 3)
    names = [players.begin(slot, np.random.default_rng(slot)) for slot in range(3)]
    assert names == ["brownian"] * 3
    found = [players.act(FRAMES) for _ in range(5)]
    players.begin(1, np.random.default_rng(9))
    found += [players.act(FRAMES) for _ in range(5)]
    rng = np.random.default_rng(2)
    rng.integers(1)  # the draw of the name
    alone = make_policy("brownian", SPEC.actions, rng)
    for actions in found:
        assert (actions.shape, actions.dtype) == ((3, 2), np.float32)
        np.testing.assert_array_equal(actions[2], alone.act(FRAMES[2]))


def test_a_slot_that_has_not_begun_stands_still() -> None:
    players = Exploration(("uniform",))(SPEC, 3)
    players.begin(1, np.random.default_rng(0))
    actions = players.act(FRAMES)
    assert (actions[[0, 2]] == 0).all()
    assert (actions[1] != 0).all()


def test_policies_are_drawn_as_often_as_they_are_named() -> None:
    players = Exploration(("held", "sweep", "sweep"))(SPEC, 1)
    drawn = Counter(players.begin(0, np.random.default_rng(seed)) for seed in range(600))
    assert abs(drawn["held"] - 200) < 50
    assert drawn["held"] + drawn["sweep"] == 600


def test_exploration_travels_to_a_worker() -> None:
    assert pickle.loads(pickle.dumps(Exploration(("held",)))) == Exploration(("held",))


def agent(repeat: int = 1) -> Agent:
    config = ControllerConfig(inputs=("z", "h"))
    controller = Controller(config, 30, parts.ACTIONS)
    spec = WorldSpec("paint", parts.ACTIONS, "predicted", 60, repeat=repeat)
    return Agent(painted.VISION, painted.MEMORY, controller, parts.candidates(controller, 1)[0], spec)


def acted(players: AgentPlayers, steps: int, seed: int = 0) -> np.ndarray:
    """Actions [steps, count, A] on frames that are the same for all."""
    frames = np.random.default_rng(seed).integers(0, 256, (steps, *FRAMES.shape), np.uint8)
    return np.stack([players.act(each) for each in frames])


def test_an_agent_acts_in_each_slot_by_its_own_generator() -> None:
    """As `Agent.act` does with that generator's noise, whatever plays beside it, and anew where an episode begins."""
    players = AgentPlayers(agent(), "agent", 0.0, 3)
    calm = [seed for seed in range(20) if np.random.default_rng(seed).random() >= 0.5]  # the others are disturbed
    assert {players.begin(slot, np.random.default_rng(calm[slot])) for slot in range(3)} == {"agent"}
    found = acted(players, 3)
    alone, state, rng = agent(), agent().initial(1), np.random.default_rng(calm[2])
    rng.random()  # whether it is disturbed
    frames = np.random.default_rng(0).integers(0, 256, (3, *FRAMES.shape), np.uint8)
    for step in range(3):
        expected, state = alone.act(state, frames[step, 2:], rng.standard_normal((1, 6), np.float32))
        np.testing.assert_allclose(found[step, 2], expected[0], atol=1e-4)
    players.begin(1, np.random.default_rng(calm[1]))
    again = acted(players, 3)
    np.testing.assert_allclose(again[:, 1], found[:, 1], atol=1e-4)
    assert (again[:, 2] != found[:, 2]).any()


@pytest.mark.parametrize(("repeat", "longest"), [(1, 30), (4, 7), (35, 1)])
def test_every_second_episode_is_disturbed_by_actions_that_are_repeated(repeat: int, longest: int) -> None:
    """For up to 30 steps of the game; with an epsilon of 1 they follow each other without a gap."""
    players = AgentPlayers(agent(repeat), "agent", 1.0, 3)
    drawn = Counter(players.begin(0, np.random.default_rng(seed)) for seed in range(400))
    assert abs(drawn["agent"] - 200) < 60
    assert drawn["agent"] + drawn["agent, disturbed"] == 400
    names = [players.begin(slot, np.random.default_rng(slot)) for slot in range(3)]
    assert len(set(names)) == 2
    found, steps = acted(players, 400), range(1, 400)
    for slot, name in enumerate(names):
        changes = [0, *(step for step in steps if (found[step, slot] != found[step - 1, slot]).any()), 400]
        lengths = Counter(after - before for before, after in pairwise(changes))
        assert max(lengths) == (longest if "disturbed" in name else 1)
        if "disturbed" in name and longest == 7:
            assert sorted(lengths) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("inputs", [("z",), ("z", "h")])
def test_the_agent_of_files_draws_z_and_has_a_name(inputs: Any, run: Path, tmp_path: Path) -> None:
    spec, config = world_spec("tiny"), ControllerConfig(inputs=inputs, sample_z=False)
    controller = Controller(config, config.feature_size(4, 8), spec.actions)
    params = np.random.default_rng(0).normal(size=controller.parameter_count)
    save_controller(tmp_path / "c.safetensors", controller, params)
    memory = run / "memory" if config.needs_memory else None
    files = AgentFiles(run / "vision", memory, tmp_path / "c.safetensors", name="scout")
    assert files.files == [place for place in (run / "vision", memory, tmp_path / "c.safetensors") if place]
    players = files(spec, 3)
    assert players.agent.senses.config.sample_z
    assert {players.begin(slot, np.random.default_rng(7)) for slot in range(3)} <= {"scout", "scout, disturbed"}
    same = players.act(np.repeat(FRAMES[:1], 3, 0))
    np.testing.assert_allclose(same[0], same[1], atol=1e-5)
