from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.evolution.config import LOWEST, EvolutionConfig

BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"where": "space"}, "evolution.where is 'space', expected dream or world"),
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


def test_is_light() -> None:
    code = "import sys, reverie.evolution.config, reverie.controller.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
