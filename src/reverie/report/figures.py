"""The report's charts, each one function from numbers to inline SVG. One colour means one thing on every chart."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from reverie.evaluation.published import Curve
from reverie.evaluation.score import Score, histogram
from reverie.report.theme import (
    DREAM,
    INK,
    MUTED,
    PAPER,
    RANDOM,
    REAL,
    Rows,
    log_scale,
    new_figure,
    place_legend,
    series,
    thinned,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reverie.feature_env import Place


def score_histograms(scores: Mapping[str, Score], unit: str) -> Markup:
    """One small histogram for each labelled score, on a shared axis, its mean as a tick."""
    edges, counts = histogram(list(scores.values()))
    figure, axes = new_figure(rows=len(scores), height=0.5 + 0.72 * len(scores))
    for axis, (label, score), count in zip(axes, scores.items(), counts, strict=True):
        colour = colour_of(label, score)
        share = 100 * count / score.episodes
        axis.bar(edges[:-1], share, np.diff(edges), align="edge", color=colour, alpha=0.55, linewidth=0)
        axis.axvline(score.mean, color=colour, linewidth=2)
        axis.set_yticks([])
        axis.grid(False)
        axis.spines["left"].set_visible(False)
        axis.set_ylim(0, 1.1 * max(share.max(), 1))
        axis.set_title(f"{label}: {score.mean:,.0f}", loc="left", fontsize=9, color=colour, pad=2)
        if axis is not axes[-1]:
            axis.tick_params(axis="x", length=0)
    axes[-1].set_xlabel(f"{unit} in an episode")
    spread = "; ".join(f"{label}: mean {score.mean:.0f}" for label, score in scores.items())
    return to_svg(figure, "histogram", f"Histograms of episode scores. {spread}.")


def colour_of(label: str, score: Score) -> str:
    """Violet for dreams, teal for the agent in reality, grey for a baseline."""
    if score.where == "dream":
        return DREAM
    return REAL if label.startswith("agent") else RANDOM


def loss_curve(
    rows: Rows,
    key: str,
    label: str,
    *,
    held_out: str | None = None,
    healthy: Curve = (),
    floor: tuple[float, str] | None = None,
    log: bool = False,
) -> Markup | None:
    """A metric over updates: the training loss, its held-out twin, the paper's points; None where it was not logged.

    floor: a horizontal line (value, name), such as the free nats of V's KL term.
    """
    steps, values = series(rows, key)
    if not len(steps):
        return None
    figure, (axis,) = new_figure()
    axis.plot(*thinned(steps, values), color=DREAM, label="training")
    if held_out is not None and len(series(rows, held_out)[0]):
        axis.plot(*thinned(*series(rows, held_out)), color=REAL, label="held out")
    if healthy:
        axis.plot(*zip(*healthy, strict=True), color=PAPER, linestyle="--", marker="o", markersize=3.5, label="paper")
        _span_updates(axis, steps[-1])
    if floor is not None:
        axis.axhline(floor[0], color=PAPER, linestyle="--", linewidth=1.2, label=floor[1])
    if log and (values > 0).all():
        log_scale(axis, "y")
    axis.set_xlabel("update")
    axis.set_title(label, loc="left", fontsize=10, color=INK)
    place_legend(figure)
    alt = f"{label} over {int(steps[-1])} updates: from {values[0]:.3g} to {values[-1]:.3g}."
    if healthy:
        alt += " The paper: " + ", ".join(f"{loss:g} at update {step}" for step, loss in healthy) + "."
    return to_svg(figure, f"loss-{key}", alt)


def _span_updates(axis: Axes, last: float) -> None:
    """A logarithmic axis of updates: the paper trained for far longer than a quick run does."""
    log_scale(axis, "x")
    axis.set_xlim(10, max(last, 24_000) * 1.3)


def fitness_curve(rows: Rows, unit: str, place: Place, paper: Curve = (), paper_label: str = "") -> Markup | None:
    """Fitness by generation: the population's mean within worst to best, re-scored Cs, the published mean."""
    steps, mean = series(rows, "fitness_mean")
    if not len(steps):
        return None
    colour = DREAM if place == "dream" else REAL
    figure, (axis,) = new_figure()
    low, high = series(rows, "fitness_min")[1], series(rows, "fitness_max")[1]
    if len(low) == len(high) == len(steps):
        axis.fill_between(steps, low, high, color=colour, alpha=0.16, linewidth=0, label="worst to best")
    axis.plot(steps, mean, color=colour, label="mean")
    _mark_turns(axis, rows, "step", 1)
    checks, rescored = series(rows, "best_return_mean")
    if len(checks):
        axis.plot(checks, rescored, "o", color=INK, markersize=3.5, label="best C, fresh seeds")
    if paper:
        axis.plot(*zip(*paper, strict=True), color=PAPER, linestyle="--", marker="o", markersize=3, label=paper_label)
    axis.set_xlim(0, 1.05 * max(steps[-1], paper[1][0] if paper else 1))
    axis.set_xlabel("generation")
    axis.set_title(f"CMA-ES: {unit} in the {place}", loc="left", fontsize=10, color=INK)
    place_legend(figure, columns=2)
    alt = f"Mean fitness by generation: {mean[0]:.0f} at first, {mean[-1]:.0f} at generation {int(steps[-1])}."
    return to_svg(figure, f"fitness-{place}", alt)


