"""What a reader is told: the table, the sentence at the top, the charts, the film."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reverie.files.metrics import MetricsLog
from reverie.learning.phases import Phase
from reverie.report.theme import PRINT, to_svg
from reverie.report.video import prolonged
from reverie.reproduction import page
from reverie.reproduction.figures import (
    LearningCurve,
    agents,
    agents_text,
    gradient_curves,
    gradient_text,
    learning_curves,
    learning_text,
    transfer,
    transfer_text,
)
from reverie.reproduction.page import verdict
from reverie.reproduction.results import cmaes_metrics, gradient_metrics
from reverie.reproduction.table import reproduction_table
from tests.reproduction.parts import car_like, doom_like

BETTER = {"main": 1200.0, "sweep-100": 900.0, "tau-0.10": 200.0, "tau-1.15": 1000.0}


def test_the_table_has_every_row_beside_the_papers() -> None:
    lines = reproduction_table(doom_like(BETTER)).splitlines()
    assert max(map(len, lines)) <= 100 + 60  # the tests below the table are sentences
    rows = [line for line in lines if line.startswith("│")]
    assert len(rows) == 16
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert cells[0] == ["main agent", "1.15", "850 ± 50", "1,200 ± 100", "", "1092 ± 556"]
    assert cells[1] == ["trained at τ 0.10", "0.10", "1,900 ± 50", "200 ± 100", "2086 ± 140", "193 ± 58"]
    assert cells[-1] == ["best of the Gym leaderboard", "", "", "", "", "820 ± 58"]
    assert not any("…" in row for row in rows)
    (first,) = [line for line in lines if line.startswith("main agent against blind sweep, 100 steps:")]
    assert first.startswith("main agent against blind sweep, 100 steps: +300 [+")
    assert first.endswith("p = 1e-05")
    assert "paired sign-flip permutation test" in lines[-2]
    assert lines[-1] == "2 min 5 s in this call; page: there/reproduce.html"


@pytest.mark.parametrize(
    ("main", "sentence"),
    [
        (
            1200,
            "In reality the main agent scores 1,200 on average, where the paper has 1,092. Blind sweep, 100 steps: "
            "900; the agent is better by more than chance explains (p = 1e-05).",
        ),
        (
            900,
            "In reality the main agent scores 900 on average, where the paper has 1,092. Blind sweep, 100 steps: 900; "
            "the gap is no wider than chance explains (p = 1).",
        ),
        (
            600,
            "In reality the main agent scores 600 on average, where the paper has 1,092. Blind sweep, 100 steps: 900; "
            "the agent is worse by more than chance explains (p = 1e-05).",
        ),
    ],
)
def test_the_main_result_in_one_honest_sentence(main: float, sentence: str) -> None:
    assert verdict(doom_like({"main": main, "sweep-100": 900})) == sentence


def test_the_chart_over_tau_shows_ours_and_the_papers() -> None:
    found = doom_like(BETTER)
    (axis,) = transfer(found, "steps survived").axes
    shown = {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in axis.lines}
    taus = [0.1, 0.5, 1.0, 1.15, 1.3]
    paper = {"paper, in the dream": [2086, 2060, 1145, 918, 732], "paper, in reality": [193, 196, 868, 1092, 753]}
    for label, means in paper.items():
        np.testing.assert_allclose(np.array(shown[label], float), [taus, means])
    assert list(shown["blind sweep, 100 steps"][1]) == [900, 900]
    assert [float(place[0]) for place in shown["main agent, in reality"]] == [1.15, 1200]
    ours = {bars.get_label(): np.array(bars.lines[0].get_ydata(), float) for bars in axis.containers}
    np.testing.assert_allclose(ours["ours, in the dream"], [1900, 1500, 1000, 850, 700])
    np.testing.assert_allclose(ours["ours, in reality"], [200, 300, 300, 1000, 300])
    assert transfer_text(found).startswith("Scores over the temperature. tau 0.1: dream 1900, real 200; tau 0.5:")


CARS = {"main": 905.0, "z-and-h": 870.0, "untrained-m": 860.0, "z-linear": 640.0, "z-hidden": 790.0, "random": -46.0}


def test_the_cars_table_has_both_engines_the_gap_and_what_each_was_trained_with() -> None:
    pytest.importorskip("envpool")
    lines = reproduction_table(car_like(CARS)).splitlines()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert rows[:6] == [
        ["main agent", "925 ± 100", "+20", "905 ± 100", "906 ± 21"],
        ["z alone, linear", "660 ± 100", "+20", "640 ± 100", "632 ± 251"],
        ["z alone, hidden layer", "810 ± 100", "+20", "790 ± 100", "788 ± 141"],
        ["z and h", "890 ± 100", "+20", "870 ± 100", "906 ± 21"],
        ["z and h, untrained M", "880 ± 100", "+20", "860 ± 100", ""],
        ["random policy", "", "", "−46 ± 100", ""],
    ]
    assert rows[6] == ["DQN", "", "", "", "343 ± 18"]
    assert rows[10] == ["main agent", "867", "40", "3,000,000", "1 h 0 min"]
    assert len(rows) == 6 + 4 + 5
    assert max(len(line) for line in lines if line.startswith("│")) <= 100
    assert any(line.startswith("z and h against z and h, untrained M: +10 [") for line in lines)


def test_the_cars_agents_stand_side_by_side() -> None:
    pytest.importorskip("envpool")
    found = car_like(CARS)
    (axis,) = agents(found, "points").axes
    bars = {bars.get_label(): bars.lines[0].get_xdata().tolist() for bars in axis.containers}  # type: ignore[union-attr]
    np.testing.assert_allclose(bars["ours, mean ± std over episodes"], [905, 640, 790, 870, 860, -46])
    np.testing.assert_allclose(bars["in EnvPool, where training plays"], [925, 660, 810, 890, 880])
    assert bars["paper"] == [906, 632, 788, 906]
    assert axis.get_yticklabels()[0].get_text() == "main agent"
    assert agents_text(found).startswith(
        "Mean scores. main agent: 905, in the engine of training 925, the paper 906; z al"
    )
    assert verdict(found) == (
        "In reality the main agent scores 905 on average, where the paper has 906. "
        "In EnvPool, where training plays: 925."
    )


def test_learning_curves_stand_beside_the_published_one() -> None:
    rows = [{"step": step, "fitness_mean": 100.0 * step} for step in (1, 2, 3)]
    curves = [LearningCurve("τ 0.10", rows), LearningCurve("main run", rows, main=True)]
    (axis,) = learning_curves(curves, ((25, 515), (1800, 897)), "steps survived").axes
    assert [line.get_label() for line in axis.lines] == ["τ 0.10", "main run", "paper"]
    assert (axis.get_xscale(), axis.lines[2].get_xdata()[-1]) == ("log", 1800)
    assert axis.get_xlabel() == "generation of CMA-ES"
    assert learning_text(curves, ((25, 515),)) == (
        "Mean fitness of the last generation. τ 0.10: 300; main run: 300. The paper: 515 at generation 25."
    )


def dreamt(turn: int, *means: float | None) -> list[dict[str, float | None]]:
    """Rows of learning by gradients as `read_in_turn` has them, a million steps apart."""
    first = 1 + 3 * turn
    steps = range(first, first + len(means))
    return [
        {"step": s, "dream_steps": s * 10**6, "episode_return_mean": m, "turn": turn}
        for s, m in zip(steps, means, strict=True)
    ]


def test_what_gradients_brought_is_drawn_over_steps_dreamt() -> None:
    rounds = [*dreamt(0, None, 100.0, 300.0), *dreamt(1, 200.0, 400.0)]
    learned = [LearningCurve("τ 0.10", dreamt(0, 900.0, 1900.0)), LearningCurve("main run", rounds, main=True)]
    (axis,) = gradient_curves(learned, "steps survived").axes
    drawn = [(np.array(line.get_xdata()).tolist(), np.array(line.get_ydata()).tolist()) for line in axis.lines]
    assert drawn[0] == ([1, 2], [900, 1900])
    assert drawn[1:3] == [([2, 3], [100, 300]), ([4, 5], [200, 400])]  # broken where a round begins
    assert drawn[3][0] == [4, 4]
    assert axis.get_legend_handles_labels()[1] == ["τ 0.10", "main run"]
    assert axis.get_xlabel() == "million steps dreamt"
    assert axis.get_ylim()[0] == 0
    assert gradient_text(learned) == (
        "Mean return of the last dreams, by steps dreamt. τ 0.10: 1900 after 2.0 million; "
        "main run: 400 after 5.0 million."
    )


def test_a_page_draws_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By gradients alone: their chart, and the paper's curve in one of its own, which says so."""
    gradients, searches = ([tmp_path / name / number for number in "12"] for name in ("ppo", "cmaes"))
    found = [(Phase("ppo", "dream", 10), folder) for folder in gradients]
    found += [(Phase("cmaes", "dream", 1), folder) for folder in searches]
    run = SimpleNamespace(experiment=SimpleNamespace(phases=[Phase("cmaes", "dream", 1)]))
    context: Any = SimpleNamespace(plan=SimpleNamespace(world="doom", rows=()), run=run)
    monkeypatch.setattr(page, "main_trainings", lambda context: found)
    (paper,) = page.learning_charts(context, "steps survived")
    assert paper.caption == page.PAPER_ONLY_CAPTION
    assert paper.text.startswith("The paper: 515 at generation 25")
    assert paper.draw(PRINT).axes[0].get_title(loc="left") == "the paper's mean, steps survived in the dream"
    assert page.gradient_charts(context, "steps survived") == []
    for folder in gradients:
        folder.mkdir(parents=True)
        with MetricsLog(folder / "metrics.jsonl", resume_step=0) as log:
            log.append(step=5, dream_steps=100)
            log.append(step=10, dream_steps=200, episode_return_mean=70.0)
    assert [row["dream_steps"] for row in gradient_metrics(found)] == [100, 200, 300, 400]
    (chart,) = page.gradient_charts(context, "steps survived")
    assert chart.caption == page.GRADIENT_CAPTION + page.ROUNDS
    assert len(chart.draw(PRINT).axes[0].lines) == 3
    searches[1].mkdir(parents=True)
    with MetricsLog(searches[1] / "metrics.jsonl", resume_step=0) as log:
        log.append(step=1, fitness_mean=50.0)
    assert len(cmaes_metrics(found)) == 1
    (ours,) = page.learning_charts(context, "steps survived")
    assert ours.caption == page.FITNESS_CAPTION
    assert ours.text.startswith("Mean fitness of the last generation. main run: 50. The paper: 515")
    monkeypatch.setattr(context.plan, "world", "tiny")
    (searches[1] / "metrics.jsonl").unlink()
    assert page.learning_charts(context, "steps survived") == []  # neither ours nor the paper's


