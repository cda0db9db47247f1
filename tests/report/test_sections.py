from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from reverie.learning.phases import Phase
from reverie.report import sections
from reverie.report.inputs import PhaseCurve, ReportInputs
from reverie.report.pictures import GAP
from reverie.report.write import render
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.evaluation.parts import TINY, make_episode, make_latents, make_memory, make_vision, write_metrics

DOOM = WorldSpec("doom", ActionSpec("three-way", 1), "survival", 2100)


def test_the_filmstrip_shows_every_fifth_of_fifty_steps() -> None:
    section = sections.memory(
        ReportInputs(TINY, vision=make_vision(), memory=make_memory(), latents=[make_latents(80), make_latents(5)])
    )
    assert section is not None
    ahead = section["ahead"]
    assert ahead["steps"] == list(range(0, 51, 5))
    assert [name for name, _ in ahead["strips"]] == ["reality", "one step ahead", "dreaming on"]
    strips = [Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) for _, uri in ahead["strips"]]
    assert {picture.size for picture in strips} == {(11 * (64 + GAP) - GAP, 64)}
    first = [np.asarray(picture)[:, :64] for picture in strips]
    np.testing.assert_array_equal(first[0], first[1])  # all three begin with the same real frame
    np.testing.assert_array_equal(first[0], first[2])
    assert ahead["film"].frames == 51


def test_rewards_are_calibrated_only_where_they_are_predicted() -> None:
    inputs = ReportInputs(TINY, memory=make_memory(), latents=[make_latents(80)])
    tiny, survival = sections.memory(inputs), sections.memory(replace(inputs, world=replace(DOOM, name="tiny")))
    assert tiny is not None
    assert survival is not None
    assert "reward" in tiny
    assert "reward" not in survival
    assert "reliability" in tiny
    assert "reliability" in survival


def test_the_next_action_is_calibrated_where_m_predicts_it() -> None:
    inputs = ReportInputs(TINY, memory=make_memory(action_head=True), latents=[make_latents(80)])
    with_head = sections.memory(inputs)
    without = sections.memory(replace(inputs, memory=make_memory()))
    assert with_head is not None
    assert without is not None
    assert with_head["agreement"].startswith("M foresees ")
    assert "action" in with_head
    assert "action" not in without
    assert "coverage" in without


def test_healthy_losses_are_drawn_for_the_papers_doom_alone(tmp_path: Path) -> None:
    path = write_metrics(tmp_path / "m.jsonl", [{"step": s, "z_nll": 1.2, "done": 0.1} for s in (20, 40)])
    doom = sections.memory(ReportInputs(DOOM, memory_metrics=path))
    tiny = sections.memory(ReportInputs(TINY, memory_metrics=path))
    assert doom is not None
    assert tiny is not None
    assert [("0.983 at update 24000" in svg, "0.0009 at update 24000" in svg) for svg, _ in doom["curves"]] == [
        (True, False),
        (False, True),
    ]
    assert not any("The paper" in svg for svg, _ in tiny["curves"])


def test_each_loss_that_m_has_is_drawn(tmp_path: Path) -> None:
    losses = {"z_nll": 1.2, "done": 0.1, "survival": 0.15}
    path = write_metrics(tmp_path / "m.jsonl", [{"step": s, **losses} for s in (20, 40)])
    section = sections.memory(ReportInputs(TINY, memory_metrics=path))
    assert section is not None
    assert ["endings while an action is held" in svg for svg, _ in section["curves"]] == [False, False, True]


def test_vs_free_nats_come_from_its_settings(tmp_path: Path) -> None:
    path = write_metrics(tmp_path / "v.jsonl", [{"step": s, "reconstruction": 9.0, "kl": 40.0} for s in (20, 40)])
    settings = {"vision": {"kl_tolerance": 0.5, "latent_size": 64}}
    section = sections.vision(ReportInputs(DOOM, vision_metrics=path, config=settings))
    assert section is not None
    assert ["32 free nats" in svg for svg, _ in section["curves"]] == [False, True]


def test_what_v_sees_takes_frames_of_all_episodes() -> None:
    section = sections.vision(ReportInputs(TINY, vision=make_vision(), episodes=[make_episode(30), make_episode(9, 1)]))
    assert section is not None
    assert len(section["pairs"]) == sections.SEEN_FRAMES
    assert len({frame for frame, _ in section["pairs"]}) == sections.SEEN_FRAMES
    assert section["latents"] == 8


