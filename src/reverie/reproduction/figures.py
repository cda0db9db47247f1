"""The charts of a reproduction: dream against reality over the temperature, agents side by side, learning curves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reverie.evaluation.published import Curve, Figure
from reverie.evaluation.score import Score
from reverie.report.theme import PAGE, Colours, Rows, log_scale, new_figure, place_legend, series, thinned
from reverie.reproduction.plan import BlindPolicy, FreshC
from reverie.reproduction.results import Reproduction, RowResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

TALL = 3.3  # inches
LONGEST_OF_THREE = 19  # characters of a label where three stand in a row
DASHES = ("-", (0, (6, 1)), (0, (4, 1)), (0, (2, 1)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)))


class LearningCurve(NamedTuple):
    """The metrics of a C's training, its label, and whether it is the main run's."""

    label: str
    rows: Rows
    main: bool = False


def temperatures(reproduction: Reproduction) -> list[RowResult]:
    """The rows of the sweep over tau, the lowest first."""
    swept = [one for one in reproduction.results if isinstance(one.row.player, FreshC) and one.row.player.first_round]
    return sorted(swept, key=lambda one: one.temperature or 0)


def transfer(reproduction: Reproduction, unit: str, colours: Colours = PAGE) -> Drawing:
    """Score in the dream and in the real world over tau, the paper's beside ours; the gap between them is shaded."""
    figure, (axis,) = new_figure(height=TALL, colours=colours)
    rows = temperatures(reproduction)
    taus = np.array([row.temperature for row in rows], float)
    dream, real = [row.dream for row in rows if row.dream is not None], [row.real for row in rows]
    higher, lower = (np.array([score.mean for score in scores]) for scores in (dream, real))
    cheated = axis.fill_between(taus, higher, lower, where=(higher > lower).tolist(), interpolate=True)
    cheated.set(facecolor=colours.dream, alpha=0.12, linewidth=0)
    _line(axis, taus, dream, colours.dream, "ours, in the dream")
    _line(axis, taus, real, colours.real, "ours, in reality")
    _paper_line(axis, taus, [row.row.paper_dream for row in rows], "o:", colours.paper, "paper, in the dream")
    _paper_line(axis, taus, [row.row.paper_real for row in rows], "s--", colours.paper, "paper, in reality")
    _mark_baselines(axis, reproduction, colours)
    axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    axis.set_xlabel("temperature τ of the dream that C was trained in")
    axis.set_title(unit, loc="left", fontsize=10, color=colours.ink)
    place_legend(figure, columns=2, colour=colours.muted)
    return figure


def transfer_text(reproduction: Reproduction) -> str:
    """What `transfer` shows, in words."""
    rows = (
        f"tau {row.temperature:g}: dream {row.dream.mean:.0f}, real {row.real.mean:.0f}"
        for row in temperatures(reproduction)
        if row.dream is not None
    )
    return f"Scores over the temperature. {'; '.join(rows)}."


def agents(reproduction: Reproduction, unit: str, colours: Colours = PAGE) -> Drawing:
    """Every row's score: in reality with its spread over episodes, in the engine of training, and the paper's."""
    height = 1.1 + 0.34 * len(reproduction.results)
    figure, (axis,) = new_figure(height=height, colours=colours)
    places = np.arange(len(reproduction.results))[::-1]
    real, trained, paper = (
        [(place, score) for place, score in zip(places, scores, strict=True) if score is not None]
        for scores in (
            [Figure(one.real.mean, one.real.std) for one in reproduction.results],
            [None if one.engine is None else Figure(one.engine.mean, one.engine.std) for one in reproduction.results],
            [one.row.paper_real for one in reproduction.results],
        )
    )
    _dots(axis, real, 0.0, "o", colours.real, "ours, mean ± std over episodes")
    if trained and reproduction.plan.engine is not None:
        label = f"in {reproduction.plan.engine.label}, where training plays"
        _dots(axis, trained, -0.24, "D", colours.real, label, filled=False)
    if paper:
        _dots(axis, paper, 0.24, "s", colours.paper, "paper")
    axis.set_yticks(places, [one.row.label for one in reproduction.results])
    axis.set_ylim(-0.6, len(places) - 0.4)
    axis.grid(axis="x", color=colours.rule, linewidth=0.6)
    axis.grid(False, axis="y")
    axis.set_xlabel(unit)
    place_legend(figure, columns=1, colour=colours.muted)
    return figure


def agents_text(reproduction: Reproduction) -> str:
    """What `agents` shows, in words."""
    rows = (
        f"{one.row.label}: {one.real.mean:.0f}"
        + ("" if one.engine is None else f", in the engine of training {one.engine.mean:.0f}")
        + ("" if one.row.paper_real is None else f", the paper {one.row.paper_real.mean:.0f}")
        for one in reproduction.results
    )
    return f"Mean scores. {'; '.join(rows)}."


def _dots(
    axis: Axes,
    figures: Sequence[tuple[int, Figure]],
    lift: float,
    marker: str,
    colour: str,
    label: str,
    filled: bool = True,
) -> None:
    places, means, spreads = (
        [place + lift for place, _ in figures],
        [one.mean for _, one in figures],
        [one.std for _, one in figures],
    )
    form: dict[str, Any] = {"fmt": marker, "markersize": 4, "elinewidth": 1, "color": colour}
    if not filled:
        form["markerfacecolor"] = "none"
    axis.errorbar(means, places, xerr=spreads, label=label, **form)


