"""The report's look: matplotlib figures as inline SVG whose colours follow the page, in light and in dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Colours(NamedTuple):
    """What each colour means on every chart."""

    ink: str
    muted: str
    rule: str
    real: str
    dream: str
    random: str
    paper: str


# Stand-ins that matplotlib accepts; the SVG gets the page's CSS variable instead, so one figure serves both themes.
PAGE = Colours(*(f"#0a0b0{index}" for index in range(1, 8)))
PRINT = Colours("#1f1e28", "#6b6875", "#e5e1d9", "#0b7d73", "#6a4cd1", "#8f8a80", "#b96a06")  # report.css, by day
INK, MUTED, RULE, REAL, DREAM, RANDOM, PAPER = PAGE
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    REAL: "var(--real)",
    DREAM: "var(--dream)",
    RANDOM: "var(--random)",
    PAPER: "var(--paper)",
}
Rows = Sequence[Mapping[str, Any]]  # of metrics

WIDTH, HEIGHT = 4.3, 2.8  # inches: narrow, so that the text stays readable on a phone
POINTS = 240  # of a curve: more than a column of the page can show


def _style(colours: Colours) -> dict[Any, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "reverie",
        "font.size": 9.0,
        "axes.edgecolor": colours.rule,
        "axes.labelcolor": colours.muted,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": colours.rule,
        "grid.linewidth": 0.6,
        "text.color": colours.ink,
        "xtick.color": colours.muted,
        "ytick.color": colours.muted,
        "xtick.major.size": 3.0,
        "ytick.major.size": 0.0,
        "xtick.minor.size": 0.0,
        "ytick.minor.size": 0.0,
        "lines.linewidth": 1.5,
        "lines.solid_capstyle": "round",
    }


def new_figure(rows: int = 1, height: float = HEIGHT, colours: Colours = PAGE) -> tuple[Figure, list[Axes]]:
    """An empty figure of `rows` axes that share x, in the report's style; `colours` is PRINT for `to_png`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style(colours)):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    return figure, list(axes)


def to_svg(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as inline SVG: `name` keeps its ids apart from other figures', `alt` says what it shows."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(_style(PAGE)):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_inline(buffer.getvalue(), name, str(Markup.escape(alt))))


def to_png(figure: Figure) -> bytes:
    """A figure drawn in the colours PRINT as a PNG on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, facecolor="white")
    return buffer.getvalue()


def _inline(svg: str, name: str, alt: str) -> str:
    """Drop what a page does not need, fit the SVG to its column, hand the colours and the font to CSS."""
    view = re.search(r'viewBox="[^"]+"', svg)
    assert view, "matplotlib's SVG has a viewBox"
    body = svg[svg.index("<svg") :]
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r"font-family: [^;\"]+", "font-family: var(--font)", body)
    body = re.sub(r"font: ([^;\"]*?px)[^;\"]*", r"font: \1 var(--font)", body)
    for stand_in, variable in VARIABLES.items():
        body = body.replace(stand_in, variable)
    return f'<svg class="chart" {view[0]} role="img" aria-label="{alt}">{body}'


def log_scale(axis: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis whose labels are plain numbers, at least two of them."""
    from matplotlib.ticker import AutoLocator, FuncFormatter, LogLocator, NullLocator

    axis.set(**{f"{which}scale": "log"})
    low, high = axis.get_xlim() if which == "x" else axis.get_ylim()
    marks = axis.xaxis if which == "x" else axis.yaxis
    decades = LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 100 else (1.0,))
    marks.set_major_locator(decades if high / low > 5 else AutoLocator())
    marks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    marks.set_minor_locator(NullLocator())


def series(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps and values of the rows that have `key`, both float64 [N]."""
    points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    pairs = np.array(points, np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def thinned(steps: np.ndarray, values: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` points: a long curve is averaged over neighbouring steps, a short one left as it is."""
    if len(steps) <= points:
        return steps, values
    groups = np.array_split(np.arange(len(steps)), points)
    return np.array([steps[g].mean() for g in groups]), np.array([values[g].mean() for g in groups])


def place_legend(figure: Figure, columns: int = 3, colour: str = MUTED) -> None:
    """Below the axes, where it covers no curve."""
    figure.legend(
        loc="outside lower left", ncols=columns, frameon=False, fontsize=8.5, labelcolor=colour, handlelength=1.4
    )
