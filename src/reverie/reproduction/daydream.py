"""The main agent on film: fallen asleep, beside what it does awake from the same frames on."""

from __future__ import annotations

from reverie.report.daydream import Daydream
from reverie.report.filming import film_daydream
from reverie.report.wording import number
from reverie.reproduction.films import Shown
from reverie.reproduction.plan import MainAgent
from reverie.reproduction.work import Work


def show_daydream(work: Work) -> Shown | None:
    """The main agent; None where M cannot be dreamt, or the plan has no row of it."""
    row = next((row for row in work.plan.rows if row.player == MainAgent() and work.is_dreamt(row)), None)
    if row is None:
        return None
    film, found = film_daydream(work.trained(row), work.seed)
    return Shown(
        name="daydream",
        title="The agent in its own dream",
        caption=caption(found, film.frames_per_second),
        tau=f"{found.dream.temperature:g}",
        film=film,
    )


def caption(found: Daydream, frames_per_second: int) -> str:
    """What the film shows, and what both sides scored by their end."""
    scores = f"{number(found.dream.total)} asleep, as M counts it, {number(found.real.total)} awake"
    return (
        f"Both sides are one episode for its first {found.awake / frames_per_second:.1f} seconds, at the left as V "
        "sees it. Where the edge changes colour the left one falls asleep: from there on M makes every frame that C "
        f"sees. {scores}. What ended goes dark."
    )
