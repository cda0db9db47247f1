from __future__ import annotations

import pytest

from reverie.evaluation.score import Score
from reverie.report.number_format import duration, mean_std, number, parameter_count
from tests.evaluation.parts import make_memory


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (3600, "1 h 0 min"), (12_345, "3 h 25 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(1092.4, "1,092"), (99.96, "100.0"), (80.0, "80"), (42.84, "42.8"), (-33.42, "−33.4"), (-120.4, "−120")],
)
def test_numbers(value: float, words: str) -> None:
    assert number(value) == words


def test_mean_and_spread() -> None:
    assert mean_std(Score.of([1.0, 2.0], "tiny", 0)) == "1.5 ± 0.5"


def test_every_learned_number_counts() -> None:
    config = make_memory().config
    gates = 4 * config.hidden_size * (config.input_size + config.hidden_size + 1)
    assert parameter_count(make_memory()) == gates + config.output_size * (config.hidden_size + 1)