def test_learning_curves_say_where() -> None:
    (axis,) = learning_curves(
        [LearningCurve("z", [{"step": 1, "fitness_mean": 1.0}])], (), "points", "world", PRINT
    ).axes
    assert axis.get_title(loc="left") == "population mean, points in the world"


def test_a_legend_of_long_labels_is_narrower() -> None:
    heights = []
    for label in ("C on an untrained M", "z alone, hidden layer"):
        figure = learning_curves([LearningCurve(label, [{"step": 1, "fitness_mean": 1.0}])] * 4, ((25, 515),), "points")
        figure.canvas.draw()
        (legend,) = figure.legends
        assert legend.get_window_extent().width <= figure.bbox.width
        heights.append(legend.get_window_extent().height)
    assert heights[1] > 1.3 * heights[0]  # three lines, where the shorter label stands three times in one


def test_learning_in_the_world_has_the_colour_of_reality() -> None:
    (axis,) = learning_curves(
        [LearningCurve("z", [{"step": 1, "fitness_mean": 1.0}])], (), "points", "world", PRINT
    ).axes
    assert axis.lines[0].get_color() == PRINT.real


def test_charts_are_drawn_for_the_page_and_for_paper() -> None:
    found = doom_like(BETTER)
    page = to_svg(transfer(found, "steps"), "transfer", "a chart")
    assert "var(--dream)" in page
    assert "#0a0b0" not in page
    printed = transfer(found, "steps", PRINT)
    assert printed.axes[0].containers[0].lines[0].get_color() == PRINT.dream


def test_what_ended_goes_dark() -> None:
    frames = np.full((3, 64, 64, 3), 100, np.uint8)
    longer = prolonged(frames, 5)
    assert longer[:, 0, 0, 0].tolist() == [100, 100, 100, 35, 35]
    assert prolonged(frames, 2).shape == (2, 64, 64, 3)
