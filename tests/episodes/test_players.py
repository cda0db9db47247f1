from __future__ import annotations

import pickle
from collections import Counter

import numpy as np

from reverie.episodes.players import Exploration
from reverie.episodes.policies import make_policy
from reverie.worlds.spec import ActionSpec, WorldSpec

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
