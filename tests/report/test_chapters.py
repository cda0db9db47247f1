from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reverie.report import chapters
from reverie.report.inputs import ReportInputs
from reverie.report.pictures import GAP
from reverie.report.write import render
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.evaluation.parts import TINY, make_episode, make_latents, make_memory, make_vision, write_metrics

DOOM = WorldSpec("doom", ActionSpec("three-way", 1), "survival", 2100)


def test_the_filmstrip_shows_every_fifth_of_fifty_steps() -> None:
    section = chapters.memory(
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
    tiny, survival = chapters.memory(inputs), chapters.memory(replace(inputs, world=replace(DOOM, name="tiny")))
    assert tiny is not None
    assert survival is not None
    assert "reward" in tiny
    assert "reward" not in survival
    assert "reliability" in tiny
    assert "reliability" in survival


def test_the_next_action_is_calibrated_where_m_predicts_it() -> None:
    inputs = ReportInputs(TINY, memory=make_memory(action_head=True), latents=[make_latents(80)])
    with_head = chapters.memory(inputs)
    without = chapters.memory(replace(inputs, memory=make_memory()))
    assert with_head is not None
    assert without is not None
    assert with_head["agreement"].startswith("M foresees ")
    assert "action" in with_head
    assert "action" not in without
    assert "coverage" in without


def test_healthy_losses_are_drawn_for_the_papers_doom_alone(tmp_path: Path) -> None:
    path = write_metrics(tmp_path / "m.jsonl", [{"step": s, "z_nll": 1.2, "done": 0.1} for s in (20, 40)])
    doom = chapters.memory(ReportInputs(DOOM, memory_metrics=path))
    tiny = chapters.memory(ReportInputs(TINY, memory_metrics=path))
    assert doom is not None
    assert tiny is not None
    assert [("0.983 at update 24000" in svg, "0.0009 at update 24000" in svg) for svg, _ in doom["curves"]] == [
        (True, False),
        (False, True),
    ]
    assert not any("The paper" in svg for svg, _ in tiny["curves"])


def test_each_loss_that_m_has_is_drawn(tmp_path: Path) -> None:
    losses = {"z_nll": 1.2, "done": 0.1, "outlook": 0.15}
    path = write_metrics(tmp_path / "m.jsonl", [{"step": s, **losses} for s in (20, 40)])
    section = chapters.memory(ReportInputs(TINY, memory_metrics=path))
    assert section is not None
    assert ["endings while an action is held" in svg for svg, _ in section["curves"]] == [False, False, True]


def test_vs_free_nats_come_from_its_settings(tmp_path: Path) -> None:
    path = write_metrics(tmp_path / "v.jsonl", [{"step": s, "reconstruction": 9.0, "kl": 40.0} for s in (20, 40)])
    settings = {"vision": {"kl_tolerance": 0.5, "latent_size": 64}}
    section = chapters.vision(ReportInputs(DOOM, vision_metrics=path, config=settings))
    assert section is not None
    assert ["32 free nats" in svg for svg, _ in section["curves"]] == [False, True]


def test_what_v_sees_takes_frames_of_all_episodes() -> None:
    section = chapters.vision(ReportInputs(TINY, vision=make_vision(), episodes=[make_episode(30), make_episode(9, 1)]))
    assert section is not None
    assert len(section["pairs"]) == chapters.SEEN_FRAMES
    assert len({frame for frame, _ in section["pairs"]}) == chapters.SEEN_FRAMES
    assert section["latents"] == 8


def test_the_evolution_in_figures(tmp_path: Path) -> None:
    rows = [{"step": s, "mean": 1.0, "rescored": 812.4, "sigma": 0.0812, "dream_steps": 36e6} for s in (1, 40)]
    inputs = ReportInputs(
        DOOM,
        controller_metrics=[write_metrics(tmp_path / "c.jsonl", rows)],
        config={"evolution": {"population": 64, "rollouts": 16}},
        seconds={"controller": 230},
    )
    section = chapters.controller(inputs)
    assert section is not None
    assert section["facts"] == [
        ("generations", "40"),
        ("candidates × episodes in each", "64 × 16"),
        ("steps in the dream", "36,000,000"),
        ("best agent on fresh seeds", "812"),
        ("last step size σ", "0.0812"),
        ("wall time", "3 min 50 s"),
    ]
    assert "paper&#39;s mean" in section["curve"] or "paper's mean" in section["curve"]


def test_wall_times_as_shares_of_the_longest() -> None:
    section = chapters.making(ReportInputs(TINY, seconds={"collect": 30.0, "vision": 120.0}))
    assert section is not None
    assert section["stages"] == [("collect", "30 s", 25.0), ("vision", "2 min 0 s", 100.0)]
    assert chapters.making(ReportInputs(TINY)) is None


def test_what_c_learned_by_gradients(tmp_path: Path) -> None:
    """With or without an evolution after it."""
    rows = [{"step": 5, "dream_steps": 300_000, "entropy": 0.3}]  # no dream has ended yet
    rows += [{"step": s, "dream_steps": s * 65_536, "mean": 10.0 * s, "entropy": 0.1} for s in (10, 20)]
    learned = write_metrics(tmp_path / "g.jsonl", rows)
    alone = chapters.controller(ReportInputs(DOOM, gradient_metrics=[learned]))
    assert alone is not None
    assert alone["curve"] is None
    assert alone["facts"] == [("updates by gradients", "20"), ("steps dreamt for them", "1,310,720")]
    assert "200 after 1.3 million" in alone["learning"]
    evolved = write_metrics(tmp_path / "c.jsonl", [{"step": 1, "mean": 300.0}])
    both = chapters.controller(ReportInputs(DOOM, gradient_metrics=[learned], controller_metrics=[evolved]))
    assert both is not None
    assert both["curve"] is not None
    assert [what for what, _ in both["facts"]] == ["updates by gradients", "steps dreamt for them", "generations"]


def test_what_c_took_is_told_of_all_rounds(tmp_path: Path) -> None:
    learned = [
        write_metrics(tmp_path / f"g{i}", [{"step": 10 * (i + 1), "dream_steps": 1000 * (i + 1), "mean": 300.0}])
        for i in range(3)
    ]
    evolved = [
        write_metrics(tmp_path / f"c{i}", [{"step": s, "mean": 1.0, "dream_steps": 50 * s} for s in (1, 2)])
        for i in range(2)
    ]
    seconds = {"memory": 500.0, "controller": 60.0, "controller, round 1": 30.0, "controller, round 2": 5.0}
    section = chapters.controller(
        ReportInputs(DOOM, gradient_metrics=learned, controller_metrics=evolved, seconds=seconds)
    )
    assert section is not None
    assert section["facts"] == [
        ("updates by gradients", "60"),
        ("steps dreamt for them", "6,000"),
        ("generations", "4"),
        ("steps in the dream", "200"),
        ("wall time", "1 min 35 s"),
    ]
    assert section["rounds"] == 3
    assert not section["settled"]


@pytest.mark.parametrize(("rounds", "said"), [(1, "where C began to settle."), (2, "and where C began to settle in")])
def test_settling_counts_as_dreamt_and_is_no_round(rounds: int, said: str, tmp_path: Path) -> None:
    rows = [{"step": 5, "dream_steps": 1000, "mean": 300.0}, {"step": 10, "dream_steps": 2000, "mean": 400.0}]
    *learned, settled = [write_metrics(tmp_path / f"g{i}", rows) for i in range(rounds + 1)]
    inputs = ReportInputs(DOOM, gradient_metrics=learned, settle_metrics=settled)
    section = chapters.controller(inputs)
    assert section is not None
    steps = 2000 * (rounds + 1)
    assert section["facts"] == [
        ("updates by gradients", f"{steps // 200}"),
        ("steps dreamt for them", f"{steps:,}"),
    ]
    assert section["rounds"] == rounds
    assert said in render(inputs)


@pytest.mark.parametrize(
    ("config", "alone"),
    [
        ({"evolution": {"generations": 0}}, True),
        ({"evolution": {"generations": 0}, "rounds": {"count": 2, "generations": 0}}, True),
        ({"evolution": {"generations": 0}, "rounds": {"count": 2, "generations": 5}}, False),
        ({"evolution": {"generations": 9}}, False),
        ({}, False),
    ],
)
def test_gradients_alone_are_told_only_where_no_evolution_follows(
    config: dict[str, Any], alone: bool, tmp_path: Path
) -> None:
    learned = write_metrics(tmp_path / "g.jsonl", [{"step": 5, "dream_steps": 9, "mean": 3.0}])
    inputs = ReportInputs(DOOM, gradient_metrics=[learned], config=config)
    assert ("by them alone" in render(inputs)) == alone


def test_what_c_learned_in_the_real_world(tmp_path: Path) -> None:
    rows = [{"step": s, "world_steps": s * 30_000, "mean": 700.0 + s, "min": 300.0} for s in range(1, 61)]
    tuned = write_metrics(tmp_path / "f.jsonl", rows)
    section = chapters.controller(ReportInputs(DOOM, finetune_metrics=tuned))
    assert section is not None
    assert section["facts"] == [("updates in the real world", "60"), ("real steps for them", "1,800,000")]
    assert "701 at first, 760 after 1.80 million" in section["tuning"]
    assert section["curve"] is None
