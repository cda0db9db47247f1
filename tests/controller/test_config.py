from __future__ import annotations

from typing import Any

import pytest

from reverie.controller.config import ControllerConfig
from reverie.errors import ReverieError


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        ("z", 32),
        ("z h", 288),
        ("z c h", 544),
        ("z h action", 291),
        ("z c h action", 547),
        ("z h survival", 300),
        ("z c h survival", 556),
    ],
)
def test_feature_size_counts_what_c_sees(inputs: str, size: int) -> None:
    config = ControllerConfig(inputs=inputs.split())  # type: ignore[arg-type]
    assert config.feature_size(32, 256, 3, 12) == size
    assert config.needs_memory == (inputs != "z")
    assert config == ControllerConfig(inputs=tuple(inputs.split()))  # type: ignore[arg-type]


ORDER = "expected z and any of h, c, action, survival, each once, in the order z, c, h, action, survival"
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"inputs": ("h", "z")}, f"controller.inputs are ['h', 'z'], {ORDER}"),
    ({"inputs": ("z", "h", "h")}, f"controller.inputs are ['z', 'h', 'h'], {ORDER}"),
    ({"inputs": ("h",)}, f"controller.inputs are ['h'], {ORDER}"),
    ({"inputs": ("z", "x")}, f"controller.inputs are ['z', 'x'], {ORDER}"),
    (
        {"inputs": ("z", "h", "action", "survival")},
        "controller.inputs hold action and survival, expected at most one of M's heads",
    ),
    (
        {"inputs": ("z", "c")},
        "controller.inputs are ['z', 'c'], expected h beside anything that M gives",
    ),
    ({"hidden_size": -1}, "controller.hidden_size is -1, expected 0 (linear) or more"),
]


@pytest.mark.parametrize(("values", "message"), BROKEN)
def test_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        ControllerConfig(**values)
    assert str(error.value) == message
