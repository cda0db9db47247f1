from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reverie.evaluation.published import published
from reverie.evaluation.score import Score
from reverie.report.inputs import ReportInputs
from reverie.report.overview import films, scores, tiles, verdict
from reverie.report.recording import Recording
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.evaluation.parts import TINY, make_score

DOOM = WorldSpec("doom", ActionSpec("three-way", 1), "survival", 2100)


def scored(mean: float) -> Score:
    return Score.of([mean - 1, mean + 1], "doom", 0)


@pytest.mark.parametrize(
    ("world", "agent", "random", "sentence"),
    [
        (DOOM, None, None, "This run has not been scored yet; below is what it has learned so far."),
        (DOOM, 800, None, "The agent survives 800 steps on average, over 2 episodes that it never trained on."),
        (DOOM, 800, 200, "The agent survives 800 steps on average, random play 200: 4.0 times as long."),
        (DOOM, 1234, 1230, "The agent survives 1,234 steps on average, random play 1,230."),
        (TINY, 42.5, 21.25, "The agent scores 42.5 on average, random play 21.2: 2.0 times as much."),
        (TINY, 300, -33.4, "The agent scores 300 on average, random play −33.4."),
        (
            DOOM,
            150,
            200,
            "The agent survives 150 steps on average, random play 200: this agent is no better than chance.",
        ),
    ],
)
def test_the_run_in_one_honest_sentence(
    world: WorldSpec, agent: float | None, random: float | None, sentence: str
) -> None:
    inputs = ReportInputs(
        world, agent=None if agent is None else scored(agent), random=None if random is None else scored(random)
    )
    assert verdict(inputs) == sentence


def test_tiles_show_only_what_is_known() -> None:
    assert tiles(ReportInputs(TINY)) == []
    inputs = ReportInputs(
        DOOM, agent=scored(800), random=scored(90), real_steps=323_412, seconds={"a": 59.0, "b": 61.2}
    )
    assert tiles(inputs) == [
        ("awake, in the real world", "800 ± 1", "real"),
        ("random play", "90 ± 1", "random"),
        ("real steps learned from", "323,412", ""),
        ("from nothing to here", "2 min 0 s", ""),
    ]


def test_a_run_that_began_at_weights_counts_its_own_steps_and_time_alone() -> None:
    inputs = ReportInputs(DOOM, real_steps=1_000, seconds={"a": 60.0}, config={"start_from": "doom"})
    assert tiles(inputs) == [
        ("real steps after the given weights", "1,000", ""),
        ("from those weights to here", "1 min 0 s", ""),
    ]


def test_scores_stand_in_one_table_with_the_papers() -> None:
    inputs = ReportInputs(
        DOOM,
        agent=scored(800),
        dream=make_score(900, "dream", 1.15, "doom"),
        random=scored(300),
        baselines={"blind sweep": scored(838)},
    )
    section = scores(inputs)
    assert section is not None
    assert [(row["label"], row["where"], row["kind"], row["episodes"]) for row in section["rows"]] == [
        ("agent, awake", "real world", "real", 2),
        ("agent, asleep", "dream, τ 1.15", "dream", 30),
        ("blind sweep", "real world", "random", 2),
        ("random play", "real world", "random", 2),
    ]
    assert section["rows"][0] | {"kind": "", "label": "", "where": ""} == {
        "kind": "",
        "label": "",
        "where": "",
        "mean": "800",
        "std": "1",
        "min": "799",
        "max": "801",
        "episodes": 2,
    }
    assert [row[:2] for row in section["paper"]] == [
        ("the paper's agent", "1092 ± 556"),
        ("the paper's random play", "210 ± 108"),
    ]
    assert scores(ReportInputs(DOOM)) is None
    tiny = scores(ReportInputs(TINY, agent=make_score(5)))
    assert tiny is not None
    assert tiny["paper"] == []


def make_recording(steps: int, panels: int = 2, size: int = 1, total: float = 12.5) -> Recording:
    frames = np.zeros((steps + 1, 64, 64, 3), np.uint8)
    seen = frames if panels == 2 else None
    return Recording("world", None, frames, seen, np.zeros((steps, size), np.float32), total, True)


def test_films_run_at_the_worlds_own_pace() -> None:
    section = films(ReportInputs(DOOM, awake=make_recording(9, total=9.0), asleep=make_recording(5, panels=1)))
    assert section is not None
    assert set(section) == {"awake", "asleep"}
    awake = section["awake"]
    assert (awake["film"].frames, awake["film"].frames_per_second, awake["cut"]) == (10, 35, None)
    assert awake["film"].width > 1.9 * section["asleep"]["film"].width
    assert awake["length"] == "9 steps survived"
    assert awake["tracks"] == "track below shows its action"
    assert films(ReportInputs(DOOM)) is None


def test_a_film_of_a_world_whose_actions_last_is_as_fast_as_the_game_and_counts_its_steps() -> None:
    slow = replace(DOOM, name="doom-skill-5-repeat-4", max_steps=525, repeat=4)
    section = films(ReportInputs(slow, awake=make_recording(300, total=1198.0)))
    assert section is not None
    assert section["awake"]["length"] == "1,198 steps survived"
    assert section["awake"]["film"].frames_per_second == 9  # of the game's 35
    assert published(slow.name).title == "Doom: Take Cover (doom-skill-5-repeat-4)"


def test_a_film_of_another_world_says_steps_and_points() -> None:
    section = films(ReportInputs(replace(TINY, name="Pong-v5"), awake=make_recording(4, size=3)))
    assert section is not None
    assert section["awake"]["length"] == "4 steps, 12.5 points"
    assert section["awake"]["tracks"] == "tracks below show its actions"
    assert section["awake"]["film"].frames_per_second == 30


def test_a_film_that_would_not_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.report.overview.MOST_FILM_FRAMES", 6)
    section = films(ReportInputs(TINY, awake=make_recording(30)))
    assert section is not None
    assert section["awake"]["film"].frames == section["awake"]["cut"] == 6
