"""The report's look: matplotlib figures as inline SVG whose colours follow the page, in light and in dark."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that matplotlib accepts; the SVG gets the page's CSS variable instead, so one figure serves both themes.
INK, MUTED, RULE = "#0a0b01", "#0a0b02", "#0a0b03"
REAL, DREAM, RANDOM, PAPER = "#0a0b04", "#0a0b05", "#0a0b06", "#0a0b07"
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    REAL: "var(--real)",
    DREAM: "var(--dream)",
    RANDOM: "var(--random)",
    PAPER: "var(--paper)",
}
WIDTH, HEIGHT = 4.3, 2.8  # inches: narrow, so that the text stays readable on a phone

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "reverie",
    "font.size": 9.0,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
}


def new_figure(rows: int = 1, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """An empty figure of `rows` axes that share x, in the report's style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    return figure, list(axes)


def to_svg(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as inline SVG: `name` keeps its ids apart from other figures', `alt` says what it shows."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_inline(buffer.getvalue(), name, str(Markup.escape(alt))))


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
