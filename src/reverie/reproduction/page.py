"""The page of a reproduction: its table, its charts and the film, in one HTML file; the charts as PNG beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reverie.evaluation.published import published
from reverie.files.atomic import write_bytes
from reverie.report.theme import PAGE, PRINT, Colours, to_png, to_svg
from reverie.report.wording import mean_std, number, real_steps_label
from reverie.report.write import fill
from reverie.reproduction import figures
from reverie.reproduction.cells import comparison_cells, outcome_cells
from reverie.reproduction.figures import Learning
from reverie.reproduction.films import Shown
from reverie.reproduction.outcome import Outcome, Reproduction
from reverie.reproduction.plan import BlindPolicy, Evolved
from reverie.reproduction.searches import generations, own_searches, updates
from reverie.reproduction.table import budget_table
from reverie.reproduction.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

TEMPLATE = "reproduce.html.j2"
SURE = 0.05  # p below which a difference is called more than chance
TRANSFER = (
    "Mean and standard error. The shaded part is what the agent scores in its dream and not in reality: at a low "
    "temperature it has learned to cheat, and the dream says nothing about how well it plays."
)
LEARNING = (
    "Across: generations of CMA-ES, on a logarithmic scale, as the paper's search is far longer. Up: the mean return "
    "of a generation's population."
)
PAPER_ALONE = (
    "The paper's C was evolved by CMA-ES: across its generations, on a logarithmic scale, up the mean return of each "
    "one's population. None of ours was. Generations and steps dreamt have no common measure, so only what is up can "
    "be compared between the charts."
)
GRADIENTS = (
    "C by gradients. Across: steps of all the dreams that a C learned in, together. Up: the mean return of the "
    "last dreams that ended, C still trying things (scores are taken without). It begins low whoever plays, as short "
    "dreams are the first to end. Each curve is of dreams at its own temperature: a high one at a low τ may be a C "
    "that cheats."
)
ROUNDS = " The main run's rounds follow one another, each in the dream of its own M: a dotted line where one begins."
CUT = " Training episodes are cut short, so that these means are not on the scale of the scores."
AGENTS = "Mean and standard deviation over episodes."


class Chart(NamedTuple):
    """A chart by name: how it is drawn, what it shows in words, and what to look for."""

    name: str
    draw: Callable[[Colours], Drawing]
    text: str
    caption: str


def write_page(work: Work, found: Reproduction, shown: Shown | None) -> None:
    """Write the page of `found` with what is `shown` on film in it, and each chart as a PNG."""
    charts = _charts(work, found)
    for chart in charts:
        write_bytes(work.folder / f"{chart.name}.png", to_png(chart.draw(PRINT)))
    html = fill(
        TEMPLATE,
        title=published(work.plan.world).title,
        verdict=verdict(found),
        tiles=_tiles(work, found),
        episodes=work.episodes,
        engine=found.plan.engine,
        dreamt=any(outcome.dream for outcome in found.outcomes),
        rows=[outcome_cells(outcome) for outcome in found.outcomes],
        references=[(label, str(figure)) for label, figure in found.plan.references],
        budgets=budget_table(found),
        tests=[comparison_cells(found, test) for test in found.tests],
        test_name=found.tests[0].test if found.tests else "",
        story=found.plan.story,
        curves=[(to_svg(chart.draw(PAGE), chart.name, chart.text), chart.caption) for chart in charts],
        shown=shown,
    )
    write_bytes(found.page, html.encode())


def _charts(work: Work, found: Reproduction) -> list[Chart]:
    unit = "steps survived" if work.spec.reward == "survival" else "points"
    charts = [*_gradient_charts(work, unit), *_learning_charts(work, unit)]
    if figures.temperatures(found):
        transfer = partial(figures.transfer, found, unit)
        return [Chart("transfer", transfer, figures.transfer_text(found), TRANSFER), *charts]
    note = published(work.plan.world).note
    agents, note = partial(figures.agents, found, unit), f" The paper's: {note}." if note else ""
    return [Chart("agents", agents, figures.agents_text(found), AGENTS + note), *charts]


def _gradient_charts(work: Work, unit: str) -> list[Chart]:
    """What each C learned by gradients; no chart where none did."""
    learned = [one for one in _learning(work, updates) if any(row.get("mean") is not None for row in one.rows)]
    if not learned:
        return []
    draw = partial(figures.gradient_curves, learned, unit)
    rounds = any(row["turn"] for one in learned if one.main for row in one.rows)
    return [Chart("gradients", draw, figures.gradient_text(learned), GRADIENTS + (ROUNDS if rounds else ""))]


def _learning_charts(work: Work, unit: str) -> list[Chart]:
    """How each C was evolved, and the paper's; no chart where there is neither."""
    where, paper = _searched_in(work), published(work.plan.world)
    searches = [one for one in _learning(work, generations) if one.rows]
    if not searches and not paper.fitness:
        return []
    caption = LEARNING + (CUT if where == "world" and _is_cut(work) else "") if searches else PAPER_ALONE
    place = where if searches else paper.fitness_where
    draw = partial(figures.learning_curves, searches, paper.fitness, unit, place)
    return [Chart("learning", draw, figures.learning_text(searches, paper.fitness), caption)]