def learning_curve(rows: Rows, unit: str, place: Place) -> Markup | None:
    """What episodes brought to a C that learns by gradients, over the steps taken for that."""
    rows = [row for row in rows if row.get("episode_return_mean") is not None]
    if not rows:
        return None
    mean = series(rows, "episode_return_mean")[1]
    taken = np.array([row[f"{place}_steps"] for row in rows]) / 1e6
    figure, (axis,) = new_figure()
    axis.plot(*thinned(taken, mean), color=DREAM if place == "dream" else REAL, label="mean")
    if place == "world":
        worst = series(rows, "episode_return_min")[1]
        axis.plot(*thinned(taken, worst), color=REAL, alpha=0.35, linewidth=1, label="worst episode of an update")
        place_legend(figure)
    _mark_turns(axis, rows, f"{place}_steps", 1e6)
    axis.set_xlabel(f"million steps in the {place}")
    axis.set_title(f"Policy gradients: {unit} in the {place}", loc="left", fontsize=10, color=INK)
    alt = f"Mean return by steps in the {place}: {mean[0]:.0f} at first, {mean[-1]:.0f} after {taken[-1]:.2f} million."
    return to_svg(figure, f"learning-{place}", alt)


def _mark_turns(axis: Axes, rows: Rows, key: str, unit: float) -> None:
    """A dotted line where a phase, and with it perhaps a round, ended, in rows of `read_in_turn`."""
    for row, following in pairwise(rows):
        if row.get("turn") != following.get("turn"):
            axis.axvline(row[key] / unit, color=MUTED, linewidth=0.8, linestyle=":")


def reliability(predicted: np.ndarray, observed: np.ndarray, happened: np.ndarray) -> Markup:
    """How often endings happened where M gave them a certain chance; the diagonal is a calibrated M.

    predicted, observed: mean chance and observed rate of each bin, both in (0, 1]; happened: endings in each bin.
    """
    figure, (axis,) = new_figure()
    span = [min(predicted.min(), observed.min()) / 2, 1]
    axis.plot(span, span, color=MUTED, linewidth=1, linestyle=":")
    axis.plot(predicted, observed, color=DREAM, alpha=0.5)
    axis.scatter(predicted, observed, s=8 + 60 * happened / happened.max(), color=DREAM, linewidth=0)
    log_scale(axis, "x")
    log_scale(axis, "y")
    axis.set_xlabel("chance of an ending that M gives this step")
    axis.set_title("share of such steps that ended", loc="left", fontsize=10, color=INK)
    points = ", ".join(f"{p:.2g} predicted, {o:.2g} happened" for p, o in zip(predicted, observed, strict=True))
    return to_svg(figure, "reliability", f"Calibration of M's endings: {points}.")


def reward_calibration(predicted: np.ndarray, actual: np.ndarray) -> Markup:
    """M's reward against the world's, step by step, both [N]."""
    figure, (axis,) = new_figure()
    span = [min(predicted.min(), actual.min()), max(predicted.max(), actual.max())]
    axis.plot(span, span, color=MUTED, linewidth=1, linestyle=":")
    axis.scatter(actual, predicted, s=5, color=DREAM, alpha=0.35, linewidth=0)
    axis.set_xlabel("reward that the world gave")
    axis.set_title("reward that M predicted", loc="left", fontsize=10, color=INK)
    error = float(np.sqrt(np.mean((predicted - actual) ** 2)))
    return to_svg(figure, "reward", f"Predicted against actual reward; root mean square error {error:.3g}.")


def latent_coverage(levels: np.ndarray, held: np.ndarray) -> Markup:
    """How many real latents fell into M's central intervals of each level, both [L] in (0, 1)."""
    figure, (axis,) = new_figure()
    axis.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    axis.plot(levels, held, color=DREAM)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xlabel("share of its distribution that M's interval spans")
    axis.set_title("share of the real next latents in it", loc="left", fontsize=10, color=INK)
    points = ", ".join(f"{100 * held[np.abs(levels - p).argmin()]:.0f} % in its {100 * p:.0f} %" for p in (0.5, 0.9))
    return to_svg(figure, "coverage", f"Calibration of M's next latent: {points} intervals.")


def action_calibration(predicted: np.ndarray, taken: np.ndarray, steps: np.ndarray) -> Markup:
    """The mean action taken where M predicted a certain one, each [B]; steps: how many lie in each bin."""
    figure, (axis,) = new_figure()
    span = [min(predicted.min(), taken.min()), max(predicted.max(), taken.max())]
    axis.plot(span, span, color=MUTED, linewidth=1, linestyle=":")
    axis.plot(predicted, taken, color=DREAM, alpha=0.5)
    axis.scatter(predicted, taken, s=8 + 60 * steps / steps.max(), color=DREAM, linewidth=0)
    axis.set_xlabel("next action that M expects")
    axis.set_title("mean of the actions then taken", loc="left", fontsize=10, color=INK)
    points = ", ".join(f"{p:.2g} expected, {t:.2g} taken" for p, t in zip(predicted, taken, strict=True))
    return to_svg(figure, "action", f"Calibration of M's next action: {points}.")


def drift(one_step: np.ndarray, free: np.ndarray, frozen: np.ndarray) -> Markup:
    """Distance of M's latents from reality over the steps ahead, each [L]: seeing, dreaming on, or not moving."""
    figure, (axis,) = new_figure()
    steps = np.arange(1, len(free) + 1)
    for values, colour, name in (
        (frozen, RANDOM, "nothing moves"),
        (free, DREAM, "dreaming on"),
        (one_step, REAL, "one step ahead"),
    ):
        axis.plot(steps, values, color=colour, label=name)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("steps ahead")
    axis.set_title("distance from the real latent", loc="left", fontsize=10, color=INK)
    place_legend(figure)
    alt = f"Latent error after {len(free)} steps: dreaming on {free[-1]:.2f}, nothing moves {frozen[-1]:.2f}."
    return to_svg(figure, "drift", alt)
