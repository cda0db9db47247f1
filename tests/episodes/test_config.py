from __future__ import annotations

from typing import Any

import pytest

from reverie.episodes.config import POLICIES, CollectConfig
from reverie.episodes.policies import MAKERS
from reverie.errors import ReverieError

NAMES = "uniform, held, turning, long-held, sweep, brownian, random-network"
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"episodes": 0}, "collect.episodes is 0, expected a whole number, 1 or more"),
    ({"episodes": 2.5}, "collect.episodes is 2.5, expected a whole number, 1 or more"),
    ({"episodes": True}, "collect.episodes is True, expected a whole number, 1 or more"),
    ({"max_steps": 0}, "collect.max_steps is 0, expected a whole number, 1 or more"),
    ({"min_steps": -1}, "collect.min_steps is -1, expected a whole number, 0 or more"),
    ({"min_steps": 101}, "collect.min_steps is 101, expected at most max_steps, which is 100"),
    ({"policies": ()}, f"collect.policies is [], expected names out of {NAMES}"),
    ({"policies": ("held", "hold")}, f"collect.policies is ['held', 'hold'], expected names out of {NAMES}"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN)
def test_a_value_that_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        CollectConfig(**({"episodes": 10, "max_steps": 100} | changes))
    assert str(error.value) == f"{message}; change it in the configuration"


def test_every_name_makes_a_policy() -> None:
    assert tuple(MAKERS) == POLICIES
    CollectConfig(episodes=1, max_steps=5, min_steps=5, policies=POLICIES)