def _searched_in(work: Work) -> str:
    """Where the rows' own C are evolved; without such rows, where the run's is."""
    places = [row.player.where for row in work.plan.rows if isinstance(row.player, Evolved)]
    return places[0] if places else work.run.experiment.evolution.where


def _is_cut(work: Work) -> bool:
    """Whether training episodes in the world end before those of scores do."""
    config = work.plan.evolution or work.run.experiment.evolution
    return config.max_steps is not None or config.patience is not None


def verdict(found: Reproduction) -> str:
    """The main result in a sentence or two."""
    main = found.outcomes[0]
    beside = f", where the paper has {number(main.row.paper_real.mean)}" if main.row.paper_real else ""
    said = f"In reality the main agent scores {number(main.real.mean)} on average{beside}."
    if main.engine is not None and found.plan.engine is not None:
        said += f" In {found.plan.engine.label}, where training plays: {number(main.engine.mean)}."
    blind = [test for test in found.tests if test.name == main.row.name and _is_blind(found.of(test.against))]
    if not blind:
        return said
    test = max(blind, key=lambda one: found.of(one.against).real.mean)
    against = found.of(test.against)
    if test.p > SURE:
        gap = "the gap is no wider than chance explains"
    else:
        gap = f"the agent is {'better' if test.difference > 0 else 'worse'} by more than chance explains"
    return f"{said} {against.row.label.capitalize()}: {number(against.real.mean)}; {gap} (p = {test.p:.2g})."


def _is_blind(outcome: Outcome) -> bool:
    return isinstance(outcome.row.player, BlindPolicy)


def _learning(work: Work, read: Callable[[Sequence[Path]], figures.Rows]) -> list[Learning]:
    """How the Cs of rows with one of their own learned, and the main run's, its rounds one after the other.

    read: `generations` or `updates`
    """
    found: dict[Any, Learning] = {}
    for row in work.plan.rows:
        if isinstance(row.player, Evolved):
            folder = work.search_of(row, row.player)
            label = f"τ {work.temperature(row.player):.2f}" if row.player.first_round else row.label
            found.setdefault(folder, Learning(label, read([folder])))
    return [*found.values(), Learning("main run", read(own_searches(work)), main=True)]


def _tiles(work: Work, found: Reproduction) -> list[tuple[str, str, str]]:
    """The figures at the top: (what, figure, colour class)."""
    main = found.outcomes[0]
    tiles = [(main.row.label, mean_std(main.real), "real")]
    if main.dream is not None:
        tiles.append(("in its dream", mean_std(main.dream), "dream"))
    if main.engine is not None and found.plan.engine is not None:
        tiles.append((f"in {found.plan.engine.label}, where training plays", mean_std(main.engine), "random"))
    if main.row.paper_real is not None:
        tiles.append(("the paper's agent", str(main.row.paper_real), "paper"))
    return [*tiles, (real_steps_label(work.run.experiment.start_from), f"{main.real_steps:,}", "")]