def learning_curves(
    searches: Sequence[LearningCurve], paper: Curve, unit: str, where: str = "dream", colours: Colours = PAGE
) -> Drawing:
    """Mean of CMA-ES's population by generation, the paper's beside ours, over a logarithmic axis."""
    figure, (axis,) = new_figure(height=TALL, colours=colours)
    for search, form in _line_styles(searches, colours.dream if where == "dream" else colours.real, colours):
        axis.plot(*series(search.rows, "fitness_mean"), label=search.label, **form)
    if paper:
        axis.plot(*zip(*paper, strict=True), "o--", color=colours.paper, markersize=3.5, label="paper")
    log_scale(axis, "x")
    axis.set_xlabel("generation of CMA-ES")
    if not searches:
        axis.set_ylim(bottom=0)  # to stand beside what gradients brought
    whose = "population mean" if searches else "the paper's mean"
    _finish(figure, axis, f"{whose}, {unit} in the {where}", searches, colours)
    return figure


def learning_text(searches: Sequence[LearningCurve], paper: Curve) -> str:
    """What `learning_curves` shows, in words."""
    ends = [f"{search.label}: {series(search.rows, 'fitness_mean')[1][-1]:.0f}" for search in searches if search.rows]
    published = ", ".join(f"{mean:g} at generation {generation}" for generation, mean in paper)
    ours = f"Mean fitness of the last generation. {'; '.join(ends)}." if ends else ""
    return f"{ours} The paper: {published}.".strip() if paper else ours


def gradient_curves(learned: Sequence[LearningCurve], unit: str, colours: Colours = PAGE) -> Drawing:
    """Mean return of the dreams that a C was trained in by gradients, over dreamt steps; dotted lines part rounds."""
    figure, (axis,) = new_figure(height=TALL, colours=colours)
    for one, form in _line_styles(learned, colours.dream, colours):
        for place, rows in enumerate(_rounds(one.rows)):
            means = [row["episode_return_mean"] for row in rows]
            axis.plot(*thinned(_millions(rows), np.array(means)), label="" if place else one.label, **form)
            if place:
                axis.axvline(_millions(rows)[0], color=colours.muted, linewidth=0.8, linestyle=":")
    axis.set_ylim(bottom=0 if axis.get_ylim()[0] > 0 else None)
    axis.set_xlabel("million steps dreamt")
    _finish(figure, axis, f"mean return of the last dreams, {unit}", learned, colours)
    return figure


def has_returns(learned: LearningCurve) -> bool:
    """Whether any of its dreams has ended."""
    return any(row.get("episode_return_mean") is not None for row in learned.rows)


def gradient_text(learned: Sequence[LearningCurve]) -> str:
    """What `gradient_curves` shows, in words."""
    last = [(one.label, [row for rows in _rounds(one.rows) for row in rows][-1]) for one in learned]
    ends = "; ".join(
        f"{label}: {row['episode_return_mean']:.0f} after {row['dream_steps'] / 1e6:.1f} million" for label, row in last
    )
    return f"Mean return of the last dreams, by steps dreamt. {ends}."


def _rounds(rows: Rows) -> list[list[Mapping[str, Any]]]:
    """The rows with a mean (no row has one before a dream has ended), a list for each round."""
    known = (row for row in rows if row.get("episode_return_mean") is not None)
    return [list(group) for _, group in itertools.groupby(known, key=lambda row: row["turn"])]


def _millions(rows: Rows) -> np.ndarray:
    """Steps dreamt."""
    return np.array([row["dream_steps"] for row in rows]) / 1e6


def _line_styles(
    searches: Sequence[LearningCurve], colour: str, colours: Colours
) -> Iterator[tuple[LearningCurve, dict[str, Any]]]:
    """Each curve and the style of its line; the main run's stands out."""
    for search, dashes in zip(searches, itertools.cycle(DASHES)):
        if search.main:
            yield search, {"color": colours.ink, "linewidth": 1.8}
        else:
            yield search, {"color": colour, "linewidth": 1.2, "linestyle": dashes}


def _finish(figure: Drawing, axis: Axes, title: str, shown: Sequence[LearningCurve], colours: Colours) -> None:
    axis.set_title(title, loc="left", fontsize=10, color=colours.ink)
    fit = max((len(one.label) for one in shown), default=0) <= LONGEST_OF_THREE
    place_legend(figure, columns=3 if fit else 2, colour=colours.muted)


def _line(axis: Axes, taus: np.ndarray, scores: Sequence[Score], colour: str, label: str) -> None:
    """Means with their standard errors."""
    errors = [score.std / np.sqrt(score.episodes) for score in scores]
    means = [score.mean for score in scores]
    axis.errorbar(taus, means, errors, color=colour, marker="o", markersize=4, elinewidth=1, label=label)


def _paper_line(
    axis: Axes, taus: np.ndarray, printed: Sequence[Figure | None], form: str, colour: str, label: str
) -> None:
    if all(figure is not None for figure in printed):
        means = [figure.mean for figure in printed if figure is not None]
        axis.plot(taus, means, form, markersize=3.5, color=colour, label=label)


def _mark_baselines(axis: Axes, reproduction: Reproduction, colours: Colours) -> None:
    """The main agent as a star, and the best policy that sees nothing, in the same world, as a level."""
    main = reproduction.results[0]
    if main.temperature is not None:
        label = f"{main.row.label}, in reality"
        axis.plot([main.temperature], [main.real.mean], "*", color=colours.real, markersize=10, label=label)
    blind = [one for one in reproduction.results if isinstance(one.row.player, BlindPolicy)]
    blind = [one for one in blind if one.row.world == reproduction.plan.world]
    if blind:
        best = max(blind, key=lambda one: one.real.mean)
        axis.axhline(best.real.mean, color=colours.random, linewidth=1.2, linestyle="-.", label=best.row.label)
