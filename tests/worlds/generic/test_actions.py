"""Any action space as a vector of independent parts, and back."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from reverie.errors import ReverieError
from reverie.worlds.generic.actions import action_spec, box_bounds, from_env_actions, to_env_action
from reverie.worlds.spec import ActionSpec

NESTED = Dict(
    {"move": Box(-2, 2, (2,)), "jump": Discrete(3, start=-1), "both": Tuple((MultiBinary(2), Discrete(1, start=4)))}
)

SPECS: list[tuple[gym.Space, ActionSpec]] = [
    (Discrete(50), ActionSpec("discrete", 50)),
    (Box(-1, 1, (2, 3)), ActionSpec("continuous", 6)),
    (Box(-1, 1, ()), ActionSpec("continuous", 1)),
    (MultiDiscrete([3, 1, 2]), ActionSpec("mixed", 5, (3, 2))),
    (MultiDiscrete([[2, 3]]), ActionSpec("mixed", 5, (2, 3))),
    (MultiDiscrete([4]), ActionSpec("discrete", 4)),
    (MultiBinary(2), ActionSpec("mixed", 4, (2, 2))),
    (MultiBinary(1), ActionSpec("discrete", 2)),
    (Tuple((Discrete(2),)), ActionSpec("discrete", 2)),
    (Tuple((Box(-1, 1, (2,)), Box(0, 1, (1,)))), ActionSpec("continuous", 3)),
    (NESTED, ActionSpec("mixed", 9, (2, 2, 3, 1, 1))),
]


@pytest.mark.parametrize(("space", "spec"), SPECS, ids=str)
def test_specs(space: gym.Space, spec: ActionSpec) -> None:
    assert action_spec("any", space) == spec


@pytest.mark.parametrize("space", [space for space, _ in SPECS], ids=str)
def test_whatever_the_vector_the_action_is_in_its_space_and_comes_back(space: gym.Space) -> None:
    spec, rng = action_spec("any", space), np.random.default_rng(0)
    for _ in range(20):
        taken = to_env_action(space, rng.uniform(-1, 1, spec.size).astype(np.float32))
        assert space.contains(taken), taken
        vector = from_env_actions(space, _stacked(taken), 1)
        assert vector.shape == (1, spec.size)
        assert _flat(to_env_action(space, vector[0])) == pytest.approx(_flat(taken), abs=1e-5)


def _stacked(action: Any) -> Any:
    """One action as Minari stacks many."""
    if isinstance(action, dict):
        return {key: _stacked(part) for key, part in action.items()}
    return tuple(map(_stacked, action)) if isinstance(action, tuple) else np.asarray(action)[None]


def _flat(action: Any) -> list[float]:
    if isinstance(action, dict | tuple):
        parts = action.values() if isinstance(action, dict) else action
        return [number for part in parts for number in _flat(part)]
    return np.ravel(action).astype(float).tolist()


def test_choices_are_ints_of_pythons_own() -> None:
    assert type(to_env_action(Discrete(3), np.array([0, 1, 0], np.float32))) is int
    nested = to_env_action(NESTED, np.array([0, 1, 1, 0, 0, 0, 1, 0.5, 1], np.float32))
    assert type(nested["jump"]) is int
    assert nested["both"][1] == 4


TO_ENV: list[tuple[gym.Space, list[float], Any]] = [
    (Discrete(3), [0, 1, 0], 1),
    (Discrete(3, start=5), [0, 0, 1], 7),
    (Discrete(3), [-0.9, -0.5, -0.7], 1),
    (Box(-2, 2, (1,)), [0.5], [1.0]),
    (Box(0, 10, (2,)), [-1, 1], [0, 10]),
    (Box(0, 10, (1,)), [7], [10]),
    (Box(-np.inf, np.inf, (2,)), [-0.3, 1], [-0.3, 1]),
    (Box(np.array([3, -np.inf], np.float32), np.array([np.inf, 3], np.float32)), [0, 0], [4, 2]),
    (Box(0, 4, (2, 2)), [-1, -0.5, 0, 1], [[0, 1], [2, 4]]),
    (Box(0, 5, (2,), np.int32), [-0.1, 1], [2, 5]),
]


@pytest.mark.parametrize(("space", "action", "expected"), TO_ENV)
def test_vectors_become_the_environments_actions(space: gym.Space, action: list[float], expected: Any) -> None:
    taken = to_env_action(space, np.array(action, np.float32))
    assert np.asarray(taken) == pytest.approx(np.asarray(expected), abs=1e-6)
    assert space.contains(taken)


def test_every_corner_lies_inside_the_box() -> None:
    space = Box(np.float32(-0.1), np.float32(0.3), (1,))
    for value in np.linspace(-1, 1, 101, dtype=np.float32):
        assert space.contains(to_env_action(space, np.array([value])))
    assert box_bounds(space)[0].dtype == np.float64


MOST32, MOST64 = float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)
ENDLESS: list[tuple[Box, tuple[float, float]]] = [
    (Box(-MOST32, MOST32, (2,)), (-1, 1)),
    (Box(-MOST64, MOST64, (2,), np.float64), (-1, 1)),
    (Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64), (-1, 1)),
    (Box(0, MOST32, (2,)), (0, 2)),
    (Box(-MOST32, -5, (2,)), (-7, -5)),
    (Box(0, 255, (2,), np.uint8), (0, 255)),
    (Box(np.float32(3), np.float32(3), (2,)), (3, 3)),
    (Box(2_000_000, 2_000_100, (2,)), (2_000_000, 2_000_100)),
    (Box(-2, 5, (1, 2, 1)), (-2, 5)),
    (Box(0, 1, (2,), bool), (0, 1)),
]


@pytest.mark.parametrize(("box", "ends"), ENDLESS, ids=str)
def test_a_box_without_real_bounds_gets_moderate_numbers(box: Box, ends: tuple[float, float]) -> None:
    for value, end in zip((-1.0, 1.0), ends, strict=True):
        taken = to_env_action(box, np.full(2, value, np.float32))
        assert box.contains(taken)
        assert np.ravel(taken).tolist() == [end] * 2
    assert box.contains(to_env_action(box, np.zeros(2, np.float32)))


KNOWN = "expected Box, Discrete, MultiDiscrete and MultiBinary, alone or within Dict and Tuple"
REFUSED: list[tuple[gym.Space, str]] = [
    (Text(5, charset="ab"), f"Text(1, 5, charset=ab), and a Text cannot be learned; {KNOWN}"),
    (Discrete(1), "Discrete(1): nothing to choose; expected two actions, or a number"),
    (Box(-1, 1, (0,)), "Box([], [], (0,), float32): nothing to choose; expected two actions, or a number"),
]


@pytest.mark.parametrize(("space", "message"), REFUSED)
def test_spaces_without_a_choice_are_refused_by_name(space: gym.Space, message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        action_spec("any", space)
    assert str(caught.value) == f"world 'any' has actions {message}"
