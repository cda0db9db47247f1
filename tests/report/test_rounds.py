"""The rounds of a run side by side: what is filmed, what is said above each panel, what the page has."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.evaluation.score import world_seeds
from reverie.report import rounds
from reverie.report.inputs import ReportInputs
from reverie.report.rounds import RoundFilmed, film_round, shown_rounds
from reverie.report.video import GAP, SCALE
from reverie.report.wording import mean_std
from reverie.report.write import render
from tests.evaluation.parts import TINY, make_agent, make_episode, make_score


def filmed(number: int, steps: int, cut: bool = False) -> RoundFilmed:
    score = make_score(100 * number) if number else None
    return RoundFilmed(number, 1000 * (number + 1), score, make_episode(steps).frames, 4.0, cut)


def test_a_round_is_filmed_until_its_episode_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    (seed,) = world_seeds(0, 1)
    whole = film_round(make_agent(), 2, 500, None, seed)
    assert not whole.cut
    monkeypatch.setattr(rounds, "MOST_STEPS", 7)
    cut = film_round(make_agent(), 2, 500, None, seed)
    assert cut.cut
    assert len(cut.frames) == 8 < len(whole.frames)
    np.testing.assert_array_equal(cut.frames, whole.frames[:8])
    assert (cut.number, cut.real_steps) == (2, 500)


@pytest.mark.parametrize(
    ("count", "shown"), [(2, [0, 1]), (4, [0, 1, 2, 3]), (5, [0, 1, 3, 4]), (10, [0, 3, 6, 9]), (1, [0])]
)
def test_of_many_rounds_the_first_the_last_and_some_between_are_shown(count: int, shown: list[int]) -> None:
    assert shown_rounds(count) == shown


def test_every_panel_says_its_round_its_real_steps_and_its_score() -> None:
    found = rounds.rounds(ReportInputs(TINY, rounds=[filmed(0, 5), filmed(1, 9), filmed(2, 30, cut=True)]))
    assert found is not None
    assert found["film"].frames == 31  # the shorter ones stay, dimmed
    assert found["film"].width == 3 * 64 * SCALE + 2 * GAP
    assert [panel["round"] for panel in found["panels"]] == ["round 0", "round 1", "round 2"]
    assert [panel["steps"] for panel in found["panels"]] == ["1,000 real steps", "2,000 real steps", "3,000 real steps"]
    assert found["panels"][0]["score"] == "not scored yet"
    assert found["panels"][1]["score"] == mean_std(make_score(100))
    assert [panel["here"] for panel in found["panels"]][1:] == [
        "here 9 steps, 4 points",
        "here over 30 steps, 4 points",
    ]
    assert not found["skipped"]


def test_the_page_has_them_only_where_there_are_rounds_to_compare() -> None:
    one = [filmed(0, 5)]
    assert 'id="rounds"' not in render(ReportInputs(TINY, rounds=one))
    html = render(ReportInputs(TINY, rounds=[*one, filmed(3, 9)]))
    assert 'id="rounds"' in html
    assert "some of the rounds' agents" in html
    assert html == render(ReportInputs(TINY, rounds=[*one, filmed(3, 9)]))
