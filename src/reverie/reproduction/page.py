"""The page of a reproduction: its table, its charts and the film, in one HTML file; the charts as PNG beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from reverie.evaluation.published import published
from reverie.evaluation.report import fill
from reverie.evaluation.theme import PAGE, PRINT, Colours, to_png, to_svg
from reverie.evaluation.wording import duration, mean_std, number
from reverie.files.atomic import write_bytes
from reverie.files.metrics import read_metrics
from reverie.reproduction import figures
from reverie.reproduction.exploit import Exploit
from reverie.reproduction.figures import Learning
from reverie.reproduction.outcome import Outcome, Reproduction
from reverie.reproduction.plan import BlindPolicy, Evolved
from reverie.reproduction.significance import PairedTest
from reverie.reproduction.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

TEMPLATE = "reproduce.html.j2"
SURE = 0.05  # p below which a difference is called more than chance
CHEATS = 1.5  # times as much in the dream as in reality
TRANSFER = (
    "Mean and standard error. The shaded part is what the agent scores in its dream and not in reality: at a low "
    "temperature it has learned to cheat, and the dream says nothing about how well it plays."
)
LEARNING = (
    "The population's mean over the generations of each search, on a logarithmic scale: the paper's is far longer."
)


class Chart(NamedTuple):
    """A chart by name: how it is drawn, what it shows in words, and what to look for."""

    name: str
    draw: Callable[[Colours], Drawing]
    text: str
    caption: str


def write_page(work: Work, found: Reproduction, exploit: Exploit | None) -> None:
    """Write the page of `found` with the film in it, and each chart as a PNG."""
    charts = _charts(work, found)
    for chart in charts:
        write_bytes(work.folder / f"{chart.name}.png", to_png(chart.draw(PRINT)))
    html = fill(
        TEMPLATE,
        title=published(work.plan.world).title,
        verdict=verdict(found),
        tiles=_tiles(found),
        episodes=work.episodes,
        rows=[_row(outcome) for outcome in found.outcomes],
        references=[(label, str(figure)) for label, figure in found.plan.references],
        tests=[_test(found, test) for test in found.tests],
        test_name=found.tests[0].test if found.tests else "",
        curves=[(to_svg(chart.draw(PAGE), chart.name, chart.text), chart.caption) for chart in charts],
        exploit=None if exploit is None else _exploit(exploit),
    )
    write_bytes(found.page, html.encode())


def _charts(work: Work, found: Reproduction) -> list[Chart]:
    unit = "steps survived" if work.spec.reward == "survival" else "points"
    searches, paper = _searches(work), published(work.plan.world).fitness
    learning = partial(figures.learning_curves, searches, paper, unit)
    charts = [Chart("learning", learning, figures.learning_text(searches, paper), LEARNING)]
    if figures.temperatures(found):
        transfer = partial(figures.transfer, found, unit)
        charts.insert(0, Chart("transfer", transfer, figures.transfer_text(found), TRANSFER))
    return charts


def verdict(found: Reproduction) -> str:
    """The main result in a sentence or two."""
    main = found.outcomes[0]
    beside = f", where the paper has {number(main.row.paper_real.mean)}" if main.row.paper_real else ""
    said = f"In reality the main agent scores {number(main.real.mean)} on average{beside}."
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


def _searches(work: Work) -> list[Learning]:
    """The searches of the rows that evolved a C of their own, and the main run's, its rounds one after the other."""
    found: dict[Any, Learning] = {}
    for row in work.plan.rows:
        if isinstance(row.player, Evolved):
            folder = work.search_of(row, row.player)
            label = f"τ {work.temperature(row.player):.2f}" if row.player.first_round else row.label
            found.setdefault(folder, Learning(label, read_metrics(folder / "metrics.jsonl")))
    own: list[dict[str, Any]] = []
    for number_ in range(work.run.round + 1):
        before = own[-1]["step"] if own else 0
        rows = read_metrics(work.run.at(number_).controller / "metrics.jsonl")
        own += [row | {"step": before + row["step"]} for row in rows]
    return [*found.values(), Learning("main run", own, main=True)]


def _tiles(found: Reproduction) -> list[tuple[str, str, str]]:
    """The figures at the top: (what, figure, colour class)."""
    main = found.outcomes[0]
    tiles = [(main.row.label, mean_std(main.real), "real")]
    if main.dream is not None:
        tiles.append(("in its dream", mean_std(main.dream), "dream"))
    if main.row.paper_real is not None:
        tiles.append(("the paper's agent", str(main.row.paper_real), "paper"))
    return [*tiles, ("real steps learned from", f"{main.real_steps:,}", "")]


def _row(outcome: Outcome) -> dict[str, str]:
    row = outcome.row
    return {
        "label": row.label,
        "note": row.note,
        "tau": "" if outcome.temperature is None else f"{outcome.temperature:.2f}",
        "dream": "" if outcome.dream is None else mean_std(outcome.dream),
        "real": mean_std(outcome.real),
        "paper_dream": str(row.paper_dream or ""),
        "paper_real": str(row.paper_real or ""),
        "real_steps": f"{outcome.real_steps:,}",
        "time": duration(outcome.seconds),
    }


def _test(found: Reproduction, test: PairedTest) -> dict[str, str]:
    return {
        "who": " against ".join(found.of(name).row.label for name in (test.name, test.against)),
        "difference": _signed(test.difference),
        "interval": f"{_signed(test.low)} to {_signed(test.high)}",
        "p": f"{test.p:.2g}",
    }


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"


def _exploit(found: Exploit) -> dict[str, Any]:
    dream, real = found.dream, found.real
    cheats = dream.total > CHEATS * real.total
    cut = " (the film is cut)" if max(len(dream.frames), len(real.frames)) > found.film.frames else ""
    lengths = f"{len(dream.actions):,} steps in the dream, {len(real.actions):,} in reality{cut}"
    return {
        "title": "An agent that cheats its dream" if cheats else "The agent of the lowest temperature",
        "tau": f"{dream.temperature:g}",
        "film": found.film,
        "caption": f"The same C on both sides, in the middle one of a few episodes: {lengths}. What ended goes dark.",
    }
