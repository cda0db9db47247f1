"""The page of a reproduction: its table, its charts and the film, in one HTML file; the charts as PNG beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from reverie.evaluation.published import published
from reverie.files.atomic import write_bytes
from reverie.report.number_format import mean_std, number, real_steps_label
from reverie.report.theme import PAGE, PRINT, Colours, to_png, to_svg
from reverie.report.write import fill
from reverie.reproduction import figures
from reverie.reproduction.context import Context
from reverie.reproduction.figures import LearningCurve
from reverie.reproduction.films import CaptionedFilm
from reverie.reproduction.plan import BlindPolicy, FreshC
from reverie.reproduction.results import (
    Reproduction,
    RowResult,
    Trainings,
    cmaes_metrics,
    gradient_metrics,
    main_trainings,
    trainings,
)
from reverie.reproduction.table import comparison_cells, cost_table, result_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

TEMPLATE = "reproduce.html.j2"
SIGNIFICANT = 0.05  # p up to which a difference counts as more than chance
TRANSFER_CAPTION = (
    "Mean and standard error. The shaded part is what the agent scores in its dream and not in reality: at a low "
    "temperature it has learned to cheat, and the dream says nothing about how well it plays."
)
FITNESS_CAPTION = (
    "Across: generations of CMA-ES, on a logarithmic scale, as the paper's search is far longer. Up: the mean return "
    "of a generation's population."
)
PAPER_ONLY_CAPTION = (
    "The paper's C was evolved by CMA-ES: across its generations, on a logarithmic scale, up the mean return of each "
    "one's population. None of ours was. Generations and steps dreamt have no common measure, so only what is up can "
    "be compared between the charts."
)
GRADIENT_CAPTION = (
    "C by gradients. Across: steps of all the dreams that a C learned in, together. Up: the mean return of the "
    "last dreams that ended, C still trying things (scores are taken without). It begins low whoever plays, as short "
    "dreams are the first to end. Each curve is of dreams at its own temperature: a high one at a low τ may be a C "
    "that cheats."
)
ROUNDS = " The main run's phases and rounds follow one another: a dotted line where one begins."
CUT = " Training episodes are cut short, so that these means are not on the scale of the scores."
AGENTS_CAPTION = "Mean and standard deviation over episodes."


class Chart(NamedTuple):
    """A chart by name: how it is drawn, what it shows in words, and what to look for."""

    name: str
    draw: Callable[[Colours], Drawing]
    text: str
    caption: str


def write_page(context: Context, reproduction: Reproduction, film: CaptionedFilm | None) -> None:
    """Write the page of `reproduction` with its film, and each chart as a PNG."""
    charts = _charts(context, reproduction)
    for chart in charts:
        write_bytes(context.folder / f"{chart.name}.png", to_png(chart.draw(PRINT)))
    html = fill(
        TEMPLATE,
        title=published(context.plan.world).title,
        verdict=verdict(reproduction),
        tiles=_tiles(context, reproduction),
        episodes=context.episodes,
        engine=reproduction.plan.engine,
        dreamt=any(result.dream for result in reproduction.results),
        rows=[result_cells(result) for result in reproduction.results],
        references=[(label, str(figure)) for label, figure in reproduction.plan.references],
        budgets=cost_table(reproduction),
        tests=[comparison_cells(reproduction, test) for test in reproduction.tests],
        test_name=reproduction.tests[0].test if reproduction.tests else "",
        story=reproduction.plan.story,
        curves=[(to_svg(chart.draw(PAGE), chart.name, chart.text), chart.caption) for chart in charts],
        shown=film,
    )
    write_bytes(reproduction.page, html.encode())


def _charts(context: Context, reproduction: Reproduction) -> list[Chart]:
    unit = "steps survived" if context.spec.reward == "survival" else "points"
    charts = [*gradient_charts(context, unit), *learning_charts(context, unit)]
    if figures.temperatures(reproduction):
        transfer = partial(figures.transfer, reproduction, unit)
        return [Chart("transfer", transfer, figures.transfer_text(reproduction), TRANSFER_CAPTION), *charts]
    note = published(context.plan.world).note
    agents, note = partial(figures.agents, reproduction, unit), f" The paper's: {note}." if note else ""
    return [Chart("agents", agents, figures.agents_text(reproduction), AGENTS_CAPTION + note), *charts]


def gradient_charts(context: Context, unit: str) -> list[Chart]:
    """The curves of each C's training by gradients; no chart where there is none."""
    learned = [one for one in _curves(context, gradient_metrics) if figures.has_returns(one)]
    if not learned:
        return []
    draw = partial(figures.gradient_curves, learned, unit)
    rounds = any(row["turn"] for one in learned if one.main for row in one.rows)
    return [Chart("gradients", draw, figures.gradient_text(learned), GRADIENT_CAPTION + (ROUNDS if rounds else ""))]


