"""The page's film: an agent in its dream, beside the same agent in the real world."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.evaluation.published import published
from reverie.play.env_spec import close_envs
from reverie.report.daydream_film import Daydream, film_daydream
from reverie.report.number_format import number
from reverie.report.recording import Recording, record_dream, record_world
from reverie.report.video import Film, film, prolonged
from reverie.reproduction.context import Context
from reverie.reproduction.plan import FreshC, MainAgent, Plan, Row
from reverie.workers.seeds import evaluation_seeds


@dataclass(frozen=True)
class CaptionedFilm:
    """A film with its words.

    name: of its file, without the suffix
    title, caption: for a reader; tau: of the dream, as text
    """

    name: str
    title: str
    caption: str
    tau: str
    film: Film

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.{'mp4' if self.film.is_video else 'webp'}"


FILMED = 3  # episodes of each, of which the middle one is shown
MOST_FRAMES = 1050  # half a minute of Doom
CHEATS = 1.5  # times as much in the dream as in reality


def film_exploit(context: Context) -> CaptionedFilm | None:
    """Film the row that was trained at the lowest temperature; None where no row has one of its own.

    The same agent is side by side in its dream and in the real world; the one that ends first goes dark.
    """
    row = coldest(context.plan)
    if row is None:
        return None
    trained, seeds = context.trained(row), evaluation_seeds(context.seed, "exploit", count=FILMED)
    try:
        (engine,) = context.env(row).engines()
        dream = record_dream(engine, trained.agent(), trained.vision, seeds)
    finally:
        close_envs()
    real = record_world(trained.agent(), seeds)
    length = min(max(len(dream.frames), len(real.frames)), MOST_FRAMES)
    panels = [prolonged(recording.frames, length) for recording in (dream, real)]
    return _shown(dream, real, film(panels, published(row.world).frames_per_second))


def _shown(dream: Recording, real: Recording, made: Film) -> CaptionedFilm:
    cut = " (the film is cut)" if max(len(dream.frames), len(real.frames)) > made.frames else ""
    lengths = f"{len(dream.actions):,} steps in the dream, {len(real.actions):,} in reality{cut}"
    cheats = dream.total > CHEATS * real.total
    return CaptionedFilm(
        name="exploit",
        title="An agent that cheats its dream" if cheats else "The agent of the lowest temperature",
        caption=f"The same C on both sides, in the middle one of a few episodes: {lengths}. What ended goes dark.",
        tau=f"{dream.temperature:g}",
        film=made,
    )


def coldest(plan: Plan) -> Row | None:
    """The row whose C learned at the lowest temperature of its own; None where all learn at the run's, or in none."""
    taus = {
        row.name: row.player.temperature
        for row in plan.rows
        if isinstance(row.player, FreshC) and row.player.place == "dream" and row.player.temperature is not None
    }
    return next((row for row in plan.rows if taus and row.name == min(taus, key=taus.__getitem__)), None)


def film_main_daydream(context: Context) -> CaptionedFilm | None:
    """The main agent; None where M cannot be dreamt, or the plan has no row of it."""
    row = next((row for row in context.plan.rows if row.player == MainAgent() and context.has_dream_score(row)), None)
    if row is None:
        return None
    film, daydream = film_daydream(context.trained(row), context.seed)
    return CaptionedFilm(
        name="daydream",
        title="The agent in its own dream",
        caption=caption(daydream, film.frames_per_second),
        tau=f"{daydream.dream.temperature:g}",
        film=film,
    )


def caption(daydream: Daydream, frames_per_second: int) -> str:
    """What the film shows, and what both sides scored by their end."""
    scores = f"{number(daydream.dream.total)} asleep, as M counts it, {number(daydream.real.total)} awake"
    return (
        f"Both sides are one episode for its first {daydream.awake / frames_per_second:.1f} seconds, at the left as V "
        "sees it. Where the edge changes colour the left one falls asleep: from there on M makes every frame that C "
        f"sees. {scores}. What ended goes dark."
    )
