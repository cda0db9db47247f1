"""Dream settings that cannot be."""

from __future__ import annotations

import pytest

from reverie.dream.config import DreamConfig
from reverie.errors import ReverieError

MISTAKES = [
    ({"temperature": 0.0}, "dream temperature is 0.0; expected a finite number above 0"),
    ({"temperature": float("nan")}, "dream temperature is nan; expected a finite number above 0"),
    ({"done": "never"}, "dream done is 'never'; expected cutoff, sample or calibrated"),
    ({"max_steps": 0}, "dream max_steps is 0; expected at least 1"),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES)
def test_mistakes_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        DreamConfig(**settings)
    assert str(caught.value) == message