def test_wall_times_as_shares_of_the_longest() -> None:
    section = sections.making(ReportInputs(TINY, seconds={"collect": 30.0, "vision": 120.0}))
    assert section is not None
    assert section["stages"] == [("collect", "30 s", 25.0), ("vision", "2 min 0 s", 100.0)]
    assert sections.making(ReportInputs(TINY)) is None


def curve(folder: Path, number: int, word: str, rows: Sequence[Mapping[str, float]], round: int = 0) -> PhaseCurve:
    """A phase with these metrics."""
    path = write_metrics(folder / f"{round}-{number}.jsonl", [dict(row) for row in rows])
    return PhaseCurve(number, Phase.from_word(word), round, path)


def test_a_search_in_figures(tmp_path: Path) -> None:
    rows = [
        {"step": s, "fitness_mean": 1.0, "best_return_mean": 812.4, "sigma": 0.0812, "dream_steps": 36e6}
        for s in (1, 40)
    ]
    inputs = ReportInputs(
        DOOM,
        phases=[curve(tmp_path, 1, "cmaes:dream:40", rows)],
        config={"cmaes": {"population": 64, "episodes": 16}},
        seconds={"controller": 230},
    )
    section = sections.controller(inputs)
    assert section is not None
    assert section["facts"] == [
        ("generations in the dream", "40"),
        ("candidates × episodes in each", "64 × 16"),
        ("steps in the dream for them", "36,000,000"),
        ("best C on fresh seeds", "812"),
        ("last step size σ", "0.0812"),
        ("wall time", "3 min 50 s"),
    ]
    ((svg, caption),) = section["curves"]
    assert "paper" in svg
    assert caption == sections.FITNESS
    assert (section["how"], section["in_turn"]) == ("CMA-ES in the dream", False)


def test_each_kind_of_phase_has_one_curve_for_all_rounds(tmp_path: Path) -> None:
    """Rounds and phases follow one another, a dotted line between them."""
    dreamt = [
        {"step": 5, "dream_steps": 300_000},  # no dream has ended yet
        {"step": 10, "dream_steps": 1_000_000, "episode_return_mean": 100.0},
        {"step": 20, "dream_steps": 2_000_000, "episode_return_mean": 200.0},
    ]
    searched = [{"step": s, "fitness_mean": 300.0, "dream_steps": 50 * s} for s in (1, 2)]
    played = [
        {"step": s, "world_steps": s * 30_000, "episode_return_mean": 700.0 + s, "episode_return_min": 300.0}
        for s in range(1, 61)
    ]
    phases = [
        curve(tmp_path, 1, "ppo:dream:20", dreamt),
        curve(tmp_path, 3, "cmaes:dream:2", searched),
        curve(tmp_path, 1, "ppo:dream:20", dreamt, round=1),
        curve(tmp_path, 2, "backprop:dream:20:last", dreamt, round=1),
        curve(tmp_path, 3, "cmaes:dream:2", searched, round=1),
        curve(tmp_path, 4, "ppo:world:60:last", played, round=1),
    ]
    seconds = {"memory": 500.0, "controller": 60.0, "controller, round 1": 35.0}
    inputs = ReportInputs(DOOM, phases=phases, seconds=seconds)
    section = sections.controller(inputs)
    assert section is not None
    assert section["facts"] == [
        ("updates in the dream", "60"),
        ("steps in the dream for them", "6,000,000"),
        ("generations in the dream", "4"),
        ("steps in the dream for them", "200"),
        ("updates in the world", "60"),
        ("steps in the world for them", "1,800,000"),
        ("wall time", "1 min 35 s"),
    ]
    (gradients, _), (search, _), (world, _) = section["curves"]
    assert "100 at first, 200 after 6.00 million" in gradients
    assert "300 at first, 300 at generation 4" in search
    assert "701 at first, 760 after 1.80 million" in world
    dotted = [svg.count("stroke-dasharray: 0.8,1.32") for svg in (gradients, search, world)]
    assert dotted == [2, 1, 0]
    text = render(inputs)
    how = "PPO in the dream, then CMA-ES in the dream, then backpropagation in the dream, then PPO in the world"
    assert f"It was trained by {how}. Curves and figures are of all phases and rounds" in text
