from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.learning.evolution_config import LOWEST, EvolutionConfig

BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"where": "space"}, "evolution.where is 'space', expected dream or world"),
    ({"give_up": "never"}, "evolution.give_up is 'never', expected keep or extrapolate"),
    ({"first_rollouts": 17}, "evolution.first_rollouts is 17, expected at most evolution.rollouts, 16"),
    ({"sigma": 0.0}, "evolution.sigma is 0.0, expected a finite number above 0"),
    ({"sigma": float("inf")}, "evolution.sigma is inf, expected a finite number above 0"),
    *(
        ({name: lowest - 1}, f"evolution.{name} is {lowest - 1}, expected at least {lowest}")
        for name, lowest in LOWEST.items()
    ),
]


@pytest.mark.parametrize(("values", "message"), BROKEN)
def test_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        EvolutionConfig(**values)
    assert str(error.value) == message


@pytest.mark.parametrize("name", list(LOWEST))
def test_takes_the_lowest(name: str) -> None:
    assert getattr(EvolutionConfig(**{name: LOWEST[name]}), name) == LOWEST[name]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (None, [16, 16, 16, 16, 16, 16, 16]),
        (3, [3, 3, 6, 6, 12, 12, 16]),
        (16, [16, 16, 16, 16, 16, 16, 16]),
    ],
)
def test_rollouts_double_until_they_are_all(first: int | None, expected: list[int]) -> None:
    config = EvolutionConfig(first_rollouts=first, double_every=10)
    assert [config.rollouts_in(generation) for generation in (0, 9, 10, 19, 20, 29, 30)] == expected
    assert config.rollouts_in(100_000) == 16
    assert replace(config, generations=7).rollouts_in(25) == config.rollouts_in(25)  # a longer search goes on alike


def test_is_light() -> None:
    code = "import sys, reverie.learning.evolution_config, reverie.controller.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
