"""Dream settings that cannot be."""

from __future__ import annotations

import pytest

from reverie.dream.config import DreamConfig
from reverie.errors import ReverieError

MISTAKES = [
    ({"temperature": 0.0}, "dream.temperature is 0.0, expected a finite number above 0"),
    ({"temperature": float("nan")}, "dream.temperature is nan, expected a finite number above 0"),
    ({"termination": "never"}, "dream.termination is 'never', expected threshold, sample or calibrated"),
    ({"starts": "last"}, "dream.starts is 'last', expected initial or replay"),
    ({"horizon": 0}, "dream.horizon is 0, expected at least 1, or none"),
    ({"dropout": 1.0}, "dream.dropout is 1.0, expected a share, 0 or more and below 1"),
    ({"ensemble_size": 0}, "dream.ensemble_size is 0, expected 1 to 100"),
    (
        {"disagreement_penalty": -1.0, "ensemble_size": 2},
        "dream.disagreement_penalty is -1.0, expected a finite number, at least 0",
    ),
    (
        {"disagreement_penalty": 1.0},
        "dream.disagreement_penalty is 1.0 with one M; set dream.ensemble_size to 2 or more",
    ),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES)
def test_mistakes_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        DreamConfig(**settings)
    assert str(caught.value) == message


def test_plain_are_dreams_that_c_learns_and_is_scored_in_alike() -> None:
    assert DreamConfig(1.3, "sample").is_plain
    for change in ({"horizon": 9}, {"starts": "replay"}, {"dropout": 0.1}, {"ensemble_size": 2}):
        assert not DreamConfig(1.3, "sample", **change).is_plain
