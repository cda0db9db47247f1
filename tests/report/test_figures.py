from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from reverie.report import figures
from reverie.report.theme import VARIABLES, new_figure
from tests.evaluation.parts import make_score

ROWS = [
    {"step": step, "loss": 100 / step, "kl": 40.0}
    | {"fitness_mean": step, "fitness_min": 0.0, "fitness_max": 2.0 * step}
    for step in (1, 2, 9)
]
RETURNS = [
    {"step": step, "dream_steps": 100 * step, "world_steps": 9 * step}
    | {"episode_return_mean": 2.0 * step, "episode_return_min": step}
    for step in (1, 2, 9)
]

CHARTS: dict[str, Callable[[], Markup | None]] = {
    "histogram": lambda: figures.score_histograms(
        {"agent, awake": make_score(800), "random play": make_score(200)}, "x"
    ),
    "loss": lambda: figures.loss_curve(ROWS, "loss", "Loss", log=True),
    "floor": lambda: figures.loss_curve(ROWS, "kl", "Nats", floor=(32, "free nats")),
    "healthy": lambda: figures.loss_curve(ROWS, "loss", "Loss", healthy=((20, 1.3), (1000, 1.0)), log=True),
    "one row": lambda: figures.loss_curve(ROWS[:1], "loss", "Loss", log=True),
    "fitness": lambda: figures.fitness_curve(ROWS, "points", "dream", ((25, 500), (50, 600)), "paper"),
    "learning": lambda: figures.learning_curve(RETURNS, "points", "dream"),
    "learning in the world": lambda: figures.learning_curve(RETURNS, "points", "world"),
    "reliability": lambda: figures.reliability(np.array([0.001, 0.1]), np.array([0.002, 0.2]), np.array([3, 5])),
    "one bin": lambda: figures.reliability(np.array([0.1]), np.array([0.1]), np.array([1])),
    "reward": lambda: figures.reward_calibration(np.arange(5.0), np.arange(5.0)),
    "coverage": lambda: figures.latent_coverage(np.linspace(0.05, 0.95, 19), np.linspace(0.1, 0.9, 19)),
    "action": lambda: figures.action_calibration(np.array([-1.0, 1.0]), np.array([-0.5, 0.9]), np.array([3, 5])),
    "one action": lambda: figures.action_calibration(np.array([0.5]), np.array([0.5]), np.array([9])),
    "drift": lambda: figures.drift(np.ones(50), np.arange(50.0), np.full(50, 2.0)),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_self_contained_svg_in_the_pages_own_colours(name: str) -> None:
    svg = CHARTS[name]()
    assert svg is not None
    root = ElementTree.fromstring(str(svg))
    assert root.attrib["role"] == "img"
    assert len(root.attrib["aria-label"]) > 20
    assert "http" not in svg
    assert "var(--font)" in svg
    used = {variable for variable in VARIABLES.values() if variable in svg}
    assert len(used) >= 3
    coloured = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg))
    assert not coloured & set(VARIABLES)  # every stand-in became a variable
    assert coloured <= {"#ffffff"}


def test_ids_of_two_charts_on_one_page_do_not_meet() -> None:
    def ids(svg: Markup | None) -> set[str]:
        return set(re.findall(r'id="([^"]+)"', str(svg)))

    first, second = CHARTS["loss"](), CHARTS["floor"]()
    assert ids(first)
    assert not ids(first) & ids(second)
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', str(first))) != set()
    for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', str(first)):
        assert "".join(pair) in ids(first)


def test_the_same_numbers_give_the_same_chart() -> None:
    assert CHARTS["drift"]() == CHARTS["drift"]()


def test_a_metric_that_was_not_logged_has_no_curve() -> None:
    assert figures.loss_curve(ROWS, "reward", "Reward") is None
    assert figures.loss_curve([], "loss", "Loss") is None
    assert figures.fitness_curve([], "points", "world") is None


def test_the_alt_text_says_what_the_curve_shows() -> None:
    svg = figures.loss_curve(ROWS, "loss", "Loss of V", healthy=((20, 1.314), (1000, 1.047)))
    label = ElementTree.fromstring(str(svg)).attrib["aria-label"]
    assert label == ("Loss of V over 9 updates: from 100 to 11.1. The paper: 1.314 at update 20, 1.047 at update 1000.")


def test_alt_texts_and_labels_are_escaped() -> None:
    svg = figures.loss_curve(ROWS, "loss", 'a "loss" < 1 & more')
    assert ElementTree.fromstring(str(svg)).attrib["aria-label"].startswith('a "loss" < 1 & more over')


def test_losses_at_zero_are_drawn_on_a_linear_axis() -> None:
    rows = [{"step": 1, "done": 0.5}, {"step": 2, "done": 0.0}]
    assert figures.loss_curve(rows, "done", "Endings", log=True) is not None


def test_series_leaves_out_rows_that_lack_the_metric() -> None:
    rows = [{"step": 1, "a": 2.0}, {"step": 2}, {"step": 3, "a": None}, {"step": 4, "a": 0.0}]
    steps, values = figures.series(rows, "a")
    assert steps.tolist() == [1, 4]
    assert values.tolist() == [2, 0]


def test_thinning_keeps_short_curves_and_averages_long_ones() -> None:
    steps, values = np.arange(1000.0), np.tile([0.0, 2.0], 500)
    assert figures.thinned(steps[:240], values[:240])[0] is not None
    assert figures.thinned(steps[:240], values[:240])[1].tolist() == values[:240].tolist()
    short_steps, short_values = figures.thinned(steps, values, points=100)
    assert len(short_steps) == 100
    np.testing.assert_allclose(short_values, 1.0)  # ten neighbours each: five 0s and five 2s
    assert short_steps[0] == 4.5


@pytest.mark.parametrize(
    ("label", "where", "colour"),
    [
        ("agent, awake", "world", figures.REAL),
        ("agent, asleep", "dream", figures.DREAM),
        ("random play", "world", figures.RANDOM),
        ("blind sweep", "world", figures.RANDOM),
    ],
)
def test_one_colour_means_one_thing(label: str, where: str, colour: str) -> None:
    assert figures.colour_of(label, make_score(10, where, 1.0 if where == "dream" else None)) == colour


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((0.075, 0.16), ["0.08", "0.1", "0.12", "0.14", "0.16"]),
        ((0.3, 3.0), ["0.5", "1", "2"]),
        ((1.1, 2.4), ["1.25", "1.5", "1.75", "2", "2.25"]),
        ((1.0, 2_000.0), ["1", "10", "100", "1,000"]),
    ],
)
def test_a_logarithmic_axis_says_what_its_values_are(values: tuple[float, float], labels: list[str]) -> None:
    _, (axis,) = new_figure()
    axis.plot(values, values)
    figures.log_scale(axis, "y")
    low, high = axis.get_ylim()
    marks = axis.yaxis
    assert [marks.get_major_formatter()(at, 0) for at in marks.get_majorticklocs() if low <= at <= high] == labels