def learning_charts(context: Context, unit: str) -> list[Chart]:
    """The fitness by generation of each C, and of the paper's; no chart where there is neither."""
    where, paper = _searched_in(context), published(context.plan.world)
    searches = [one for one in _curves(context, cmaes_metrics) if one.rows]
    if not searches and not paper.fitness:
        return []
    caption = (
        FITNESS_CAPTION + (CUT if where == "world" and _is_cut(context) else "") if searches else PAPER_ONLY_CAPTION
    )
    place = where if searches else paper.fitness_where
    draw = partial(figures.learning_curves, searches, paper.fitness, unit, place)
    return [Chart("learning", draw, figures.learning_text(searches, paper.fitness), caption)]


def _searched_in(context: Context) -> str:
    """Where the rows' own C are evolved; without such rows, where the run's is."""
    places = [row.player.place for row in context.plan.rows if isinstance(row.player, FreshC)]
    places += [phase.place for phase in context.run.experiment.phases if phase.method == "cmaes"]
    return places[0] if places else "dream"


def _is_cut(context: Context) -> bool:
    """Whether training episodes in the world end before those of scores do."""
    players = [row.player for row in context.plan.rows if isinstance(row.player, FreshC)]
    configs = [one.config for player in players for one in context.phases(player) if one.phase.method == "cmaes"]
    return any(config.max_steps or config.no_reward_timeout for config in configs)


def verdict(reproduction: Reproduction) -> str:
    """The main result in a sentence or two."""
    main = reproduction.results[0]
    beside = f", where the paper has {number(main.row.paper_real.mean)}" if main.row.paper_real else ""
    text = f"In reality the main agent scores {number(main.real.mean)} on average{beside}."
    if main.engine is not None and reproduction.plan.engine is not None:
        text += f" In {reproduction.plan.engine.label}, where training plays: {number(main.engine.mean)}."
    blind = [
        test for test in reproduction.tests if test.name == main.row.name and _is_blind(reproduction.of(test.against))
    ]
    if not blind:
        return text
    test = max(blind, key=lambda one: reproduction.of(one.against).real.mean)
    against = reproduction.of(test.against)
    if test.p > SIGNIFICANT:
        gap = "the gap is no wider than chance explains"
    else:
        gap = f"the agent is {'better' if test.difference > 0 else 'worse'} by more than chance explains"
    return f"{text} {against.row.label.capitalize()}: {number(against.real.mean)}; {gap} (p = {test.p:.2g})."


def _is_blind(result: RowResult) -> bool:
    return isinstance(result.row.player, BlindPolicy)


def _curves(context: Context, read: Callable[[Trainings], figures.Rows]) -> list[LearningCurve]:
    """The learning curves of the rows' own Cs and of the main run's, whose rounds follow one another.

    read: `cmaes_metrics` or `gradient_metrics`
    """
    curves: dict[Any, LearningCurve] = {}
    for row in context.plan.rows:
        if isinstance(row.player, FreshC):
            folder = context.controller_folder(row, row.player)
            label = f"τ {context.temperature(row.player):.2f}" if row.player.first_round else row.label
            curves.setdefault(folder, LearningCurve(label, read(trainings(context, row))))
    return [*curves.values(), LearningCurve("main run", read(main_trainings(context)), main=True)]


def _tiles(context: Context, reproduction: Reproduction) -> list[tuple[str, str, str]]:
    """The figures at the top: (what, figure, colour class)."""
    main = reproduction.results[0]
    tiles = [(main.row.label, mean_std(main.real), "real")]
    if main.dream is not None:
        tiles.append(("in its dream", mean_std(main.dream), "dream"))
    if main.engine is not None and reproduction.plan.engine is not None:
        tiles.append((f"in {reproduction.plan.engine.label}, where training plays", mean_std(main.engine), "random"))
    if main.row.paper_real is not None:
        tiles.append(("the paper's agent", str(main.row.paper_real), "paper"))
    return [*tiles, (real_steps_label(context.run.experiment.start_from), f"{main.real_steps:,}", "")]
