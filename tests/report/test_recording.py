from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.dream.config import DreamConfig
from reverie.dream.engine import Dream, DreamEngine
from reverie.dream.starts import Starts
from reverie.evaluation.score import evaluate_agent, world_seeds
from reverie.play.loop import Limits, Population, play
from reverie.report import overview, recording
from reverie.report.inputs import ReportInputs
from reverie.report.number_format import mean_std
from reverie.report.recording import RoundFilm, film_round, play_episodes, record_dream, record_world, shown_rounds
from reverie.report.video import GAP, SCALE
from reverie.report.write import render
from reverie.vision.encode import decode_frames, encode_frames
from reverie.workers.pool import Workers
from tests.evaluation.parts import LATENTS, TINY, make_agent, make_episode, make_score, make_vision


def test_the_middle_episode_is_filmed_with_what_v_makes_of_it() -> None:
    agent, seeds = make_agent(), world_seeds(0, 5)
    recording = record_world(agent, seeds)
    totals = sorted(episode.total_reward for episode in play_episodes(agent, seeds))
    assert recording.total == totals[2]
    assert totals[1] < totals[2] < totals[3]
    steps = len(recording.actions)
    assert recording.frames.shape == (steps + 1, 64, 64, 3)
    assert recording.reconstructed is not None
    mu, _ = encode_frames(agent.senses.vision, recording.frames)
    np.testing.assert_array_equal(recording.reconstructed, decode_frames(agent.senses.vision, mu))
    assert (recording.where, recording.temperature) == ("world", None)
    assert repr(recording) == f"Recording(world, steps={steps}, return={recording.total:.1f})"


def test_what_is_filmed_is_what_is_scored() -> None:
    agent = make_agent()
    with Workers(0) as workers:
        score = evaluate_agent(agent, 1, 0, workers)
    (episode,) = play_episodes(agent, world_seeds(0, 1))
    assert episode.rewards.sum(dtype=np.float64) == pytest.approx(score.mean, rel=1e-6)
    assert len(episode) > 1


def test_episodes_end_where_they_end() -> None:
    episodes = play_episodes(make_agent(), world_seeds(0, 6))
    assert len({len(episode) for episode in episodes}) > 1
    for episode in episodes:
        assert episode.terminated == (len(episode) < TINY.max_steps)
        assert (np.abs(np.diff(episode.frames.astype(int), axis=0)).sum((1, 2, 3)) > 0).any()


def test_a_dream_is_filmed_as_the_engine_counts_it() -> None:
    agent, vision = make_agent(), make_vision()
    rng = np.random.default_rng(0)
    starts = Starts(rng.normal(size=(4, LATENTS)).astype(np.float32), np.zeros((4, LATENTS), np.float32))
    memory, config = agent.senses.memory, agent.controller.config
    assert memory is not None
    engine = DreamEngine(memory, starts, TINY, DreamConfig(temperature=1.2), config, torch.float32)
    seeds = [3, 4, 5]
    totals = [
        float(play(Dream(engine, 1), Population.of(agent), [seed], Limits(TINY.max_steps)).returns[0]) for seed in seeds
    ]
    recording = record_dream(engine, agent, vision, seeds)
    assert recording.total == pytest.approx(sorted(totals)[1], rel=1e-5)
    assert recording.frames.shape == (len(recording.actions) + 1, 64, 64, 3)
    assert recording.reconstructed is None
    assert (recording.where, recording.temperature) == ("dream", 1.2)


def filmed(number: int, steps: int, cut: bool = False) -> RoundFilm:
    score = make_score(100 * number) if number else None
    return RoundFilm(number, 1000 * (number + 1), score, make_episode(steps).frames, 4.0, cut)


def test_a_round_is_filmed_until_its_episode_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    (seed,) = world_seeds(0, 1)
    whole = film_round(make_agent(), 2, 500, None, seed)
    assert not whole.cut
    monkeypatch.setattr(recording, "MOST_STEPS", 7)
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
    found = overview.rounds(ReportInputs(TINY, rounds=[filmed(0, 5), filmed(1, 9), filmed(2, 30, cut=True)]))
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
